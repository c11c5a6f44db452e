"""From the same question asked in several ways to who may be wrong. Pure.

Two answers alone never say which of them is the lie: an inside view (split DNS) is meant so, and looks the same. What fits is listed,
with what tells it apart; a box on the way that answers for others is claimed only where an address that nobody has was answered.
"""

from collections.abc import Iterator, Sequence

from edgecheck.checks.dns.observation import Comparison, DnsObservation, Step
from edgecheck.checks.dns.otherwise import OVER_TCP, TOLD
from edgecheck.model.phone import NOWHERE, NOWHERE6, AddressRecord
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire.address import parse_endpoint
from edgecheck.wire.networks import is_public

_NOBODYS = (f"{NOWHERE}:53", f"[{NOWHERE6}]:53")
_SYSTEM = "this machine's own way (hosts file, its DNS servers)"


def judge_compared(seen: DnsObservation) -> tuple[Finding, ...]:
    """What differs, and why it may."""
    rules = (_intercepted, _by_own, _by_system, _over_tcp, _by_service, _inventing, _own_fails)
    return tuple(finding for rule in rules for finding in rule(seen))


def _told(step: Step, names: Sequence[str]) -> bool:
    return step.query in names or step.type == "identity"


def _differs(each: Comparison) -> bool:
    return not set(each.one_says) & set(each.other_says) and bool(each.one_says or each.other_says)


def _list(says: Sequence[str]) -> str:
    return ", ".join(says) or "not known"


def _places(says: Sequence[str]) -> str:
    return ", ".join(says) or "nowhere"


# --- a box on the way --------------------------------------------------------------------------------------------------------


def _asked_of(seen: DnsObservation) -> str | None:
    """The DNS server whose answers a phone would follow."""
    return next((step.server for step in seen.steps if step.decisive and step.server not in ("", "system")), None)


def _intercepted(seen: DnsObservation) -> Iterator[Finding]:
    server = _asked_of(seen)
    if not seen.intercepted or server is None or not is_public(parse_endpoint(server).host):
        return  # this network's own DNS server is asked: that it answers for others changes nothing
    nobody = next((step.server for step in seen.steps if step.server in _NOBODYS), _NOBODYS[0])
    itself = f" ({seen.interceptor})" if seen.interceptor else ""
    by_tcp = next((each for each in seen.comparisons if each.other.endswith(OVER_TCP)), None)
    if by_tcp is None:
        rest = f"What {server} itself says cannot be told from here: ask from another network"
    elif _differs(by_tcp):
        true, told = _list(by_tcp.other_says), _list(by_tcp.one_says)
        rest = f"Over TCP, where no such box was seen, {by_tcp.name} is {true}, and not {told}"
    else:
        rest = f"Over TCP, where no such box was seen, it is the same for {by_tcp.name}"
    yield Finding(
        id="dns.intercepted",
        verdict=Verdict.WARN,
        subject=server,
        summary=(
            f"Something on the way answers DNS in other servers' place{itself}: a question to {nobody}, an address that nobody has, was "
            f"answered, so what is heard here need not be what {server} says. {rest}."
        ),
        expected=f"no answer from {nobody}",
        observed="an answer",
        evidence=tuple(map(str, (step for step in seen.steps if step.server in _NOBODYS or step.type == "identity"))),
        reference="RFC 5737",
    )


def _over_tcp(seen: DnsObservation) -> Iterator[Finding]:
    for each in seen.comparisons:
        if not each.other.endswith(OVER_TCP) or not _differs(each) or (seen.intercepted and is_public(parse_endpoint(each.one).host)):
            continue
        yield _mismatch(
            each,
            seen,
            f"{each.name} is {_list(each.one_says)} for the DNS server {each.one} over UDP, and {_list(each.other_says)} over TCP: a box "
            "on the way answers UDP in its place, or the name's addresses change from question to question (ask several times, and from "
            "another network)",
            (each.name,),
            "Ask again over TCP and from another network; in the router, look for \"DNS redirect\", parental control and the like.",
        )


# --- this machine's own ways -------------------------------------------------------------------------------------------------


def _by_own(seen: DnsObservation) -> Iterator[Finding]:
    """The chosen DNS server and this machine's own one lead a phone to different places."""
    for each in _of_own(seen):
        if not _differs(each):
            continue
        if seen.intercepted:
            causes = "a box on the way answers for at least one of them (see dns.intercepted)"
        elif _inside(each.one_says) != _inside(each.other_says):
            causes = (
                "an inside view (split DNS), right where the server stands in this network or behind a VPN; or a router or DNS server that "
                "does not tell the truth"
            )
        else:
            causes = (
                "split DNS, addresses given out by turns or by place, a record that one of them keeps too long, a filter, or a DNS server "
                "that does not tell the truth"
            )
        yield _mismatch(
            each,
            seen,
            f"By the DNS server {each.one} {each.name} leads to {_places(each.one_says)}, by this machine's own one ({each.other}) to "
            f"{_places(each.other_says)}: {causes}. Whoever runs the server knows which is right",
            tuple(dict.fromkeys(step.query for step in seen.steps)),
            "Find out which of the two places is the server (whoever runs it knows) and correct the other DNS server; until then type the "
            "right one into the phone.",
        )


def _inside(targets: Sequence[str]) -> bool:
    """Whether they are all of a private network."""
    return bool(targets) and not any(is_public(_address(target)) for target in targets)


def _of_own(seen: DnsObservation) -> list[Comparison]:
    return [each for each in seen.comparisons if each.other == seen.own_server]


def _address(target: str) -> str:
    return parse_endpoint(target.partition(" ")[2]).host


def _by_system(seen: DnsObservation) -> Iterator[Finding]:
    own = _of_own(seen)
    for each in seen.comparisons:
        if each.other != "system" or not _differs(each):
            continue
        said = f"{each.name} is {_list(each.one_says)} for the DNS server {each.one}, and {_list(each.other_says)} for {_SYSTEM}"
        causes = "a hosts file, split DNS, addresses given out by turns, or a resolver that does not tell the truth"
        if own:
            asked = [step for step in seen.steps if step.query == each.name and step.server == seen.own_server]
            by_own = {record.address for step in asked for record in step.records if isinstance(record, AddressRecord)}
            if set(each.other_says) & by_own or (not each.other_says and not by_own):
                if any(map(_differs, own)):
                    continue  # it asks that server, and that is told
                causes = "its DNS server says so, while both lead to some place in common"
            else:
                causes = "a hosts file, mDNS or a name cache, for its DNS server does not say so"
        look = "Look into the hosts file of this machine (PBX machines often name themselves there), then at its DNS server."
        yield _mismatch(each, seen, f"{said}: {causes}", (each.name,), look)


def _by_service(seen: DnsObservation) -> Iterator[Finding]:
    """SRV records that lead elsewhere than the name's own address."""
    by_service = [target for target in seen.targets if target.because.startswith("SRV ")]
    own = seen.domain_addresses or ()
    if by_service and own and not set(own) & {target.address for target in by_service}:
        host = seen.asked.partition(":")[2].partition(";")[0]
        to = tuple(dict.fromkeys(target.address for target in by_service))
        yield _mismatch(
            Comparison(name=host, one="SRV", other="A", one_says=to, other_says=own),
            seen,
            f"The SRV records of {host} lead to {_list(to)}, its own address is {_list(own)}: a phone that asks for no SRV records goes "
            "elsewhere",
            tuple(step.query for step in seen.steps if step.type in ("SRV", "A", "AAAA")),
        )


def _mismatch(each: Comparison, seen: DnsObservation, text: str, names: Sequence[str], *remedies: str) -> Finding:
    return Finding(
        id="dns.address-mismatch",
        verdict=Verdict.WARN,
        subject=each.name,
        summary=f"{text}.",
        expected=_list(each.one_says),
        observed=_list(each.other_says),
        evidence=tuple(str(step) for step in seen.steps if _told(step, names)),
        remedies=remedies,
        reference="RFC 3263 section 4.2",
    )


# --- DNS servers that cannot be right ------------------------------------------------------------------------------------------


def _inventing(seen: DnsObservation) -> Iterator[Finding]:
    for whose, subject, invented in (
        ("The DNS server", "resolver", seen.invented),
        ("This machine's own DNS server", "own resolver", seen.invented_by_own),
    ):
        if invented:
            yield Finding(
                id="dns.invented-answers",
                verdict=Verdict.WARN,
                subject=subject,
                summary=(
                    f"{whose} answers {', '.join(invented)} for a name that cannot exist: it makes answers up, so a misspelled name leads "
                    "to a stranger instead of an error."
                ),
                expected="NXDOMAIN",
                observed=", ".join(invented),
                evidence=(f"a random name under .invalid was answered with {', '.join(invented)}",),
                reference="RFC 6761 section 6.4",
            )


def _own_fails(seen: DnsObservation) -> Iterator[Finding]:
    """The chosen server tells, and this machine's own one does not."""
    server = _asked_of(seen)
    asked = [step for step in seen.steps if step.server == seen.own_server and not step.decisive]
    failing = [step for step in asked if step.rcode and step.rcode not in TOLD]
    if failing:
        first = failing[0]
        how = "gives no answer" if first.rcode in ("TIMEOUT", "UNREACHABLE") else f"fails ({first.rcode})"
        yield Finding(
            id="dns.server-failure",
            verdict=Verdict.WARN,
            subject=first.server,
            summary=(
                f"This machine's own DNS server {first.server} {how} for {first.query}, while {server} answers: phones that ask it get no "
                "further."
            ),
            expected="an answer",
            observed=first.rcode,
            evidence=tuple(map(str, failing)),
            reference="RFC 1035 section 4.1.1",
        )
