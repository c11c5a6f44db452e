"""A check that is cut short: the server is killed, or the run interrupted, after every so many messages, for every check.

The law: what is told then is what the whole run tells. A part is never a pass, never a failure that the whole is not; no fact of it is
another in the whole, so that a comparison of the two finds nothing changed; and where something was known, it is there.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgecheck import judging
from edgecheck.checks import ALL, DOCTOR
from edgecheck.checks.sip_alg.against import Aim, probe_against
from edgecheck.comparison import compare
from edgecheck.course import Course, reported
from edgecheck.doctor import PROFILE as PROFILE_OF_DOCTOR
from edgecheck.model.check import Check
from edgecheck.model.comparison import Kind
from edgecheck.model.errors import ControlLost
from edgecheck.model.phone import Target
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import CheckResult, Report, Verdict
from edgecheck.report import json
from edgecheck.wire import ports as port_ranges
from tests.checks.probing import NEEDS, PROFILE, SIP
from tests.checks.test_topology_walks import CARRIER_OWNER, CORE, HOME, OWNER, fresh
from tests.fakes import certificates, clock
from tests.fakes.certificates import issue
from tests.fakes.edge import PRIMARY, Edge, Weather
from tests.fakes.expiring import ExpiringEdge
from tests.fakes.hops import HopWorld
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import EIGHT, Nat
from tests.fakes.phone import PhoneWorld
from tests.fakes.registrar import Registrar
from tests.fakes.sip_path import Reader, SipPath, does
from tests.fakes.sip_peers import OverTls, over_udp
from tests.fakes.walls import Walled, walls
from tests.fakes.world import Told

CHECKS = {check.id: check for check in (*ALL, *DOCTOR)}
POINTS = 6
"""Moments tried of each run, spread over its messages."""
FORWARDED = {key: value for key, value in SIP.items() if key != ("tcp", 5061)} | {("udp", port): port for port in range(10_000, 10_020)}


class Strike:
    """Counts messages; at one of them it strikes."""

    def __init__(self, at: int | None) -> None:
        self.count = 0
        self._at = at
        self.deed: Callable[[], None] = lambda: None

    def message(self) -> None:
        self.count += 1
        if self.count == self._at:
            self.deed()


def listen(world: Any, strike: Strike) -> None:
    """Every message that this world carries counts."""
    for name in ("_at_server", "connect", "_quote", "send"):
        carry = getattr(world, name, None)
        if carry is not None:
            setattr(world, name, partial(_counted, strike, carry))
    if isinstance(world, PhoneWorld):
        world.sent, world.connected = Counted(strike), Counted(strike)
    if isinstance(world, Edge):
        answer = world.ask

        async def ask(make: Any, timeout: float = 30.0) -> Any:
            strike.message()
            reply = await answer(make, timeout)
            if world.lost is not None:
                raise ControlLost(f"The server was lost in mid-run: {world.lost}.")
            strike.message()
            return reply

        world.ask = ask  # type: ignore[method-assign]


def _counted(strike: Strike, carry: Callable[..., Any], *values: Any, **more: Any) -> Any:
    strike.message()
    return carry(*values, **more)


def kill(edge: Edge) -> None:
    """The server's process is gone: it hears nothing, says nothing, and the control channel ends."""
    edge.lost = "the server closed the control channel"
    for name in ("_at_server", "_carry_out"):
        setattr(edge, name, lambda *_: None)


class Trial(Course):
    """One check in one world."""

    def __init__(self, check: Check, profile: Profile, network: Any) -> None:
        super().__init__(Told(), [check], profile, "the test", None)
        self._network = network

    def why_untested(self) -> str:
        return "it was not"

    def settings_told(self) -> dict[str, Any]:
        return {"profile": msgspec.to_builtins(self.profile)}

    async def carry_out(self) -> None:
        await self.one(self.plan[0], self._network)


def go(check: Check, profile: Profile, make: Callable[[], tuple[Any, Any]], at: int | None, deed: str) -> tuple[Report, int]:
    """The report and how many messages there were; what is cut short is read back and judged anew, too."""

    async def work() -> tuple[Report, int]:
        world, network = make()
        strike = Strike(at)
        listen(world, strike)
        task = asyncio.ensure_future(reported(Trial(check, profile, network)))
        strike.deed = (lambda: kill(world)) if deed == "kill" else lambda: task.cancel() and None
        report = await task
        return report, strike.count

    report, count = clock.run(work())
    saved = json.read(json.render(report))
    (result,) = report.checks
    (again,) = judging.rejudge(saved).checks
    assert msgspec.to_builtins(again.findings) == msgspec.to_builtins(saved.checks[0].findings)
    assert (again.verdict, again.summary, again.cut_short) == (result.verdict, result.summary, result.cut_short)
    return report, count


def facts(result: CheckResult) -> dict[Any, Any]:
    """What is claimed, without counts and evidence: undecided things are left out."""
    seen = result.observation or {}
    match result.id:
        case "nat-behavior":
            names = ("behind_nat", "mapping", "filtering", "hairpinning", "classic_type", "udp_blocked", "mapped_address")
            return {name: seen[name] for name in names if seen.get(name) is not None}
        case "port-preservation":
            moved = {(row["transport"], row["local"]): row["mapped"] for row in seen.get("ports", ()) if row["mapped"] is not None}
            return moved | {name: seen[name] for name in ("allocation", "parity_kept") if seen.get(name) is not None}
        case "port-forwarding":
            return {(row["transport"], row["port"]): row["state"] for row in seen.get("ports", ()) if row["state"] != "undecided"}
        case "rtp-range":
            names = ("inbound_blocked", "outbound_blocked", "return_blocked", "remapped", "busy")
            return {(name, port): True for name in names for port in port_ranges.expand(map(tuple, seen.get(name, ())))}
        case "sip-alg":
            return {
                (row["transport"], row["server_port"], row["method"], way): row[way]
                for row in seen.get("probes", ())
                for way in ("request", "response")
                if row[way] != "undecided"
            }
        case "topology":
            return {name: seen[name] for name in ("nat_layers", "cgnat") if seen.get(name) is not None}
        case "outbound":
            told = {(row["transport"], row["port"]): row["state"] for row in seen.get("targets", ()) if row["state"] != "undecided"}
            return told | ({"dns": seen["dns_intercepted"]} if seen.get("dns_intercepted") is not None else {})
        case "host":
            return {name: seen[name] for name in ("source", "machine") if name in seen}
        case "transport":
            return {(row["transport"], row["address"], row["port"]): row["state"] for row in seen.get("attempts", ())}
        case "dns":
            return {(row["query"], row["type"]): sorted(row["answer"].split("; ")) for row in seen.get("steps", ())}
        case "tls":
            return {row["target"]: (row["failure"], row["verify_code"], row["minted"]) for row in seen.get("servers", ())}
        case "registration":
            return {(n, row["purpose"]): row["status"] for n, row in enumerate(seen.get("attempts", ()))}
        case _:
            return {}


def holds(part: CheckResult, whole: CheckResult, where: Any) -> None:
    """The law."""
    assert part.fault is None, (where, part.fault)
    if part.cut_short is None:
        assert part.verdict is whole.verdict or part.verdict is Verdict.INCONCLUSIVE, where
        return
    assert part.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE), where
    assert part.verdict is not Verdict.FAIL or whole.verdict is Verdict.FAIL, (where, part.summary, whole.summary)
    warned = {finding.id for finding in part.findings if finding.verdict is Verdict.WARN}
    assert not warned or whole.verdict in (Verdict.WARN, Verdict.FAIL, Verdict.INCONCLUSIVE), (where, warned)
    assert part.cut_short in part.summary, where
    for count in ("inbound_open", "outbound_open", "tested", "preserved"):
        some, all_of_them = (part.observation or {}).get(count), (whole.observation or {}).get(count)
        assert some is None or some <= (all_of_them or 0), (where, count, some, all_of_them)
    known = facts(whole)
    # What the whole run cannot tell (a router that contradicts itself) a part may not either.
    for fact, value in facts(part).items():
        assert known.get(fact) == value, (where, fact, value, known.get(fact))


def tried(name: str, check: Check, profile: Profile, make: Callable[[], tuple[Any, Any]], deeds: tuple[str, ...] = ("kill", "interrupt")) -> None:
    """Struck at every so-manieth message; some part must have left something."""
    truth, count = go(check, profile, make, None, "kill")
    (whole,) = truth.checks
    assert whole.cut_short is None
    assert count > 1
    left = 0
    for deed in deeds:
        for at in sorted({1 + step * (count - 1) // POINTS for step in range(POINTS + 1)}):
            report, _ = go(check, profile, make, at, deed)
            (part,) = report.checks
            changes = [change for change in compare(truth, report).changes if change.kind is not Kind.NOT_COMPARED]
            assert not changes, (name, deed, at, changes)
            holds(part, whole, (name, deed, at, count))
            left += part.cut_short is not None and part.observation is not None
    assert left, "of some run a part was measured and is reported"


def over(edge: Callable[[], Edge]) -> Callable[[], tuple[Any, Any]]:
    """A world, and the client's network in it."""

    def make() -> tuple[Any, Any]:
        made = edge()
        network = made.network(SharedMemory())
        network.gate.open()
        return made, network

    return make


MEASURED = ("nat-behavior", "port-preservation", "port-forwarding", "rtp-range", "host")


@pytest.mark.parametrize(("kind", "loss"), [("none", 0.0), ("full cone", 0.08), ("port restricted cone", 0.0), ("symmetric", 0.08)])
@pytest.mark.parametrize("id", MEASURED)
def test_measured_through_a_nat(id: str, kind: str, loss: float) -> None:
    profile = msgspec.structs.replace(PROFILE, ports=NEEDS, rtp=(10_000, 10_039), preservation_sample=8)
    tried(kind, CHECKS[id], profile, over(lambda: Edge(Nat(**EIGHT[kind], forwarded=FORWARDED, seed=3), Weather(loss=loss, seed=3))))


@pytest.mark.parametrize("id", ["rtp-range", "port-preservation"])
def test_nothing_of_udp_passes(id: str) -> None:
    profile = msgspec.structs.replace(PROFILE, rtp=(10_000, 10_039), preservation_sample=8)
    tried("blocked", CHECKS[id], profile, over(lambda: Edge(Nat(blocks_udp=True))))


def test_causes_of_ports_that_are_not_reached() -> None:
    rules: dict[tuple[str, int], Any] = {("tcp", 5061): "refuses"}
    tried("another host", CHECKS["port-forwarding"], PROFILE, over(lambda: ExpiringEdge(Nat(forwarded=FORWARDED), rules=rules)))


@pytest.mark.parametrize("deed", [None, "R3", "A7"])
def test_sip_on_a_path_that_reads_it(deed: str | None) -> None:
    def path() -> SipPath:
        return SipPath(Reader(deed=does(deed)) if deed else None)

    tried(str(deed), CHECKS["sip-alg"], PROFILE, over(path))


@pytest.mark.parametrize("deed", [None, "R3", "R7", "A1", "R21"])
@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_sip_from_one_side(deed: str | None, loss: float) -> None:
    aim = Aim(host="pbx.example", address=PRIMARY, port=5060)
    check = msgspec.structs.replace(CHECKS["sip-alg"], probe=lambda net, profile: probe_against(net, aim))

    def path() -> SipPath:
        return SipPath(Reader(deed=does(deed)) if deed else None, Weather(loss=loss, seed=3))

    tried(str(deed), check, PROFILE, over(path), ("interrupt",))


def test_from_one_side_an_answer_that_proves_it_is_not_lost() -> None:
    """While it is still being waited for what nobody may say."""
    check = msgspec.structs.replace(
        CHECKS["sip-alg"], probe=lambda net, profile: probe_against(net, Aim(host="pbx.example", address=PRIMARY, port=5060))
    )

    async def work() -> Report:
        network = SipPath(Reader(deed=does("R7"))).network(SharedMemory())
        network.gate.open()
        task = asyncio.ensure_future(reported(Trial(check, PROFILE, network)))
        asyncio.get_running_loop().call_later(1.0, task.cancel)  # nobody is waited for until 2.6 s
        return await task

    (result,) = clock.run(work()).checks
    assert [finding.id for finding in result.findings] == ["sip-alg.inconsistent", "sip-alg.cut-short"]
    assert result.verdict is Verdict.FAIL
    assert result.observation is not None
    assert result.observation["against"]["nobody_answered"] is None, "silence that was still being waited for is no fact"


def test_from_one_side_who_answered_is_told() -> None:
    check = msgspec.structs.replace(
        CHECKS["sip-alg"], probe=lambda net, profile: probe_against(net, Aim(host="pbx.example", address=PRIMARY, port=5060))
    )

    async def work() -> Report:
        network = SipPath(blocked=frozenset({("tls", 5061)})).network(SharedMemory())
        network.gate.open()
        task = asyncio.ensure_future(reported(Trial(check, PROFILE, network)))
        asyncio.get_running_loop().call_later(1.0, task.cancel)
        return await task

    (result,) = clock.run(work()).checks
    assert result.summary == "UDP 5060 and TCP 5060 answered; the rest could not be finished: interrupted"
    assert [finding.id for finding in result.findings] == ["sip-alg.cut-short"]


@pytest.mark.parametrize("case", ["open", "walled", "deaf"])
def test_what_the_network_lets_out(case: str) -> None:
    def edge() -> Walled:
        made = Walled()
        made.others_reach_all()
        made.walls = {"open": {}, "walled": walls(("udp", 5060), ("tcp", 5060)), "deaf": walls(("tcp", 5060), deed="deaf")}[case]
        return made

    tried(case, CHECKS["outbound"], msgspec.structs.replace(PROFILE, rtp=(10_000, 10_999)), over(edge))


def test_public_addresses() -> None:
    tried("addresses", CHECKS["topology"], PROFILE, over(lambda: Edge(Nat())))


@pytest.mark.parametrize(("routers", "layers"), [((OWNER, CORE), 1), ((HOME, CARRIER_OWNER, CORE), 2)])
def test_walks(routers: tuple[Any, ...], layers: int) -> None:
    def make() -> tuple[Any, Any]:
        world = HopWorld(*fresh(*routers))
        return world, world

    tried(str(layers), CHECKS["topology"], PROFILE, make, ("interrupt",))


@pytest.mark.parametrize(("lives", "deed"), [(12.0, "interrupt"), (30.0, "kill"), (30.0, "interrupt"), (100.0, "interrupt")])
def test_lifetimes(lives: float, deed: str) -> None:
    make = over(lambda: Edge(Nat(lifetime=lives)))
    truth, count = go(CHECKS["mapping-lifetime"], PROFILE, make, None, "kill")
    left = 0
    for at in range(count // 8, count, count // 8):
        (part,) = go(CHECKS["mapping-lifetime"], PROFILE, make, at, deed)[0].checks
        holds(part, truth.checks[0], (lives, deed, at))
        lower, upper = (part.observation or {}).get("udp_s") or (None, None)
        assert lower is None or lower <= lives
        assert upper is None or upper + 1 >= lives
        left += lower is not None
    assert left


ZONE = """
    example.com NAPTR 50 50 "s" "SIP+D2U" "" _sip._udp.example.com.
    _sip._udp.example.com SRV 10 60 5060 one.example.com.
    _sip._udp.example.com SRV 20 60 5060 two.example.com.
    one.example.com A 203.0.113.10
    two.example.com A 203.0.113.11
"""


class Counted(list[Any]):
    """A world's list of what was sent; each counts."""

    def __init__(self, strike: Strike) -> None:
        super().__init__()
        self._strike = strike

    def append(self, item: Any) -> None:
        super().append(item)
        self._strike.message()


@pytest.mark.parametrize("server", [over_udp(), over_udp(Registrar()), over_udp(Registrar(password="other"))])
@pytest.mark.parametrize("id", ["dns", "transport", "registration"])
def test_the_doctor_is_interrupted(id: str, server: Any) -> None:
    """What the checks before leave, it has: the whole doctor runs, and one check of it is looked at."""

    def make() -> tuple[Any, Any]:
        world = PhoneWorld(ZONE).udp_at("203.0.113.10:5060", server)
        phone = world.phone("sip:alice@example.com", "secret")
        if id != "dns":
            phone.targets = [Target(transport="udp", host=f"{n}.example.com", address=f"203.0.113.1{i}", port=5060) for i, n in enumerate(("one", "two"))]
        return world, phone

    tried(id, CHECKS[id], PROFILE_OF_DOCTOR, make, ("interrupt",))


def test_tls_is_interrupted(tmp_path: Path) -> None:
    """A certificate that was seen is as bad as it is, whatever the other servers show."""
    bad, worse = issue("pbx.example.com", names=("other.example.net",)), issue("pbx.example.com", names=("pbx.example.com",))

    def make() -> tuple[Any, Any]:
        world = PhoneWorld()
        phone = world.phone("sip:alice@pbx.example.com;transport=tls", "secret")
        for number, identity in enumerate((bad, worse)):
            world.tcp_at(f"203.0.113.{10 + number}:5061", OverTls(certificates.settings(tmp_path, identity)))
            phone.targets.append(Target(transport="tls", host="pbx.example.com", address=f"203.0.113.{10 + number}", port=5061))
        return world, phone

    tried("tls", CHECKS["tls"], PROFILE_OF_DOCTOR, make, ("interrupt",))
