"""With the PBX running: real services hold the ports, their calls go on, and what is said of the rules is right all the same.

Each edge is looked at twice: with privileges (a packet socket may be opened) and without a single capability.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.lab import pbx, runs
from tests.lab.conftest import Laboratory
from tests.lab.ground import python
from tests.lab.routers import Forward, KernelRouter
from tests.lab.topology import CLIENT, LAN_HOST, Plan, Topology
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.lab

PROFILE = """
name = "live"
title = "a PBX at work"
source = "tests/lab"
confidence = "verified"
checks = ["port-forwarding", "rtp-range"]
rtp = [10000, 10019]
ports = [
  { ports = "5060", transport = "udp", purpose = "SIP", protocol = "sip" },
  { ports = "5060", transport = "tcp", purpose = "SIP", protocol = "sip" },
  { ports = "5061", transport = "tcp", purpose = "SIP over TLS", protocol = "sips" },
"""
MORE = """
  { ports = "4569-4570", transport = "udp", purpose = "IAX2" },
  { ports = "5090", transport = "udp", purpose = "tunnel" },
  { ports = "5001-5002", transport = "tcp", purpose = "web", protocol = "web" },
  { ports = "5090", transport = "tcp", purpose = "tunnel" },
  { ports = "443", transport = "tcp", purpose = "web", protocol = "web", required = false },
"""
ELSEWHERE = """
  { ports = "5070-5073", transport = "udp", purpose = "SIP", protocol = "sip" },
  { ports = "5070", transport = "tcp", purpose = "SIP", protocol = "sip" },
  { ports = "5072-5074", transport = "tcp", purpose = "SIP", protocol = "sip" },
"""
SECOND = "10.99.0.1"
"""Another address of the client's machine."""
LISTENERS = (
    ("udp", 5070, "127.0.0.1"),
    ("tcp", 5070, "127.0.0.1"),
    ("udp", 5071, SECOND),
    ("udp", 5072, "::/6"),
    ("tcp", 5072, "::/6"),
    ("udp", 5073, "::"),
    ("tcp", 5073, "::"),
    ("tcp", 5074, "127.0.0.1"),
    ("tcp", 5074, CLIENT),
)
"""Sockets that do not hear what is forwarded to the client's address; and, from 5073 on, those that look like them and do."""
HELD = "table inet host { chain local { type filter hook input priority filter; policy accept; udp dport 4570 drop; iif eth0 tcp dport 5002 drop; }\n}"
"""The client's own firewall drops what comes to two of the ports."""
SERVICES = (("web", 5001), ("web", 5002), ("web", 5090), ("mute", 4569), ("mute", 4570), ("mute", 5090), ("mute", 10003))
WITHOUT = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all")
"""Not a single capability: root is an ordinary user then, but for the files it owns."""
REST = (Forward(ports="4569-4570"), Forward(ports="5001-5002"), Forward(ports="5070-5074"), Forward(ports="10000-10019", transports=("udp",)))


class Site(NamedTuple):
    """An edge, and where its rule for SIP leads."""

    name: str
    sip: str
    other: Callable[[Topology, str, str, Path], Any] | None = None
    """What answers at the LAN's other host."""

    @property
    def checks(self) -> tuple[str, ...]:
        """Those that are run: all, or the one that meets the rule for SIP."""
        return ("port-forwarding",) if self.sip else ()


HERE = Site("rules to the PBX", "")
OTHER = Site("rules to another PBX", LAN_HOST, pbx.uas)
TWIN = Site("rules to a twin", LAN_HOST, pbx.kamailio)


class Seen(NamedTuple):
    """Both looks, and what became of the calls meanwhile."""

    privileged: dict[str, Any]
    unprivileged: dict[str, Any]
    put: int
    answered: int


@pytest.fixture(scope="module")
def seen(laboratory: Laboratory, request: pytest.FixtureRequest) -> Iterator[Callable[[Site], Seen]]:
    laboratory.need("kamailio", "sipp")

    def play(site: Site) -> Seen:
        directory = laboratory.directory(site.name)
        plan = Plan(home=KernelRouter(forwards=(Forward(ports="5060-5061", to=site.sip), *REST)))
        with laboratory.stand(plan, site.name) as topology:
            runs.serve(topology, runs.Server(), directory)
            pbx.kamailio(topology, "client", CLIENT, directory / "pbx")
            if site.other is not None:
                site.other(topology, "lan-host", LAN_HOST, directory / "other")
            for what, port in SERVICES if site is HERE else ():
                pbx.service(topology, "client", what, port)
            topology.ground.shell(f"ip -n client addr add {SECOND}/32 dev lo")
            if site is HERE:
                pbx.listeners(topology, "client", LISTENERS)
            topology.ground.shell(f"ip netns exec client nft -f - <<'END'\n{HELD}\nEND")
            calls = topology.ground.spawn("client", *python("-m", "tests.lab.pbx", "traffic", CLIENT), ready="ready")
            profile = directory / "live.toml"
            profile.write_text(PROFILE + (MORE + ELSEWHERE) * (site is HERE) + "]\n")
            command = python("-m", "edgecheck", "run", runs.Server().target, "--profile", str(profile), "--json", "-", "--quiet", *site.checks)
            looks = [runs.report(topology, directory / name, (*before, *command)) for name, before in (("with", ()), ("without", WITHOUT))]
            calls.say("that will do")
            put, answered = map(int, calls.line(2 * PATIENCE_S).split())
            return Seen(*looks, put, answered)

    with laboratory.together(request, "site", play) as take:
        yield take


def rows(report: dict[str, Any]) -> dict[tuple[str, int], dict[str, Any]]:
    assert not runs.faults(report), runs.faults(report)
    return {(row["transport"], row["port"]): row for row in runs.observations(report)["port-forwarding"]["ports"]}


def states(report: dict[str, Any]) -> dict[tuple[str, int], tuple[str, bool | None]]:
    return {key: (row["state"], row["answered_here"]) for key, row in rows(report).items()}


REST_WITH = {
    ("udp", 4569): ("forwarded", None),
    ("udp", 4570): ("blocked", None),
    ("udp", 5090): ("blocked", None),
    ("tcp", 5001): ("answered", True),
    ("tcp", 5002): ("blocked", None),
    ("tcp", 5090): ("blocked", None),
    ("tcp", 443): ("blocked", None),
}
REST_WITHOUT = {**REST_WITH, ("udp", 5090): ("undecided", None), ("tcp", 443): ("undecided", None)}
"""UDP silence proves nothing where arrivals cannot be seen; a port below 1024 may not be opened."""
BESIDE = {
    **dict.fromkeys((("udp", 5070), ("udp", 5071), ("udp", 5072), ("tcp", 5070), ("tcp", 5072)), ("forwarded", None)),
    ("udp", 5073): ("forwarded", None),
    ("tcp", 5073): ("answered", True),
    ("tcp", 5074): ("answered", True),
}
SIP = (("udp", 5060), ("tcp", 5060), ("tcp", 5061))


@pytest.mark.parametrize("site", [HERE], ids=lambda site: site.name)
def test_the_pbx_answers_for_itself(seen: Callable[[Site], Seen], site: Site) -> None:
    told = seen(site)
    for report, rest in ((told.privileged, REST_WITH), (told.unprivileged, REST_WITHOUT)):
        assert states(report) == {**dict.fromkeys(SIP, ("answered", True)), **rest, **BESIDE}, runs.told(report)
        for key in SIP:
            assert rows(report)[key]["answered_by"].startswith("kamailio (")
        assert "certificate CN=" in rows(report)["tcp", 5061]["answered_by"]
        fenced = [finding["subject"] for finding in findings(report, "port-forwarding.host-firewall")]
        assert fenced == ["UDP 4570", "TCP 5002"]
        assert runs.observations(report)["rtp-range"]["busy"] == [[10003, 10003]]
        assert runs.observations(report)["rtp-range"]["inbound_open"] == 19
        assert runs.verdicts(report)["rtp-range"] == "pass"
    assert {rows(told.privileged)[key]["seen_by"] for key in SIP} == {"packet socket"}
    assert rows(told.unprivileged)["udp", 5060]["seen_by"] == "counter of marked packets"
    assert rows(told.privileged)["udp", 5060]["owner"].startswith("kamailio (pid ")
    assert rows(told.unprivileged)["tcp", 443]["unused"] is True
    passed = [finding["subject"] for finding in findings(told.privileged, "port-forwarding.answered") if finding["verdict"] == "pass"]
    assert passed == ["UDP 5060", "TCP 5060", "TCP 5061", "TCP 5001", "TCP 5073-5074"]


@pytest.mark.parametrize("site", [HERE], ids=lambda site: site.name)
def test_a_program_that_listens_elsewhere_is_named_and_nobody_who_hears(seen: Callable[[Site], Seen], site: Site) -> None:
    told = seen(site)
    for report, name in ((told.privileged, "python"), (told.unprivileged, "a program of the user ")):
        unheard = findings(report, "port-forwarding.listens-elsewhere")
        assert [finding["subject"] for finding in unheard] == ["UDP 5070", "UDP 5071", "UDP 5072", "TCP 5070", "TCP 5072"], runs.told(report)
        assert {finding["verdict"] for finding in unheard} == {"warn"}
        for finding, where in zip(unheard, ("127.0.0.1", SECOND, "::", "127.0.0.1", "::"), strict=True):
            assert f"nobody listens at {CLIENT}, where it comes: {name}" in finding["summary"]
            assert any(f" on {where} and nobody on {CLIENT}" in line for line in finding["evidence"]), finding["evidence"]
            assert any("it is refused: nobody listens there" in line for line in finding["evidence"])
        accused = {key: [holder["address"] for holder in row["listens_elsewhere"]] for key, row in rows(report).items() if row["listens_elsewhere"]}
        assert accused == {
            ("udp", 5070): ["127.0.0.1"],
            ("udp", 5071): [SECOND],
            ("udp", 5072): ["::"],
            ("tcp", 5070): ["127.0.0.1"],
            ("tcp", 5072): ["::"],
        }


@pytest.mark.parametrize("site", [OTHER, TWIN], ids=lambda site: site.name)
def test_another_pbx_is_not_taken_for_this_one(seen: Callable[[Site], Seen], site: Site) -> None:
    told = seen(site)
    privileged, unprivileged = states(told.privileged), states(told.unprivileged)
    assert privileged["udp", 5060] == ("answered", False)
    wrong = {finding["subject"]: finding["verdict"] for finding in findings(told.privileged, "port-forwarding.wrong-host")}
    assert wrong["UDP 5060"] == "fail"
    if site is OTHER:  # it calls itself by another name, and has no TCP
        assert unprivileged["udp", 5060] == ("answered", False)
        assert {state for state, _ in (privileged["tcp", 5060], privileged["tcp", 5061])} == {"refused"}
    else:
        # The very same software: without a look at the packets only another certificate tells.
        assert unprivileged["udp", 5060] == ("answered", None)
        assert unprivileged["tcp", 5060] == ("answered", None)
        assert (privileged["tcp", 5061], unprivileged["tcp", 5061]) == (("answered", False), ("answered", False))
        assert privileged["tcp", 5060] == ("answered", False)
    assert not findings(told.privileged, "port-forwarding.answered")
    assert {finding["verdict"] for finding in findings(told.unprivileged, "port-forwarding.answered")} <= {"inconclusive"}


@pytest.mark.parametrize("site", [HERE, OTHER, TWIN], ids=lambda site: site.name)
def test_calls_go_on(seen: Callable[[Site], Seen], site: Site) -> None:
    told = seen(site)
    assert told.put > 50
    assert told.answered == told.put


def findings(report: dict[str, Any], id: str) -> list[dict[str, Any]]:
    return [finding for check in report["checks"] for finding in check["findings"] if finding["id"] == id]
