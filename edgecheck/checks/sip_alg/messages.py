"""The SIP messages that are sent to tempt an ALG, and how they are known again wherever they turn up.

What they look like has reasons:

- Via and Contact carry the socket's true local address and port: most ALGs match exactly that and leave anything else alone.
  They stand first and second, so that they fall inside what routers quote in ICMP errors.
- The INVITE has SDP: the Linux ALG touches bodies of INVITE, UPDATE, ACK and PRACK only. ``o=``, ``c=``, ``a=rtcp`` (as pjsip writes it),
  ``a=candidate`` and ``s=`` carry the local address: the first two are what ALGs know, the others what they forget, or what shows that
  one replaces text blindly.
- Everything stays ordinary: below one MTU, no folded header, real header names, a method that phones use. A firewall that drops
  oddities would otherwise be blamed for what no phone meets. One header is in its compact form (``k``) and the order is not the usual
  one: either is legal, some phones do it, and a box that parses and writes anew betrays itself by it.
- The marker, by which the server knows the session, stands in the Request-URI or To, Call-ID, From tag, branch and User-Agent.
"""

import hashlib
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from edgecheck import __version__
from edgecheck.wire import control, sip
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import WireError

EXPIRES_S = 3600
"""What phones ask for: an ALG that shortens the registration has something to shorten."""
SESSION_EXPIRES_S = 1800
REALM = "edgecheck"
PASSWORD = "edgecheck"  # noqa: S105 - the mirror lets everybody in: the answer's form counts, not the secret
_CHALLENGE = re.compile(r'([a-z0-9-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))', re.IGNORECASE)
_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
_CSEQ = re.compile(rb"^CSeq[ \t]*:[ \t]*([0-9]{1,10})[ \t]+([A-Z]+)", re.IGNORECASE | re.MULTILINE)
_CHANNEL_BITS, _ATTEMPT_BITS, _STEP_BITS = 3, 9, 4
MOST_ATTEMPTS = 1 << _ATTEMPT_BITS


class Step(IntEnum):
    """One message of a flow."""

    CONTROL = 0
    """Not SIP: the datagram whose fate shows what the path does to anything of this size."""
    OPTIONS = 1
    REGISTER = 2
    AUTHORIZED = 3
    """REGISTER with an Authorization."""
    UNREGISTER = 4
    """REGISTER with Expires 0: nothing is to stay behind, neither on the server nor as an ALG's pinhole."""
    INVITE = 5
    ACK = 6
    BYE = 7
    CALLED_OPTIONS = 8
    """From the server, to the phone that has registered."""
    CALLED_INVITE = 9
    CALL_CONTROL = 10
    """Not SIP, from the server, as long as its INVITE."""
    ANSWER_CONTROL = 11
    """Not SIP: goes beside each answer to a request of the server's."""
    SMALL_CONTROL = 12
    """Not SIP and short: goes beside long ones, so that size alone is the difference."""
    REPEATED_CONTROL = 13
    """Not SIP, and every copy the same, as SIP's are: so that being alike is no difference."""


_STEPS = frozenset(int(step) for step in Step)
METHODS = {
    Step.OPTIONS: "OPTIONS",
    Step.REGISTER: "REGISTER",
    Step.AUTHORIZED: "REGISTER",
    Step.UNREGISTER: "REGISTER",
    Step.INVITE: "INVITE",
    Step.ACK: "ACK",
    Step.BYE: "BYE",
}
NAMES = {
    **METHODS,
    Step.CONTROL: "non-SIP control",
    Step.AUTHORIZED: "REGISTER with Authorization",
    Step.UNREGISTER: "REGISTER with Expires 0",
}
SEQUENCE_NUMBERS = {
    Step.OPTIONS: 1,
    Step.REGISTER: 1,
    Step.AUTHORIZED: 2,
    Step.UNREGISTER: 3,
    Step.INVITE: 1,
    Step.ACK: 1,
    Step.BYE: 2,
}
FLOWS: dict[str, tuple[Step, ...]] = {
    "OPTIONS": (Step.OPTIONS,),
    "REGISTER": (Step.REGISTER, Step.AUTHORIZED, Step.UNREGISTER),
    "INVITE": (Step.INVITE, Step.ACK, Step.BYE),
}
"""By the method that the report names them after."""
FLOW_OF = {step: flow for flow, steps in FLOWS.items() for step in steps}


def item(channel: int, attempt: int, step: Step) -> int:
    """The series' item number of a message: 3 bits of channel, 9 of attempt (of a control: its copy), 4 of step."""
    return (channel << _ATTEMPT_BITS | attempt) << _STEP_BITS | step


def split_item(number: int) -> tuple[int, int, int]:
    """Channel, attempt, step (as a bare number: a stranger may have written it)."""
    return number >> (_ATTEMPT_BITS + _STEP_BITS), number >> _STEP_BITS & MOST_ATTEMPTS - 1, number & (1 << _STEP_BITS) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, from where, to where: one attempt on one channel."""

    transport: control.Transport
    local: Endpoint
    """The socket's true address and port."""
    server: Endpoint
    session: bytes
    series: int
    channel: int
    """0 to 7."""
    attempt: int = 0
    media_port: int = 10_000
    """Even; announced in SDP, nothing listens there."""
    contact_port: int = 0
    """Another port than the socket's, to stand in Contact; 0 = the socket's."""
    invite_size: int = 0
    """Bytes that an INVITE has at least, filled up with SDP attributes; 0: as it comes."""

    def marker(self, step: Step) -> str:
        return control.sip_marker(self.session, self.series, item(self.channel, self.attempt, step))

    @property
    def host(self) -> str:
        """The local address as it stands in a URI or Via."""
        return f"[{self.local.host}]" if self.local.family == 6 else self.local.host

    @property
    def domain(self) -> str:
        """The server's URI without scheme and user."""
        return f"{self.server}{self._transport_parameter}"

    @property
    def _transport_parameter(self) -> str:
        return "" if self.transport == "udp" else f";transport={self.transport}"

    @property
    def _called_at(self) -> Endpoint:
        return Endpoint(self.local.host, self.contact_port or self.local.port)

    def via(self, step: Step) -> str:
        # ``rport`` bare: the server fills it in (RFC 3581 section 3); found filled in a request, somebody else did.
        return f"SIP/2.0/{self.transport.upper()} {self.local};rport;branch=z9hG4bK{self.marker(step)}"

    def contact(self, step: Step, parameters: str = "") -> str:
        first = FLOWS[FLOW_OF[step]][0]
        instance = uuid.uuid5(uuid.NAMESPACE_URL, f"edgecheck:{self.session.hex()}")
        return (
            f'"edgecheck" <sip:{self.marker(first)}@{self._called_at};transport={self.transport};ob>'
            f';+sip.instance="<urn:uuid:{instance}>";reg-id=1{parameters}'
        )

    def call_id(self, step: Step) -> str:
        return f"{self.marker(FLOWS[FLOW_OF[step]][0])}@{self.host}"


@dataclass(frozen=True, slots=True)
class Request:
    """One message as it is put on the wire, every copy the same."""

    step: Step
    item: int
    data: bytes

    @property
    def expects_answer(self) -> bool:
        return self.step is not Step.ACK


def _request(caller: Caller, step: Step, uri: str, headers: Sequence[tuple[str, str]], body: bytes = b"") -> Request:
    method = METHODS[step]
    data = sip.build(
        f"{method} {uri} SIP/2.0",
        [
            ("Via", caller.via(step)),
            *headers,
            ("CSeq", f"{SEQUENCE_NUMBERS[step]} {method}"),
            ("Call-ID", caller.call_id(step)),
            ("User-Agent", f"edgecheck/{__version__} ({caller.marker(step)})"),
            ("Max-Forwards", "70"),
            ("k", "replaces, timer, outbound"),
            *([("Content-Type", "application/sdp")] if body else []),
        ],
        body,
    )
    return Request(step, item(caller.channel, caller.attempt, step), data)


def options(caller: Caller) -> Request:
    """RFC 3261 section 11: what monitoring and keep-alives send."""
    user = caller.marker(Step.OPTIONS)
    return _request(
        caller,
        Step.OPTIONS,
        f"sip:{user}@{caller.domain}",
        [
            ("Contact", caller.contact(Step.OPTIONS)),
            ("To", f"<sip:{user}@{caller.server}>"),
            ("From", f'"edgecheck" <sip:edgecheck@{caller.local}>;tag={user}'),
            ("Accept", "application/sdp"),
        ],
    )


def register(caller: Caller, step: Step = Step.REGISTER, challenge: str | None = None) -> Request:
    """RFC 3261 section 10: ``step`` is REGISTER, AUTHORIZED or UNREGISTER; ``challenge`` the value of WWW-Authenticate."""
    user = caller.marker(Step.REGISTER)
    uri = f"sip:{caller.domain}"
    expires = 0 if step is Step.UNREGISTER else EXPIRES_S
    headers = [
        ("Contact", caller.contact(step, f";expires={expires}")),
        ("To", f"<sip:{user}@{caller.server}>"),
        ("From", f'"edgecheck" <sip:{user}@{caller.server}>;tag={user}'),
        ("Expires", str(expires)),
    ]
    if step is not Step.REGISTER:
        headers.append(("Authorization", authorization(challenge or "", user, "REGISTER", uri)))
    return _request(caller, step, uri, headers)


def invite(caller: Caller) -> Request:
    """RFC 3261 section 13, with an SDP offer (RFC 3264)."""
    user = caller.marker(Step.INVITE)
    headers = [
        ("Contact", caller.contact(Step.INVITE)),
        ("To", f"<sip:{user}@{caller.server}>"),
        ("From", _caller_from(caller)),
        ("P-Preferred-Identity", f"<sip:edgecheck@{caller.local}>"),
        ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK"),
        ("Session-Expires", str(SESSION_EXPIRES_S)),
    ]
    body, number = offer(caller), 0
    while True:
        made = _request(caller, Step.INVITE, f"sip:{user}@{caller.domain}", headers, body)
        if len(made.data) >= caller.invite_size:
            return made
        number += 1
        body += f"a=ssrc:{number} cname:edgecheck\r\n".encode()  # RFC 5576: what makes the offers of WebRTC phones long


def short_invite(caller: Caller) -> Request:
    """An INVITE of which the addresses of SDP, too, fall inside what a Linux router quotes of it (520 bytes); RFC 3261's least."""
    user = caller.marker(Step.INVITE)
    address = f"IN IP{caller.local.family} {caller.local.host}"
    media = (f"m=audio {caller.media_port} RTP/AVP 0", f"a=rtcp:{caller.media_port + 1}")
    lines = ("v=0", f"o=- 1 1 {address}", "s=-", f"c={address}", "t=0 0", *media)
    headers = [
        ("Via", caller.via(Step.INVITE)),
        ("Contact", f"<sip:e@{caller.local}>"),
        ("To", f"<sip:{caller.server}>"),
        ("From", f"<sip:e@{caller.local}>;tag=e"),
        ("Call-ID", f"{user[-8:]}@{caller.host}"),
        ("CSeq", "1 INVITE"),
        ("Max-Forwards", "70"),
        ("Content-Type", "application/sdp"),
    ]
    body = "".join(f"{line}\r\n" for line in lines).encode()
    data = sip.build(f"INVITE sip:{user}@{caller.server} SIP/2.0", headers, body)
    return Request(Step.INVITE, item(caller.channel, caller.attempt, Step.INVITE), data)


def answer(caller: Caller, request: bytes) -> bytes | None:
    """The phone's answer to a request of the server's: 200 to OPTIONS, 486 to INVITE, which ends the call. None: it is no request.

    What a phone must repeat is repeated as it came (RFC 3261 section 8.2.6.2); Contact and Warning hold its own address.
    """
    try:
        message = sip.parse_datagram(request)
        if message.method not in ("OPTIONS", "INVITE"):
            return None
        status = "200 OK" if message.method == "OPTIONS" else "486 Busy Here"
        to = message.get("To") or ""
        headers = [("Via", via) for via in message.all("Via")]
        headers += [
            ("Contact", f"<sip:edgecheck@{caller.local};transport={caller.transport};ob>"),
            ("From", message.get("From") or ""),
            ("To", to if "tag" in sip.parameters(to) else f"{to};tag={caller.marker(Step.CALLED_INVITE)}"),
            ("Call-ID", message.get("Call-ID") or ""),
            ("CSeq", message.get("CSeq") or ""),
            ("User-Agent", f"edgecheck/{__version__}"),
            ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK"),
        ]
        return sip.build(f"SIP/2.0 {status}", headers)
    except WireError:
        return None


def within_dialog(caller: Caller, step: Step, answer: bytes) -> Request:
    """ACK or BYE of the dialog that a 2xx (as it arrived) made: its To, its Contact, its Record-Route reversed (section 12.1.2)."""
    to, target, routes = f"<sip:{caller.marker(Step.INVITE)}@{caller.server}>", f"sip:{caller.marker(Step.INVITE)}@{caller.domain}", []
    try:
        response = sip.parse_datagram(answer)
    except WireError:
        pass
    else:
        to = response.get("To") or to
        contact = sip.address_uri(response.get("Contact") or "")
        target = contact if _plain_uri(contact) else target
        routes = [route for value in response.all("Record-Route") for route in sip.split_addresses(value)][::-1]
    headers = [("Contact", caller.contact(step)), ("To", to), ("From", _caller_from(caller)), *(("Route", route) for route in routes)]
    return _request(caller, step, target, headers)


def _plain_uri(uri: str) -> bool:
    return bool(re.fullmatch(r"sips?:[!-~]+", uri))


def _caller_from(caller: Caller) -> str:
    return f'"edgecheck" <sip:edgecheck@{caller.local}>;tag={caller.marker(Step.INVITE)}'


def offer(caller: Caller) -> bytes:
    """The SDP of the INVITE (RFC 8866), with the attributes that pjsip-based phones write."""
    address = f"IN IP{caller.local.family} {caller.local.host}"
    lines = [
        "v=0",
        f"o=edgecheck 3847 1 {address}",
        f"s=edgecheck {caller.local}",
        f"c={address}",
        "t=0 0",
        f"m=audio {caller.media_port} RTP/AVP 0 8 101",
        f"a=rtcp:{caller.media_port + 1} {address}",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        "a=ptime:20",
        "a=sendrecv",
        f"a=candidate:1 1 UDP 2130706431 {caller.local.host} {caller.media_port} typ host",
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()


def authorization(challenge: str, user: str, method: str, uri: str) -> str:
    """The answer to a Digest challenge (RFC 8760, RFC 7616 section 3.4). One that cannot be read is answered all the same."""
    asked = {name.lower(): quoted or bare for name, quoted, bare in _CHALLENGE.findall(challenge)}
    realm, nonce = asked.get("realm", REALM), asked.get("nonce", "")
    algorithm = asked.get("algorithm", "MD5").upper()

    def digest(text: str) -> str:
        return hashlib.new(_HASHES.get(algorithm, "md5"), text.encode()).hexdigest()

    secret, request = digest(f"{user}:{realm}:{PASSWORD}"), digest(f"{method}:{uri}")
    head = f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", algorithm={algorithm}'
    if "auth" in re.split(r"[\s,]+", asked.get("qop", "")):
        count, chosen = "00000001", digest(f"{user}{nonce}")[:16]
        response = digest(f"{secret}:{nonce}:{count}:{chosen}:auth:{request}")
        head += f', qop=auth, nc={count}, cnonce="{chosen}"'
    else:
        response = digest(f"{secret}:{nonce}:{request}")
    return f'{head}, response="{response}"'


def marked(data: bytes, session: bytes, series: int) -> Step | None:
    """The step that most markers of this session and series name; None where there is none."""
    ours = [
        int(item, 16)
        for name, number, item in control.SIP_MARKER.findall(data)
        if (name.decode(), int(number, 16)) == (session.hex(), series)
    ]
    steps = [step for step in (split_item(one)[2] for one in ours) if step in _STEPS]
    return Step(max(set(steps), key=steps.count)) if steps else None


@lru_cache(maxsize=1024)  # each channel looks through the same records, and again when the server was asked once more
def recognize(data: bytes, session: bytes, series: int) -> int | None:
    """Which of our messages this is, or answers: its item; None when it carries no marker of this session and series.

    Most markers name the flow by its first step; branch and User-Agent name the step itself. An ALG may have eaten any of
    them, so what CSeq says has a vote too.
    """
    ours = [
        int(found[2], 16)
        for found in (match.groups() for match in control.SIP_MARKER.finditer(data))
        if found[0] == session.hex().encode() and int(found[1], 16) == series
    ]
    if not ours:
        return None
    channel, attempt, _ = split_item(max(set(ours), key=ours.count))
    flows = {FLOW_OF.get(Step(step)) for step in (split_item(number)[2] for number in ours) if step in METHODS}
    sequence = _CSEQ.search(data)
    votes: dict[Step, int] = {}
    for step, method in METHODS.items():
        flow = FLOW_OF[step]
        if flow in flows:
            own = 1 if step is FLOWS[flow][0] else 10 * (item(channel, attempt, step) in ours)
            named = sequence is not None and (int(sequence[1]), sequence[2].upper().decode()) == (SEQUENCE_NUMBERS[step], method)
            votes[step] = own + 5 * named
    return item(channel, attempt, max(votes, key=lambda step: votes[step])) if votes else None
