"""Asking a running service who it is: the OPTIONS that is sent, and what is kept of the answer.

Both ends use it: the server asks through the edge, the client asks the same service directly, and what they heard is compared. OPTIONS
(RFC 3261 section 11) opens no dialog and rings no phone; any answer will do, 200 as well as 401 or 404.
"""

from typing import NamedTuple

from edgecheck.wire import sip
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import WireError

TOLD = 120
"""Characters of a stranger's words that are told on."""
MAX_ANSWER = 8192
"""Bytes read of an answer."""


class Answer(NamedTuple):
    """A SIP response to our OPTIONS."""

    status: int
    software: str
    """Server, else User-Agent (RFC 3261 sections 20.35 and 20.41); empty where it names none."""


def options(marker: str, transport: str, local: Endpoint, to: Endpoint) -> bytes:
    """An OPTIONS for whoever serves ``to``; ``marker`` (see ``control.sip_marker``) stands in branch, tag and Call-ID.

    ``local``: sent-by. With ``rport`` the answer comes to the packet's source whatever stands there (RFC 3581).
    """
    suffix = "" if transport == "udp" else f";transport={transport}"
    return sip.build(
        f"OPTIONS sip:{to}{suffix} SIP/2.0",
        (
            ("Via", f"SIP/2.0/{transport.upper()} {local};branch=z9hG4bK{marker};rport"),
            ("Max-Forwards", "70"),
            ("From", f"<sip:edgecheck@{_host(local)}>;tag={marker}"),
            ("To", f"<sip:{to}>"),
            ("Call-ID", f"{marker}@{_host(local)}"),
            ("CSeq", "1 OPTIONS"),
            ("Accept", "application/sdp"),
            ("User-Agent", "edgecheck"),
        ),
    )


def _host(endpoint: Endpoint) -> str:
    return f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host


def read(data: bytes, marker: str) -> Answer | None:
    """The response to the OPTIONS with this marker; None for anything else, provisional responses included."""
    try:
        message = sip.parse_datagram(data[:MAX_ANSWER])
    except WireError:
        return None
    if message.status is None or message.status < 200 or not (message.get("CSeq") or "").upper().endswith("OPTIONS"):
        return None
    # Some box may have put another Call-ID or branch in the place of ours, not all of them.
    if not any(marker in (message.get(name) or "") for name in ("Call-ID", "Via", "From")):
        return None
    return Answer(message.status, printable((message.get("Server") or message.get("User-Agent") or "").encode()))


def first_words(data: bytes) -> str:
    """What a stranger's greeting says: its first line, and, as SIP and HTTP have it, the name of its software."""
    first, *rest = data.replace(b"\r\n", b"\n").split(b"\n")
    if not first.strip():
        return printable(data)
    named = (line.partition(b":")[2].strip() for line in rest if line.lower().startswith((b"server:", b"user-agent:")))
    software = next(named, b"")
    return printable(first.strip() + (b", " + software if software else b""))


def printable(data: bytes) -> str:
    """A stranger's bytes as text that any terminal and report can show."""
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data[:TOLD])
