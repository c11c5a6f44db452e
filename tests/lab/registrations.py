"""Accounts of real registrars behind a real NAT, and what the check ``registration`` must find of each; for the tests and the benchmark."""

import json
from pathlib import Path
from typing import Any

from edgecheck.checks.registration.judge import BY_STATUS
from edgecheck.report import schema
from tests.json_schema import conforms
from tests.lab import kamailio, sipp_server
from tests.lab.ground import LabError, python
from tests.lab.routers import KernelRouter
from tests.lab.topology import ALTERNATE, SERVER, WAN, Plan, Topology

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
    reports = json.loads(done.stdout)
    for report in reports:
        conforms(report, schema.render())
    assert {report["client"]["public_address"] for report in reports} <= {WAN, None}, "what the servers saw"
    assert any(report["client"]["public_address"] for report in reports)
    return [next(check for check in report["checks"] if check["id"] == CHECK) for report in reports]


def verdicts(result: dict[str, Any]) -> dict[str, str]:
    assert not result.get("fault"), result["fault"]
    return {finding["id"].partition(".")[2]: finding["verdict"] for finding in result["findings"]}


FINE = {"registered": "pass", "reachable": "pass", "seen-as": "pass"}
KAMAILIO: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "MD5": (account("alice"), FINE),
    "SHA-256": (account("alice", ALTERNATE), FINE | {"expires-shortened": "warn"}),
    "TCP": (account("bob", f"{SERVER};transport=tcp"), FINE),
    "TLS": (account("tina", f"{SERVER};transport=tls", ca="its own"), FINE),
    "TLS, unknown authority": (account("tina", f"{SERVER};transport=tls"), {"untrusted": "inconclusive"}),
    "WebSocket over TLS": (account("wendy", f"{SERVER}:5061;transport=wss", ca="its own"), FINE),
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


ALG: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "SIP ALG on the way": (account("alice"), {"registered": "pass", "reachable": "pass", "alg": "warn"}),
    "SIP ALG and a wrong password": (account("bob", password="wrong"), {"wrong-credentials": "fail", "alg": "warn"}),
    "TCP past an ALG that watches UDP": (account("carol", f"{SERVER};transport=tcp"), FINE),
}
BEHIND_ALG = Plan(home=KernelRouter(sip_alg=("udp",)))


def visit_behind_alg(topology: Topology, directory: Path) -> dict[str, Any]:
    """The same behind a router with the kernel's SIP ALG on UDP."""
    kamailio.start(topology, directory / "alg", SERVER)
    return dict(zip(ALG, visit(topology, [case for case, _ in ALG.values()]), strict=True))


def visit_all(topology: Topology, directory: Path) -> tuple[dict[str, Any], dict[int, Any]]:
    """Every Kamailio account and each of SIPp's codes at once, on one ground: the check's result of each."""
    kamailio.start(topology, directory / "md5", SERVER)
    kamailio.start(topology, directory / "sha256", ALTERNATE, algorithm="SHA-256", most_expires=60)
    sipp_server.start(topology, directory / "sipp", CODES)
    cases = [case | ({"ca": str(directory / "md5" / "ca.pem")} if case.get("ca") else {}) for case, _ in KAMAILIO.values()]
    wanted = cases + [account(str(code), f"{SERVER}:{sipp_server.PORT}") for code in CODES]
    results = visit(topology, wanted)
    return dict(zip(KAMAILIO, results, strict=False)), dict(zip(CODES, results[len(KAMAILIO) :], strict=True))
