"""The media reflector: which RTP ports are open for whom, and the echo of an RTP packet that carries our probe."""

from collections.abc import Iterable

from edgecheck.wire import probe, rtp
from edgecheck.wire.probe import Kind, Probe

PROBE_OFFSET = rtp.PROBE_OFFSET
KIND_OFFSET = PROBE_OFFSET + 4
_ECHOED = bytes([Kind.ECHOED])


def parse_echo(packet: bytes) -> Probe | None:
    """The ``ECHO`` that an RTP packet carries, or None: no version 2, a header that is not plain, no probe, another kind."""
    if len(packet) < PROBE_OFFSET + probe.SIZE or packet[0] != 0x80 or packet[KIND_OFFSET] != Kind.ECHO:
        return None
    if packet[PROBE_OFFSET:KIND_OFFSET] != probe.MAGIC:
        return None
    return probe.parse(packet, PROBE_OFFSET)


def echoed(packet: bytes, kind_offset: int = KIND_OFFSET) -> bytes:
    """The same packet, its probe turned into the answer."""
    return packet[:kind_offset] + _ECHOED + packet[kind_offset + 1 :]


MediaPort = tuple[int, int]
"""(family, port)."""


class MediaPorts:
    """Media sockets shared between sessions by reference count."""

    def __init__(self) -> None:
        self._holders: dict[MediaPort, int] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def __contains__(self, port: MediaPort) -> bool:
        return port in self._holders

    def hold(self, port: MediaPort) -> None:
        """One more session uses the port."""
        self._holders[port] = self._holders.get(port, 0) + 1

    def release(self, ports: Iterable[MediaPort]) -> list[MediaPort]:
        """One session less uses each of these; returns those that nobody uses any more."""
        unused = []
        for port in ports:
            self._holders[port] -= 1
            if not self._holders[port]:
                del self._holders[port]
                unused.append(port)
        return unused
