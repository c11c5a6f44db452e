"""Registrars that want a Contact in every REGISTER, and bindings whose 200 never came."""

import asyncio
import contextlib

import pytest

from edgecheck.checks import registration
from edgecheck.doctor import PROFILE
from edgecheck.model.account import parse_account
from edgecheck.wire import sip
from edgecheck.wire.address import Endpoint
from tests.checks.doctoring import ACCOUNT, SERVER, at, visit
from tests.fakes.clock import run
from tests.fakes.peers import Connection
from tests.fakes.phone import PhoneWorld
from tests.fakes.registrar import Registrar
from tests.fakes.sip_peers import OverTcp, over_udp, response


def wants_contact(status: int) -> Registrar:
    """Refuses a REGISTER that only asks."""

    def refuse(message: sip.Message, source: Endpoint) -> bytes | None:
        asks = message.method == "REGISTER" and message.get("Contact") is None
        return response(message.raw, source, status, "Missing Contact Header") if asks else None

    return Registrar(override=refuse)


@pytest.mark.parametrize("status", [400, 403, 405, 480, 500])
def test_a_registrar_that_wants_a_contact_is_given_one(status: int) -> None:
    registrar = wants_contact(status)
    seen = visit(at(registrar))
    assert seen.verdicts["registered"] == "pass", seen.verdicts
    assert "fail" not in seen.verdicts.values()
    assert seen.statuses[0] == status
    assert (seen.seen.removed, registrar.bindings) == (True, {})


def test_a_wrong_password_at_such_a_registrar_is_told_as_that() -> None:
    seen = visit(at(wants_contact(400)), secret="another")
    assert seen.verdicts["wrong-credentials"] == "fail"
    assert "bad-request" not in seen.verdicts


@pytest.mark.parametrize("password", ["secret", None], ids=["asks for a password", "asks for none"])
def test_dry_meets_the_challenge_of_such_a_registrar_and_registers_nothing(password: str | None) -> None:
    registrar = wants_contact(400)
    registrar.password = password
    seen = visit(at(registrar), parse_account(ACCOUNT, dry=True))
    assert seen.verdicts == {"challenged": "pass"}
    assert registrar.credentialed == []
    assert all(message.get("Expires") == "0" for message in registrar.seen if message.method == "REGISTER" and message.get("Contact"))


@pytest.mark.parametrize("dry", [False, True])
def test_a_401_that_asks_for_nothing_is_no_challenge(dry: bool) -> None:
    def bare(message: sip.Message, source: Endpoint) -> bytes | None:
        return response(message.raw, source, 401, "Unauthorized") if message.method == "REGISTER" else None

    assert visit(at(Registrar(override=bare)), parse_account(ACCOUNT, dry=dry)).verdicts == {"no-challenge": "fail"}


def test_what_is_refused_either_way_is_refused() -> None:
    def refuse(message: sip.Message, source: Endpoint) -> bytes | None:
        return response(message.raw, source, 400, "Bad Request") if message.method == "REGISTER" else None

    seen = visit(at(Registrar(override=refuse)))
    assert seen.verdicts["bad-request"] == "fail"
    assert seen.statuses == [400, 400]


class HangsUp(OverTcp):
    """Closes the connection after each answer."""

    def received(self, connection: Connection, data: bytes) -> None:
        super().received(connection, data)
        connection.close()


def test_a_server_that_hangs_up_after_each_answer_is_called_again() -> None:
    registrar = Registrar()
    seen = visit(PhoneWorld().tcp_at(SERVER, HangsUp(registrar)), f"{ACCOUNT};transport=tcp")
    assert seen.verdicts["registered"] == "pass", seen.verdicts
    assert (seen.seen.removed, registrar.bindings) == (True, {})


def test_a_server_that_hangs_up_on_credentials_is_not_called_for_ever() -> None:
    class HangsUpOnCredentials(OverTcp):
        def received(self, connection: Connection, data: bytes) -> None:
            if b"Authorization" in data:
                connection.close()
            else:
                super().received(connection, data)

    registrar = Registrar()
    world = PhoneWorld().tcp_at(SERVER, HangsUpOnCredentials(registrar))
    assert visit(world, f"{ACCOUNT};transport=tcp").verdicts["no-response"] == "fail"
    assert len([each for each in world.connected if str(each) == SERVER]) <= 4


def deaf_after(registrar: Registrar) -> PhoneWorld:
    """Its 200 to a Contact never comes."""

    def lost(request: bytes, source: Endpoint) -> list[bytes]:
        answers = list(registrar(request, source))
        message = sip.parse_datagram(request)
        return [] if (message.get("Expires") or "0") != "0" and any(b" 200 " in each[:20] for each in answers) else answers

    return PhoneWorld().udp_at(SERVER, over_udp(lost))


def test_a_binding_whose_200_was_lost_is_removed_all_the_same() -> None:
    registrar = Registrar()
    visit(deaf_after(registrar))
    assert any(message.get("Expires") == "120" and message.get("Authorization") for message in registrar.seen)
    assert registrar.bindings == {}


def test_who_interrupts_before_the_200_leaves_no_binding() -> None:
    registrar = Registrar()

    async def interrupted() -> None:
        phone = deaf_after(registrar).phone(ACCOUNT, "secret")
        task = asyncio.create_task(registration.CHECK.probe(phone, PROFILE))
        await phone.until(lambda: bool(registrar.bindings), 10)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    run(interrupted())
    assert registrar.seen[-1].get("Expires") == "0"
    assert registrar.bindings == {}


def test_credentials_that_meet_a_403_are_not_given_twice() -> None:
    def refuse(message: sip.Message, source: Endpoint) -> bytes | None:
        return response(message.raw, source, 403, "Forbidden") if message.get("Authorization") else None

    registrar = Registrar(override=refuse)
    assert visit(at(registrar)).verdicts["forbidden"] == "fail"
    assert len(registrar.credentialed) == 1


def test_a_403_stays_one_where_the_next_request_meets_silence() -> None:
    asked: list[bytes] = []

    def once(request: bytes, source: Endpoint) -> list[bytes]:
        asked.append(request)
        return [response(request, source, 403, "Forbidden")] if len(asked) == 1 else []

    assert visit(PhoneWorld().udp_at(SERVER, over_udp(once))).verdicts["forbidden"] == "fail"
