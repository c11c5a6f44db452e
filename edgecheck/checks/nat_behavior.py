"""How does the NAT map and filter? (RFC 4787 sections 4, 5, 6; RFC 5780 section 4)

Order is everything here, because each packet changes what the next one meets:

1. fresh sockets contact A1 only: the mapped endpoints;
2. the filter is tested on one of them, from A2 and B1, beside control copies from A1. Nothing has been sent to B by then, nor to A2;
3. hairpinning, between two other sockets, in the same moments;
4. last, A2 and then B1 are contacted: the mapping towards other destinations, and the proof that those who were silent were alive.
"""

import asyncio

import msgspec

from edgecheck.checks.nat_classify import (
    ADDRESS_AND_PORT_DEPENDENT,
    ENDPOINT_INDEPENDENT,
    Mapping,
    classic_type,
    classify_filtering,
    classify_mapping,
    classify_pooling,
)
from edgecheck.checks.unsolicited import FilterEvidence, filter_rounds, margin, remembered
from edgecheck.model.check import Check, Network, Observation, UdpSocket
from edgecheck.model.evidence import WRONG_BY_CHANCE, Answered, Exchange, Failed, chance_of_silence
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire import probe
from edgecheck.wire.address import Endpoint, parse_endpoint

MAPPING_SOCKETS = 3
HAIRPIN_COPIES = 6
HAIRPIN_SPACING_S = 0.03
REACH_COPIES = 8


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Copies sent to one UDP port of the server, and how many it received by its own account."""

    port: int
    copies: int
    arrived: int | None
    """None = no receipt."""
    answered: bool
    reached_by_others: bool | None = None
    """Whether other clients' packets have reached this port: then the server's own side is open. None = no receipt."""


class NatObservation(Observation, frozen=True, kw_only=True):
    """Facts of ``nat-behavior``; ``None`` = could not tell, and ``reasons`` says why."""

    local_address: str | None = None
    mapped_address: str | None = None
    """``ip:port``"""
    behind_nat: bool | None = None
    mapping: str | None = None
    filtering: str | None = None
    hairpinning: bool | None = None
    classic_type: str | None = None
    pooling: str | None = None
    """RFC 4787 section 4.1: ``paired`` or ``arbitrary``."""
    mappings: tuple[Mapping, ...] = ()
    filter_test: FilterEvidence | None = None
    filter_exchanges: tuple[Exchange, ...] = ()
    """By a foreign server, which sends nothing unasked: the requests on which ``filtering`` rests, in their order."""
    hairpin_copies: int = 0
    """Copies sent each way between two own mapped endpoints."""
    reach: tuple[Reach, ...] = ()
    """Told when no STUN answer came at all: which UDP ports of the server were reached."""
    udp_blocked: bool | None = None
    """True: out or back in, see ``reach``."""
    unanswered: tuple[Exchange, ...] = ()
    reasons: dict[str, str] = {}
    """Field -> why it is None."""


async def probe_network(net: Network, profile: Profile) -> NatObservation:
    """Ask; see the module's order."""
    sockets = [await net.open_udp() for _ in range(MAPPING_SOCKETS)]
    filter_socket, hairpins = await net.open_udp(), [await net.open_udp(), await net.open_udp()]
    try:
        return await _probe(net, sockets, filter_socket, hairpins)
    finally:
        for socket in (*sockets, filter_socket, *hairpins):
            socket.close()


async def _probe(net: Network, sockets: list[UdpSocket], filter_socket: UdpSocket, hairpins: list[UdpSocket]) -> NatObservation:
    first, mapped_filter, hairpin = await asyncio.gather(
        asyncio.gather(*(net.stun(socket, net.primary) for socket in sockets)), net.proved(filter_socket), _hairpin_endpoints(net, hairpins)
    )
    rows = [row for row in map(mapping_row, first) if row is not None]
    if not rows:
        return await _nothing_answered(net, tuple(first))
    not_translated = all(row.mapped == row.local for row in rows)
    seen, hairpinning = await asyncio.gather(
        filter_rounds(net, filter_socket, mapped_filter) if mapped_filter else _none(),
        _hairpin(net, hairpins, hairpin) if hairpin and not not_translated else _none(),
    )
    # Where nothing is translated and the filter needs no control, the alternate address stays uncontacted: the next run is clean too.
    needs_alternate = not (not_translated and (seen is None or seen.other_address))
    second_port = Endpoint(net.primary.host, net.service.stun_ports[1])
    at_second, at_alternate = await asyncio.gather(_ask_all(net, sockets, second_port), _ask_alternate(net, sockets, needs_alternate))
    later = (*at_second, *at_alternate)
    rows += [row for row in map(mapping_row, later) if row is not None]
    if seen is not None:
        seen = msgspec.structs.replace(
            seen,
            same_address_answers=any(isinstance(exchange.outcome, Answered) for exchange in at_second),
            alternate_answers=any(isinstance(exchange.outcome, Answered) for exchange in at_alternate) if at_alternate else None,
        )
    return _observe(net, rows, seen, hairpinning, (*first, *later))


async def _ask_all(net: Network, sockets: list[UdpSocket], to: Endpoint) -> list[Exchange]:
    return list(await asyncio.gather(*(net.stun(socket, to) for socket in sockets)))


async def _ask_alternate(net: Network, sockets: list[UdpSocket], needed: bool) -> list[Exchange]:
    if net.alternate is None or not needed:
        return []
    await net.may_contact_alternate()
    return await _ask_all(net, sockets, net.alternate)


async def _none() -> None:
    return None


def mapping_row(exchange: Exchange) -> Mapping | None:
    """The mapped endpoint of an answered exchange; an answer from elsewhere than asked is none."""
    outcome = exchange.outcome
    if not isinstance(outcome, Answered) or outcome.mapped is None or outcome.source != exchange.remote:
        return None
    return Mapping(local=exchange.local, remote=exchange.remote, mapped=outcome.mapped)


def _observe(
    net: Network,
    rows: list[Mapping],
    seen: FilterEvidence | None,
    hairpinning: tuple[bool | None, int] | None,
    exchanges: tuple[Exchange, ...],
) -> NatObservation:
    reasons: dict[str, str] = {}
    alternate = net.alternate.host if net.alternate else None
    behind_nat = any(row.mapped != row.local for row in rows)
    mapping, reason = classify_mapping(rows, net.primary.host, alternate)
    if mapping is None:
        reasons["mapping"] = reason
    filtering, reason = classify_filtering(seen)
    if filtering is None:
        reasons["filtering"] = reason
    clean = seen is not None and not remembered(seen.alternate_contacted_s)
    # What an uncontacted address met is worth remembering; that it was kept out, always.
    if alternate and filtering and (clean or filtering != ENDPOINT_INDEPENDENT):
        net.memory.note(f"filtering/{alternate}", filtering)
    if not behind_nat:
        reasons["hairpinning"] = "nothing is translated, so there is nothing to hairpin"
    elif hairpinning is None or hairpinning[0] is None:
        reasons["hairpinning"] = "too few control packets arrived to tell silence from loss"
    # The control channel too: TCP that leaves from another address than UDP is what signaling and media of one call meet.
    others = [*([seen.mapped] if seen else []), str(Endpoint(net.observed, 0))]
    return NatObservation(
        local_address=rows[0].local,
        mapped_address=rows[0].mapped,
        behind_nat=behind_nat,
        mapping=mapping,
        filtering=filtering,
        hairpinning=hairpinning[0] if hairpinning and behind_nat else None,
        classic_type=classic_type(behind_nat, mapping, filtering),
        pooling=classify_pooling(rows, others) if behind_nat else None,
        mappings=tuple(rows),
        filter_test=seen,
        hairpin_copies=hairpinning[1] if hairpinning else 0,
        unanswered=tuple(exchange for exchange in exchanges if not isinstance(exchange.outcome, Answered)),
        reasons=reasons,
    )


async def _hairpin_endpoints(net: Network, sockets: list[UdpSocket]) -> list[Endpoint] | None:
    exchanges = await asyncio.gather(*(net.stun(socket, net.primary) for socket in sockets))
    rows = [mapping_row(exchange) for exchange in exchanges]
    return [parse_endpoint(row.mapped) for row in rows if row] if all(rows) else None


async def _hairpin(net: Network, sockets: list[UdpSocket], mapped: list[Endpoint]) -> tuple[bool | None, int]:
    """Each of two sockets sends to the other's mapped endpoint: both ways, so that a filter does not hide the hairpin.

    The control for silence: Binding requests on the same sockets in the same moments, each over the same first hop and farther.
    """
    series = net.new_series()

    def heard() -> bool:
        return any(_is_hairpin(net, arrival.data, series) for socket in sockets for arrival in socket.inbox)

    controls: list[asyncio.Task[Exchange]] = []
    for copy in range(HAIRPIN_COPIES):
        for socket, to in zip(sockets, reversed(mapped), strict=True):
            socket.send(probe.serialize(probe.Probe(probe.Kind.HAIRPIN, net.session, series, 0, copy)), to)
        controls.append(asyncio.ensure_future(net.stun(sockets[copy % 2], net.primary, copies=1)))
        if await net.until(heard, HAIRPIN_SPACING_S):
            break
    arrived = sum(isinstance(exchange.outcome, Answered) for exchange in await asyncio.gather(*controls))
    if heard() or await net.until(heard, margin(net)):
        return True, len(controls)
    # Two directions, each copy: both ways silent needs twice as many losses.
    proved = chance_of_silence(arrived, len(controls), 2 * len(controls)) < WRONG_BY_CHANCE
    return (False if proved else None), len(controls)


def _is_hairpin(net: Network, data: bytes, series: int) -> bool:
    if not data.startswith(probe.MAGIC) or len(data) < probe.SIZE:
        return False
    found = probe.parse(data) if data[4] == probe.Kind.HAIRPIN else None
    return found is not None and found.session == net.session and found.series == series


async def _nothing_answered(net: Network, first: tuple[Exchange, ...]) -> NatObservation:
    """No Binding answer at all. Which UDP ports of the server do our packets reach, by its own account?"""
    socket = await net.open_udp()
    try:
        service = net.service
        ports = list(dict.fromkeys((*service.stun_ports, service.sip_port, service.alternate_sip_port)))
        reach = [await _reach(net, socket, port) for port in ports if port]
    finally:
        socket.close()
    receipts = [row.arrived for row in reach]
    known = all(arrived is not None for arrived in receipts)
    nothing_out = known and not any(receipts) and not any(exchange.receipt is None or exchange.receipt.arrived for exchange in first)
    nothing_back = known and all(receipts) and not any(row.answered for row in reach) and _answers_were_shut_out(reach, first)
    blocked = True if nothing_out or nothing_back else None
    local = Endpoint(net.source, socket.local.port)
    reasons = {} if blocked else {"mapping": "no STUN answer came", "filtering": "no STUN answer came"}
    return NatObservation(
        local_address=str(local),
        behind_nat=net.observed != net.source,
        classic_type="udp blocked" if blocked else None,
        reach=tuple(reach),
        udp_blocked=blocked,
        unanswered=first,
        reasons=reasons,
    )


def _answers_were_shut_out(reach: list[Reach], first: tuple[Exchange, ...]) -> bool:
    """Whether loss like that on the way out no longer explains that not one answer came back."""
    receipts = [exchange.receipt for exchange in first if exchange.receipt is not None]
    sent = sum(row.copies for row in reach) + sum(exchange.copies for exchange in first if exchange.receipt is not None)
    arrived = sum(row.arrived or 0 for row in reach) + sum(receipt.arrived for receipt in receipts)
    return chance_of_silence(arrived, sent, arrived) < WRONG_BY_CHANCE


async def _reach(net: Network, socket: UdpSocket, port: int) -> Reach:
    series = net.new_series()
    packet = probe.serialize(probe.Probe(probe.Kind.ECHO, net.session, series, port, port=socket.local.port))
    to = Endpoint(net.primary.host, port)

    def heard() -> bool:
        return any(arrival.source == to and arrival.data[4:5] == bytes((probe.Kind.ECHOED,)) for arrival in socket.inbox)

    for _ in range(REACH_COPIES):
        socket.send(packet, to)
        if await net.until(heard, 0.04):
            break
    answered = await net.until(heard, margin(net))
    account = await net.account(series)
    arrived = None if account is None else sum(row.copies for row in account.received)
    others = None if account is None else any(low <= port <= high for low, high in account.reached_by_others)
    return Reach(port=port, copies=REACH_COPIES, arrived=arrived, answered=answered, reached_by_others=others)


def judge(seen: NatObservation, profile: Profile) -> tuple[Finding, ...]:
    """Findings: the mapping by the profile's expectation; the filter as a fact; what could not be told, said so."""
    if seen.mapped_address is None:
        return (_judge_blocked(seen),)
    findings = [_judge_mapping(seen, profile)]
    filtering = _judge_filtering(seen)
    findings.append(filtering)
    if seen.pooling == "arbitrary":
        test = seen.filter_test
        mapped = [row.mapped for row in seen.mappings] + ([test.mapped] if test else [])
        findings.append(
            Finding(
                id="nat-behavior.pooling",
                verdict=Verdict.WARN,
                subject="public address",
                summary="Sockets of this machine leave from different public addresses: signaling and media of one call may not match.",
                expected="one public address (IP address pooling: paired)",
                observed=", ".join(sorted({one.rpartition(":")[0] for one in mapped})),
                evidence=_mapping_evidence(seen) + ((f"{test.local} was seen as {test.mapped}",) if test else ()),
                reference="RFC 4787 section 4.1",
            )
        )
    return tuple(findings)


def _mapping_evidence(seen: NatObservation) -> tuple[str, ...]:
    return tuple(f"{row.local} was seen by {row.remote} as {row.mapped}" for row in seen.mappings)


def _judge_mapping(seen: NatObservation, profile: Profile) -> Finding:
    if seen.behind_nat is False:
        return Finding(
            id="nat-behavior.no-nat",
            verdict=Verdict.PASS,
            subject="mapping",
            summary="No NAT: this machine's own address and ports are seen outside.",
            observed=f"{seen.local_address} is seen as {seen.mapped_address}",
            evidence=_mapping_evidence(seen),
            reference="RFC 5780 section 4.3",
        )
    if seen.mapping is None:
        return Finding(
            id="nat-behavior.undecided",
            verdict=Verdict.INCONCLUSIVE,
            subject="mapping",
            summary=f"How the NAT maps could not be told: {seen.reasons.get('mapping', 'no reason noted')}.",
            evidence=_mapping_evidence(seen),
            reference="RFC 5780 section 4.3",
        )
    if seen.mapping == ENDPOINT_INDEPENDENT:
        return Finding(
            id="nat-behavior.endpoint-independent",
            verdict=Verdict.PASS,
            subject="mapping",
            summary="Every destination sees the same public address and port (endpoint-independent mapping): STUN and keep-alives work.",
            observed=f"{seen.local_address} is seen as {seen.mapped_address} by all",
            evidence=_mapping_evidence(seen),
            reference="RFC 4787 REQ-1",
        )
    verdict = {"fail": Verdict.FAIL, "warn": Verdict.WARN, "ignore": Verdict.PASS}[profile.expect.mapping]
    depends = "address and port" if seen.mapping == ADDRESS_AND_PORT_DEPENDENT else "address"
    consequence = ": the address that STUN finds is not the one that the provider sees, and audio may be one-way."
    if verdict is Verdict.PASS:
        consequence = "; this profile does not need it to be one for all."
    return Finding(
        id="nat-behavior.endpoint-dependent-mapping",
        verdict=verdict,
        subject="mapping",
        summary=f"The public port changes with the destination's {depends} ({seen.mapping} mapping, \"symmetric\"){consequence}",
        expected=ENDPOINT_INDEPENDENT,
        observed=seen.mapping,
        evidence=_mapping_evidence(seen),
        reference="RFC 4787 REQ-1",
    )


def filter_sentences(test: FilterEvidence | None) -> tuple[str, ...]:
    """What the filter test sent and what arrived, in sentences."""
    if test is None:
        return ()
    out = [
        f"{test.local} (outside {test.mapped}) had contacted one address and port only; "
        f"the server then sent {test.copies} copies from each sender",
        f"from the contacted address and port {test.control} of {test.copies} arrived (control)",
        f"from another port of that address {test.same_address} of {test.copies} arrived",
    ]
    if test.other_address is not None:
        out.append(f"from the alternate address {test.other_address} of {test.copies} arrived")
    if test.alternate_contacted_s is not None:
        out.append(f"the alternate address had been contacted from here {test.alternate_contacted_s:.0f} s before")
    if test.recalled is not None and test.recalled_s is not None:
        out.append(f"{test.recalled_s:.0f} s ago, with the alternate address uncontacted, the filtering was {test.recalled}")
    if test.alternate_answers is not None:
        out.append("contacted afterwards, the alternate address " + ("answered" if test.alternate_answers else "did not answer"))
    return tuple(out)


def _exchange_sentence(exchange: Exchange) -> str:
    outcome, said = exchange.outcome, f"{exchange.question} from {exchange.local} to {exchange.remote}: "
    if isinstance(outcome, Answered):
        return said + (f"error {outcome.error}" if outcome.error is not None else "answered") + f" from {outcome.source}"
    return said + (outcome.reason if isinstance(outcome, Failed) else f"no answer to {exchange.copies} copies")


def _judge_filtering(seen: NatObservation) -> Finding:
    evidence = filter_sentences(seen.filter_test) or tuple(map(_exchange_sentence, seen.filter_exchanges))
    if seen.filtering is None:
        return Finding(
            id="nat-behavior.filtering-undecided",
            verdict=Verdict.INCONCLUSIVE,
            subject="filtering",
            summary=f"Whom the edge lets in could not be told: {seen.reasons.get('filtering', 'no reason noted')}.",
            evidence=evidence,
            reference="RFC 4787 section 5",
        )
    who = {
        "endpoint-independent": "anyone may send to a port that has been used",
        "address-dependent": "only addresses that were contacted may send in",
        "address-and-port-dependent": "only the address and port that was contacted may send in",
    }[seen.filtering]
    alias = f' ("{seen.classic_type}")' if seen.classic_type else ""
    return Finding(
        id="nat-behavior.filtering",
        verdict=Verdict.PASS,
        subject="filtering",
        summary=f"Filtering is {seen.filtering}: {who}{alias}.",
        observed=seen.filtering,
        evidence=evidence,
        reference="RFC 4787 section 5",
    )


def _judge_blocked(seen: NatObservation) -> Finding:
    evidence = tuple(
        f"{row.copies} copies to UDP port {row.port} of the server: "
        + ("no receipt" if row.arrived is None else f"{row.arrived} arrived there")
        + (", its answers came back" if row.answered else ", no answer came back")
        for row in seen.reach
    )
    evidence += tuple(
        f"UDP port {row.port} of the server " + ("has been" if row.reached_by_others else "has not yet been") + " reached by other clients"
        for row in seen.reach
        if row.reached_by_others is not None
    )
    outward = not any(row.arrived for row in seen.reach)
    if seen.udp_blocked and (not outward or any(row.reached_by_others for row in seen.reach)):
        return Finding(
            id="nat-behavior.udp-blocked",
            verdict=Verdict.FAIL,
            subject="UDP",
            summary="UDP does not leave this network: none of the packets to any of the server's ports arrived there, while TCP works."
            if outward
            else "UDP leaves this network, but no answer to it gets back in.",
            expected="UDP passes",
            observed="blocked on the way out" if outward else "blocked on the way back",
            evidence=evidence,
            reference="RFC 5780 section 4.2",
        )
    if seen.udp_blocked:
        ports = ", ".join(str(row.port) for row in seen.reach)
        return Finding(
            id="nat-behavior.udp-blocked",
            verdict=Verdict.INCONCLUSIVE,
            subject="UDP",
            summary="No UDP packet from here arrives at the server, while TCP works. Either this network lets no UDP out, or the firewall "
            "in front of the server lets none in: no other client has reached it over UDP yet. "
            f"See that UDP {ports} is open there, or try from a second network.",
            expected="UDP passes",
            observed="blocked on the way to the server",
            evidence=evidence,
            reference="RFC 5780 section 4.2",
        )
    return Finding(
        id="nat-behavior.undecided",
        verdict=Verdict.INCONCLUSIVE,
        subject="NAT",
        summary="No STUN answer came, and it could not be told where the packets were lost.",
        evidence=evidence,
        reference="RFC 5780 section 4.2",
    )


def summarize(seen: NatObservation, findings: tuple[Finding, ...]) -> str:
    """``endpoint-independent mapping, address-and-port-dependent filtering ("port restricted cone")``."""
    if seen.mapped_address is None:
        return findings[0].summary
    alias = f' ("{seen.classic_type}")' if seen.classic_type else ""
    mapping = "no NAT" if seen.behind_nat is False else f"{seen.mapping} mapping" if seen.mapping else "the mapping could not be told"
    return f"{mapping}, {f'{seen.filtering} filtering{alias}' if seen.filtering else f'the filtering could not be told{alias}'}"


CHECK = Check(
    id="nat-behavior",
    question="How does the NAT map and filter?",
    observation=NatObservation,
    needs=frozenset(),
    probe=probe_network,
    judge=judge,
    summarize=summarize,
)
