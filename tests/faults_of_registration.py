"""Faults of a registration planted on purpose, and the finding that must name each. One table for the tests and the benchmark."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from edgecheck.model.account import parse_account
from edgecheck.wire import sip
from edgecheck.wire.address import Endpoint
from tests.checks.doctoring import ACCOUNT, SERVER, at
from tests.fakes.peers import Icmp, Refuse, Reply, TcpPeer
from tests.fakes.phone import PhoneWorld
from tests.fakes.registrar import Registrar
from tests.fakes.sip_peers import OverTcp, over_udp, response

TCP = f"{ACCOUNT};transport=tcp"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One of them."""

    name: str
    world: Callable[[], PhoneWorld]
    cause: str
    """Of the finding: ``registration.`` and this."""
    verdict: str = "fail"
    account: str = ACCOUNT
    secret: str | None = "secret"
    options: dict[str, Any] = field(default_factory=dict)
    """For ``parse_account``."""
    registers: bool = False
    """Whether the account registers all the same."""

    def target(self) -> Any:
        """What the phone is given."""
        return parse_account(self.account, **self.options)


def says(status: int, reason: str = "Reason", *headers: tuple[str, str], after_challenge: bool = False) -> Callable[[], PhoneWorld]:
    """A registrar that gives this answer, at once or to credentials."""

    def override(message: sip.Message, source: Endpoint) -> bytes | None:
        if message.method != "REGISTER" or (after_challenge and not message.get("Authorization")):
            return None
        return response(message.raw, source, status, reason, *headers)

    return lambda: at(Registrar(override=override))


def udp(peer: Callable[[bytes, Endpoint], Iterable[Reply | Icmp]]) -> Callable[[], PhoneWorld]:
    """Something else at UDP 5060."""
    return lambda: PhoneWorld().udp_at(SERVER, peer)


class _Says(TcpPeer):
    """Says the same to whatever comes."""

    def __init__(self, text: bytes, close: bool = False) -> None:
        self._text, self._close = text, close

    def received(self, connection: Any, data: bytes) -> None:
        if self._text:
            connection.send(self._text)
        if self._close:
            connection.close()


def tcp(peer: TcpPeer) -> Callable[[], PhoneWorld]:
    """Something at TCP 5060."""
    return lambda: PhoneWorld().tcp_at(SERVER, peer)


def _registrar(**how: Any) -> Callable[[], PhoneWorld]:
    return lambda: at(Registrar(**how))


def _mute_to_register(data: bytes, source: Endpoint) -> Iterable[Reply]:
    if data.startswith(b"OPTIONS"):
        yield Reply(response(data, source))


def _flood(data: bytes, source: Endpoint) -> Iterable[Reply]:
    for _ in range(1000):
        yield Reply(b"\xff" * 100)


def _port_bound_nonces() -> PhoneWorld:
    """A NAT that changes the port with every packet, and a server that ties its nonces to it."""
    ports = iter(range(20_000, 21_000))

    def override(message: sip.Message, source: Endpoint) -> bytes | None:
        seen = Endpoint("198.51.100.7", next(ports))
        return response(message.raw, seen, 401, "Unauthorized", ("WWW-Authenticate", f'Digest realm="r", nonce="{seen.port}", qop="auth"'))

    return at(Registrar(override=override))


def _changing_realm() -> PhoneWorld:
    count = iter(range(1000))

    def override(message: sip.Message, source: Endpoint) -> bytes | None:
        number = next(count)
        challenge = f'Digest realm="server-{number % 2}", nonce="n{number}", qop="auth"'
        return response(message.raw, source, 401, "Unauthorized", ("WWW-Authenticate", challenge))

    return at(Registrar(override=override))


def _altered_via() -> PhoneWorld:
    registrar = Registrar()

    def peer(data: bytes, source: Endpoint) -> Iterable[Reply]:
        for answer in registrar(data, source):
            yield Reply(answer.replace(b"192.168.1.20:4", b"198.51.100.7:4") if b"Via:" in answer else answer)

    return PhoneWorld().udp_at(SERVER, peer)


def _redirect(to: str, status: int = 302) -> Callable[[], PhoneWorld]:
    def build() -> PhoneWorld:
        def override(message: sip.Message, source: Endpoint) -> bytes | None:
            return response(message.raw, source, status, "Moved", ("Contact", f"<{to}>"))

        return at(Registrar(override=override)).udp_at("203.0.113.20:5070", over_udp(Registrar()))

    return build


def _silent_to_credentials(data: bytes, source: Endpoint) -> Iterable[bytes]:
    """A guard that drops whoever tries a password."""
    return () if b"\r\nAuthorization:" in data else Registrar()(data, source)


def _wrong_branch(data: bytes, source: Endpoint) -> Iterable[bytes]:
    yield response(data.replace(b"z9hG4bK", b"z9hG4bX"), source)


def _answers_options_with(status: int) -> Callable[[sip.Message, Endpoint], bytes | None]:
    def override(message: sip.Message, source: Endpoint) -> bytes | None:
        return response(message.raw, source, status, "X") if message.method == "OPTIONS" else None

    return override


def _beyond_nat() -> PhoneWorld:
    """The server sees a public address, keeps the private Contact, and says 408 of it."""
    registrar = Registrar(override=_answers_options_with(408))

    def peer(data: bytes, source: Endpoint) -> Iterable[Reply]:
        for answer in registrar(data, Endpoint("198.51.100.7", 20_000)):
            yield Reply(answer)

    return PhoneWorld().udp_at(SERVER, peer)


def _slow_registrar(seconds: float) -> Callable[[], PhoneWorld]:
    """Answers OPTIONS at once; each REGISTER so much later, its copies not at all."""

    def build() -> PhoneWorld:
        known: set[bytes] = set()

        def peer(data: bytes, source: Endpoint) -> Iterable[Reply]:
            if data.startswith(b"OPTIONS"):
                yield Reply(response(data, source))
            elif data not in known:
                known.add(data)
                yield Reply(response(data, source, 403, "Slow"), delay=seconds)

        return PhoneWorld().udp_at(SERVER, peer)

    return build


FAULTS: tuple[Fault, ...] = (
    Fault(name="wrong password", world=_registrar(password="other"), cause="wrong-credentials"),
    Fault(name="wrong authentication user", world=_registrar(auth_user="55512345"), cause="wrong-credentials"),
    Fault(name="wrong password at a proxy", world=_registrar(password="x", header="Proxy-Authenticate", status=407), cause="proxy-authentication"),
    Fault(name="nonce tied to the source port", world=_port_bound_nonces, cause="wrong-credentials"),
    Fault(name="realm changes", world=_changing_realm, cause="wrong-credentials"),
    Fault(name="unknown algorithm only", world=_registrar(algorithms=("AKAv1-MD5",)), cause="unsupported-digest"),
    Fault(name="nonces always stale", world=_registrar(stale=True), cause="stale-nonce"),
    Fault(name="401 without a challenge", world=says(401, "Unauthorized"), cause="no-challenge"),
    Fault(name="no password given", world=_registrar(), cause="no-password", verdict="inconclusive", secret=None),
    Fault(name="no password asked for", world=_registrar(password=None), cause="no-password-asked", verdict="warn", registers=True),
    Fault(name="400", world=says(400, "Bad Via"), cause="bad-request"),
    Fault(name="403 to anybody", world=says(403), cause="forbidden"),
    Fault(name="403 to credentials", world=says(403, after_challenge=True), cause="forbidden"),
    Fault(name="404", world=says(404), cause="unknown-user"),
    Fault(name="604", world=says(604), cause="unknown-user"),
    Fault(name="410", world=says(410), cause="unknown-user"),
    Fault(name="405", world=says(405), cause="not-a-registrar"),
    Fault(name="501", world=says(501), cause="not-a-registrar"),
    Fault(name="408 from the server", world=says(408), cause="request-timeout"),
    Fault(name="413", world=says(413), cause="message-too-large"),
    Fault(name="513", world=says(513), cause="message-too-large"),
    Fault(name="420", world=says(420, "Bad Extension", ("Unsupported", "outbound")), cause="bad-extension"),
    Fault(name="421", world=says(421, "Extension Required", ("Require", "sec-agree")), cause="extension-required"),
    Fault(name="423 without Min-Expires", world=says(423, after_challenge=True), cause="interval-too-brief"),
    Fault(name="423 again and again", world=says(423, "Too Brief", ("Min-Expires", "300")), cause="interval-too-brief"),
    Fault(
        name="423 for more than the doctor asks",
        world=says(423, "Too Brief", ("Min-Expires", "90000")),
        cause="interval-too-brief",
        verdict="inconclusive",
    ),
    Fault(name="430", world=says(430), cause="flow-failed"),
    Fault(name="439", world=says(439), cause="outbound-unsupported"),
    Fault(name="480", world=says(480), cause="temporarily-unavailable"),
    Fault(name="482", world=says(482), cause="loop"),
    Fault(name="483", world=says(483), cause="loop"),
    Fault(name="484", world=says(484), cause="address-incomplete"),
    Fault(name="486", world=says(486), cause="busy"),
    Fault(name="600", world=says(600), cause="busy"),
    Fault(name="488", world=says(488), cause="not-acceptable"),
    Fault(name="606", world=says(606), cause="not-acceptable"),
    Fault(name="491", world=says(491), cause="request-pending"),
    Fault(name="494", world=says(494), cause="security-agreement"),
    Fault(name="500", world=says(500), cause="server-error"),
    Fault(name="505", world=says(505), cause="server-error"),
    Fault(name="502", world=says(502), cause="bad-gateway"),
    Fault(name="503", world=says(503, "Busy", ("Retry-After", "120")), cause="service-unavailable"),
    Fault(name="504", world=says(504), cause="gateway-timeout"),
    Fault(name="603", world=says(603), cause="declined"),
    Fault(name="an unusual code", world=says(499), cause="refused"),
    Fault(name="302 to nowhere", world=says(302), cause="redirected"),
    Fault(name="302 to a server that refuses", world=_redirect("sip:203.0.113.30:5999", 301), cause="redirected"),
    Fault(name="302 in a circle", world=_redirect("sip:203.0.113.10:5060"), cause="redirected"),
    Fault(name="302 to the right server", world=_redirect("sip:203.0.113.20:5070"), cause="redirected", verdict="warn", registers=True),
    Fault(name="silence", world=udp(lambda data, source: ()), cause="no-response"),
    Fault(name="silence to credentials", world=udp(over_udp(_silent_to_credentials)), cause="no-response"),
    Fault(name="silence to REGISTER, OPTIONS answered", world=udp(_mute_to_register), cause="ignored"),
    Fault(name="UDP silent, TCP answers", world=tcp(OverTcp()), cause="wrong-transport"),
    Fault(name="100 and nothing more", world=says(100, "Trying"), cause="no-final-answer"),
    Fault(name="a final answer just before Timer F", world=_slow_registrar(31.9), cause="forbidden"),
    Fault(name="a final answer just after Timer F", world=_slow_registrar(32.5), cause="answered-too-late"),
    Fault(name="ICMP port unreachable", world=udp(lambda data, source: [Icmp()]), cause="unreachable"),
    Fault(name="ICMP from a router", world=udp(lambda data, source: [Icmp(3, 13, "192.0.2.1")]), cause="unreachable"),
    Fault(name="TCP reset", world=tcp(Refuse()), account=TCP, cause="unreachable"),
    Fault(name="no route", world=tcp(Refuse("no-route")), account=TCP, cause="unreachable"),
    Fault(name="TCP connect unanswered", world=PhoneWorld, account=TCP, cause="no-response"),
    Fault(name="TCP silent", world=tcp(TcpPeer()), account=TCP, cause="no-response"),
    Fault(name="TCP closed at once", world=tcp(_Says(b"", close=True)), account=TCP, cause="no-response"),
    Fault(name="TLS server at a plain port", world=tcp(_Says(b"\x15\x03\x01\x00\x02\x02\x46")), account=TCP, cause="wrong-transport"),
    Fault(name="web server", world=tcp(_Says(b"HTTP/1.1 400 Bad Request\r\n\r\n")), account=TCP, cause="not-sip"),
    Fault(
        name="web server without SIP over WebSocket",
        world=tcp(_Says(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")),
        account=f"{ACCOUNT}:5060;transport=ws",
        cause="not-sip",
    ),
    Fault(name="garbage", world=udp(lambda data, source: [Reply(b"\x00\x01\x02")]), cause="not-sip"),
    Fault(name="garbage without end", world=udp(_flood), cause="not-sip"),
    Fault(name="wrong branch in the answer", world=udp(over_udp(_wrong_branch)), cause="answer-mismatched"),
    Fault(name="Via comes back altered", world=_altered_via, cause="rewritten", verdict="warn", registers=True),
    Fault(
        name="answer from another port",
        world=lambda: at(Registrar(), source=Endpoint("203.0.113.10", 5070)),
        cause="answered-from-elsewhere",
        verdict="warn",
        registers=True,
    ),
    Fault(
        name="Contact rewritten",
        world=_registrar(rewrite=lambda contact: "<sip:alice@198.51.100.7:1024>"),
        cause="contact-rewritten",
        verdict="warn",
        registers=True,
    ),
    Fault(name="granted for 0 s", world=says(200, "OK", ("Expires", "0"), after_challenge=True), cause="not-kept"),
    Fault(name="Contact not listed", world=says(200, "OK", after_challenge=True), cause="contact-missing", verdict="warn", registers=True),
    Fault(
        name="Service-Route to no address",
        world=_registrar(extra=(("Service-Route", "<sip:nowhere.invalid;lr>"),)),
        cause="service-route-unreachable",
        verdict="warn",
        registers=True,
    ),
    Fault(
        name="Service-Route without lr",
        world=_registrar(extra=(("Service-Route", "<sip:203.0.113.10>"),)),
        cause="service-route-strict",
        verdict="warn",
        registers=True,
    ),
    Fault(name="expiry shortened", world=_registrar(most_expires=60), cause="expires-shortened", verdict="warn", registers=True),
    Fault(name="private Contact kept, 408 to calls", world=_beyond_nat, cause="not-reachable", registers=True),
    Fault(
        name="server proves another password",
        world=_registrar(extra=(("Authentication-Info", f'qop=auth, rspauth="{"0" * 32}"'),)),
        cause="server-unproved",
        verdict="warn",
        registers=True,
    ),
)
