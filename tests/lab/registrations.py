"""Accounts of real registrars behind a real NAT, and what the check ``registration`` must find of each; for the tests and the benchmark."""

import json
from pathlib import Path
from typing import Any

from edgecheck.checks.registration.judge import BY_STATUS
from edgecheck.report import schema
from tests.json_schema import conforms
from tests.lab import kamailio, sipp_oddities, sipp_server
from tests.lab.ground import LabError, python
from tests.lab.routers import KernelRouter
from tests.lab.sipp_oddities import ODDITIES, Oddity
from tests.lab.topology import ALTERNATE, SERVER, WAN, Plan, Topology

CHECK = "registration"
CODES = tuple(sorted(BY_STATUS))


def account(user: str, address: str = SERVER, password: str = kamailio.PASSWORD, **options: Any) -> dict[str, Any]:
    """For ``tests.lab.visits``."""
    return {"account": f"sip:{user}@{address}", "password": password, **options}


def visit(topology: Topology, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Look at these accounts at once, from the client; the check's result of each."""
    done = topology.ground.run("client", *python("-m", "tests.lab.visits", json.dumps(wanted)))
    if done.returncode:
        raise LabError(done.stderr)
    reports = json.loads(done.stdout)
    for report in reports:
        conforms(report, schema.render())
    assert {report["client"]["public_address"] for report in reports} <= {WAN, None}, "what the servers saw"
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
    "407 and 401 at once": (account("double"), FINE),
    "outbound proxy, Path": (account("routed", proxy=f"sip:{ALTERNATE}"), FINE),
    "403 by address": (account("barred"), {"forbidden": "fail"}),
    "403 after credentials": (account("locked"), {"forbidden": "fail"}),
    "404": (account("nobody"), {"unknown-user": "fail"}),
    "423": (account("patient"), FINE | {"interval-too-brief": "warn"}),
    "no NAT handling": (account("dark"), {"registered": "pass", "seen-as": "pass", "not-reachable": "fail"}),
    "dry": (account("erin", dry=True), {"challenged": "pass"}),
    "no password": (account("frank", password=""), {"no-password": "inconclusive"}),
    "nothing listens": (account("gina", f"{SERVER}:5999"), {"wrong-transport": "fail"}),
}


KEEPING = "198.51.100.20"
"""A Kamailio that keeps flows (RFC 5626), and names a Service-Route to some."""
AGREED: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "outbound, GRUU": (account("alice", KEEPING), FINE),
    "outbound over TCP": (account("bob", f"{KEEPING};transport=tcp"), FINE),
    "Service-Route to the registrar": (account("here", KEEPING), FINE),
    "Service-Route by another proxy": (account("by", KEEPING), FINE),
    "Service-Route without lr": (account("strict", KEEPING), FINE | {"service-route-strict": "warn"}),
    "Service-Route to a closed port": (account("closed", KEEPING), FINE | {"service-route-unreachable": "warn"}),
    "Service-Route to nobody": (account("absent", KEEPING), FINE | {"service-route-unreachable": "warn"}),
}
PAIR = ("first of two phones", "second of two phones")
"""One account on two phones at the same time."""


def _watched(name: str) -> dict[str, str]:
    """What is found of it behind a router with the kernel's SIP ALG, which watches plain UDP."""
    case, expected = (KAMAILIO | AGREED)[name]
    if "transport=" in case["account"] or name == "nothing listens":
        return expected
    if name == "no NAT handling":
        expected = FINE  # the ALG has put the public address into the Contact
    return {cause: verdict for cause, verdict in expected.items() if cause != "seen-as"} | {"alg": "warn"}


ALG = {name: _watched(name) for name in KAMAILIO | AGREED}
OPEN = Plan(home=KernelRouter(filtering="endpoint-independent"))
"""A NAT that lets in answers from wherever they come."""
BEHIND_ALG = Plan(home=KernelRouter(sip_alg=("udp",)))
"""One that lets in only whom it has called, and reads SIP."""
LATE = tuple(each for each in ODDITIES if each.slow)
BRIEF = tuple(each for each in ODDITIES if not each.slow)
BRIEF_BEHIND_ALG = tuple(each for each in BRIEF if each.behind_alg is None)
Results = dict[str | int, Any]
"""By name of the account or oddity, or by status code: the check's result."""


def visit_all(topology: Topology, directory: Path, oddities: tuple[Oddity, ...] = BRIEF) -> Results:
    """Every Kamailio account, each of SIPp's codes and these oddities at once, on one ground."""
    sipp_server.start(topology, directory / "sipp", CODES)
    more: dict[str | int, dict[str, Any]] = {code: account(str(code), sipp_server.ADDRESS) for code in CODES}
    return _visit(topology, directory, oddities, more | {name: account("pair", KEEPING) for name in PAIR})


def visit_behind_alg(topology: Topology, directory: Path, oddities: tuple[Oddity, ...] = BRIEF_BEHIND_ALG) -> Results:
    """The same behind a router with the kernel's SIP ALG on UDP, without the codes."""
    return _visit(topology, directory, oddities, {})


def _visit(topology: Topology, directory: Path, oddities: tuple[Oddity, ...], more: dict[str | int, dict[str, Any]]) -> Results:
    kamailio.start(topology, directory / "md5", SERVER)
    kamailio.start(topology, directory / "sha256", ALTERNATE, algorithm="SHA-256", most_expires=60)
    topology.ground.shell(f"ip -n server addr add {KEEPING}/24 dev eth0")
    kamailio.start(topology, directory / "keeping", KEEPING, outbound=True, beyond=ALTERNATE)
    authority = {"ca": str(directory / "md5" / "ca.pem")}
    cases: dict[str | int, dict[str, Any]] = {name: case | (authority if case.get("ca") else {}) for name, (case, _) in KAMAILIO.items()}
    cases |= {name: case for name, (case, _) in AGREED.items()}
    cases |= more | accounts_of(oddities)
    sipp_oddities.start(topology, directory / "oddities", oddities)
    return dict(zip(cases, visit(topology, list(cases.values())), strict=True))


def visit_late(topology: Topology, directory: Path, oddities: tuple[Oddity, ...]) -> Results:
    """These oddities alone."""
    sipp_oddities.start(topology, directory / "oddities", oddities)
    cases = accounts_of(oddities)
    return dict(zip(cases, visit(topology, list(cases.values())), strict=True))


def accounts_of(oddities: tuple[Oddity, ...]) -> dict[str | int, dict[str, Any]]:
    """By name."""
    return {each.name: account("alice", sipp_oddities.address(each)) for each in oddities}
