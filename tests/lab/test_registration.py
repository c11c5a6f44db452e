"""The check ``registration`` against real programs behind a real NAT: Kamailio as registrar, SIPp for what a registrar seldom says."""

import json
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edgecheck.checks.registration.judge import BY_STATUS
from tests.lab import kamailio
from tests.lab.conftest import Laboratory
from tests.lab.ground import python
from tests.lab.registrations import (
    AGREED,
    ALG,
    BEHIND_ALG,
    BRIEF,
    BRIEF_BEHIND_ALG,
    CODES,
    KAMAILIO,
    KEEPING,
    LATE,
    OPEN,
    PAIR,
    Results,
    verdicts,
    visit_all,
    visit_behind_alg,
    visit_late,
)
from tests.lab.sipp_oddities import Oddity
from tests.lab.topology import ALTERNATE, CLIENT, SERVER, WAN, Plan, Topology

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def grounds(laboratory: Laboratory) -> tuple[Results, Results]:
    """Everything at once behind two NATs, an open one and a strict one with a SIP ALG: what each account and oddity came to."""
    laboratory.need("kamailio", "sipp")

    def play(plan: Plan, visit: Callable[[Topology, Path], Results]) -> Results:
        with laboratory.stand(plan, "registration") as topology:
            return visit(topology, laboratory.directory("registrars"))

    with ThreadPoolExecutor(2) as pool:
        playing = pool.submit(play, OPEN, visit_all), pool.submit(play, BEHIND_ALG, visit_behind_alg)
        return playing[0].result(), playing[1].result()


def shown(result: dict[str, Any]) -> str:
    return json.dumps(result["findings"], indent=1)


@pytest.mark.parametrize("name", KAMAILIO)
def test_kamailio(grounds: tuple[Results, Results], name: str) -> None:
    result = grounds[0][name]
    assert verdicts(result) == KAMAILIO[name][1], shown(result)
    assert kamailio.PASSWORD not in json.dumps(result)


def test_what_was_registered_is_gone(grounds: tuple[Results, Results]) -> None:
    registered = [grounds[0][name]["observation"] for name in KAMAILIO if grounds[0][name]["observation"]["ending"] == "registered"]
    assert len(registered) == 11
    for seen in registered:
        assert seen["removed"] is True
        assert seen["contact_sent"].startswith("sip:")
        assert CLIENT in seen["contact_seen"] or ".invalid;transport=ws" in seen["contact_seen"]
        assert seen["seen_as"].startswith(f"{WAN}:")


def test_the_algorithm_is_the_servers(grounds: tuple[Results, Results]) -> None:
    used = {name: {attempt["algorithm"] for attempt in grounds[0][name]["observation"]["attempts"]} for name in ("MD5", "SHA-256")}
    assert used == {"MD5": {None, "MD5"}, "SHA-256": {None, "SHA-256"}}


@pytest.mark.parametrize("name", AGREED)
def test_what_registrar_and_phone_agree_on(grounds: tuple[Results, Results], name: str) -> None:
    result = grounds[0][name]
    assert verdicts(result) == AGREED[name][1], shown(result)
    seen = result["observation"]
    assert (seen["outbound"], seen["flow_timer_s"], seen["keepalive_answered"]) == (True, 20, True)
    reaching = [attempt for attempt in seen["attempts"] if attempt["purpose"] == "reach"]
    assert reaching[-1]["uri"] == seen["gruu"] or name == "Service-Route without lr"


def test_calls_go_by_the_service_route(grounds: tuple[Results, Results]) -> None:
    (asked,) = [attempt for attempt in grounds[0]["Service-Route by another proxy"]["observation"]["attempts"] if attempt["purpose"] == "reach"]
    assert asked["target"] == f"{ALTERNATE}:5060"
    assert asked["route"] == [f"<sip:{ALTERNATE};lr>", f"<sip:{KEEPING};lr>"]


def test_each_of_two_phones_on_one_account_is_reached_by_its_gruu(grounds: tuple[Results, Results]) -> None:
    """And by nothing that was meant for the other."""
    seen = [grounds[0][name]["observation"] for name in PAIR]
    assert len({each["gruu"] for each in seen}) == 2
    for each in seen:
        assert [inbound["own"] for inbound in each["inbound"]] == [True]
        assert each["removed"] is True


@pytest.mark.parametrize("code", CODES)
def test_sipp_says(grounds: tuple[Results, Results], code: int) -> None:
    result = grounds[0][code]
    assert verdicts(result) == {BY_STATUS[code]: "fail"}, shown(result)
    assert f"{code} From SIPp" in result["findings"][0]["summary"]


@pytest.mark.parametrize("oddity", BRIEF, ids=lambda oddity: oddity.name)
def test_an_oddity(grounds: tuple[Results, Results], oddity: Oddity) -> None:
    result = grounds[0][oddity.name]
    assert verdicts(result) == oddity.expected, shown(result)


@pytest.mark.parametrize("name", ALG)
def test_kamailio_behind_the_kernels_sip_alg(grounds: tuple[Results, Results], name: str) -> None:
    """It gives itself away, and whatever else is told stays right."""
    result = grounds[1][name]
    assert verdicts(result) == ALG[name], shown(result)


@pytest.mark.parametrize("oddity", BRIEF_BEHIND_ALG, ids=lambda oddity: oddity.name)
def test_an_oddity_behind_the_kernels_sip_alg(grounds: tuple[Results, Results], oddity: Oddity) -> None:
    result = grounds[1][oddity.name]
    assert verdicts(result) == oddity.expected, shown(result)


def test_behind_an_alg_it_is_named_beside_a_wrong_password(grounds: tuple[Results, Results]) -> None:
    refused = grounds[1]["wrong password"]["findings"][0]
    assert refused["id"] == "registration.wrong-credentials"
    assert "ALG" in refused["summary"], "it fits as well as a wrong password does"


@pytest.mark.slow
@pytest.mark.parametrize(("plan", "alg"), [(OPEN, False), (BEHIND_ALG, True)], ids=["open NAT", "strict NAT and SIP ALG"])
def test_what_takes_the_whole_of_timer_f(laboratory: Laboratory, plan: Plan, alg: bool) -> None:
    """And answers from elsewhere behind a strict NAT: they are silence, and told as silence."""
    laboratory.need("sipp")
    oddities = LATE + tuple(each for each in BRIEF if alg and each.behind_alg is not None)
    with laboratory.stand(plan, "timer f") as topology:
        results = visit_late(topology, laboratory.directory("late"), oddities)
    wanted = {each.name: each.behind_alg if alg and each.behind_alg else each.expected for each in oddities}
    assert {name: verdicts(result) for name, result in results.items()} == wanted
    for each in oddities:
        if alg and each.behind_alg is not None:
            assert "answers sent from another address or port, which a NAT drops" in shown(results[each.name])


def test_the_command_and_its_bundle(laboratory: Laboratory) -> None:
    """tshark reads the capture: every frame whole, every message SIP, no answer to a challenge among them."""
    laboratory.need("kamailio", "tshark")
    directory = laboratory.directory("bundle")
    (directory / "password").write_text(kamailio.PASSWORD + "\n")
    file = directory / "for-support.zip"
    with laboratory.stand(Plan(), "bundle") as topology:
        kamailio.start(topology, directory / "md5", SERVER)
        command = python("-m", "edgecheck", "register", f"sip:alice@{SERVER};transport=tcp", "--password-file", str(directory / "password"))
        done = topology.ground.run("client", *command, "--bundle", str(file), "--no-history", environment={"HOME": str(directory)})
        assert done.returncode == 0, done.stdout + done.stderr
        assert "registers, and requests arrive" in done.stdout
        assert str(file) in done.stdout
        with zipfile.ZipFile(file) as archive:
            archive.extract("traffic.pcap", directory)
        fields = ("ip.checksum.status", "tcp.checksum.status", "tcp.analysis.flags", "sip.Method", "sip.Status-Code", "sip.auth.digest.response")
        options = [part for field in fields for part in ("-e", field)]
        checks = ("-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-T", "fields", "-E", "separator=;")
        read = topology.ground.run(None, "tshark", "-r", str(directory / "traffic.pcap"), *checks, *options)
    rows = [line.split(";") for line in read.stdout.splitlines()]
    assert {(row[0], row[1]) for row in rows} == {("1", "1")}, "1 = good"
    assert {row[2] for row in rows} == {""}, "nothing lost, repeated or out of order"
    said = [row[3] or row[4] for row in rows if row[3] or row[4]]
    begin = said.index("REGISTER")
    assert said[begin : begin + 4] == ["REGISTER", "401", "REGISTER", "200"]
    assert {row[5] for row in rows} <= {"", '"(masked)"', "(masked)"}
