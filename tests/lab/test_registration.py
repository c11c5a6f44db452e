"""The check ``registration`` against real programs behind a real NAT: Kamailio as registrar, SIPp for what a registrar seldom says."""

import json
import zipfile
from typing import Any

import pytest

from edgecheck.checks.registration.judge import BY_STATUS
from tests.lab import kamailio
from tests.lab.conftest import Laboratory
from tests.lab.ground import python
from tests.lab.registrations import ALG, BEHIND_ALG, CODES, KAMAILIO, verdicts, visit_all, visit_behind_alg
from tests.lab.topology import CLIENT, SERVER, WAN, Plan

pytestmark = pytest.mark.lab
@pytest.fixture(scope="module")
def behind_nat(laboratory: Laboratory) -> tuple[dict[str, Any], dict[int, Any]]:
    """Everything at once on one ground: what each Kamailio account and each of SIPp's codes came to."""
    laboratory.need("kamailio", "sipp", "sipsak")
    with laboratory.stand(Plan(), "registration") as topology:
        return visit_all(topology, laboratory.directory("registrars"))


@pytest.mark.parametrize("name", KAMAILIO)
def test_kamailio(behind_nat: tuple[dict[str, Any], dict[int, Any]], name: str) -> None:
    result = behind_nat[0][name]
    assert verdicts(result) == KAMAILIO[name][1], json.dumps(result["findings"], indent=1)
    assert kamailio.PASSWORD not in json.dumps(result)


def test_what_was_registered_is_gone(behind_nat: tuple[dict[str, Any], dict[int, Any]]) -> None:
    registered = [result["observation"] for result in behind_nat[0].values() if result["observation"]["ending"] == "registered"]
    assert len(registered) == 9
    for seen in registered:
        assert seen["removed"] is True
        assert seen["contact_sent"].startswith("sip:")
        assert CLIENT in seen["contact_seen"] or ".invalid;transport=ws" in seen["contact_seen"]
        assert seen["seen_as"].startswith(f"{WAN}:")


def test_the_algorithm_is_the_servers(behind_nat: tuple[dict[str, Any], dict[int, Any]]) -> None:
    used = {name: {attempt["algorithm"] for attempt in behind_nat[0][name]["observation"]["attempts"]} for name in ("MD5", "SHA-256")}
    assert used == {"MD5": {None, "MD5"}, "SHA-256": {None, "SHA-256"}}


@pytest.mark.parametrize("code", CODES)
def test_sipp_says(behind_nat: tuple[dict[str, Any], dict[int, Any]], code: int) -> None:
    result = behind_nat[1][code]
    assert verdicts(result) == {BY_STATUS[code]: "fail"}, json.dumps(result["findings"], indent=1)
    assert f"{code} From SIPp" in result["findings"][0]["summary"]


def test_the_kernels_sip_alg_gives_itself_away(laboratory: Laboratory) -> None:
    laboratory.need("kamailio", "sipsak")
    with laboratory.stand(BEHIND_ALG, "registration alg") as topology:
        results = visit_behind_alg(topology, laboratory.directory("registrar alg"))
    assert {name: verdicts(result) for name, result in results.items()} == {name: expected for name, (_, expected) in ALG.items()}
    refused = results["SIP ALG and a wrong password"]["findings"][0]
    assert refused["id"] == "registration.wrong-credentials"
    assert "ALG" in refused["summary"], "it fits as well as a wrong password does"


def test_the_command_and_its_bundle(laboratory: Laboratory) -> None:
    """tshark reads the capture: every frame whole, every message SIP, no answer to a challenge among them."""
    laboratory.need("kamailio", "sipsak", "tshark")
    directory = laboratory.directory("bundle")
    (directory / "password").write_text(kamailio.PASSWORD + "\n")
    file = directory / "for-support.zip"
    with laboratory.stand(Plan(), "bundle") as topology:
        kamailio.start(topology, directory / "md5", SERVER)
        command = python("-m", "edgecheck", "register", f"sip:alice@{SERVER};transport=tcp", "--password-file", str(directory / "password"))
        done = topology.ground.run("client", *command, "--bundle", str(file), "--no-history", environment={"HOME": str(directory)}, timeout=60)
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
