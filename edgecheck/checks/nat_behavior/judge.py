"""What is said of the mapping, the filter and UDP itself. Pure."""

from edgecheck.checks.nat_behavior.classify import ADDRESS_AND_PORT_DEPENDENT, ENDPOINT_INDEPENDENT
from edgecheck.checks.nat_behavior.observation import NatObservation
from edgecheck.checks.unsolicited import FilterEvidence
from edgecheck.model.evidence import Answered, Exchange, Failed
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict


def judge(seen: NatObservation, profile: Profile) -> tuple[Finding, ...]:
    """Findings: the mapping by the profile's expectation; the filter as a fact; what could not be told, said so."""
    if seen.mapped_address is None:
        return (_judge_blocked(seen),)
    findings = [_judge_mapping(seen, profile), _judge_filtering(seen)]
    if seen.pooling == "arbitrary":
        findings.append(_judge_pooling(seen))
    return tuple(findings)


def _judge_pooling(seen: NatObservation) -> Finding:
    test = seen.filter_test
    mapped = [row.mapped for row in seen.mappings] + ([test.mapped] if test else [])
    return Finding(
        id="nat-behavior.pooling",
        verdict=Verdict.WARN,
        subject="public address",
        summary="Sockets of this machine leave from different public addresses: signaling and media of one call may not match.",
        expected="one public address (IP address pooling: paired)",
        observed=", ".join(sorted({one.rpartition(":")[0] for one in mapped})),
        evidence=_mapping_evidence(seen) + ((f"{test.local} was seen as {test.mapped}",) if test else ()),
        reference="RFC 4787 section 4.1",
    )


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


def _mapping_evidence(seen: NatObservation) -> tuple[str, ...]:
    return tuple(f"{row.local} was seen by {row.remote} as {row.mapped}" for row in seen.mappings)


def _judge_filtering(seen: NatObservation) -> Finding:
    evidence = _filter_sentences(seen.filter_test) or tuple(map(_exchange_sentence, seen.filter_exchanges))
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


def _filter_sentences(test: FilterEvidence | None) -> tuple[str, ...]:
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
