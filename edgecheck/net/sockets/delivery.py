"""What the kernel's TCP knows of a connection: ``TCP_INFO``. Linux; macOS and Windows have theirs, which are not read here."""

import socket
import struct
import sys
from typing import Protocol

from edgecheck.model.check import Delivery

_INFO = struct.Struct("=8B24I")
"""``struct tcp_info`` of linux/tcp.h as far as tcpi_total_retrans; later kernels append."""
_UNACKED, _RTT_US, _TOTAL_RETRANS = 8 + 4, 8 + 15, 8 + 23


class _Socket(Protocol):
    def getsockopt(self, level: int, name: int, size: int, /) -> bytes: ...


def read_delivery(connection: _Socket | None) -> Delivery | None:
    """None: this platform does not tell, or there is no such connection any more."""
    option = getattr(socket, "TCP_INFO", None)
    if sys.platform != "linux" or option is None or connection is None:
        return None
    try:
        data = connection.getsockopt(socket.IPPROTO_TCP, option, _INFO.size)
    except OSError:
        return None
    if len(data) < _INFO.size:
        return None
    said = _INFO.unpack(data)
    return Delivery(unacked=said[_UNACKED], retransmitted=said[_TOTAL_RETRANS], rtt_ms=round(said[_RTT_US] / 1000, 3))
