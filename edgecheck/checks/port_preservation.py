"""Does a local port keep its number outside? (RFC 4787 section 4.2)

Every signaling port of the profile and a sample of its RTP range asks the primary address for its mapped address, over UDP and TCP.
Only the primary: the alternate must stay uncontacted for the checks that need it so. A port that an unsolicited packet has just
probed keeps its number all the same, because that packet came from another address (the conntrack entries do not clash).
"""

import asyncio
from itertools import pairwise
from typing import Literal

import msgspec

from edgecheck.model import draft
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
    asked: dict[int, PortRow] = {}

    async def ask(place: int) -> None:
        transport, port, signaling = wanted[place]
        asked[place] = await _one(net, transport, port, signaling, series[transport])

    def so_far(why: str) -> PreservationObservation:
        unasked = (PortRow(transport=name, local=port, mapped=None, signaling=signal, reason=why) for name, port, signal in wanted)
        seen = _observed(net, [asked.get(place, row) for place, row in enumerate(unasked)], [])
        # What the others would have shown decides the rule; only that a port did not keep its parity is sure.
        return msgspec.structs.replace(seen, allocation=None, parity_kept=None if seen.parity_kept else seen.parity_kept)

    draft.leave(so_far)
    series = {"udp": net.new_series(), "tcp": net.new_series()}
    for start in range(0, len(wanted), _AT_ONCE):
        part = range(start, min(start + _AT_ONCE, len(wanted)))
        began = net.now()
        await asyncio.gather(*map(ask, part))
        net.progress(len(asked), len(wanted), "ports")
        if net.pace and start + _AT_ONCE < len(wanted):
            await net.sleep(max(0.0, len(part) / net.pace - (net.now() - began)))
    rows = [asked[place] for place in range(len(wanted))]
    fresh = [row for row in await _fresh(net) if row.mapped is not None]
    net.memory.note_sent([row.local for row in (*rows, *fresh) if row.transport == "udp"])
    net.memory.note_sent([row.local for row in rows if row.transport == "tcp"], "tcp")
    return _observed(net, rows, fresh)


def _observed(net: Network, rows: list[PortRow], fresh: list[PortRow]) -> PreservationObservation:
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
    unneeded = breach is Verdict.PASS
    alone = [row for row in moved if seen.allocation == "preserved" and not _all_moved(told, row.transport)]
    findings += [
        Finding(
            id="port-preservation.one-port-remapped",
            verdict=breach,
            subject=_name(row),
            summary=f"{_name(row)} leaves as {row.mapped} while the NAT keeps the others"
            + ("; this profile does not need it kept." if unneeded else ": another device behind the same router probably uses that port."),
            expected=str(row.local),
            observed=str(row.mapped),
            evidence=(_sentence(row, seen.remote), f"{seen.preserved} of {seen.tested} ports keep their number"),
            reference="RFC 4787 section 4.2",
        )
        for row in alone
    ]
    if len(alone) < len(moved):
        moved = [row for row in moved if row not in alone]
        transports = sorted({row.transport.upper() for row in moved})
        asked = sum(row.transport.upper() in transports for row in told)
        consequence = "; this profile does not need them kept." if unneeded else ": what the PBX announces is not what the provider sees."
        findings.append(
            Finding(
                id="port-preservation.remapped",
                verdict=breach,
                subject=", ".join(transports),
                summary=f"{len(moved)} of {asked} {' and '.join(transports)} ports leave with another number ({_rule(seen)}){consequence}",
                expected="every port keeps its number",
                observed=", ".join(f"{row.local} as {row.mapped}" for row in moved[:8]) + (" ..." if len(moved) > 8 else ""),
                evidence=tuple(_sentence(row, seen.remote) for row in moved[:32]),
                reference="RFC 4787 section 4.2",
            )
        )
    if told and not moved:
        findings.append(
            Finding(
                id="port-preservation.preserved",
                verdict=Verdict.PASS,
                subject="ports",
                summary=f"{_kept(seen)} outside.",
                evidence=tuple(_sentence(row, seen.remote) for row in told if row.signaling)
                or (f"{seen.tested} ports asked {seen.remote}, each was seen with its own number",),
                reference="RFC 4787 section 4.2",
            )
        )
    findings += [
        Finding(
            id="port-preservation.undecided",
            verdict=Verdict.INCONCLUSIVE,
            subject=subject,
            summary=f"{what}: {rows[0].reason.rstrip('.')}.",
            evidence=tuple(f"{_name(row)}: {row.reason}" for row in rows[:8]),
        )
        for subject, what, rows in _untold(seen)
    ]
    return tuple(findings)


def _all_moved(told: list[PortRow], transport: str) -> bool:
    """A single port may be somebody else's; several that all move are the NAT's doing."""
    rows = [row for row in told if row.transport == transport]
    return len(rows) > 1 and all(row.mapped != row.local for row in rows)


def _rule(seen: PreservationObservation) -> str:
    if seen.allocation == "preserved":
        return "UDP ports keep theirs"
    return f"allocation: {seen.allocation}" if seen.allocation else "too few to tell the rule"


def _untold(seen: PreservationObservation) -> list[tuple[str, str, list[PortRow]]]:
    """What could not be told: (subject, the words for it, the ports), signaling ports one by one.

    A sampled RTP port that got no answer is one of many; where more than a quarter of them got none, that is said.
    """
    out = []
    for transport in ("udp", "tcp"):
        rows = [row for row in seen.ports if row.transport == transport]
        untold = [row for row in rows if row.mapped is None]
        name = transport.upper()
        if len(untold) == len(rows) > 1:
            out.append((name, f"{name} could not be told, none of {len(rows)} ports got an answer", untold))
            continue
        out += [(_name(row), f"{_name(row)} could not be told", [row]) for row in untold if row.signaling]
        sampled = [row for row in untold if not row.signaling]
        if len(sampled) * 4 > len(rows):
            ports = port_ranges.text(port_ranges.compress(row.local for row in sampled))
            out.append((f"{name} {ports}", f"{len(sampled)} of {len(rows)} {name} ports could not be told", sampled))
    return out


def _kept(seen: PreservationObservation) -> str:
    told = {row.transport.upper() for row in seen.ports if row.mapped is not None}
    # Where a transport was asked and gave no answer at all, the figure is the other one's alone.
    which = f"{told.pop()} " if len(told) < len({row.transport for row in seen.ports}) else ""
    return f"{seen.preserved} of {seen.tested} {which}ports keep their number"


def _name(row: PortRow) -> str:
    return f"{row.transport.upper()} {row.local}"


def _sentence(row: PortRow, remote: str) -> str:
    return f"{_name(row)} was seen by {remote} as {row.mapped}"


def summarize(seen: PreservationObservation, findings: tuple[Finding, ...]) -> str:
    """``27 of 27 ports keep their number``"""
    moved = seen.tested - seen.preserved
    breaches = [finding.verdict for finding in findings if finding.id.endswith("remapped")]
    told = [_kept(seen)] if seen.tested else []
    if moved and Verdict.PASS in breaches:
        told = [
            f"{seen.tested} ports get out and are answered; {moved} of them {'leave' if moved > 1 else 'leaves'} with another number "
            f"({_rule(seen)}), which this profile does not need kept"
        ]
    elif moved and seen.allocation != "preserved":
        told = [f"{_kept(seen)} ({_rule(seen)})"]
    untold = [what for _, what, _ in _untold(seen)]
    # The gravest first: a breach, then what could not be told.
    return "; ".join([*told, *untold] if moved and Verdict.PASS not in breaches else [*untold, *told]) or "no port was asked"


CHECK = Check(
    id="port-preservation",
    question="Does a local port keep its number outside?",
    observation=PreservationObservation,
    needs=frozenset(),
    probe=probe_network,
    judge=judge,
    summarize=summarize,
    unfit=lambda profile: "" if signaling_ports(profile) or profile.rtp else "the profile names no SIP port and no RTP range",
    stands=frozenset({"remapped"}),
    known=lambda seen: f"{_kept(seen)} so far" if seen.tested else "",
)
