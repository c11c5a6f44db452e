"""The examination: inward of all batches first, then outward; and what came of both, put together."""

import asyncio
import math
from typing import NamedTuple

from edgecheck.checks.port_forwarding.contacted import KEPT_OUT, is_kept_out, lets_in_contacted
from edgecheck.checks.port_forwarding.observation import ForwardingObservation, PortRow
from edgecheck.checks.port_forwarding.primary import Led, led_in
from edgecheck.checks.port_forwarding.shut_out import Witness, leave, left, note, noted, reason_of_another, shut_out_before, tell
from edgecheck.checks.rtp_range.canaries import needed
from edgecheck.checks.rtp_range.examine import look_into
from edgecheck.checks.rtp_range.inbound import Inbound
from edgecheck.checks.rtp_range.listening import Run
from edgecheck.checks.rtp_range.observation import RtpObservation, Traced
from edgecheck.checks.rtp_range.outbound import Outbound
from edgecheck.checks.rtp_range.outward import trace
from edgecheck.checks.rtp_range.rounds import Tally
from edgecheck.checks.rtp_range.shut_out import STARVED, no_longer_let_in, out_now
from edgecheck.checks.rtp_range.stretches import MOST_BESIDE, beside, representatives, shifts, stretches
from edgecheck.checks.unsolicited import SEVERAL_ADDRESSES, alternate_answers
from edgecheck.model import draft
from edgecheck.model.check import Network
from edgecheck.model.profile import Profile
from edgecheck.wire import ports as port_ranges
from edgecheck.wire.address import Endpoint

MOST_TRACED = 2
"""Ports blocked on the way out that are followed hop by hop."""


async def probe_network(net: Network, profile: Profile) -> RtpObservation:
    """Inbound of all batches first: a port that has sent is no longer unused. A batch is what both ends' descriptors allow at once."""
    assert profile.rtp is not None  # the runner skips the check otherwise
    run = Run(net, profile.rtp)
    inward, outward = Inbound(run), Outbound(run)
    every = list(run.every)
    # Each has ports of the whole range, so that an open one is found before anybody is shut out, and rides as a guide with every batch.
    count = math.ceil(len(every) / min(net.port_capacity, net.limits.media_ports or net.port_capacity))
    batches = [every[start::count] for start in range(count)]
    draft.leave(lambda why: _observed(run, inward, outward, None, why))
    if len(batches) == 1:
        with await run.open(every) as listening:
            outward.open_media_meanwhile(listening.ports)
            await inward.test(listening)
            chosen = _to_examine(run, inward, profile)
            with run.lent(listening, sorted(chosen.ports.intersection(listening.ports))):
                await _look_into(run, inward, profile, chosen)
            async with _Meanwhile(run, inward) as loose:
                await outward.test(listening)
                run.traced = await _traced(run, outward)
                lets_in = await loose.told()
    else:
        await _one_by_one(run, inward, batches)
        await _look_into(run, inward, profile, _to_examine(run, inward, profile))
        async with _Meanwhile(run, inward) as loose:
            await _one_by_one(run, outward, batches)
            run.traced = await _traced(run, outward)
            lets_in = await loose.told()
    in_open, in_blocked, _ = _together(inward.tallies)
    reached = in_open - inward.doubtful
    if reached and left(net) is None:
        leave(net, Witness("udp", min(reached), False))
    answers = None
    if in_blocked and not in_open and not inward.moved:
        answers = await alternate_answers(net)
        if answers and lets_in and not run.shut_out and await is_kept_out(net):
            run.shut_out = KEPT_OUT
            tell(net, KEPT_OUT)
    return _observed(run, inward, outward, answers)


class _Meanwhile:
    """Whether the primary address is let in where it was contacted, asked beside the test of the way out where nothing came in.

    An asynchronous context manager that ends the question.
    """

    def __init__(self, run: Run, inward: Inbound) -> None:
        self._run, self._inward = run, inward
        self._asked: asyncio.Task[bool | None] | None = None

    async def __aenter__(self) -> "_Meanwhile":
        run = self._run
        if self._inward.nothing_came and not run.shut_out and not run.lets_in_contacted:
            self._asked = asyncio.create_task(lets_in_contacted(run.net))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._asked is not None:
            self._asked.cancel()
            await asyncio.gather(self._asked, return_exceptions=True)

    async def told(self) -> bool | None:
        """None: could not tell, or was not wanted. Ten thousand packets beside it may have cost the answer: then it is asked again."""
        if self._asked is None:
            return self._run.lets_in_contacted
        told = await self._asked
        return await lets_in_contacted(self._run.net) if told is None else told


async def _one_by_one(run: Run, direction: Inbound | Outbound, batches: list[list[int]]) -> None:
    for batch in batches:
        with await run.open(batch) as listening:
            await direction.test(listening)


async def _traced(run: Run, outward: Outbound) -> list[Traced]:
    """How far the middle ports of the longest stretches get that are blocked on the way out: some seconds."""
    blocked = port_ranges.compress(_together(outward.tallies)[1])
    if not run.net.pace or not blocked or not run.udp_alive:
        return []
    host = run.net.primary.host
    found = [await trace(run.net, port, Endpoint(host, outward.target(port))) for port in representatives(stretches(blocked), MOST_TRACED)]
    return [one for one in found if one is not None]


class _Chosen(NamedTuple):
    """Ports that stand for the blocked ones."""

    examined: list[int] = []
    beside: list[int] = []
    """Others of the same stretches: what the primary address asks at meanwhile."""
    witness: Witness | None = None
    """A port that was open, here or in an earlier check."""

    @property
    def ports(self) -> set[int]:
        """Those that nothing may hold meanwhile."""
        known = {self.witness.port} if self.witness is not None and self.witness.transport == "udp" else set()
        return known.union(self.examined, self.beside)


def _to_examine(run: Run, inward: Inbound, profile: Profile) -> _Chosen:
    """Where a cause is wanted; several public addresses prove nothing blocked."""
    opened, blocked, _ = _together(inward.tallies)
    known = opened - inward.doubtful
    witness = Witness("udp", min(known), False) if known else left(run.net)
    if profile.expect.rtp_inbound == "ignore" or run.leaves_from != run.net.observed:
        return _Chosen(witness=witness)
    found = stretches(port_ranges.compress(blocked.difference(inward.moved)))
    examined = representatives(found)
    return _Chosen(examined, beside(found, examined), witness)


async def _look_into(run: Run, inward: Inbound, profile: Profile, chosen: _Chosen) -> None:
    """The cause, and whether there is none: who is shut out is silent wherever a rule leads."""
    opened, _, unsure = _together(inward.tallies)
    if inward.nothing_came:
        run.shut_out = await no_longer_let_in(run, chosen.witness) or shut_out_before(run.net)
    elif unsure and opened and not run.starved_by:
        run.starved_by = await out_now(run, chosen.witness)
    out = run.shut_out or run.starved_by
    if not out and chosen.examined:
        await _examine(run, inward, profile, chosen)
        out = run.shut_out or await no_longer_let_in(run, chosen.witness)
    if out:
        run.examined = None  # what was silent in the examination may have been so for that alone
        run.cause_untold = out
        note(run.net)
    elif not opened:
        run.shut_out = noted(run.net)


async def _examine(run: Run, inward: Inbound, profile: Profile, chosen: _Chosen) -> None:
    asking = asyncio.create_task(_primary(run, inward, chosen.beside or chosen.examined))
    try:
        if not chosen.beside:
            await asking  # it needs the same ports
        some = bool(inward.moved) or any(tally.open for tally in inward.tallies)
        run.examined = await look_into(run.net, profile, chosen.examined, inward.controls, refused=inward.refused, let_in=some)
        led = await asking
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    late = run.examined is not None and any(row.arrived for row in run.examined.ports if row.transport == "udp")
    if led.rows and not late:  # else the alternate address is let in as well
        run.shut_out = reason_of_another(led.rows[0], led)


async def _primary(run: Run, inward: Inbound, ports: list[int]) -> Led:
    """What the primary address can tell. Where it was contacted comes first: a knock anywhere else may shut it out."""
    if inward.nothing_came:
        run.lets_in_contacted = await lets_in_contacted(run.net, briefly=True)
    return await led_in(run.net, [_silent(port) for port in ports], run.every, MOST_BESIDE)


def _silent(port: int) -> PortRow:
    return PortRow(port=port, transport="udp", purpose="RTP", required=False, state="blocked")


def _observed(run: Run, inward: Inbound, outward: Outbound, answers: bool | None, why: str = "") -> RtpObservation:
    """Put both directions together; an alternate address that was never heard must have shown that it lives.

    ``why`` it was cut short: what arrived has arrived then; silence still being weighed is no fact.
    """
    if why:
        outward.returned |= outward.arriving()
        for direction in (inward, outward):
            for tally in direction.tallies[-1:]:
                tally.open |= direction.arriving().intersection(tally.ports)
    reasons = ({"undecided": why, "outbound_undecided": why} if why else {}) | run.reasons
    in_open, in_blocked, in_unsure = _together(inward.tallies)
    out_open, out_blocked, out_unsure = _together(outward.tallies)
    _, lost_return, unsure_return = _together(outward.back)
    doubtful, moved = set(inward.doubtful), dict(inward.moved)
    in_blocked -= moved.keys()
    if why:
        for name, direction, unsure in (("inbound_open", inward, in_unsure), ("outbound_open", outward, out_unsure)):
            if direction.tallies:
                unsure |= set(run.every).difference(*(tally.ports for tally in direction.tallies))
            else:
                reasons.setdefault(name, why)
        for tally in inward.tallies[inward.weighed :]:
            doubtful |= tally.open if needed(run, tally.open, inward.contacted) else set()
        _doubt(in_blocked, in_unsure, [tally for tally in inward.tallies[inward.weighed :] if not tally.open])
        moved = {} if len(inward.tallies) > inward.weighed else moved
        _doubt(out_blocked, out_unsure, [tally for tally in outward.tallies[outward.weighed :] if not (tally.open and run.udp_alive)])
        _doubt(lost_return, unsure_return, [tally for tally in outward.back[outward.weighed :] if not (tally.open and run.udp_alive)])
        unsure_return |= out_open - (outward.returned & outward.receipted) - lost_return
    if in_blocked and not in_open and not moved and not answers:
        reasons["undecided"] = why or "the server's alternate address did not answer when contacted: its silence proves nothing"
        in_unsure, in_blocked = in_unsure | in_blocked, set()
    if in_blocked and run.leaves_from != run.net.observed:
        reasons["undecided"] = SEVERAL_ADDRESSES.format(control=run.net.observed, media=run.leaves_from)
        in_unsure, in_blocked = in_unsure | in_blocked, set()
    if in_blocked and run.shut_out:
        reasons["undecided"] = run.shut_out
        in_unsure, in_blocked = in_unsure | in_blocked, set()
    late = _came_late(in_blocked, run.examined)
    if late:
        reasons["undecided"] = "they did not arrive, and one of them did when it was asked once more"
        in_unsure, in_blocked = in_unsure | late, in_blocked - late
    in_blocked |= moved.keys()
    in_unsure = (in_unsure | doubtful).difference(run.busy, moved)
    out_unsure = (out_unsure | unsure_return | outward.unheard).difference(run.busy)
    if in_unsure and run.starved_by:
        reasons.setdefault("undecided", run.starved_by)
    for name, direction in (("undecided", inward), ("outbound_undecided", outward)):
        if any(tally.starved for tally in direction.tallies):
            reasons.setdefault(name, STARVED)
    if out_unsure & outward.unsendable:
        reasons.setdefault("outbound_undecided", "this machine's own system refuses to send from some of these ports: look at its firewall")
    if in_blocked and run.cause_untold:
        reasons["examined"] = run.cause_untold
    tallies = [*inward.tallies, *outward.tallies, *outward.back]
    return RtpObservation(
        range=run.whole,
        tested=len({port for tally in tallies for port in tally.ports}),
        inbound_open=len(in_open - doubtful) if inward.tallies else None,
        outbound_open=len(out_open) if outward.tallies else None,
        inbound_blocked=port_ranges.compress(in_blocked),
        inbound_moved=shifts(moved),
        outbound_blocked=port_ranges.compress(out_blocked),
        outbound_vouched=port_ranges.compress(port for port in out_blocked if outward.target(port) in outward.vouched),
        return_blocked=port_ranges.compress(lost_return),
        remapped=port_ranges.compress(outward.remapped),
        undecided=port_ranges.compress(in_unsure | out_unsure | set(run.busy)),
        inbound_undecided=port_ranges.compress(in_unsure),
        outbound_undecided=port_ranges.compress(out_unsure),
        retried=sum(max(0, tally.sent - len(tally.ports)) for tally in (*inward.tallies, *outward.tallies))
        + sum(t.sent for t in outward.back),
        sent=sum(tally.sent for tally in tallies),
        slowed_to=min((tally.slowed_to for tally in tallies if tally.slowed_to), default=None),
        busy=port_ranges.compress(run.busy),
        busy_with={
            name: port_ranges.compress(port for port, owner in run.owners.items() if owner == name)
            for name in dict.fromkeys(run.owners.values())
        },
        guides_sent=sum(tally.guides_sent for tally in tallies),
        guides_arrived=sum(tally.guides_arrived for tally in tallies),
        alternate_answers=answers,
        alternate_contacted_s=inward.contacted,
        traced=tuple(run.traced) if out_blocked else (),
        examined=run.examined if in_blocked else None,
        reasons=reasons,
    )


def _came_late(blocked: set[int], examined: ForwardingObservation | None) -> set[int]:
    """Stretches of which a port arrived when it was examined."""
    arrived = {row.port for row in examined.ports if row.transport == "udp" and row.arrived} if examined else set()
    found = stretches(port_ranges.compress(blocked)) if arrived else []
    return {port for stretch in found if arrived.intersection(stretch.members) for port in stretch.members}


def _together(tallies: list[Tally]) -> tuple[set[int], set[int], set[int]]:
    """Open, blocked and undecided ports of all batches."""
    found = {port for tally in tallies for port in tally.open}
    blocked = {port for tally in tallies for port in tally.blocked}
    return found, blocked, {port for tally in tallies for port in tally.missing()}


def _doubt(blocked: set[int], unsure: set[int], tallies: list[Tally]) -> None:
    """Where nothing was heard yet, a gentler pace may still change everything."""
    for tally in tallies:
        unsure |= tally.blocked
        blocked -= tally.blocked
