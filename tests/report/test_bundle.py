"""The escalation bundle: whole, readable, and nothing in it proves the password."""

import io
import zipfile

import pytest

from edgecheck import doctor
from edgecheck.model.account import parse_account
from edgecheck.model.verdict import CheckResult
from edgecheck.report import bundle, json
from edgecheck.wire import digest
from tests.checks.doctoring import ACCOUNT, SERVER, at
from tests.fakes.clock import run
from tests.fakes.phone import PhoneWorld
from tests.fakes.registrar import Registrar
from tests.fakes.sip_peers import OverTcp


class Quiet:
    def check_started(self, id: str, question: str) -> None: ...

    def progress(self, id: str, done: int, total: int, note: str) -> None: ...

    def check_finished(self, result: CheckResult) -> None: ...

    def notice(self, text: str) -> None: ...


def bundled(world: PhoneWorld, uri: str = ACCOUNT) -> zipfile.ZipFile:
    account = parse_account(uri)

    async def look() -> bytes:
        report, phone = await doctor.register(
            doctor.Settings(account=account), Quiet(), lambda settings, progress: world.phone(settings.account, "hunter2", progress=progress)
        )
        return bundle.render(report, account, phone.traffic)

    return zipfile.ZipFile(io.BytesIO(run(look())))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_everything_that_support_asks_for_is_in_it(transport: str) -> None:
    server = Registrar(password="hunter2", extra=(("Authentication-Info", f'qop=auth, rspauth="{"0" * 32}"'),))
    world = at(server) if transport == "udp" else PhoneWorld().tcp_at(SERVER, OverTcp(server))
    archive = bundled(world, f"{ACCOUNT};transport={transport}")
    assert archive.testzip() is None
    text = {name: archive.read(name) for name in archive.namelist()}
    assert set(text) == {"README.txt", "ticket.txt", "environment.txt", "timeline.txt", "messages.txt", "traffic.pcap", "report.json"}
    environment = text["environment.txt"].decode()
    registers = [each for each in server.seen if each.method == "REGISTER"]
    call_id = registers[0].get("Call-ID") or "none"
    for word in ("sip:alice@203.0.113.10", f"{transport.upper()} {SERVER}", call_id, "192.168.1.20", "edgecheck", "________"):
        assert word in environment
    assert json.read(text["report.json"]).checks[-1].id == "registration"
    timeline = text["timeline.txt"].decode()
    assert timeline.count(call_id) >= 2 * len(registers)
    assert text["messages.txt"].decode().count("SIP/2.0 401 Unauthorized") == 1


def test_no_answer_to_a_challenge_is_in_it() -> None:
    server = Registrar(password="hunter2")
    archive = bundled(at(server))
    answers = [digest.parse_parameters(each.get("Authorization") or "")["response"] for each in server.credentialed]
    assert len(answers) >= 3
    everything = b"".join(archive.read(name) for name in archive.namelist())
    for secret in (*answers, "hunter2"):
        assert secret.encode() not in everything
    assert b'response="(masked)"' in archive.read("traffic.pcap")
    assert b'response="(masked)"' in archive.read("messages.txt")


def test_a_run_that_sent_nothing_is_bundled_too() -> None:
    archive = bundled(PhoneWorld(), "sip:alice@nowhere.invalid")
    assert b"alice@nowhere.invalid" in archive.read("environment.txt")
    assert archive.read("messages.txt") == b""
