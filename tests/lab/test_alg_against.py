"""The one-sided test against real servers (Kamailio, SIPp) behind real and played ALGs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab import outside_registrar, ready, runs
from tests.lab.conftest import Laboratory
from tests.lab.ground import python
from tests.lab.routers import KernelRouter
from tests.lab.topology import SERVER, Plan, UserRouter
from tests.lab.user_nat import EI

pytestmark = pytest.mark.lab
KERNEL = {"port_range": "20000-29999"}
UAS = """<?xml version="1.0"?>
<scenario name="a phone that copies Via as it came">
  <recv request="OPTIONS"/>
  <send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=sipp[call_number]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

  ]]></send>
</scenario>
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """An edge, a server outside, and what its answers show: finding and verdict by way."""

    name: str
    plan: Plan
    server: str
    expected: dict[str, str]
    verdict: str
    """``any``: but never a pass."""
    hops: tuple[int, ...] = ()
    """Who is located: by what routers quote of requests, whatever the answers show."""


def played(*mutations: str) -> Plan:
    return Plan(home=UserRouter(nat={"mapping": EI, "allocation": "sequential"}, alg={"mutations": list(mutations)}))


TRACE, REWRITTEN = "sip-alg.no-trace", "sip-alg.rewritten"
CASES = (
    Case(
        name="kamailio, no alg",
        plan=Plan(home=KernelRouter(**KERNEL)),
        server="kamailio",
        expected={"UDP 5060": TRACE, "TCP 5060": TRACE, "TLS 5061": TRACE},
        verdict="inconclusive",
    ),
    Case(
        name="kamailio, the kernel's alg on udp and tcp",
        plan=Plan(home=KernelRouter(sip_alg=("udp", "tcp"), **KERNEL)),
        server="kamailio",
        expected={"UDP 5060": REWRITTEN, "TCP 5060": REWRITTEN, "TLS 5061": TRACE},
        verdict="fail",
        hops=(1,),
    ),
    Case(
        name="kamailio, the provider's alg alone",
        plan=Plan(home=KernelRouter(), carrier=KernelRouter(sip_alg=("udp",))),
        server="kamailio",
        expected={"TCP 5060": TRACE, "TLS 5061": TRACE},
        verdict="any",
    ),
    Case(
        name="kamailio, somebody answers for all",
        plan=played("R21"),
        server="kamailio",
        expected={"UDP 5060": "sip-alg.answered-by-other", "TLS 5061": TRACE},
        verdict="fail",
    ),
    Case(
        name="kamailio, call-id rewritten",
        plan=played("R7"),
        server="kamailio",
        expected={"UDP 5060": "sip-alg.inconsistent", "TLS 5061": TRACE},
        verdict="fail",
        hops=(1,),
    ),
    Case(
        name="sipp, no alg",
        plan=Plan(home=KernelRouter(**KERNEL)),
        server="sipp",
        expected={"UDP 5060": "sip-alg.hint"},
        verdict="inconclusive",
    ),
    Case(
        name="sipp, the kernel's alg",
        plan=Plan(home=KernelRouter(sip_alg=("udp",), **KERNEL)),
        server="sipp",
        expected={"UDP 5060": REWRITTEN},
        verdict="fail",
        hops=(1,),
    ),
)


@pytest.fixture(scope="module")
def play(laboratory: Laboratory, request: pytest.FixtureRequest) -> Iterator[Callable[[Case], dict[str, Any]]]:
    def run(case: Case) -> dict[str, Any]:
        laboratory.need(case.server)
        directory = laboratory.directory(f"against {case.name}")
        with laboratory.stand(case.plan, f"against {case.name}") as topology:
            if case.server == "kamailio":
                outside_registrar.serve(topology, directory / "kamailio")
            else:
                scenario = directory / "uas.xml"
                scenario.write_text(UAS)
                sipp = topology.ground.spawn("server", "sipp", "-sf", str(scenario), "-i", SERVER, "-p", "5060", "-nostdin")
                ready.serves(topology.ground, sipp, "server", ready.End(SERVER))
            command = python("-m", "edgecheck", "alg", "--against", f"sip:{SERVER}", "--json", "-", "--quiet")
            return runs.report(topology, directory, command)

    with laboratory.together(request, "case", run) as played_:
        yield played_


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_one_side_tells(play: Callable[[Case], dict[str, Any]], case: Case) -> None:
    report = play(case)
    assert not runs.faults(report), "\n".join(runs.faults(report))
    (check,) = report["checks"]
    told = {subject: finding["id"] for finding in check["findings"] for subject in finding["subject"].split(", ")}
    assert {subject: told.get(subject) for subject in case.expected} == case.expected, runs.told(report)
    located = check["observation"]["located"] or ()
    assert tuple(one["hop"] for one in located if one["where"] != ["answer"]) == case.hops, runs.told(report)
    assert report["server"] is None
    assert check["observation"]["against"]["server"] == SERVER
    if case.verdict == "any":
        assert report["verdict"] != "pass"
    else:
        assert report["verdict"] == case.verdict, runs.told(report)
