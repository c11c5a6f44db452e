"""Why a port was not reached: the evidence for every cause, gathered once the rounds have shown which ports it is about.

The order keeps one experiment from spoiling the next: what arrives unasked here, what the path looks like, what the box with the public
address does with the ports; and only then do the ports themselves send.
"""

import asyncio
from typing import NamedTuple

import msgspec

from edgecheck.checks import topology
from edgecheck.checks.port_forwarding.causes import fitting
from edgecheck.checks.port_forwarding.crossing import NOTHING, Crossing, cross, of_the_box
from edgecheck.checks.port_forwarding.elsewhere import LED_ON, look_elsewhere
from edgecheck.checks.port_forwarding.greeting import greet
from edgecheck.checks.port_forwarding.here import look
from edgecheck.checks.port_forwarding.observation import Canaries, Icmp, Path, PortRow
from edgecheck.checks.port_forwarding.punch import punch_tcp, punch_udp
from edgecheck.checks.port_forwarding.udp import Shots, icmp_of
from edgecheck.model.check import Counters, Network
from edgecheck.model.router import PortMapping, RouterFacts
from edgecheck.wire import control
from edgecheck.wire import ports as port_ranges

NOT_REACHED = ("blocked", "refused")
REFILL_S = 3.0
"""A router that has just refused a burst may save its next errors: Linux tells one peer of six at once, then of one a second."""
LATE_S = 3.5
"""A router looks for a machine that is not there for about three seconds before it says so (RFC 1122 section 2.3.2.2 leaves it open;
Linux asks three times, a second apart)."""


class Rounds(NamedTuple):
    """What the rounds left behind."""

    shots: Shots | None
    udp: Canaries
    tcp: Canaries
    counters: tuple[Counters | None, Counters | None]
    """Before and after."""
    began: float
    earlier: tuple[int, int] = (0, 0)
    """Control packets (arrived, sent) of rounds just before, on the same path."""


async def arrivals(net: Network, rows: list[PortRow], rounds: Rounds) -> list[PortRow]:
    """The rows, those not reached with what this machine's own counters say of them."""
    wanted = [row for row in rows if _not_reached(row)]
    here = await look(net, wanted, rounds.counters, _kept(rounds)) if wanted else {}
    return [msgspec.structs.replace(row, here=here.get(_key(row), row.here)) if _not_reached(row) else row for row in rows]


def _not_reached(row: PortRow) -> bool:
    return row.state in NOT_REACHED and row.lands_on is None


def _key(row: PortRow) -> tuple[str, int]:
    return row.transport, row.port


async def examine(
    net: Network,
    rows: list[PortRow],
    rounds: Rounds,
    avoid: set[int],
    *,
    patient: bool = True,
    let_in: bool = False,
    sip: frozenset[int] = frozenset(),
) -> tuple[list[PortRow], Path | None]:
    """The rows, as ``arrivals`` left them, with what tells their causes apart, and the path. Ports that were reached cost nothing.

    ``let_in``: some port was reached, here or before. Not ``patient``: what takes seconds is left out, and more causes fit. ``sip``: the
    UDP ports at which SIP is expected.
    """
    wanted = [row for row in rows if _not_reached(row)]
    strangers = [row for row in rows if row.state == "answered" and (not row.asked or row.answered_here is False)]
    if not wanted and not strangers:
        return rows, None
    kept = _kept(rounds)
    path = _path(await topology.walk(net, ask=patient), let_in or any(_reached(row) for row in rows))
    wanted = wanted + strangers
    hopeless = path.cgnat and not path.let_in
    wanted = [_led_on(row) for row in wanted]
    open_questions = [row for row in wanted if not hopeless and row.here in (None, "nothing")]
    if open_questions:
        crossing = NOTHING
        if patient and net.source != net.observed:
            if any(row.icmp is not None for row in wanted):
                await net.sleep(REFILL_S)
            refused = _ports([row for row in open_questions if row.icmp is not None], "udp")
            udp, tcp = _ports(open_questions, "udp"), _ports(open_questions, "tcp")
            crossing = await cross(net, udp, tcp, avoid, 1 - kept, path.owner_hop, refused)
        path = msgspec.structs.replace(
            path,
            behind_owner=crossing.behind,
            told_of_expiry=crossing.told,
            expiry_ttl=crossing.expiry_ttl,
            before_owner=crossing.before,
            canary=(rounds.shots.canary if rounds.shots else None) or crossing.canary_error,
            canary_passed_on=crossing.canary,
            canary_tcp=crossing.canary_tcp,
        )
        wanted = _crossed(wanted, crossing)
        wanted = await _punched(net, wanted, path, rounds)
        wanted = await _later(net, wanted, path, rounds) if patient else wanted
        wanted = await greet(net, wanted, sip) if patient and not path.cgnat else wanted
        # Last: what asks at a machine that is not there spends the errors of a router that saves them.
        wanted = await look_elsewhere(net, wanted, kept) if patient and net.source != net.observed else wanted
    return _with(rows, wanted), path


def _led_on(row: PortRow) -> PortRow:
    """Silence of whom this machine leads it on to says nothing."""
    silent = row.here == "led-on" and row.state == "blocked"
    return msgspec.structs.replace(row, state="undecided", reason=LED_ON) if silent else row


def _kept(rounds: Rounds) -> float:
    """The share of packets that was not lost, one way; by Laplace's rule, so that a short lucky control promises little."""
    arrived, sent = rounds.earlier
    sent += rounds.udp.control_sent + rounds.tcp.control_sent
    return (arrived + rounds.udp.control_arrived + rounds.tcp.control_arrived + 1) / (sent + 2)


def _path(seen: topology.TopologyObservation, let_in: bool) -> Path:
    first = next((hop.address for hop in seen.hops if hop.hop == 1), None)
    owner = next((hop.address for hop in seen.hops if hop.hop == seen.owner_hop and hop.hop > 1), None)
    return Path(
        owner_hop=seen.owner_hop,
        router=first,
        owner=owner,
        double=seen.nat_layers == 2 and seen.cgnat is None,
        cgnat=seen.cgnat,
        unseen_router=seen.unseen_router,
        let_in=let_in,
    )


def _reached(row: PortRow) -> bool:
    return row.state == "forwarded" or row.lands_on is not None or row.answered_here is True


def _ports(rows: list[PortRow], transport: str) -> list[int]:
    return list(dict.fromkeys(row.port for row in rows if row.transport == transport))


def _crossed(rows: list[PortRow], crossing: Crossing) -> list[PortRow]:
    return [
        msgspec.structs.replace(
            row,
            passed_on=crossing.led_on.get((row.transport, row.port)),
            reset_before=crossing.reset.get(row.port) if _reset(row) else None,
            answered_before=crossing.answered.get(row.port) if row.transport == "tcp" and row.state == "answered" else None,
            refused_by_box=_refused_by_box(row, crossing),
        )
        for row in rows
    ]


def _refused_by_box(row: PortRow, crossing: Crossing) -> bool | None:
    """Of a port that the box leads on."""
    if row.state != "refused" or not crossing.led_on.get((row.transport, row.port)):
        return None
    return of_the_box(row.icmp.ttl, crossing.expiry_ttl) if row.icmp is not None else crossing.reset_by_box.get(row.port)


def _reset(row: PortRow) -> bool:
    return row.transport == "tcp" and row.state == "refused" and row.icmp is None


async def _punched(net: Network, rows: list[PortRow], path: Path, rounds: Rounds) -> list[PortRow]:
    """Only what a rule does not lead on can be held up beyond the box; and a NAT that lets anyone in on a used port must not learn one."""
    held = [row for row in rows if row.state == "blocked" or _reset(row)]  # who resets bears whatever address it likes
    asked = [row for row in held if row.passed_on is not True and row.here in (None, "nothing", "undropped") and row.lands_on is None]
    hops = _beyond(path)
    if not asked or hops is None or rounds.udp.mapped_reached is not False:
        return rows
    udp, tcp = await asyncio.gather(punch_udp(net, _ports(asked, "udp"), hops), punch_tcp(net, _ports(asked, "tcp"), hops))
    arrived = {("udp", port) for port in udp} | {("tcp", port) for port in tcp}
    return [msgspec.structs.replace(row, punched=True) if (row.transport, row.port) in arrived else row for row in rows]


def _beyond(path: Path) -> int | None:
    """How long a packet must live to be seen by the box with the public address, and by nobody beyond."""
    owner = path.owner_hop if path.owner_hop is not None else path.behind_owner
    return max(1, owner) + 1 if owner is not None else None


async def _later(net: Network, rows: list[PortRow], path: Path, rounds: Rounds) -> list[PortRow]:
    """What takes seconds, where causes are left that it could tell apart: errors about a machine that is not there; the router's list."""

    def unclear(row: PortRow) -> bool:
        return len(fits(row)) > 1

    def fits(row: PortRow) -> tuple[str, ...]:
        return fitting(row, path, net.source, net.observed)

    if not any(unclear(row) or "wrong-host" in fits(row) for row in rows):  # whose machine is it that a port is led to?
        return rows
    silent = [row for row in rows if row.state == "blocked" and row.passed_on is not False and unclear(row)]
    asked = asyncio.create_task(net.router())
    dialed = await _dial_patiently(net, _ports(silent, "tcp")) if silent else {}
    if silent:
        await net.sleep(max(0.0, rounds.began + LATE_S - net.now()))
        told = await rounds.shots.late() if rounds.shots is not None else {}
        late = {("tcp", port): icmp_of(row) for port, row in dialed.items()} | {("udp", port): icmp_of(row) for port, row in told.items()}
        rows = [_told_late(row, late.get((row.transport, row.port))) for row in rows]
    facts = await asked
    return [msgspec.structs.replace(row, mapping=_mapping(facts, row)) for row in rows]


def _told_late(row: PortRow, told: Icmp | None) -> PortRow:
    return msgspec.structs.replace(row, icmp=told) if told is not None and row.state == "blocked" and row.icmp is None else row


async def _dial_patiently(net: Network, ports: list[int]) -> dict[int, control.ErrorRow]:
    """TCP: an attempt that waits until the router has given up looking for the machine."""
    ports = ports[: net.limits.dials // 2]
    if not ports:
        return {}
    series = net.new_series()
    reply = await net.ask(
        lambda id: control.Dial(
            id=id,
            series=series,
            address=net.observed,
            ports=port_ranges.compress(ports),
            attempts=2,
            patience_ms=int(1000 * (LATE_S + net.rtt)),
        )
    )
    rows = reply.rows if isinstance(reply, control.Dialed) else ()
    return {row.port: row.icmp for row in rows if row.icmp is not None}


def _mapping(facts: RouterFacts, row: PortRow) -> PortMapping | None:
    """The rule that the router lists for this port, from anywhere; one that names the port before the wildcard."""
    mappings = facts.told.mappings if facts.told else ()
    mine = [one for one in mappings if one.transport == row.transport and one.external_port in (row.port, 0)]
    fits = [one for one in mine if one.enabled and not one.remote_host]
    return max(fits, key=lambda one: one.external_port, default=None)


def _with(rows: list[PortRow], changed: list[PortRow]) -> list[PortRow]:
    by_port = {(row.transport, row.port, row.purpose): row for row in changed}
    return [by_port.get((row.transport, row.port, row.purpose), row) for row in rows]
