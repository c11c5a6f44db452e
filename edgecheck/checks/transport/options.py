"""The OPTIONS request with which a server is asked whether it is there (RFC 3261 section 11), and its answer. Pure."""

from typing import NamedTuple

from edgecheck.model.account import Account, SipTransport
from edgecheck.wire import sip
from edgecheck.wire.address import Endpoint, parse_host
from edgecheck.wire.errors import WireError


class Question(NamedTuple):
    """One OPTIONS transaction."""

    branch: str
    data: bytes


def options(account: Account, transport: SipTransport, local: Endpoint, token: str, number: int, via_port: int | None = None) -> Question:
    """``token`` is random; ``via_port`` stands in the Via where it is not the port that the request leaves from."""
    branch = f"z9hG4bK{token}{number}"
    sent_by = Endpoint(local.host, via_port or local.port)
    scheme = "sips" if account.registrar.secure else "sip"
    headers = [
        ("Via", f"SIP/2.0/{transport.upper()} {sent_by};branch={branch};rport"),
        ("Max-Forwards", "70"),
        ("From", f"<{account.aor}>;tag={token[:10]}"),
        ("To", f"<{scheme}:{account.registrar.authority}>"),
        ("Call-ID", f"{token}{number}@{local.host if ':' not in local.host else 'edgecheck'}"),
        ("CSeq", f"{number} OPTIONS"),
        ("Contact", f"<{scheme}:edgecheck@{sent_by}{'' if transport == 'udp' else f';transport={transport}'}>"),
        ("Accept", "application/sdp"),
        ("User-Agent", "edgecheck"),
    ]
    return Question(branch, sip.build(f"OPTIONS {scheme}:{account.registrar.authority} SIP/2.0", headers))


class Said(NamedTuple):
    """What an answer says."""

    status: int
    reason: str
    software: str | None
    seen_as: str | None


def answer_to(question: Question, data: bytes) -> Said | None:
    """The final answer to this question; None: another message, a provisional answer, or no SIP."""
    try:
        message = sip.parse_datagram(data)
        via = sip.via_parts(sip.split_addresses(message.get("Via") or "")[0])
    except (WireError, IndexError):
        return None
    if message.is_request or via.parameters.get("branch") != question.branch or (message.status or 0) < 200:
        return None
    software = message.get("Server") or message.get("User-Agent")
    return Said(message.status or 0, message.reason or "", software, _seen_as(via))


def _seen_as(via: sip.Via) -> str | None:
    """``received`` and ``rport`` together (RFC 3581 section 4); an honest server writes both."""
    host, port = via.parameters.get("received"), via.parameters.get("rport")
    if not host or not port or not port.isdigit() or not 0 < int(port) < 65_536:
        return None
    try:
        return str(Endpoint(parse_host(host.strip("[]")), int(port)))
    except WireError:
        return None
