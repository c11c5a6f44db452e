"""ICMP errors that came back for our probes, from Linux's error queue (``ip(7)``, IP_RECVERR). Elsewhere there are none."""

import errno
import socket
import struct
import sys
from ipaddress import ip_address
from typing import NamedTuple

from edgecheck.wire.address import Endpoint

SUPPORTED = sys.platform == "linux"
_IP_RECVERR, _IPV6_RECVERR = 11, 25
_IP_RECVTTL, _IP_TTL = 12, 2
_IPV6_RECVHOPLIMIT, _IPV6_HOPLIMIT = 51, 52
_MSG_ERRQUEUE = 0x2000
_ORIGIN_ICMP, _ORIGIN_ICMP6 = 2, 3
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
"""``struct sock_extended_err``: errno, origin, type, code, pad, info, data; the offender's ``sockaddr`` follows."""


class IcmpError(NamedTuple):
    """One ICMP error."""

    aimed_at: Endpoint
    """Where the datagram was going."""
    type: int
    code: int
    offender: str
    """Who sent the ICMP."""
    ttl: int | None
    """TTL of the ICMP packet when it arrived."""
    quoted: bytes
    """Payload of the datagram, as far as it was quoted."""
    errno: int


def want_errors(sock: socket.socket) -> bool:
    """Have the system queue ICMP errors for this socket; False where it cannot."""
    if not SUPPORTED:
        return False
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVHOPLIMIT, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
    return True


def read_error(sock: socket.socket) -> IcmpError | None:
    """The next queued error; None when the queue is empty, or there is none on this system.

    The socket must be non-blocking: Python would wait for data else.
    """
    while SUPPORTED:
        try:
            quoted, ancillary, _, address = sock.recvmsg(2048, 512, _MSG_ERRQUEUE)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK):
                return None
            continue  # the pending error itself is told once by whatever call comes next, and is then gone
        found = _parse(quoted, ancillary, Endpoint(address[0], address[1]) if address else Endpoint("0.0.0.0", 0))
        if found is not None:
            return found
    return None


def _parse(quoted: bytes, ancillary: list[tuple[int, int, bytes]], aimed_at: Endpoint) -> IcmpError | None:
    ttl = None
    error: tuple[int, ...] | None = None
    offender = ""
    for level, kind, data in ancillary:
        if (level, kind) in ((socket.IPPROTO_IP, _IP_TTL), (socket.IPPROTO_IPV6, _IPV6_HOPLIMIT)) and len(data) >= 4:
            ttl = struct.unpack_from("=i", data)[0]
        elif (level, kind) in ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)) and len(
            data
        ) >= _EXTENDED_ERROR.size:
            error = _EXTENDED_ERROR.unpack_from(data)
            offender = _socket_address(data[_EXTENDED_ERROR.size :])
    if error is None or error[1] not in (_ORIGIN_ICMP, _ORIGIN_ICMP6):
        return None  # our own system's: no route, too big
    return IcmpError(aimed_at, error[2], error[3], offender, ttl, quoted, error[0])


def _socket_address(data: bytes) -> str:
    """The host in a ``sockaddr``; empty when there is none."""
    if len(data) < 8:
        return ""
    family = struct.unpack_from("=H", data)[0]
    if family == socket.AF_INET:
        return str(ip_address(data[4:8]))
    if family == socket.AF_INET6 and len(data) >= 24:
        return str(ip_address(data[8:24]))
    return ""
