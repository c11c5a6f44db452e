"""Whether the prober is still let in where it was. Some routers and firewalls shut out for minutes whoever knocks at many ports (port scan
protection, flood protection, intrusion prevention); then its silence tells of no rule.

The witness is a port at which it was let in before, in this very session. It is asked once more, from ports of the prober's that nobody has
seen, for a router lets an existing flow pass where it takes no new ones.
"""

import asyncio
from collections.abc import Sequence
from typing import Literal, NamedTuple

from edgecheck.checks.port_forwarding.live import control_copies
from edgecheck.checks.port_forwarding.observation import PortRow
from edgecheck.checks.port_forwarding.tcp import chance_of_tcp_silence
from edgecheck.checks.unsolicited import LET_IN, margin
from edgecheck.model.check import Network
from edgecheck.model.errors import LocalFailure, RequestDeclined
from edgecheck.model.evidence import WRONG_BY_CHANCE, chance_of_silence
from edgecheck.wire import control

COPIES, SPACING_MS = 6, 40


class Witness(NamedTuple):
    """A port that the prober has reached."""

    transport: Literal["udp", "tcp"]
    port: int
    asked: bool
    """A service of this machine holds it, and has answered."""

    @property
    def name(self) -> str:
        """``UDP 5060``."""
        return f"{self.transport.upper()} {self.port}"


def witness_of(rows: Sequence[PortRow]) -> Witness | None:
    """The first port that was reached."""
    reached = [row for row in rows if row.state == "forwarded" or (row.state == "answered" and row.answered_here)]
    return next((Witness(row.transport, row.port, row.asked) for row in reached if not row.asked or row.state == "answered"), None)


def leave(net: Network, witness: Witness) -> None:
    """For checks that come later in this session."""
    net.memory.note(LET_IN, f"{net.session.hex()} {witness.transport} {witness.port} {int(witness.asked)}")


def left(net: Network) -> Witness | None:
    """What an earlier check of this session has left."""
    noted = net.memory.recall(LET_IN)
    words = noted[0].split() if noted else []
    if len(words) != 4 or words[0] != net.session.hex() or words[1] not in ("udp", "tcp"):
        return None
    return Witness("udp" if words[1] == "udp" else "tcp", int(words[2]), words[3] == "1")


def reason(witness: Witness) -> str:
    """Why silence proves nothing now."""
    return (
        f"the server's alternate address was let in at {witness.name} before and no longer is: something on the way shuts out whoever "
        "knocks at many ports (port scan protection), so silence proves nothing"
    )


async def is_shut_out(net: Network, witness: Witness) -> bool:
    """Whether nothing arrives there any more, though packets of the primary address do in the same moments."""
    if "inquire" not in net.service.capabilities:
        return False
    try:
        opened = None if witness.asked else await (net.open_udp if witness.transport == "udp" else net.listen_tcp)(witness.port)
        weather = await net.open_udp()
    except LocalFailure:
        return False
    try:
        at = await net.proved(weather)
        series = net.new_series()
        (arrived, sent), reply = await asyncio.gather(control_copies(net, weather, at), _ask(net, witness, series))
        await net.sleep(margin(net))
        marker = control.sip_marker(net.session, series, witness.port).encode()
        heard = any(marker in one.data for one in getattr(opened, "inbox", ())) or bool(getattr(opened, "accepted", ()))
    except RequestDeclined:
        return False
    finally:
        weather.close()
        if opened is not None:
            opened.close()
    row = reply.rows[0] if isinstance(reply, control.Inquired) and reply.rows else None
    if row is None or row.outcome != "silent" or row.said or heard or not sent:
        return False
    chance = chance_of_silence if witness.transport == "udp" else chance_of_tcp_silence
    return chance(arrived, sent, row.attempts) < WRONG_BY_CHANCE


async def _ask(net: Network, witness: Witness, series: int) -> control.Reply:
    speak: Literal["sip", "nothing", "datagram"] = "nothing" if witness.transport == "tcp" else "sip" if witness.asked else "datagram"
    return await net.ask(
        lambda id: control.Inquire(
            id=id,
            series=series,
            address=net.observed,
            ports=((witness.port, witness.port),),
            transport=witness.transport,
            speak=speak,
            attempts=COPIES,
            spacing_ms=SPACING_MS,
            patience_ms=int(200 + 2000 * net.rtt),
        )
    )
