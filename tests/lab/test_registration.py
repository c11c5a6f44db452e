"""The check ``registration`` against real programs behind a real NAT: Kamailio as registrar, SIPp for what a registrar seldom says."""

import json
from typing import Any

import pytest

from edgecheck.checks.registration.judge import BY_STATUS
from tests.lab import kamailio, sipp_server
from tests.lab.conftest import Laboratory
from tests.lab.ground import LabError, python
from tests.lab.routers import KernelRouter
from tests.lab.topology import ALTERNATE, CLIENT, SERVER, WAN, Plan, Topology

pytestmark = pytest.mark.lab
CHECK = "registration"
CODES = tuple(sorted(set(BY_STATUS) - {420, 430, 439, 491}))
"""Those four the doctor answers with another request, which SIPp takes for one of the same, finished call."""


def account(user: str, address: str = SERVER, password: str = kamailio.PASSWORD, **options: Any) -> dict[str, Any]:
    """For ``tests.lab.visits``."""
    return {"account": f"sip:{user}@{address}", "password": password, **options}


def visit(topology: Topology, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Look at these accounts at once, from the client; the check's result of each."""
    done = topology.ground.run("client", *python("-m", "tests.lab.visits", json.dumps(wanted)), timeout=90)
    if done.returncode:
        raise LabError(done.stderr)
    return [next(check for check in report["checks"] if check["id"] == CHECK) for report in json.loads(done.stdout)]


def verdicts(result: dict[str, Any]) -> dict[str, str]:
    assert not result.get("fault"), result["fault"]
    return {finding["id"].partition(".")[2]: finding["verdict"] for finding in result["findings"]}


FINE = {"registered": "pass", "reachable": "pass", "seen-as": "pass"}
KAMAILIO: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "MD5": (account("alice"), FINE),
    "SHA-256": (account("alice", ALTERNATE), FINE | {"expires-shortened": "warn"}),
    "TCP": (account("bob", f"{SERVER};transport=tcp"), FINE),
    "authentication user": (account("carol", auth_user="55512345"), FINE),
    "wrong password": (account("dave", password="wrong"), {"wrong-credentials": "fail"}),
    "407": (account("proxied"), FINE),
    "407 with a wrong password": (account("proxied", password="wrong"), {"proxy-authentication": "fail"}),
    "403 by address": (account("barred"), {"forbidden": "fail"}),
    "403 after credentials": (account("locked"), {"forbidden": "fail"}),
    "404": (account("nobody"), {"unknown-user": "fail"}),
    "423": (account("patient"), FINE | {"interval-too-brief": "warn"}),
    "no NAT handling": (account("dark"), {"registered": "pass", "seen-as": "pass", "not-reachable": "fail"}),
    "dry": (account("erin", dry=True), {"challenged": "pass"}),
    "no password": (account("frank", password=""), {"no-password": "inconclusive"}),
    "nothing listens": (account("gina", f"{SERVER}:5999"), {"wrong-transport": "fail"}),
}


@pytest.fixture(scope="module")
def behind_nat(laboratory: Laboratory) -> tuple[dict[str, Any], dict[int, Any]]:
    """Everything at once on one ground: what each Kamailio account and each of SIPp's codes came to."""
    laboratory.need("kamailio", "sipp", "sipsak")
    directory = laboratory.directory("registrars")
    with laboratory.stand(Plan(), "registration") as topology:
        kamailio.start(topology, directory / "md5", SERVER)
        kamailio.start(topology, directory / "sha256", ALTERNATE, algorithm="SHA-256", most_expires=60)
        sipp_server.start(topology, directory / "sipp", CODES)
        wanted = [case for case, _ in KAMAILIO.values()] + [account(str(code), f"{SERVER}:{sipp_server.PORT}") for code in CODES]
        results = visit(topology, wanted)
    return dict(zip(KAMAILIO, results, strict=False)), dict(zip(CODES, results[len(KAMAILIO) :], strict=True))


@pytest.mark.parametrize("name", KAMAILIO)
def test_kamailio(behind_nat: tuple[dict[str, Any], dict[int, Any]], name: str) -> None:
    result = behind_nat[0][name]
    assert verdicts(result) == KAMAILIO[name][1], json.dumps(result["findings"], indent=1)
    assert kamailio.PASSWORD not in json.dumps(result)


def test_what_was_registered_is_gone(behind_nat: tuple[dict[str, Any], dict[int, Any]]) -> None:
    registered = [result["observation"] for result in behind_nat[0].values() if result["observation"]["ending"] == "registered"]
    assert len(registered) == 7
    for seen in registered:
        assert seen["removed"] is True
        assert seen["contact_sent"].startswith("sip:")
        assert CLIENT in seen["contact_seen"]
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
    with laboratory.stand(Plan(home=KernelRouter(sip_alg=("udp",))), "registration alg") as topology:
        kamailio.start(topology, laboratory.directory("registrar alg"), SERVER)
        fine, wrong, stream = visit(
            topology, [account("alice"), account("bob", password="wrong"), account("carol", f"{SERVER};transport=tcp")]
        )
    assert verdicts(fine) == {"registered": "pass", "reachable": "pass", "alg": "warn"}
    assert verdicts(wrong) == {"wrong-credentials": "fail", "alg": "warn"}
    assert "ALG" in next(finding["summary"] for finding in wrong["findings"] if finding["id"] == "registration.wrong-credentials")
    assert verdicts(stream) == FINE, "the ALG watches UDP only"
