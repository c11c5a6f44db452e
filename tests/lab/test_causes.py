"""A cause for every port that is not reached: each, and what looks like it. The right one alone, or among those that are told; never a wrong one."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from edgecheck.checks.port_forwarding.contacted import KEPT_OUT
from tests.lab import igd, runs
from tests.lab.conftest import Laboratory
from tests.lab.hiding import hiding
from tests.lab.igd import Igd
from tests.lab.port_edge import (
    ABSENT,
    BOTH,
    CONTAINER,
    IN_SITE,
    PBX,
    POOL,
    SAVING,
    SECOND_LINE,
    SIP,
    SITE,
    SPEAKS,
    SPEAKS_SIP,
    TAKEN_IN,
    TAKES_UDP,
    TUNNEL,
    UNTOLD,
    UNTOLD_TCP,
    Case,
    nft,
    provider,
    routed,
)
from tests.lab.routers import Forward, KernelRouter
from tests.lab.scenarios_of_causes import BANNED
from tests.lab.topology import CLIENT, LAN_HOST, WAN, Plan, UserRouter

pytestmark = pytest.mark.lab

CASES = (
    Case(name="no rule", causes=("no-rule",), besides=()),
    Case(
        name="no rule, 50 ms away",
        plan=Plan(path=UserRouter(weather={"delay_ms": 25})),
        causes=("no-rule",),
        besides=(),
    ),
    Case(name="no rule, a router that saves its errors", more=SAVING, causes=("no-rule",)),
    Case(name="no rule, and the router rejects", plan=routed(unsolicited="reject"), causes=("no-rule",), besides=()),
    Case(
        name="no rule, the router rejects and saves its errors",
        plan=routed(unsolicited="reject"),
        more=SAVING,
        causes=("no-rule",),
        besides=("wrong-host", "provider-drops", "router-refuses"),
    ),
    Case(name="no rule, and the router takes it for itself", plan=routed(unsolicited="take"), causes=("no-rule",)),
    Case(
        name="a rule for UDP alone",
        plan=routed(forwards=(Forward(ports="5060", transports=("udp",)),)),
        causes=("no-rule",),
        differing={"UDP 5060": ()},
    ),
    Case(name="no rule behind random ports", plan=routed(mapping="random"), causes=("no-rule", "provider-drops")),
    Case(name="wrong host, alive", plan=routed(forwards=(Forward(ports="5060-5061", to=LAN_HOST),)), causes=("wrong-host",)),
    Case(
        name="wrong host, alive, behind a router that saves its errors",
        plan=routed(forwards=(Forward(ports="5060-5061", to=LAN_HOST),)),
        more=SAVING,
        causes=("wrong-host",),
    ),
    Case(name="wrong host, absent", plan=routed(forwards=(Forward(ports="5060-5061", to=ABSENT),)), causes=("wrong-host",)),
    Case(
        name="wrong host, absent, behind a router that saves its errors",
        plan=routed(forwards=(Forward(ports="5060-5061", to=ABSENT),)),
        more=SAVING,
        causes=("wrong-host",),
        besides=("filtered-behind",),
    ),
    Case(
        name="wrong host, silent",
        plan=routed(forwards=(Forward(ports="5060-5061", to=LAN_HOST),)),
        more=nft("lan-host", "host", "input", f"{BOTH} {SIP} drop"),
        causes=("wrong-host", "filtered-behind"),
    ),
    Case(
        name="wrong host, silent, behind a router that tells of no expired TCP",
        plan=routed(forwards=(Forward(ports="5060-5061", to=LAN_HOST),)),
        more=UNTOLD_TCP + nft("lan-host", "host", "input", f"{BOTH} {SIP} drop"),
        causes=("wrong-host", "filtered-behind"),
        differing=dict.fromkeys(("TCP 5060", "TCP 5061"), ("no-rule", "wrong-host", "filtered-behind")),
    ),
    Case(
        name="no rule, and a router that tells of no expired TCP",
        more=UNTOLD_TCP,
        causes=("no-rule",),
        differing=dict.fromkeys(("TCP 5060", "TCP 5061"), ("no-rule", "wrong-host", "filtered-behind")),
    ),
    Case(name="held by another, alive", igd=Igd(says=igd.PUBLIC, held=(5060, 5061)), causes=("held-by-another",)),
    Case(
        name="held by another, silent",
        igd=Igd(says=igd.PUBLIC, held=(5060, 5061)),
        more=nft("lan-host", "host", "input", f"{BOTH} {SIP} drop"),
        causes=("held-by-another",),
    ),
    Case(name="held by another, with a service", plan=Plan(wrong_service=True), igd=Igd(says=igd.PUBLIC, held=(5060, 5061)), causes=("held-by-another",)),
    Case(name="mapped to a machine that is gone", igd=Igd(says=igd.PUBLIC, held=(5060, 5061), holder=ABSENT), causes=("wrong-host",)),
    Case(
        name="mapped to this machine",
        igd=Igd(says=igd.PUBLIC, mappings=tuple((port, port, transport, "pbx") for port in (5060, 5061) for transport in ("udp", "tcp"))),
    ),
    Case(name="listed for another machine, and not applied", claims=LAN_HOST, causes=("no-rule",)),
    Case(
        name="mapped to this machine, whose firewall drops",
        plan=Plan(host_firewall=True),
        igd=Igd(says=igd.PUBLIC, mappings=tuple((port, port, transport, "pbx") for port in (5060, 5061) for transport in ("udp", "tcp"))),
        causes=("host-firewall",),
    ),
    Case(
        name="a guard against floods, and the rules are right",
        plan=routed(forwards=PBX),
        more=nft("home", "guard", "prerouting", 'iifname "wan" tcp flags & (syn|ack) == syn limit rate over 1/second burst 1 packets drop', priority="-150"),
    ),
    Case(
        name="a guard against floods, and one port has no rule",
        plan=routed(forwards=(Forward(ports="5060"),)),
        more=nft("home", "guard", "prerouting", 'iifname "wan" tcp flags & (syn|ack) == syn limit rate over 1/second burst 1 packets drop', priority="-150"),
        differing={"UDP 5060": (), "TCP 5060": ()},
        causes=("no-rule",),
    ),
    Case(
        name="everything goes to another machine",
        more=nft("home", "more", "prerouting", f'iifname "wan" {BOTH} dnat to {LAN_HOST}', priority="dstnat - 5"),
        causes=("wrong-host",),
    ),
    Case(
        name="the router's own filter undoes its rule",
        plan=routed(forwards=PBX),
        more=nft("home", "more", "forward", f'iifname "wan" {BOTH} {SIP} drop'),
        causes=("wrong-host", "filtered-behind"),
    ),
    Case(
        name="the router's own filter refuses what its rule leads on",
        plan=routed(forwards=PBX),
        more=nft("home", "more", "forward", 'iifname "wan" meta l4proto udp ct state new reject', 'iifname "wan" ct state new tcp flags syn reject with tcp reset'),
        causes=("filtered-behind",),
        besides=(),
    ),
    Case(
        name="the router's own filter undoes its rule, and it tells of nothing",
        plan=routed(forwards=PBX),
        more=UNTOLD + nft("home", "more", "forward", f'iifname "wan" {BOTH} {SIP} drop'),
        causes=("no-rule", "wrong-host", "filtered-behind", "provider-drops", "carrier-grade-nat"),
    ),
    Case(
        name="an address of a pool that the router refuses under its own",
        more=POOL,
        causes=("no-rule",),
        besides=("router-refuses", "provider-drops"),
    ),
    Case(
        name="the provider leads everything on, and the rules are right",
        plan=Plan(home=KernelRouter(forwards=PBX), carrier=KernelRouter(dmz=True)),
    ),
    Case(
        name="the provider leads everything on, and one port has no rule",
        plan=Plan(home=KernelRouter(forwards=(Forward(ports="5060"),)), carrier=KernelRouter(dmz=True)),
        causes=("no-rule", "wrong-host", "filtered-behind"),
        differing={"UDP 5060": (), "TCP 5060": ()},
    ),
    Case(
        name="a rule that changes the port",
        more=nft(
            "home", "more", "prerouting", *(f'iifname "wan" {one} {SIP} dnat to {CLIENT}:5099' for one in ("udp", "tcp")), priority="dstnat - 5"
        ).replace("udp th", "meta l4proto udp th").replace("tcp th", "meta l4proto tcp th"),
        causes=("no-listener",),
    ),
    Case(
        name="rules that lead to other programs of this machine",
        plan=routed(forwards=(Forward(ports="5060", transports=("tcp",)),)),
        programs=(("client", (TAKES_UDP, "5070")), ("client", (SPEAKS, "5071"))),
        more=nft(
            "home",
            "more",
            "prerouting",
            f'iifname "wan" udp dport 5060 dnat to {CLIENT}:5070',
            f'iifname "wan" tcp dport 5061 dnat to {CLIENT}:5071',
            priority="dstnat - 5",
        ),
        causes=("wrong-port",),
        differing={"TCP 5060": ()},
        besides=(),
    ),
    Case(
        name="the way back leads out by another interface",
        plan=routed(forwards=PBX),
        more=TUNNEL,
        causes=("reverse-path",),
        besides=(),
    ),
    Case(
        name="the host's firewall drops one sender",
        plan=routed(forwards=PBX),
        more=nft("client", "banned", "input", "ip saddr 198.51.100.11 drop"),
        causes=("host-firewall",),
        besides=(),
    ),
    Case(
        name="published by a container of this machine",
        plan=routed(forwards=PBX),
        more=CONTAINER + nft("client", "docker", "prerouting", f"fib daddr type local {BOTH} {SIP} dnat to 172.17.0.2", priority="dstnat"),
        causes=("led-on-here",),
        besides=(),
    ),
    Case(
        name="a rule that leads to another tested port",
        plan=routed(forwards=(Forward(ports="5060"),)),
        more=nft("home", "more", "prerouting", f'iifname "wan" tcp dport 5061 dnat to {CLIENT}:5060', priority="dstnat - 5"),
        differing={"TCP 5061": ("wrong-port",)},
    ),
    Case(name="the host's firewall drops", plan=Plan(home=KernelRouter(forwards=PBX), host_firewall=True), causes=("host-firewall",)),
    Case(
        name="the host's firewall rejects",
        plan=routed(forwards=PBX),
        more=nft("client", "host", "input", f"{BOTH} {SIP} reject"),
        causes=("host-firewall",),
    ),
    Case(
        name="carrier-grade nat",
        plan=Plan(home=KernelRouter(forwards=PBX), carrier=KernelRouter()),
        causes=("carrier-grade-nat",),
    ),
    Case(
        name="carrier-grade nat that rejects",
        plan=Plan(home=KernelRouter(forwards=PBX), carrier=KernelRouter(unsolicited="reject")),
        causes=("carrier-grade-nat",),
    ),
    Case(
        name="carrier-grade nat, and the router says that it has the address itself",
        plan=Plan(home=KernelRouter(forwards=PBX), carrier=KernelRouter()),
        says=WAN,
        causes=("no-rule", "carrier-grade-nat"),
    ),
    Case(
        name="two routers of one site, and the inner one tells",
        plan=Plan(home=KernelRouter(forwards=PBX), carrier=KernelRouter()),
        more=SITE,
        says=IN_SITE,
        causes=("double-nat",),
        besides=(),
    ),
    Case(
        name="two routers of one site, and nobody tells",
        plan=Plan(home=KernelRouter(forwards=PBX), carrier=KernelRouter()),
        more=SITE,
        causes=("no-rule", "carrier-grade-nat"),
    ),
    Case(
        name="two routers of one site, and the inner rule is missing",
        plan=Plan(carrier=KernelRouter(forwards=(Forward(ports="5060-5061", to=IN_SITE),))),
        more=SITE,
        says=IN_SITE,
        causes=("no-rule", "wrong-host", "filtered-behind"),
    ),
    Case(
        name="carrier-grade nat behind a home router that hides",
        plan=Plan(home=KernelRouter(forwards=PBX), carrier=KernelRouter()),
        more=hiding("home"),
        causes=("no-rule", "provider-drops", "carrier-grade-nat"),
    ),
    Case(name="no rule, and the router hides", more=hiding("home"), causes=("no-rule", "provider-drops", "carrier-grade-nat")),
    Case(
        name="the provider drops SIP, and the rule is right",
        plan=routed(forwards=PBX),
        more=provider(f"{BOTH} {SIP} drop"),
        causes=("no-rule", "provider-drops"),
    ),
    Case(
        name="the provider drops new SIP flows alone, and there is no rule",
        more=provider(f"ct state new {BOTH} {SIP} drop"),
        causes=("no-rule", "provider-drops"),
    ),
    Case(
        name="the provider lets nothing in unasked, and the rule is right",
        plan=routed(forwards=PBX),
        more=provider(f"ct state new {BOTH} drop"),
        causes=("no-rule", "provider-drops"),
    ),
    Case(
        name="the provider rejects",
        plan=routed(forwards=PBX),
        more=provider(f"{BOTH} {SIP} reject with icmp type admin-prohibited"),
        causes=("provider-drops",),
    ),
    Case(
        name="the provider resets",
        plan=routed(forwards=PBX),
        more=provider("tcp dport 5060-5061 reject with tcp reset"),
        causes=("router-refuses", "provider-drops"),
        differing={"UDP 5060": ()},
    ),
    Case(
        name="the router keeps the port for itself",
        plan=routed(forwards=(Forward(ports="5061"),)),
        more=nft("home", "more", "input", "udp dport 5060 reject", "tcp dport 5060 reject with tcp reset"),
        causes=("router-refuses",),
        besides=("provider-drops",),
        differing={"TCP 5061": ()},
    ),
    Case(
        name="the router's own telephony has the port",
        more=nft("home", "more", "input", 'iifname "wan" th dport 5060 accept') + TAKEN_IN,
        programs=(("home", (SPEAKS_SIP, "5060")),),
        causes=("no-rule",),
        differing={"UDP 5060": ("router-answers", "answered-before"), "TCP 5060": ("router-answers",)},
    ),
    Case(
        name="another pbx has the port",
        plan=routed(forwards=(Forward(ports="5060", to=LAN_HOST),)),
        programs=(("lan-host", (SPEAKS_SIP, "5060")),),
        causes=("no-rule",),
        differing={"UDP 5060": ("wrong-host",), "TCP 5060": ("wrong-host",)},
    ),
    Case(
        name="the provider answers",
        plan=routed(forwards=PBX),
        more=nft("core", "provider", "prerouting", f'iifname "services" ip daddr {WAN} tcp dport 5060 redirect to :5060', priority="dstnat"),
        programs=(("core", (SPEAKS_SIP, "5060")),),
        differing={"TCP 5060": ("answered-before",)},
    ),
    Case(
        name="a firewall without translation",
        plan=Plan(home=KernelRouter(mapping="none"), public_lan=True),
        causes=("no-rule",),
    ),
    Case(
        name="the host's firewall, and no translation",
        plan=Plan(home=KernelRouter(mapping="none", filtering="none"), public_lan=True, host_firewall=True),
        causes=("host-firewall",),
    ),
)
Play = Callable[[Case], dict[str, Any]]


@pytest.fixture(scope="module")
def play(laboratory: Laboratory, request: pytest.FixtureRequest) -> Iterator[Play]:
    def run(case: Case) -> dict[str, Any]:
        if case.igd is not None:
            laboratory.need(*igd.PROGRAMS)
        directory = laboratory.directory(f"cause {case.name}")
        with laboratory.stand(case.plan, "cause") as topology:
            case.prepare(topology, directory)
            runs.serve(topology, runs.Server(), directory)
            return runs.run(topology, runs.Server(), directory, "port-forwarding")

    with laboratory.together(request, "case", run) as played:
        yield played


def told(report: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Port -> the causes told of it; none where it is reached."""
    (check,) = report["checks"]
    out: dict[str, tuple[str, ...]] = {}
    for finding in check["findings"]:
        transport, _, numbers = finding["subject"].partition(" ")
        state, _, causes = finding["observed"].partition(": ")
        named = finding["id"].partition(".")[2]
        fits = tuple(causes.split(" or ")) if causes else ()
        assert state in ("forwarded", "blocked", "refused", "answered"), runs.told(report)
        assert named == (fits[0] if len(fits) == 1 else state), "one cause is the finding's name"
        for part in numbers.split(", "):
            low, _, high = part.partition("-")
            out |= {f"{transport} {port}": fits for port in range(int(low), int(high or low) + 1)}
    return out


EACH_RUN = (
    "no rule, 50 ms away",
    "no rule, and the router rejects",
    "wrong host, alive",
    "wrong host, absent",
    "a rule that changes the port",
    "a rule that leads to another tested port",
    "the host's firewall drops",
    "carrier-grade nat",
    "two routers of one site, and the inner one tells",
    "the provider drops SIP, and the rule is right",
    "the provider rejects",
    "the router keeps the port for itself",
    "a firewall without translation",
)
"""One of each cause; their look-alikes are for ``-m slow``."""


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=() if case.name in EACH_RUN else pytest.mark.slow) for case in CASES]
)
def test_cause(play: Play, case: Case) -> None:
    report = play(case)
    assert not runs.faults(report), "\n".join(runs.faults(report))
    assert case.fits(told(report)), runs.told(report) + "\n".join(
        ["", str(told(report)), *(line for check in report["checks"] for finding in check["findings"] for line in finding["evidence"])]
    )


@pytest.mark.slow
def test_answers_that_leave_by_another_line(laboratory: Laboratory) -> None:
    directory = laboratory.directory("cause second line")
    with laboratory.stand(routed(forwards=PBX), "cause") as topology:
        topology.ground.shell(SECOND_LINE)
        runs.serve(topology, runs.Server(), directory)
        report = runs.run(topology, runs.Server(), directory, "port-forwarding")
    findings = {finding["subject"]: finding for finding in report["checks"][0]["findings"]}
    assert findings["UDP 5060"]["id"] == "port-forwarding.forwarded", runs.told(report)
    assert findings["TCP 5060-5061"]["id"] == "port-forwarding.undecided", runs.told(report)
    assert "its answers do not get back" in findings["TCP 5060-5061"]["summary"], runs.told(report)


@pytest.mark.slow
def test_who_is_shut_out_by_a_guard_before_a_nat_that_lets_in_who_was_contacted(laboratory: Laboratory) -> None:
    """The first run finds no rule. In the second one the alternate address is shut out; the primary one is let in at the ports, which have
    sent to it in the first, so that alone tells nothing: but the alternate one, contacted, stays outside."""
    directory = laboratory.directory("cause guard")
    with laboratory.stand(Plan(home=UserRouter(nat={"filtering": "address-dependent"})), "cause") as topology:
        runs.serve(topology, runs.Server(), directory)
        free = runs.run(topology, runs.Server(), directory, "port-forwarding", "port-preservation")
        topology.ground.shell(f"ip netns exec home nft -f - <<'END'\n{BANNED}\nEND")
        shut = runs.run(topology, runs.Server(), directory, "port-forwarding")
    for report in (free, shut):
        assert not runs.faults(report), "\n".join(runs.faults(report))
    assert {row["state"] for row in free["checks"][0]["observation"]["ports"]} == {"blocked"}, runs.told(free)
    assert {(row["state"], row["reason"]) for row in shut["checks"][0]["observation"]["ports"]} == {("undecided", KEPT_OUT)}, runs.told(shut)
