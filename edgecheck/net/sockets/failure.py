"""OSError -> LocalFailure, with the operation and the address kept, in words."""

import errno
import ssl

from edgecheck.model.errors import LocalFailure

_REASONS = {
    errno.EADDRINUSE: "port-in-use",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EMFILE: "no-descriptors",
    errno.ENFILE: "no-descriptors",
    errno.ENOBUFS: "no-descriptors",
    errno.ENETUNREACH: "no-route",
    errno.EHOSTUNREACH: "no-route",
    errno.EADDRNOTAVAIL: "no-route",
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ETIMEDOUT: "timeout",
    10013: "permission",  # WSAEACCES: Windows says so too where another program holds the port exclusively
    10048: "port-in-use",  # WSAEADDRINUSE
    10049: "no-route",
}

_WORDS = {
    "port-in-use": "another program on this machine holds it",
    "permission": "a firewall on this machine forbids it",
    "no-descriptors": "this machine has no socket left to give (limit on open files)",
    "no-route": "no route to it from here",
    "refused": "the connection was refused",
    "reset": "the connection was reset",
    "timeout": "no answer in time",
    "tls": "TLS could not be opened",
}
_BIND_WORDS = {
    errno.EACCES: "this user may not (ports below 1024 need administrator rights)",
    errno.EPERM: "this user may not (ports below 1024 need administrator rights)",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    10013: "another program on this machine holds it, or this user may not",
    10049: "this machine has no such address",  # WSAEADDRNOTAVAIL
}
"""The same number means something else where a port is taken than where a packet is sent."""


def local_failure(operation: str, where: str, error: BaseException) -> LocalFailure:
    """``Could not bind 192.168.1.20:5060/udp: another program on this machine holds it.``"""
    if isinstance(error, TimeoutError):
        reason = "timeout"
    elif isinstance(error, ssl.SSLError):
        reason = "tls"
    elif isinstance(error, ConnectionResetError | ConnectionAbortedError | BrokenPipeError):
        reason = "reset"
    elif isinstance(error, ConnectionRefusedError):
        reason = "refused"
    elif isinstance(error, OSError):
        reason = _REASONS.get(error.errno or 0, "other")
    else:
        reason = "other"
    number = error.errno if isinstance(error, OSError) else None
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    words = _WORDS.get(reason, said)
    if operation == "bind":
        words = _BIND_WORDS.get(number or 0, words)
    elif number == errno.EHOSTUNREACH:
        words = "no route to that machine, it is down, or a firewall on the way refuses it"
    elif number == errno.ENOBUFS:
        words = "the system's buffers are full"
    if reason == "tls":
        words = f"{words} ({getattr(error, 'reason', None) or error})"
    return LocalFailure(reason, f"Could not {operation} {where}: {words}.")
