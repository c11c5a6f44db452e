"""NAT-PMP and PCP: both asked at once on the port that they share, each by its one question that changes nothing."""

import asyncio

from edgecheck.wire import nat_pmp, pcp
from edgecheck.wire.errors import WireError

SENT_AT_S = (0.0, 0.25, 0.5)
"""RFC 6886 section 3.1 starts at 250 ms and doubles for a minute; a router on the same wire answers within milliseconds."""
PATIENCE_S = 1.0
_MOST_STRAYS = 64


class PortControl(asyncio.DatagramProtocol):
    """What the gateway said on port 5351. The socket is connected: nobody else is heard, and a refusal is told at once."""

    def __init__(self) -> None:
        self.external: nat_pmp.ExternalAddress | None = None
        self.announced: pcp.Response | None = None
        self.refused = False
        self._heard = 0
        self._news = asyncio.Event()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._heard += 1
        if self._heard > _MOST_STRAYS:
            return
        try:
            if data[:1] == b"\x00":
                self.external = self.external or nat_pmp.parse(data)
            else:
                response = pcp.parse(data)
                if response.opcode == pcp.ANNOUNCE:
                    self.announced = self.announced or response
        except WireError:
            return  # not an answer to these questions
        self._news.set()

    def error_received(self, exc: Exception) -> None:
        self.refused = True
        self._news.set()

    @property
    def settled(self) -> bool:
        """Nothing more is to be waited for."""
        return self.refused or (self.external is not None and self.announced is not None)

    async def wait(self, seconds: float) -> None:
        """Until settled, or for so long."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not self.settled and (left := deadline - asyncio.get_running_loop().time()) > 0:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), left)
            except TimeoutError:
                return


async def ask(source: str, gateway: str, port: int = nat_pmp.PORT) -> PortControl:
    """Ask the gateway, from this local address. Raises ``OSError``."""
    loop = asyncio.get_running_loop()
    transport, told = await loop.create_datagram_endpoint(PortControl, local_addr=(source, 0), remote_addr=(gateway, port))
    try:
        began = loop.time()
        for number in range(len(SENT_AT_S)):
            if told.external is None:
                transport.sendto(nat_pmp.EXTERNAL_ADDRESS_REQUEST)
            if told.announced is None:
                transport.sendto(pcp.announce_request(source))
            end = SENT_AT_S[number + 1] if number + 1 < len(SENT_AT_S) else PATIENCE_S
            await told.wait(began + end - loop.time())
            if told.settled or (number and (told.external or told.announced)):
                break  # one answers, and the other has been asked twice: it is not spoken there
    finally:
        transport.close()
    return told
