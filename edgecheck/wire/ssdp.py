"""SSDP (UPnP Device Architecture 1.1, section 1.3): the search, and the answers to it. HTTP headers in a datagram."""

from typing import NamedTuple

from edgecheck.wire.errors import Malformed, TooLong, Truncated

GROUP = "239.255.255.250"
PORT = 1900
MAX_SIZE = 4096
"""An answer fits into one packet; what is longer is no router's."""
MAX_HEADERS = 64


class Found(NamedTuple):
    """One answer to a search."""

    target: str
    """``ST``: what the sender says it is."""
    location: str
    """Where its description lies: a stranger's word, to be checked before anyone goes there."""
    server: str
    """System and program, as the sender tells them."""


def search(host: str, target: str, wait_s: int = 1) -> bytes:
    """M-SEARCH for one target; ``host`` is the group, or the one machine that is asked (section 1.3.2)."""
    lines = (f"HOST: {host}:{PORT}", 'MAN: "ssdp:discover"', f"MX: {wait_s}", f"ST: {target}")
    return "\r\n".join(("M-SEARCH * HTTP/1.1", *lines, "", "")).encode("ascii")


def parse(data: bytes) -> Found:
    """Read an answer. Raises ``Truncated``, ``Malformed``, ``TooLong``."""
    if len(data) > MAX_SIZE:
        raise TooLong(f"an SSDP answer has at most {MAX_SIZE} bytes here, these are {len(data)}")
    start = data[:7]
    if not (start == b"HTTP/1." or b"HTTP/1.".startswith(start)):
        raise Malformed("not an SSDP answer")
    head, end, _ = data.partition(b"\r\n\r\n")
    if not end:
        raise Truncated("an SSDP answer ends before its empty line")
    first, *lines = head.split(b"\r\n")
    if first.split(b" ")[1:2] != [b"200"]:
        raise Malformed("an SSDP answer that is not 200")
    if len(lines) > MAX_HEADERS:
        raise TooLong(f"an SSDP answer has at most {MAX_HEADERS} headers here")
    headers: dict[bytes, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip().decode("utf-8", "replace"))
    return Found(headers.get(b"st", ""), headers.get(b"location", ""), headers.get(b"server", ""))
