"""Does this account register? Real probe code, a registrar made of memory, every fault planted on purpose."""

import asyncio
import contextlib
import re
from collections.abc import Iterable

import msgspec
import pytest

from edgecheck.checks import registration
from edgecheck.checks.registration.observation import RegistrationObservation
from edgecheck.doctor import PROFILE
from edgecheck.model.account import parse_account
from edgecheck.wire import digest, sip
from edgecheck.wire.address import Endpoint
from tests.checks.doctoring import ACCOUNT, SERVER, at, visit
from tests.fakes.clock import run
from tests.fakes.peers import Reply
from tests.fakes.phone import PhoneWorld
from tests.fakes.registrar import Registrar
from tests.fakes.sip_peers import OverTcp, over_udp, response
from tests.faults_of_registration import FAULTS, TCP, Fault, says


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_planted_fault_is_named(fault: Fault) -> None:
    seen = visit(fault.world(), fault.target(), fault.secret)
    assert seen.verdicts.get(fault.cause) == fault.verdict, seen.verdicts
    assert ("registered" in seen.verdicts) == fault.registers
    finding = seen.findings[fault.cause]
    assert finding.summary.endswith(".")
    assert finding.evidence
    failed = {cause for cause, verdict in seen.verdicts.items() if verdict == "fail"}
    assert failed <= {fault.cause}, "one fault, one failure"
    # A saved observation is judged the same.
    again = msgspec.convert(msgspec.to_builtins(seen.seen), RegistrationObservation)
    assert {each.id: each for each in registration.judge(again, PROFILE)} == {each.id: each for each in seen.findings.values()}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_password_is_refused_twice_at_most_and_never_told(fault: Fault) -> None:
    world = fault.world()
    seen = visit(world, fault.target(), fault.secret)
    refused = [attempt for attempt in seen.seen.attempts if attempt.credentials and attempt.status in (401, 403, 407)]
    assert len(refused) <= 2
    assert len(seen.seen.attempts) <= 12
    assert "secret" not in str(seen.seen) + str(seen.findings)


@pytest.mark.parametrize(
    "registrar",
    [
        {},
        {"algorithms": ("SHA-256", "MD5")},
        {"algorithms": ("MD5-sess",)},
        {"algorithms": ("SHA-256-sess",), "qop": "auth-int"},
        {"algorithms": ("SHA-512-256",)},
        {"algorithms": (None,), "qop": None},
        {"algorithms": ("Unheard-Of", "MD5")},
        {"header": "Proxy-Authenticate", "status": 407},
    ],
    ids=str,
)
def test_it_registers_and_leaves_nothing_behind(registrar: dict[str, object]) -> None:
    server = Registrar(**registrar)  # type: ignore[arg-type]
    seen = visit(at(server))
    assert seen.verdicts["registered"] == "pass"
    assert set(seen.verdicts.values()) <= {"pass", "skipped"}
    assert seen.seen.granted_expires_s == 120
    assert seen.seen.removed is True
    assert server.bindings == {}
    assert seen.seen.contact_seen == seen.seen.contact_sent


def test_few_messages_in_order_on_one_port() -> None:
    server = Registrar()
    visit(at(server))
    assert [(each.method, len(each.all("Contact")), (each.get("Expires"))) for each in server.seen] == [
        ("REGISTER", 0, None),
        ("REGISTER", 0, None),
        ("REGISTER", 1, "120"),
        ("OPTIONS", 1, None),
        ("REGISTER", 1, "0"),
        ("OPTIONS", 1, None),
    ]
    numbers = [int((each.get("CSeq") or "").split()[0]) for each in server.seen]
    assert numbers == sorted(set(numbers))
    assert len({each.get("Call-ID") for each in server.seen if each.method == "REGISTER"}) == 1
    counts = [re.search(r"nc=(\w+)", each.get("Authorization") or "") for each in server.seen if each.method == "REGISTER"]
    assert [found[1] if found else None for found in counts] == [None, "00000001", "00000002", "00000003"]


def test_other_devices_stay_and_are_told() -> None:
    server = Registrar(others=["<sip:alice@192.168.7.7:5060>;expires=900"])
    seen = visit(at(server))
    assert seen.verdicts["other-bindings"] == "pass"
    assert [binding.own for binding in seen.seen.bindings or ()] == [True, False]
    assert all("192.168.7.7" not in (each.get("Contact") or "") for each in server.seen)
    assert all(each.get("Contact") != "*" for each in server.seen)


def test_a_device_that_was_pushed_out_is_told() -> None:
    server = Registrar(others=["<sip:alice@192.168.7.7:5060>;expires=900"])

    def one_only(message: sip.Message, source: Endpoint) -> bytes | None:
        if message.get("Contact") and message.get("Authorization"):
            server.others.clear()
        return None

    server.override = one_only
    seen = visit(at(server))
    assert seen.verdicts["displaced"] == "warn"
    assert "192.168.7.7" in seen.findings["displaced"].summary


def test_dry_sends_no_credentials_and_registers_nothing() -> None:
    server = Registrar()
    seen = visit(at(server), parse_account(ACCOUNT, dry=True))
    assert seen.verdicts == {"challenged": "pass"}
    assert server.credentialed == []
    assert not any(each.get("Contact") for each in server.seen if each.method == "REGISTER")


def test_the_authentication_user_is_apart_from_the_sip_user() -> None:
    server = Registrar(auth_user="55512345")
    seen = visit(at(server), parse_account(ACCOUNT, auth_user="55512345"))
    assert seen.verdicts["registered"] == "pass"
    assert "sip:alice@203.0.113.10" in (server.seen[0].get("From") or "")


def test_an_outbound_proxy_gets_the_request_and_a_route() -> None:
    server = Registrar()
    account = parse_account("sip:alice@example.com", proxy="sip:203.0.113.10;transport=tcp")
    seen = visit(PhoneWorld().tcp_at(SERVER, OverTcp(server)), account)
    assert seen.verdicts["registered"] == "pass"
    assert {each.uri for each in server.seen if each.method == "REGISTER"} == {"sip:example.com"}
    assert server.seen[0].get("Route") == "<sip:203.0.113.10;transport=tcp;lr>"
    assert len({attempt.target for attempt in seen.seen.attempts}) == 1


def test_an_interval_that_is_too_brief_is_raised_once() -> None:
    def at_least_300(message: sip.Message, source: Endpoint) -> bytes | None:
        expires = message.get("Expires")
        if message.get("Authorization") and expires is not None and 0 < int(expires) < 300:
            return response(message.raw, source, 423, "Interval Too Brief", ("Min-Expires", "300"))
        return None

    seen = visit(at(Registrar(override=at_least_300)))
    assert seen.verdicts["registered"] == "pass"
    assert seen.verdicts["interval-too-brief"] == "warn"
    assert (seen.seen.requested_expires_s, seen.seen.granted_expires_s) == (300, 300)


def test_a_busy_server_is_left_for_the_next_one() -> None:
    world = says(503)().udp_at("203.0.113.11:5060", over_udp(Registrar()))
    seen = visit(world, "sip:alice@203.0.113.10", targets=("203.0.113.10:5060", "203.0.113.11:5060"))
    assert seen.verdicts["registered"] == "pass"
    assert [(attempt.target, attempt.status) for attempt in seen.seen.attempts][:2] == [("203.0.113.10:5060", 503), ("203.0.113.11:5060", 401)]


def test_a_silent_server_is_left_for_the_next_one_and_told() -> None:
    world = at(Registrar()).udp_at("203.0.113.9:5060", lambda data, source: ())
    seen = visit(world, "sip:alice@203.0.113.10", targets=("203.0.113.9:5060", SERVER))
    assert seen.verdicts["registered"] == "pass"
    assert seen.verdicts["no-response"] == "warn"
    assert seen.findings["no-response"].subject == "UDP 203.0.113.9:5060"


def test_a_retry_after_of_moments_is_waited_for_once() -> None:
    left = [True]

    def busy_once(message: sip.Message, source: Endpoint) -> bytes | None:
        return response(message.raw, source, 503, "Busy", ("Retry-After", "2 (rush hour)")) if left and left.pop() else None

    seen = visit(at(Registrar(override=busy_once)))
    assert seen.verdicts["registered"] == "pass"
    assert seen.statuses[:2] == [503, 401]


def test_what_is_lost_is_sent_again() -> None:
    server, count = Registrar(), [0]

    def lossy(data: bytes, source: Endpoint) -> Iterable[Reply]:
        count[0] += 1
        for answer in server(data, source) if count[0] % 3 == 0 else ():
            yield Reply(answer)

    seen = visit(PhoneWorld().udp_at(SERVER, lossy))
    assert seen.verdicts["registered"] == "pass"
    assert max(attempt.copies for attempt in seen.seen.attempts) == 3


def test_a_request_through_the_registration_is_answered_and_proves_it() -> None:
    server = Registrar()
    answers: list[sip.Message] = []

    def qualifying(data: bytes, source: Endpoint) -> Iterable[Reply]:
        message = sip.parse_datagram(data)
        if not message.is_request:
            answers.append(message)
            return
        for answer in server(data, source):
            yield Reply(answer)
        if message.method == "REGISTER" and b"Expires: 120" in data and message.get("Authorization"):
            for method in ("OPTIONS", "INVITE", "ACK"):
                headers = [("Via", f"SIP/2.0/UDP 203.0.113.10;branch=z9hG4bK{method}"), ("From", "<sip:q@203.0.113.10>;tag=1")]
                headers += [("To", "<sip:alice@203.0.113.10>"), ("Call-ID", method), ("CSeq", f"1 {method}")]
                yield Reply(sip.build(f"{method} sip:alice@192.168.1.20 SIP/2.0", headers), delay=0.3)

    seen = visit(PhoneWorld().udp_at(SERVER, qualifying))
    assert seen.verdicts["reachable"] == "pass"
    assert {(each.method, each.own) for each in seen.seen.inbound} == {("OPTIONS", False), ("INVITE", False)}
    assert {(each.get("CSeq"), each.status) for each in answers} == {("1 OPTIONS", 200), ("1 INVITE", 480)}


def test_extensions_that_are_refused_are_left_out() -> None:
    def old(message: sip.Message, source: Endpoint) -> bytes | None:
        if "outbound" in (message.get("Supported") or ""):
            return response(message.raw, source, 420, "Bad Extension", ("Unsupported", "outbound, gruu"))
        return None

    server = Registrar(override=old)
    seen = visit(at(server))
    assert seen.verdicts["registered"] == "pass"
    assert server.seen[-2].get("Supported") == "path"
    assert "reg-id" not in (server.seen[-2].get("Contact") or "")


def test_what_the_200_says_of_path_outbound_and_gruu_is_kept() -> None:
    extra = (("Service-Route", "<sip:edge.example.com;lr>"), ("Path", "<sip:in.example.com;lr>"), ("Require", "outbound"), ("Flow-Timer", "90"))
    seen = visit(at(Registrar(extra=extra, rewrite=lambda contact: f'{contact};pub-gruu="sip:alice@example.com;gr=1"'))).seen
    assert (seen.path, seen.service_route) == (("<sip:in.example.com;lr>",), ("<sip:edge.example.com;lr>",))
    assert (seen.outbound, seen.flow_timer_s, seen.gruu) == (True, 90, "sip:alice@example.com;gr=1")


@pytest.mark.parametrize(("name", "sign"), [("nonce tied to the source port", "source port"), ("realm changes", "realm changes")])
def test_rarer_causes_of_a_repeated_401_are_told_where_they_show(name: str, sign: str) -> None:
    fault = next(each for each in FAULTS if each.name == name)
    told = visit(fault.world()).findings["wrong-credentials"].summary
    assert sign in told
    assert "the authentication user is wrong" in told, "it is not the only one that fits"
    plain = visit(at(Registrar(password="other"))).findings["wrong-credentials"].summary
    assert sign not in plain


def test_a_second_algorithm_is_tried_before_the_password_is_blamed() -> None:
    server = Registrar(algorithms=("SHA-256", "MD5"))

    def only_md5(message: sip.Message, source: Endpoint) -> bytes | None:
        if "SHA-256" in (message.get("Authorization") or ""):
            challenges = [("WWW-Authenticate", f'Digest realm="example.com", nonce="x", qop="auth", algorithm={each}') for each in ("SHA-256", "MD5")]
            return response(message.raw, source, 401, "Unauthorized", *challenges)
        return None

    server.override = only_md5
    seen = visit(at(server))
    assert seen.verdicts["registered"] == "pass"
    assert "with MD5 credentials" in seen.findings["registered"].summary


def test_a_blank_at_the_end_of_the_password_is_told_and_nothing_else_of_it() -> None:
    seen = visit(at(Registrar()), secret="hunter2 ")
    assert "begins or ends with a blank" in seen.findings["wrong-credentials"].summary
    assert "hunter2" not in str(seen.seen) + str(seen.findings)


def test_over_tcp_every_request_is_sent_once() -> None:
    seen = visit(PhoneWorld().tcp_at(SERVER, OverTcp(Registrar())), TCP)
    assert seen.verdicts["registered"] == "pass"
    assert all(attempt.copies == 1 for attempt in seen.seen.attempts)


def test_the_gravest_finding_speaks_for_the_check() -> None:
    seen = visit(at(Registrar(password="other")))
    assert registration.summarize(seen.seen, tuple(seen.findings.values())).startswith("401 Unauthorized again")


def test_the_address_that_a_trunk_must_allow_is_told() -> None:
    def peer(data: bytes, source: Endpoint) -> Iterable[Reply]:
        for answer in Registrar(password=None)(data, Endpoint("198.51.100.7", 2000)):
            yield Reply(answer)

    seen = visit(PhoneWorld().udp_at(SERVER, peer))
    assert seen.seen.seen_as == "198.51.100.7:2000"
    assert "198.51.100.7" in seen.findings["seen-as"].summary


def test_who_interrupts_leaves_no_binding() -> None:
    server = Registrar()

    async def interrupted() -> None:
        phone = at(server).phone(ACCOUNT, "secret")
        task = asyncio.create_task(registration.CHECK.probe(phone, PROFILE))
        await phone.until(lambda: bool(server.bindings), 10)
        await asyncio.sleep(0.5)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await asyncio.sleep(1)

    run(interrupted())
    assert server.seen[-1].get("Expires") == "0"
    assert server.bindings == {}


def test_a_next_nonce_is_used_and_a_used_one_is_no_refusal() -> None:
    nonces: list[str | None] = []

    def once_each(message: sip.Message, source: Endpoint) -> bytes | None:
        given = digest.parse_parameters((message.get("Authorization") or "").removeprefix("Digest")).get("nonce")
        if given is not None and given in nonces:
            return response(message.raw, source, 401, "Unauthorized", ("WWW-Authenticate", f'Digest realm="example.com", nonce="new{len(nonces)}", qop="auth"'))
        if given is not None:
            nonces.append(given)
        return None

    seen = visit(at(Registrar(override=once_each)))
    assert seen.verdicts["registered"] == "pass"
    assert seen.seen.removed is True
    assert nonces == ["nonce-1", "new1", "new2"]
    nonces.clear()
    seen = visit(at(Registrar(override=once_each, extra=(("Authentication-Info", 'nextnonce="later"'),))))
    assert nonces[:2] == ["nonce-1", "later"]


def test_over_ipv6() -> None:
    server = Registrar()
    world = PhoneWorld().udp_at("[2001:db8::10]:5060", over_udp(server))
    seen = visit(world, "sip:alice@[2001:db8::10]")
    assert seen.verdicts["registered"] == "pass"
    assert (seen.seen.contact_sent or "").startswith("sip:alice@[2001:db8:1::20]:")
    assert server.seen[0].uri == "sip:[2001:db8::10]"


def test_who_lists_only_the_new_binding_has_displaced_nobody() -> None:
    other = "<sip:alice@192.168.7.7:5060>;expires=900"
    server = Registrar(others=[other])

    def terse(message: sip.Message, source: Endpoint) -> bytes | None:
        server.others[:] = [] if message.get("Contact") else [other]
        return None

    server.override = terse
    seen = visit(at(server))
    assert seen.verdicts["registered"] == "pass"
    assert "displaced" not in seen.verdicts
    assert seen.seen.displaced == ()


@pytest.mark.parametrize(("uri", "told"), [(ACCOUNT, True), ("sip:alice@example.com", False)])
def test_an_address_in_place_of_a_domain_is_told_with_a_404(uri: str, told: bool) -> None:
    summary = visit(says(404)(), uri, targets=(SERVER,)).findings["unknown-user"].summary
    assert ("where a domain belongs" in summary) == told
