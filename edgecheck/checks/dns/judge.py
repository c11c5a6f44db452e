"""From the steps to what is wrong with the names. Pure.

A name that the DNS decidedly does not have is a failure; a server that says nothing is no verdict on the name. What still leaves a way
to the server is a warning: some phones stumble over it, and others do not.
"""

from collections.abc import Iterator
from typing import Literal

from edgecheck.checks.dns.compared import judge_compared
from edgecheck.checks.dns.observation import DnsObservation, Step
from edgecheck.checks.dns.services import BY_NAPTR, services_in_order
from edgecheck.model.phone import AddressRecord, AliasRecord, NaptrRecord, SrvRecord
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict

Nowhere = Literal["nxdomain", "no-records", "not-offered", "no-usable-address"]
"""Why a name leads to no target, though every resolver spoke."""
_TOLD = ("NOERROR", "NXDOMAIN")
_SILENT = ("TIMEOUT", "UNREACHABLE")
_NULL = ("0.0.0.0", "::")


def judge(seen: DnsObservation, profile: Profile) -> tuple[Finding, ...]:
    """Every fault of the names; ``dns.found`` where there is a way at all."""
    found = [
        *_failing(seen),
        *_nowhere(seen),
        *_services(seen),
        *_pointers(seen),
        *judge_compared(seen),
        *_null(seen),
        *_unpublished(seen),
        *_own_address(seen),
    ]
    if seen.targets:
        found.append(_found(seen))
    return tuple(found)


def _host(seen: DnsObservation) -> str:
    return seen.asked.partition(":")[2].partition(";")[0]


def _steps(seen: DnsObservation, *types: str, decisive: bool = True) -> list[Step]:
    return [step for step in seen.steps if step.type in types and (step.decisive or not decisive)]


def _way(seen: DnsObservation) -> list[str]:
    return [str(step) for step in seen.steps if step.decisive]


def _trouble(seen: DnsObservation) -> Verdict:
    return Verdict.WARN if seen.targets else Verdict.FAIL


def _failing(seen: DnsObservation) -> Iterator[Finding]:
    """Resolvers that fail, refuse or stay silent."""
    failing = [step for step in _steps(seen, "NAPTR", "SRV", "A", "AAAA") if step.rcode not in _TOLD]
    if not failing:
        return
    silent = all(step.rcode in _SILENT for step in failing)
    first = failing[0]
    queries = list(dict.fromkeys(step.query for step in failing))
    names = queries[0] + (f" and {len(queries) - 1} more names" if len(queries) > 2 else "".join(f" and {each}" for each in queries[1:]))
    types = "/".join(dict.fromkeys(step.type for step in failing))
    spoke = [step for step in seen.steps if step.server == first.server and step.rcode in _TOLD]
    if first.rcode == "UNREACHABLE":
        what = f"No DNS server could be asked for {names}: {first.answer.partition(': ')[2] or first.answer}"
    elif silent and spoke:
        what = f"The DNS server {first.server} answers other questions, but none of type {types} for {names}"
    elif silent:
        what = f"The DNS server {first.server} gave no answer for {names}"
    else:
        what = f"The DNS server {first.server} fails for {names}: {first.answer}"
    if seen.targets:
        verdict = Verdict.WARN
        what += ". There is another way to the server, but phones may wait here or give up"
    else:
        verdict = Verdict.INCONCLUSIVE if silent else Verdict.FAIL
        what += ". Whether the name leads anywhere could not be told" if silent else ""
    yield Finding(
        id="dns.server-failure",
        verdict=verdict,
        subject=f"{types} {names}",
        summary=f"{what}.",
        expected="an answer",
        observed=first.rcode,
        evidence=tuple(str(step) for step in (*failing, *spoke[:1])),
        reference="RFC 1035 section 4.1.1",
    )


def _nowhere(seen: DnsObservation) -> Iterator[Finding]:
    """No target, and every resolver that was asked spoke."""
    if seen.targets or any(step.rcode not in _TOLD for step in _steps(seen, "NAPTR", "SRV", "A", "AAAA")):
        return
    host = _host(seen)
    records = [record for step in _steps(seen, "SRV") for record in step.records if isinstance(record, SrvRecord)]
    own = [step for step in _steps(seen, "A", "AAAA") if step.query == host.partition(":")[0]]
    cause: Nowhere
    if seen.left_out:
        families = "IPv6" if all(":" in address for address in seen.left_out) else "IPv4"
        cause, observed = "no-usable-address", ", ".join(seen.left_out)
        text = f"{host} has only addresses that are out of reach from here ({observed}): no {families} route, or the options forbid it"
    elif records and all(not record.target for record in records):
        cause, observed = "not-offered", "."
        text = f"The DNS says that {host} offers no SIP over {_transports_of(seen)} (SRV target \".\")"
    elif records:
        return  # their targets are missing: told by them
    elif own and all(step.rcode == "NXDOMAIN" for step in own):
        cause, observed = "nxdomain", "NXDOMAIN"
        text = f"There is no name {host} in the DNS: it is misspelled, has expired, or exists only inside another network"
    else:
        cause, observed = "no-records", "no SRV, no A, no AAAA"
        text = f"The name {host} exists, but the DNS has no address and no SIP service for it"
    yield _of_nowhere(cause, seen, f"{text}.", observed)


def _of_nowhere(cause: Nowhere, seen: DnsObservation, text: str, observed: str) -> Finding:
    return Finding(
        id=f"dns.{cause}",
        verdict=Verdict.FAIL,
        subject=_host(seen),
        summary=text,
        expected="the address of a SIP server",
        observed=observed,
        evidence=tuple(_way(seen)),
        reference="RFC 3263 section 4",
    )


def _transports_of(seen: DnsObservation) -> str:
    names = ("/".join(label.strip("_") for label in step.query.split(".")[:2]) for step in _steps(seen, "SRV"))
    return ", ".join(dict.fromkeys(names))


def _addresses_of(seen: DnsObservation, name: str) -> list[Step]:
    return [step for step in seen.steps if step.decisive and step.type in ("A", "AAAA") and step.query == name]


def _services(seen: DnsObservation) -> Iterator[Finding]:
    """SRV targets without an address, and those that are aliases (RFC 2782 forbids them)."""
    for step in _steps(seen, "SRV"):
        for record in services_in_order([each for each in step.records if isinstance(each, SrvRecord)]):
            asked = _addresses_of(seen, record.target)
            proof = (str(step), *(str(each) for each in asked))
            where = f"{step.query} -> {record.target}:{record.port}"
            has = any(isinstance(each, AddressRecord) for one in asked for each in one.records)
            if asked and not has and all(each.rcode in _TOLD for each in asked):
                rest = "the other records remain" if seen.targets else "nothing else is left to try"
                yield Finding(
                    id="dns.srv-target-missing",
                    verdict=_trouble(seen),
                    subject=where,
                    summary=f"The SRV record {step.query} points to {record.target}, which has no address; {rest}.",
                    expected=f"an address of {record.target}",
                    observed=asked[0].rcode if asked[0].rcode != "NOERROR" else "no A, no AAAA",
                    evidence=proof,
                    reference="RFC 2782; RFC 3263 section 4.2",
                )
            alias = next((each for one in asked for each in one.records if isinstance(each, AliasRecord)), None)
            if alias is not None:
                yield Finding(
                    id="dns.srv-target-alias",
                    verdict=Verdict.WARN,
                    subject=where,
                    summary=(
                        f"The SRV record {step.query} points to {record.target}, which is only an alias (CNAME) of {alias.target}: "
                        "not allowed, and some phones stop there."
                    ),
                    expected="a name with addresses of its own",
                    observed=f"CNAME {alias.target}",
                    evidence=proof,
                    reference="RFC 2782",
                )


def _pointers(seen: DnsObservation) -> Iterator[Finding]:
    """NAPTR records that lead to no SRV record."""
    for step in _steps(seen, "NAPTR"):
        for record in step.records:
            if not isinstance(record, NaptrRecord) or record.flags.lower() != "s" or record.service.upper() not in BY_NAPTR:
                continue
            asked = next((each for each in seen.steps if each.type == "SRV" and each.query == record.replacement), None)
            empty = not record.replacement or (
                asked is not None and asked.rcode in _TOLD and not any(isinstance(each, SrvRecord) for each in asked.records)
            )
            if not empty:
                continue
            to = record.replacement or "nothing"
            rest = "phones that follow it fall back on something else, or stop" if seen.targets else "nothing else is left to try"
            yield Finding(
                id="dns.naptr-dangling",
                verdict=_trouble(seen),
                subject=f"{step.query} {record.service}",
                summary=f"The NAPTR record for {record.service} points to {to}, where there is no SRV record; {rest}.",
                expected=f"an SRV record at {to}",
                observed=asked.rcode if asked is not None and asked.rcode != "NOERROR" else "no SRV record",
                evidence=(str(step), *([str(asked)] if asked is not None else [])),
                reference="RFC 3263 section 4.1",
            )


def _null(seen: DnsObservation) -> Iterator[Finding]:
    null = [target for target in seen.targets if target.address in _NULL]
    if null:
        yield Finding(
            id="dns.null-address",
            verdict=Verdict.FAIL if len(null) == len(seen.targets) else Verdict.WARN,
            subject=null[0].host,
            summary=(
                f"{null[0].host} is answered with {null[0].address}, which is no host: resolvers that block names (filters, ad blockers, "
                "some firewalls) answer so, and so do unfinished zones."
            ),
            expected="the address of a SIP server",
            observed=null[0].address,
            evidence=tuple(str(step) for step in seen.steps if step.query == null[0].host),
        )


def _unpublished(seen: DnsObservation) -> Iterator[Finding]:
    if seen.other_transports:
        asked = seen.asked.rpartition("transport=")[2]
        others = ", ".join(transport.upper() for transport in seen.other_transports)
        yield Finding(
            id="dns.transport-not-published",
            verdict=Verdict.WARN,
            subject=asked.upper(),
            summary=f"The DNS names servers for {others}, none for {asked.upper()}, which the address asks for: perhaps it is not offered.",
            expected=f"an SRV record for {asked.upper()}",
            observed=f"SRV records for {others}",
            evidence=tuple(str(step) for step in seen.steps if step.type == "SRV"),
            reference="RFC 3263 section 4.2",
        )


def _found(seen: DnsObservation) -> Finding:
    return Finding(
        id="dns.found",
        verdict=Verdict.PASS,
        subject=_host(seen),
        summary=f"{_host(seen)} leads to {_first(seen)}.",
        observed=", ".join(str(target) for target in seen.targets),
        evidence=(*_way(seen), *(f"{target}: {target.because}" for target in seen.targets), *_seen_as(seen)),
        reference="RFC 3263 section 4",
    )


def _own_address(seen: DnsObservation) -> Iterator[Finding]:
    """The server is behind the very router that this machine is behind: what its name says is for the outside."""
    own = [target for target in seen.targets if target.address == seen.public_address]
    if own and seen.translated:  # else it is this machine itself, and no router has to turn anything around
        yield Finding(
            id="dns.own-address",
            verdict=Verdict.WARN,
            subject=_host(seen),
            summary=(
                f"{_host(seen)} leads to {seen.public_address}, this network's own public address: the server is behind the same router, "
                "and from in here it is reached only where that router hairpins."
            ),
            expected="the server's inside address, from in here",
            observed=", ".join(str(target) for target in own),
            evidence=(*_way(seen), *_seen_as(seen)),
            reference="RFC 4787 section 6",
        )


def _seen_as(seen: DnsObservation) -> tuple[str, ...]:
    return (f"a STUN server sees this network as {seen.public_address}",) if seen.public_address else ()


def _first(seen: DnsObservation) -> str:
    more = len(seen.targets) - 1
    return str(seen.targets[0]) + (f" and {more} more" if more else "")


def summarize(seen: DnsObservation, findings: tuple[Finding, ...]) -> str:
    """``example.com leads to UDP 203.0.113.5:5060 and 1 more``"""
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WARN, Verdict.PASS)
    worst = sorted(findings, key=lambda finding: order.index(finding.verdict))
    return worst[0].summary.rstrip(".") if worst else "nothing was found"
