"""Does a local port keep its number outside? (RFC 4787 section 4.2)

Every signaling port of the profile and a sample of its RTP range asks the primary address for its mapped address, over UDP and TCP.
Only the primary: the alternate must stay uncontacted for the checks that need it so. A port that an unsolicited packet has just
probed keeps its number all the same, because that packet came from another address (the conntrack entries do not clash).
"""

import asyncio
from itertools import pairwise
from typing import Literal

import msgspec

from edgecheck.model.check import Check, Network, Observation
from edgecheck.model.errors import LocalFailure
from edgecheck.model.evidence import Answered, Exchange, Failed
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire import ports as port_ranges
from edgecheck.wire.address import Endpoint, parse_endpoint

SEQUENTIAL_STEP = 8
"""A port allocated this little above the one before is "the next free one": others on the network allocate too."""
ENOUGH = 6
"""Remapped ports needed to tell an allocation rule."""
FRESH = 12
PARITY_ENOUGH = 12
"""At random, twelve ports keep their parity once in 4,096."""
_AT_ONCE = 64


class PortRow(msgspec.Struct, frozen=True, kw_only=True):
    """One local port and what the server saw of it."""

    transport: Literal["udp", "tcp"]
    local: int
    mapped: int | None
    """None = could not tell, see ``reason``."""
    signaling: bool = False
    reason: str = ""


class PreservationObservation(Observation, frozen=True, kw_only=True):
    """Facts of ``port-preservation``."""

    tested: int
    """Ports that got an answer."""
    preserved: int
    ports: tuple[PortRow, ...]
    """In the order in which they were sent."""
    allocation: str | None
    """``preserved``, ``sequential``, ``random``, ``parity``; None = could not tell."""
    parity_kept: bool | None
    """Whether even stays even and odd stays odd (RFC 4787 section 4.2.2)."""
    remote: str
    """Who was asked."""
    fresh: tuple[PortRow, ...] = ()
    """UDP ports that had sent nothing before, asked one after the other: their mappings are new, so their order shows the rule."""


def signaling_ports(profile: Profile) -> list[tuple[Literal["udp", "tcp"], int]]:
    """The profile's SIP ports, each once, in its order."""
    needs = [need for need in profile.ports if need.protocol in ("sip", "sips")]
    return list(dict.fromkeys((need.transport, port) for need in needs for port in port_ranges.expand(port_ranges.parse(need.ports))))


def rtp_sample(profile: Profile) -> list[int]:
    """Ports spread evenly over the RTP range, its ends and both parities among them."""
    if profile.rtp is None:
        return []
    low, high = profile.rtp
    size, wanted = high - low + 1, profile.preservation_sample
    if wanted <= 0 or wanted >= size:
        return list(range(low, high + 1))
    sample = [low + round(step * (size - 1) / max(1, wanted - 1)) for step in range(wanted)]
    # Even and odd by turns: an even stride would take one parity only.
    for position in range(1, len(sample) - 1, 2):
        sample[position] += sample[position] % 2 == low % 2
    for position in range(2, len(sample) - 1, 2):
        sample[position] += sample[position] % 2 != low % 2
    return sorted({*sample})


async def probe_network(net: Network, profile: Profile) -> PreservationObservation:
    """Ask for every port's mapping, some dozens at a time."""
    wanted = [(transport, port, True) for transport, port in signaling_ports(profile)]
    wanted += [("udp", port, False) for port in rtp_sample(profile)]
    rows: list[PortRow] = []
    series = {"udp": net.new_series(), "tcp": net.new_series()}
    for start in range(0, len(wanted), _AT_ONCE):
        part = wanted[start : start + _AT_ONCE]
        began = net.now()
        rows += await asyncio.gather(*(_one(net, transport, port, signaling, series[transport]) for transport, port, signaling in part))
        net.progress(len(rows), len(wanted), "ports")
        if net.pace and start + _AT_ONCE < len(wanted):
            await net.sleep(max(0.0, len(part) / net.pace - (net.now() - began)))
    fresh = [row for row in await _fresh(net) if row.mapped is not None]
    net.memory.note_sent([row.local for row in (*rows, *fresh) if row.transport == "udp"])
    net.memory.note_sent([row.local for row in rows if row.transport == "tcp"], "tcp")
    told = [row for row in rows if row.mapped is not None]
    return PreservationObservation(
        tested=len(told),
        preserved=sum(row.mapped == row.local for row in told),
        ports=tuple(rows),
        allocation=allocation(told, fresh),
        fresh=tuple(fresh),
        parity_kept=all((row.mapped or 0) % 2 == row.local % 2 for row in told) if told else None,
        remote=str(net.primary),
    )


async def _one(net: Network, transport: Literal["udp", "tcp"], port: int, signaling: bool, series: int) -> PortRow:
    try:
        exchange = await (_udp(net, port, series) if transport == "udp" else _tcp(net, port, series))
    except LocalFailure as failure:
        return PortRow(transport=transport, local=port, mapped=None, signaling=signaling, reason=str(failure))
    outcome = exchange.outcome
    if isinstance(outcome, Answered) and outcome.mapped is not None and outcome.source == exchange.remote:
        return PortRow(transport=transport, local=port, mapped=parse_endpoint(outcome.mapped).port, signaling=signaling)
    return PortRow(transport=transport, local=port, mapped=None, signaling=signaling, reason=_reason(exchange))


def _reason(exchange: Exchange) -> str:
    if isinstance(exchange.outcome, Failed):
        return exchange.outcome.reason
    receipt = exchange.receipt
    if receipt is None:
        return f"no answer to {exchange.copies} copies, and no receipt"
    if receipt.arrived and receipt.source:
        return f"the server received {receipt.arrived} of {exchange.copies} copies from {receipt.source}, its answers did not come back"
    return f"none of {exchange.copies} copies reached the server"


async def _udp(net: Network, port: int, series: int) -> Exchange:
    socket = await net.open_udp(port)
    try:
        return await net.stun(socket, net.primary, series=series, item=port)
    finally:
        socket.close()


async def _tcp(net: Network, port: int, series: int) -> Exchange:
    stream = await net.connect_tcp(Endpoint(net.primary.host, net.service.stun_ports[0]), port)
    try:
        return await net.stun_stream(stream, series, port)
    finally:
        stream.close()


async def _fresh(net: Network) -> list[PortRow]:
    """Ports of the system's choice, asked in a known order: a mapping that an earlier check made says nothing about the rule."""
    series = net.new_series()
    sockets = [await net.open_udp() for _ in range(FRESH)]
    try:
        exchanges = await asyncio.gather(*(net.stun(socket, net.primary, series=series, item=socket.local.port) for socket in sockets))
    finally:
        for socket in sockets:
            socket.close()
    return [
        PortRow(transport="udp", local=socket.local.port, mapped=parse_endpoint(exchange.outcome.mapped).port)
        for socket, exchange in zip(sockets, exchanges, strict=True)
        if isinstance(exchange.outcome, Answered) and exchange.outcome.mapped is not None
    ]


def allocation(told: list[PortRow], fresh: list[PortRow]) -> str | None:
    """The rule by which the NAT picks ports; ``fresh`` in the order sent. UDP decides where it was tested: one rule for the NAT."""
    rows = [row for row in told if row.transport == "udp"] or told
    if not rows:
        return None
    moved = [row for row in rows if row.mapped != row.local]
    if not moved or (len(moved) * 8 <= len(rows) and len(rows) >= ENOUGH):
        return "preserved"  # the odd one out is taken by another device: judged by itself
    new = [row.mapped or 0 for row in fresh if row.mapped != row.local]
    if len(new) < ENOUGH:
        return None
    steps = [later - earlier for earlier, later in pairwise(new)]
    if sum(0 < abs(step) <= SEQUENTIAL_STEP for step in steps) * 5 >= len(steps) * 4:
        return "sequential"
    both = [*moved, *(row for row in fresh if row.mapped != row.local)]
    if any((row.mapped or 0) % 2 != row.local % 2 for row in both):
        return "random"
    return "parity" if len(both) >= PARITY_ENOUGH else None


def judge(seen: PreservationObservation, profile: Profile) -> tuple[Finding, ...]:
    """Kept: pass. Moved: as the profile expects, one port alone told apart from a NAT that moves them all."""
    findings: list[Finding] = []
    told = [row for row in seen.ports if row.mapped is not None]
    moved = [row for row in told if row.mapped != row.local]
    breach = {"fail": Verdict.FAIL, "warn": Verdict.WARN, "ignore": Verdict.PASS}[profile.expect.preservation]
    if moved and seen.allocation == "preserved":
        findings += [
            Finding(
                id="port-preservation.one-port-remapped",
                verdict=breach,
                subject=f"{row.transport.upper()} {row.local}",
                summary=f"{row.transport.upper()} {row.local} leaves as {row.mapped} while the NAT keeps the others: "
                "another device behind the same router probably uses that port.",
                expected=str(row.local),
                observed=str(row.mapped),
                evidence=(_sentence(row, seen.remote), f"{seen.preserved} of {seen.tested} ports keep their number"),
                reference="RFC 4787 section 4.2",
            )
            for row in moved
        ]
    elif moved:
        rule = f"allocation: {seen.allocation}" if seen.allocation else "too few to tell the rule"
        findings.append(
            Finding(
                id="port-preservation.remapped",
                verdict=breach,
                subject=", ".join(sorted({row.transport.upper() for row in moved})),
                summary=f"{len(moved)} of {seen.tested} ports leave with another number ({rule}): "
                "what the PBX announces is not what the provider sees.",
                expected="every port keeps its number",
                observed=", ".join(f"{row.local} as {row.mapped}" for row in moved[:8]) + (" ..." if len(moved) > 8 else ""),
                evidence=tuple(_sentence(row, seen.remote) for row in moved[:32]),
                reference="RFC 4787 section 4.2",
            )
        )
    elif told:
        findings.append(
            Finding(
                id="port-preservation.preserved",
                verdict=Verdict.PASS,
                subject="ports",
                summary=f"{seen.preserved} of {seen.tested} ports keep their number outside.",
                evidence=tuple(_sentence(row, seen.remote) for row in told if row.signaling)
                or (f"{seen.tested} ports asked {seen.remote}, each was seen with its own number",),
                reference="RFC 4787 section 4.2",
            )
        )
    findings += [
        Finding(
            id="port-preservation.undecided",
            verdict=Verdict.INCONCLUSIVE,
            subject=f"{row.transport.upper()} {row.local}",
            summary=f"{row.transport.upper()} {row.local} could not be told: {row.reason.rstrip('.')}.",
            evidence=(row.reason,),
        )
        for row in _untold_worth_saying(seen)
    ]
    return tuple(findings)


def _untold_worth_saying(seen: PreservationObservation) -> list[PortRow]:
    """A sampled RTP port that got no answer is one of many; a signaling port is not. All silent: the first stands for them."""
    untold = [row for row in seen.ports if row.mapped is None]
    if seen.tested == 0:
        return untold[:1]
    return [row for row in untold if row.signaling] or (untold[:1] if len(untold) * 4 > len(seen.ports) else [])


def _sentence(row: PortRow, remote: str) -> str:
    return f"{row.transport.upper()} {row.local} was seen by {remote} as {row.mapped}"


def summarize(seen: PreservationObservation, findings: tuple[Finding, ...]) -> str:
    """``27 of 27 ports keep their number``"""
    if not seen.tested:
        return "no port got an answer"
    text = f"{seen.preserved} of {seen.tested} ports keep their number"
    if seen.preserved < seen.tested and seen.allocation:
        text += f" (allocation: {seen.allocation})"
    return text


CHECK = Check(
    id="port-preservation",
    question="Does a local port keep its number outside?",
    observation=PreservationObservation,
    needs=frozenset(),
    probe=probe_network,
    judge=judge,
    summarize=summarize,
)
