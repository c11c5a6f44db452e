"""The SIP mirror: answers as a registrar and a user agent server would, so that an ALG on the path sees a plausible dialog.

It keeps no dialog state: whatever an answer needs is in the request or follows from it by a keyed hash, so a retransmitted
request gets the same answer again. Answers go to the packet's source, from the socket it came to; a Via that names another
place is not followed (RFC 3261 section 18.2.2 would, and so would whoever wants us to flood somebody).
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import NamedTuple

from edgecheck import __version__
from edgecheck.wire import sip
from edgecheck.wire.address import Endpoint
from edgecheck.wire.control import SIP_MARKER, Transport
from edgecheck.wire.errors import WireError

ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER, MESSAGE, INFO, UPDATE, PRACK, NOTIFY"
MAX_EXPIRES = 3600
"""Seconds: longest registration granted."""
MARKER_HEADER = "X-Edgecheck"
_ANSWERED = frozenset(ALLOW.replace(",", "").split())
_KNOWN = _ANSWERED | {"SUBSCRIBE", "REFER", "PUBLISH"}
_SERVER = f"edgecheck/{__version__}"
_RPORT = re.compile(r";\s*rport\s*(?=;|$)", re.IGNORECASE)
_RECEIVED = re.compile(r";\s*received\s*=[^;]*", re.IGNORECASE)
_EXPIRES = re.compile(r";\s*expires\s*=\s*[^;>]*(?=;|$)", re.IGNORECASE)

Headers = list[tuple[str, str]]


class Place(NamedTuple):
    """Where a request arrived, and from where."""

    transport: Transport
    local: Endpoint
    """Our own address and port as clients reach them."""
    peer: Endpoint
    media: tuple[int, int] | None
    """RTP range from which the port in our session description is taken."""


def respond(place: Place, request: sip.Message, key: bytes, marker: str | None, room: int | None = None) -> list[bytes]:
    """The answers to one request, in order; none to an ACK, and none to what no answer could be routed for.

    ``marker`` goes into the answers as ``X-Edgecheck``. ``room``: most bytes of all answers together; where that is too little
    for all of them, the final one alone is sent, as full as it may be.
    """
    if request.method in (None, "ACK") or not request.all("Via"):
        return []
    plain = _Answerer(place, request, key, marker)
    try:
        if room is None:
            return plain.answers(full=True)
        for answers in (plain.answers(full=True), plain.answers(full=False), plain.answers(full=False)[-1:]):
            if sum(map(len, answers)) <= room:
                return answers
    except WireError:
        pass  # what the request holds cannot be written into an answer
    return []


class _Answerer:
    def __init__(self, place: Place, request: sip.Message, key: bytes, marker: str | None) -> None:
        self.place = place
        self.request = request
        self.marker = marker
        self._key = key

    def answers(self, full: bool) -> list[bytes]:
        request, method = self.request, self.request.method or ""
        refusal = self._refusal(method)
        if refusal:
            status, reason, headers = refusal
            return [self._answer(status, reason, headers, full=full)]
        if method == "REGISTER":
            return [self._register(full)]
        if method == "INVITE":
            contact = self._contact()
            answer: list[bytes] = []
            dialog = [*self._copied("Record-Route"), contact]
            body = self._session_description(full)
            if full:
                answer = [self._answer(100, "Trying", [], full=True), self._answer(180, "Ringing", dialog, full=True)]
            described = [*dialog, *self._capabilities(full), ("Content-Type", "application/sdp")]
            return [*answer, self._answer(200, "OK", described, body, full=full)]
        if method == "OPTIONS":
            return [self._answer(200, "OK", [self._contact(), *self._capabilities(full)], full=full)]
        if method == "UPDATE" and request.body:
            described = [self._contact(), ("Content-Type", "application/sdp")]
            return [self._answer(200, "OK", described, self._session_description(full), full=full)]
        return [self._answer(200, "OK", [], full=full)]

    def _refusal(self, method: str) -> tuple[int, str, Headers] | None:
        """What RFC 3261 section 8.2 refuses before a method is looked at."""
        request = self.request
        if request.version.upper() != "SIP/2.0":
            return 505, "Version Not Supported", []
        missing = [name for name in ("From", "To", "Call-ID", "CSeq") if request.get(name) is None]
        if missing:
            return 400, f"Bad Request: no {missing[0]}", []
        if (request.get("CSeq") or "").split()[1:] != [method]:
            return 400, "Bad Request: CSeq", []
        if request.content_length is not None and len(request.body) < request.content_length:
            return 400, "Bad Request: body shorter than Content-Length", []  # section 18.3
        if method not in _KNOWN:
            return 501, "Not Implemented", [("Allow", ALLOW)]
        if method not in _ANSWERED:
            return 405, "Method Not Allowed", [("Allow", ALLOW)]
        required = [tag for value in request.all("Require") for tag in sip.split_addresses(value)]
        if required and method != "CANCEL":
            return 420, "Bad Extension", [("Unsupported", ", ".join(required))]
        return None

    def _register(self, full: bool) -> bytes:
        """As a registrar (RFC 3261 section 10.3) that takes any credentials: the second REGISTER is answered, whatever it proves."""
        request = self.request
        if request.get("Authorization") is None:
            nonce = self._hash("nonce")[:32]
            challenge = f'Digest realm="edgecheck", nonce="{nonce}", algorithm=MD5, qop="auth"'
            return self._answer(401, "Unauthorized", [("WWW-Authenticate", challenge)], full=full)
        bound: Headers = []
        for contact in (item for value in request.all("Contact") for item in sip.split_addresses(value)):
            wanted = sip.parameters(contact).get("expires", request.get("Expires") or "")
            expires = min(int(wanted), MAX_EXPIRES) if wanted.isascii() and wanted.isdigit() and len(wanted) < 12 else MAX_EXPIRES
            if contact != "*" and expires:
                bound.append(("Contact", f"{_without_expires(contact)};expires={expires}"))
        return self._answer(200, "OK", bound, full=full)

    def _answer(self, status: int, reason: str, headers: Headers, body: bytes = b"", *, full: bool) -> bytes:
        lines = [*self._via(), *self._copied("From"), *self._to(status), *self._copied("Call-ID"), *self._copied("CSeq")]
        if status == 100:
            lines += self._copied("Timestamp")  # RFC 3261 section 8.2.6.1
        lines += headers
        if self.marker:
            lines.append((MARKER_HEADER, self.marker))
        if full:
            lines.append(("Server", _SERVER))
        return sip.build(f"SIP/2.0 {status} {reason}", lines, body)

    def _copied(self, name: str) -> Headers:
        values = self.request.all(name)
        return [(name, value) for value in (values if name == "Record-Route" else values[:1])]

    def _via(self) -> Headers:
        first, *rest = self.request.all("Via")
        top, *others = sip.split_addresses(first) or [first]
        return [("Via", ", ".join((self._stamped(top), *others))), *(("Via", value) for value in rest)]

    def _stamped(self, via: str) -> str:
        """RFC 3261 section 18.2.1 and RFC 3581 section 4: ``received`` always with an empty ``rport``, else when sent-by is elsewhere."""
        host, port = self.place.peer
        asked = _RPORT.search(via)
        try:
            elsewhere = sip.via_parts(via).host != host
        except WireError:
            elsewhere = True
        if not asked and not elsewhere:
            return via
        via = _RECEIVED.sub("", via)
        return _RPORT.sub(f";rport={port}", via, count=1) + f";received={host}"

    def _to(self, status: int) -> Headers:
        to = self.request.get("To")
        if to is None:
            return []
        if status == 100 or "tag" in sip.parameters(to):
            return [("To", to)]
        return [("To", f"{to};tag={self._hash('tag')[:10]}")]

    def _contact(self) -> tuple[str, str]:
        parameter = "" if self.place.transport == "udp" else f";transport={self.place.transport}"
        return "Contact", f"<sip:mirror@{self.place.local}{parameter}>"

    def _capabilities(self, full: bool) -> Headers:
        return [("Allow", ALLOW), ("Accept", "application/sdp")] if full else []

    def _session_description(self, full: bool) -> bytes:
        """An answer of one PCMU stream. Without the range open nothing listens there: what matters is whether the lines arrive whole."""
        host = self.place.local.host
        network = "IN IP6" if ":" in host else "IN IP4"
        low, high = self.place.media or (10000, 20000)
        number = int(self._hash("media")[:8], 16)
        port = low + low % 2 + number % max(1, (high - low) // 2) * 2
        lines = ["v=0", f"o=- {number} 1 {network} {host}", "s=-", f"c={network} {host}", "t=0 0", f"m=audio {port} RTP/AVP 0"]
        if full:
            lines[-1] += " 101"
            lines += ["a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16"]
            lines += [f"a=rtcp:{port + 1} {network} {host}", "a=ptime:20", "a=sendrecv"]
        return "".join(f"{line}\r\n" for line in lines).encode()

    def _hash(self, purpose: str) -> str:
        """A value that is the same for every copy and every later request of the dialog."""
        tag = sip.parameters(self.request.get("From") or "").get("tag", "")
        text = "\n".join((purpose, self.request.get("Call-ID") or "", tag, str(self.place.local)))
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


def _without_expires(contact: str) -> str:
    """The contact less its own expires parameter; what stands inside ``<>`` is the URI's."""
    head, bracket, rest = contact.rpartition(">")
    return head + bracket + _EXPIRES.sub("", rest)


def find_markers(data: bytes) -> Sequence[tuple[bytes, int, int]]:
    """(session, series, item) of every marker in the raw bytes, in order."""
    return [(bytes.fromhex(name.decode()), int(series, 16), int(item, 16)) for name, series, item in SIP_MARKER.findall(data)]
