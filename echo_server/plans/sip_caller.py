"""Requests of the server's own to a phone that has registered: what a PBX sends when a call comes in. A plan, no sockets.

Nothing is remembered for it: where the phone is, and by what Contact it wants to be called, stands in the mirror's record of its
REGISTER. It goes to the place that the REGISTER came from, and only if the session has proved that address: whoever forges a source gets
nobody called.
"""

import hashlib
import hmac
import random
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from echo_server.answering.sip_mirror import ALLOW, MARKER_HEADER, find_markers
from echo_server.outbound import Outbound
from echo_server.sessions.session import KeptStream, Session
from edgecheck import __version__
from edgecheck.wire import control, probe, sip
from edgecheck.wire.address import Endpoint, parse_endpoint
from edgecheck.wire.control import Service
from edgecheck.wire.errors import WireError
from edgecheck.wire.probe import Kind, Probe

_PLAIN_URI = re.compile(r"sip:(?:([0-9A-Za-z._~-]{1,80})@)?[0-9A-Za-z.:\[\]-]{1,80}(?:;[0-9A-Za-z._=~-]{1,40}){0,6}")
"""What may be put into a request line: no header can be smuggled in by a Contact, and the request cannot grow by it."""


class Phone(NamedTuple):
    """Whom to call."""

    listener: str
    """``sip:5060``: the socket that the REGISTER came to."""
    peer: Endpoint
    contact: str
    """The URI of its Contact as it arrived."""
    user: str
    transport: control.Transport = "udp"


def registered(session: Session, series: int, item: int, transport: control.Transport) -> Phone | None:
    """The phone whose REGISTER with this marker came last over this transport; None: there is none, or its Contact is nothing to call."""
    for record in reversed(session.mirror.records):
        if (record.direction, record.transport) != ("received", transport) or (session.name, series, item) not in find_markers(record.data):
            continue
        try:
            message = sip.parse_datagram(record.data)
            contact = sip.address_uri((sip.split_addresses(message.get("Contact") or "") or [""])[0])
            peer = parse_endpoint(record.peer)
        except WireError:
            continue
        plain = _PLAIN_URI.fullmatch(contact)
        if message.method == "REGISTER" and plain is not None:
            return Phone(f"sip:{record.server_port}", peer, contact, plain[1] or "", transport)
    return None


class Calling:
    """Effect of ``Call``: datagrams to be sent at their times; then ``finish`` tells the reply."""

    def __init__(self, service: Service, session: Session, request: control.Call, phone: Phone, at_ms: float, key: bytes) -> None:
        self.session = session
        self._request = request
        self.phone = phone
        self._at_ms = at_ms
        self._local = Endpoint(service.address, int(phone.listener.partition(":")[2]))
        self._media = service.media or (10_000, 20_000)
        self._key = key
        messages = [self._message(method, item) for method, item in zip(request.methods, request.items, strict=False)]
        asked = Probe(Kind.PROBE, session.name, request.series, request.items[-1], 0, self._local.port)
        self._messages = messages
        self._probe = asked
        self._size = max(map(len, messages))
        self._sent = 0
        self._controls = 0

    def steps(self) -> Iterator[tuple[float, Outbound]]:
        """(seconds since the start, datagram). The order within a round is drawn, so that a limit on bursts meets both kinds alike."""
        draw = random.Random(hmac.digest(self._key, str(self.phone).encode(), "sha256"))
        for copy in range(self._request.copies):
            at = copy * self._request.spacing_ms / 1000
            control_probe = probe.serialize(self._probe._replace(copy=copy), self._size)
            batch = [*self._messages, control_probe]
            draw.shuffle(batch)
            for data in batch:
                take_back = None if data is control_probe else self._record(data, at)
                yield at, Outbound(self.phone.listener, self.phone.peer, data, take_back)

    def left(self, outbound: Outbound) -> None:
        """The datagram has left this machine."""
        self._sent += 1
        self._controls += outbound.data.startswith(probe.MAGIC)

    def refused(self, outbound: Outbound) -> None:
        """Our own system would not send it: it is in no record."""
        if outbound.take_back is not None:
            outbound.take_back()

    def finish(self) -> control.Called:
        """The reply, when the last step has been taken."""
        return control.Called(id=self._request.id, sent=self._sent, controls=self._controls)

    def _record(self, data: bytes, at: float) -> Callable[[], None] | None:
        at_ms = round(self._at_ms + at * 1000, 3)
        return self.session.mirror.note(at_ms, "sent", self.phone.transport, self._local.port, self.phone.peer, data)

    def push(self, stream: KeptStream) -> control.Called:
        """Over a connection: each message once, in a write of its own."""
        for data in self._messages:
            self._record(data, 0.0)
            stream.push(data, 0)
        return control.Called(id=self._request.id, sent=len(self._messages), controls=0)

    def _message(self, method: str, item: int) -> bytes:
        phone, local = self.phone, self._local
        marker = control.sip_marker(self.session.name, self._request.series, item)
        user = f"{phone.user}@" if phone.user else ""
        parameter = "" if phone.transport == "udp" else f";transport={phone.transport}"
        uri = phone.contact if method == "OPTIONS" else f"sip:{user}{phone.peer}{parameter}"
        headers = [
            ("Via", f"SIP/2.0/{phone.transport.upper()} {local};rport;branch=z9hG4bK{marker}"),
            ("Max-Forwards", "70"),
            ("From", f"<sip:mirror@{local}>;tag={marker}"),
            ("To", f"<{uri}>"),
            ("Contact", f"<sip:mirror@{local}{parameter}>"),
            ("Call-ID", f"{marker}@{local.host}"),
            ("CSeq", f"1 {method}"),
            (MARKER_HEADER, marker),
            ("Allow", ALLOW),
            ("User-Agent", f"edgecheck/{__version__}"),
        ]
        if method == "OPTIONS":
            return sip.build(f"OPTIONS {uri} SIP/2.0", [*headers, ("Accept", "application/sdp")])
        return sip.build(f"INVITE {uri} SIP/2.0", [*headers, ("Content-Type", "application/sdp")], self._offer(marker))

    def _offer(self, marker: str) -> bytes:
        """PCMU. The session's name holds the phone's public address: who replaces it there replaces text blindly."""
        host = self._local.host
        network = "IN IP6" if ":" in host else "IN IP4"
        low, high = self._media
        number = int(hashlib.sha256(self._key + marker.encode()).hexdigest()[:8], 16)
        port = low + low % 2 + number % max(1, (high - low) // 2) * 2
        lines = [
            "v=0",
            f"o=- {number} 1 {network} {host}",
            f"s=call for {self.phone.peer}",
            f"c={network} {host}",
            "t=0 0",
            f"m=audio {port} RTP/AVP 0 101",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:101 telephone-event/8000",
            f"a=rtcp:{port + 1} {network} {host}",
            "a=sendrecv",
        ]
        return "".join(f"{line}\r\n" for line in lines).encode()
