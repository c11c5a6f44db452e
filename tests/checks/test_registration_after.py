"""What a 200 leaves open, and servers that were busy before another one took the account."""

import pytest

from edgecheck.checks.registration.bindings import same_uri
from edgecheck.wire import sip
from edgecheck.wire.address import Endpoint
from tests.checks.doctoring import SERVER, at, visit
from tests.fakes.phone import PhoneWorld
from tests.fakes.registrar import Registrar
from tests.fakes.sip_peers import over_udp, response

SECOND = "203.0.113.11:5060"


def busy(message: sip.Message, source: Endpoint) -> bytes:
    return response(message.raw, source, 503, "Busy", ("Retry-After", "3600"))


def test_a_busy_server_before_the_one_that_took_the_account_is_told() -> None:
    world = PhoneWorld().udp_at(SERVER, over_udp(Registrar(override=busy))).udp_at(SECOND, over_udp(Registrar()))
    seen = visit(world, targets=(SERVER, SECOND))
    assert (seen.verdicts["registered"], seen.verdicts["service-unavailable"]) == ("pass", "warn")
    told = seen.findings["service-unavailable"]
    assert told.subject == f"UDP {SERVER}"
    assert "503 Busy" in told.summary


def test_a_silent_server_behind_a_busy_one_is_told() -> None:
    world = PhoneWorld().udp_at(SERVER, over_udp(Registrar(override=busy)))
    seen = visit(world, targets=(SERVER, SECOND))
    assert seen.verdicts["service-unavailable"] == "fail"
    assert f"UDP {SECOND}, tried next, does not answer" in seen.findings["service-unavailable"].summary


def answering(*contacts: str) -> PhoneWorld:
    """Lists these for every Contact, ``{own}`` being ours."""

    def override(message: sip.Message, source: Endpoint) -> bytes | None:
        if message.method != "REGISTER" or not message.get("Authorization") or not message.get("Contact"):
            return None
        own = sip.address_uri(message.get("Contact") or "")
        left = [each for each in contacts if message.get("Expires") != "0" or "{own}" not in each]
        return response(message.raw, source, 200, "OK", *(("Contact", each.format(own=own)) for each in left))

    return at(Registrar(override=override))


def test_a_200_for_no_time_is_no_registration() -> None:
    seen = visit(answering("<{own}>;expires=0"))
    assert seen.verdicts == {"not-kept": "fail"}
    assert "registers at" not in seen.findings["not-kept"].summary


def test_ours_listed_twice_is_no_other_device() -> None:
    seen = visit(answering("<{own}>;expires=120", "<{own}>;expires=60;q=0.5"))
    assert "other-bindings" not in seen.verdicts
    assert seen.verdicts["registered"] == "pass"


def test_a_phone_that_came_meanwhile_is_not_sworn_to_be_ours() -> None:
    seen = visit(answering("<sip:alice@10.9.9.9:5060>;expires=3000"))
    assert "another device's" in seen.findings["contact-rewritten"].summary
    assert "Our binding" not in seen.findings["binding-left"].summary


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sip:a@[2001:db8::1]:5060", "sip:a@[2001:DB8:0:0::1]:5060", True),
        ("sip:+49@192.0.2.1:5060", "sip:%2b49@192.0.2.1:5060;ob", True),
        ("sip:a@pbx.example:5060", "sip:a@PBX.example:5060", True),
        ("sip:a@192.0.2.1:5060", "sip:A@192.0.2.1:5060", False),
        ("sip:a@192.0.2.1:5060", "sip:a@192.0.2.1:5062", False),
        ("sip:a@192.0.2.1:5060", "sip:a@192.0.2.1:5060;transport=tcp", False),
    ],
)
def test_what_two_spellings_of_one_contact_are(one: str, other: str, same: bool) -> None:
    assert same_uri(one, other) is same


def test_a_removal_that_is_refused_is_told() -> None:
    def override(message: sip.Message, source: Endpoint) -> bytes | None:
        removes = message.method == "REGISTER" and message.get("Contact") and message.get("Expires") == "0"
        return response(message.raw, source, 403, "Forbidden") if removes else None

    seen = visit(at(Registrar(override=override)))
    assert (seen.verdicts["registered"], seen.verdicts["binding-left"]) == ("pass", "warn")
    assert "403 Forbidden" in seen.findings["binding-left"].summary
