"""Rules across checks: what a finding does to calls, the words for its cause, and which other findings follow from it.

The table is in the order in which causes are told. A rule that explains others takes their place in the first line and in *What to do*, and
is as grave as the gravest of them. Only what follows of necessity is explained: where two causes fit, neither explains the other and
both are told.
"""

import re
from collections.abc import Callable, Sequence
from enum import IntEnum
from fnmatch import fnmatch
from typing import NamedTuple

from edgecheck.checks.topology.judge import LED_ON
from edgecheck.diagnosis.facts import Facts
from edgecheck.diagnosis.on_the_way import told_better
from edgecheck.diagnosis.words import clause, few, fitting, join, subjects, verb
from edgecheck.model.verdict import Finding, Verdict


class Effect(IntEnum):
    """What it does to calls, gravest first. ``may``, for what a given trunk and PBX make of it is not known here."""

    NO_CALLS = 1
    BROKEN = 2
    CLOSED = 3
    SILENT = 4
    DAMAGED = 5
    FORGOTTEN = 6
    ONE_WAY = 7


EFFECTS = {
    Effect.NO_CALLS: "No calls over UDP are possible here",
    Effect.BROKEN: "Registrations and calls may fail",
    Effect.CLOSED: "Calls from outside may not arrive",
    Effect.SILENT: "Calls may ring but be silent",
    Effect.DAMAGED: "Calls may drop, go silent or stop arriving",
    Effect.FORGOTTEN: "Phones and trunks that register may be unreachable between keep-alives",
    Effect.ONE_WAY: "Audio may go one way only",
}
CLOSED_AND_SILENT = "Calls from outside may not arrive, and calls may be silent"

Found = Sequence[Finding]


class Rule(NamedTuple):
    """One row of the table."""

    causes: tuple[str, ...]
    """Finding ids; the rule holds where one of them is a failure or a warning."""
    effect: Effect
    told: Callable[[Facts, Found], str]
    """The cause as a clause, from the findings that hold."""
    explains: tuple[str, ...] = ()
    """Patterns of finding ids that follow from it."""
    only: Callable[[Finding, Finding], bool] = lambda cause, other: True
    """Which of those: given the cause and the other finding."""


class Held(NamedTuple):
    """A rule that holds."""

    rule: Rule
    findings: tuple[Finding, ...]
    explained: tuple[Finding, ...]
    verdict: Verdict
    """Of the gravest of both."""


# ------------------------------------------------------------------------------------------------------------- words of the causes


def _say(text: str) -> Callable[[Facts, Found], str]:
    return lambda facts, found: text


def _own(facts: Facts, found: Found) -> str:
    return clause(found[0])


def _port(one: str, many: str) -> Callable[[Facts, Found], str]:
    return lambda facts, found: verb(subjects(found), one, many)


def _without_rule(facts: Facts, found: Found) -> str:
    if facts.behind_nat is False:
        return verb(
            subjects(found), "is not let in by the firewall before this machine", "are not let in by the firewall before this machine"
        )
    return verb(subjects(found), "is not forwarded", "are not forwarded")


def _one_of_several(one: str, many: str) -> Callable[[Facts, Found], str]:
    """Where several causes fit, all of them: ``blocked: no-rule or provider-drops``."""

    def told(facts: Facts, found: Found) -> str:
        parts = []
        for fits in dict.fromkeys(map(fitting, found)):
            names = verb(subjects(finding for finding in found if fitting(finding) == fits), one, many)
            causes = " or ".join(_FITTING.get(cause, cause.replace("-", " ")) for cause in fits)
            if len(fits) > _MOST_FITTING:
                causes = f"{len(fits)} causes fit, see below"
            parts.append(f"{names} ({causes})" if causes else names)
        return join(parts)

    return told


_MOST_FITTING = 2
"""Causes that the first line names; more, and nobody on a phone would follow it."""
_FITTING = {
    "no-rule": "no rule",
    "wrong-host": "the rule leads to another machine",
    "held-by-another": "another device holds it in the router",
    "wrong-port": "the rule changes the port",
    "led-on-here": "this machine's own rules lead it on",
    "no-listener": "nothing listens where the rule leads",
    "host-firewall": "this machine's firewall drops it",
    "carrier-grade-nat": "carrier-grade NAT",
    "provider-drops": "the provider turns it away",
    "router-refuses": "the router refuses it itself",
    "filtered-behind": "filtered behind the router's rule",
}


def _alg(one: str, many: str, what: str) -> Callable[[Facts, Found], str]:
    def told(facts: Facts, found: Found) -> str:
        located = [finding for finding in found if facts.blames_located(finding)]
        others = [finding for finding in found if finding not in located]
        parts = []
        for who, group in ((facts.culprit or "", located), ("something on the path", others)):
            if group:
                seen = group is located
                does = many if seen and len(facts.located) > 1 else one
                sdp = does.startswith("rewrite") and facts.touches_sdp(group)
                body = what.replace("SIP", "SIP and SDP") if sdp and not seen else what
                # What routers quote ends before SDP: who touches that was not seen.
                parts.append(f"{who} {does} {body} on {subjects(group)}{' (SDP is rewritten, too)' if sdp and seen else ''}")
        return join(parts)

    return told


def _destroyed(facts: Facts, found: Found) -> str:
    """What arrives cut up or turned into something else is not dropped."""
    kinds: dict[tuple[str, str], list[Finding]] = {("drops", "drop"): [], ("cuts up", "cut up"): [], ("spoils", "spoil"): []}
    for finding in found:
        gone = facts.is_lost(finding) or "none of " in finding.observed
        kind = ("drops", "drop") if gone else ("cuts up", "cut up") if finding.observed.startswith(_GARBLED) else ("spoils", "spoil")
        kinds[kind].append(finding)
    parts = []
    for words, group in kinds.items():
        deeds = list(dict.fromkeys(each.observed for each in group)) if words[0] == "spoils" else []
        shown = f" ({deeds[0]})" if len(deeds) == 1 and 0 < len(deeds[0]) <= _SHORT_DEED else ""
        parts += [f"{_alg(*words, 'SIP')(facts, group)}{shown}"] if group else []
    return join(parts)


_GARBLED = "what arrived is no SIP message"
_SHORT_DEED = 60
"""Characters: ``the answer 200 became 403``."""


def _rtp_not_let_in(facts: Facts, found: Found) -> str:
    """The ports of each cause, and the cause."""
    if not any(map(fitting, found)):
        return _rtp("inbound_blocked", "does not arrive")(facts, found)
    told = _one_of_several("does not arrive", "do not arrive")(facts, found).replace("UDP ", "RTP ")
    return re.sub(r"(RTP [0-9]+-[0-9]+) do not", r"\1 does not", told)


def _rtp(field: str, does: str) -> Callable[[Facts, Found], str]:
    def told(facts: Facts, found: Found) -> str:
        span = few(facts.ranges(field)) or subjects(found).removeprefix("UDP ")
        return f"RTP {span} {does}"

    return told


def _carrier(facts: Facts, found: Found) -> str:
    """Some providers lead ports on: all of them, or those that were asked for."""
    if any(LED_ON in finding.observed for finding in found):
        return "the provider translates addresses too (carrier-grade NAT), and leads ports on to here"
    return "the provider translates addresses too (carrier-grade NAT), so no port can be forwarded to here"


def _both_routers(facts: Facts, found: Found) -> str:
    blocked = [*facts.having(*_NOT_LET_IN), *filter(_behind_two, facts.having("rtp-range.inbound-blocked"))]
    if not blocked:
        return "two routers in a row translate addresses (double NAT)"
    return f"two routers in a row translate addresses (double NAT), and {verb(subjects(blocked), 'does', 'do')} not arrive through both"


def _behind_two(rtp: Finding) -> bool:
    """No RTP port at all is let in, and a rule is what lacks, at the one router or the other."""
    causes = fitting(rtp)
    return "no-rule" in causes and len(causes) > 1 and " ports receive" not in rtp.summary


def _lifetime(facts: Facts, found: Found) -> str:
    return f"the {found[0].subject} lives {found[0].observed} only"


def _symmetric(facts: Facts, found: Found) -> str:
    return 'the public port changes with each destination ("symmetric" NAT)' + _rtp_too(facts)


def _renumbered(facts: Facts, found: Found) -> str:
    return "the NAT changes port numbers" + _rtp_too(facts)


def _rtp_too(facts: Facts) -> str:
    rtp = few(facts.ranges("remapped")) if facts.having("rtp-range.remapped") else ""
    return f", RTP {rtp} too" if rtp else ""


# --------------------------------------------------------------------------------------------------------------------- what follows


def _same_subject(cause: Finding, other: Finding) -> bool:
    return cause.subject == other.subject


def _over_udp(cause: Finding, other: Finding) -> bool:
    return "TCP" not in other.subject and "TLS" not in other.subject


def _in_its_place(facts: Facts, found: Found) -> str:
    """A certificate of its own is told apart from other answers: there TLS inspection is to be looked for."""
    parts = []
    for shown, text in (
        (True, "something on the path shows a certificate of its own on {}"),
        (False, "somebody else answers on {} in the server's place"),
    ):
        kind = [finding for finding in found if (finding.observed == _ANOTHER_CERTIFICATE) is shown]
        parts += [text.format(subjects(kind))] if kind else []
    return join(parts)


_ANOTHER_CERTIFICATE = "another certificate"


def _same_certificate(cause: Finding, other: Finding) -> bool:
    """Both saw it, on the same port."""
    return cause.observed == _ANOTHER_CERTIFICATE and other.subject in cause.subject.split(", ")


_BY_AN_ALG = ("sip-alg.pinhole", "sip-alg.via-port")
"""What an ALG does besides."""
_NOT_LET_IN = ("port-forwarding.blocked", "port-forwarding.no-rule", "port-forwarding.refused")
_NOT_REACHED = ("port-forwarding.blocked", "port-forwarding.refused", "port-forwarding.undecided")
RULES: tuple[Rule, ...] = (
    Rule(
        ("nat-behavior.udp-blocked",),
        Effect.NO_CALLS,
        _own,
        ("outbound.*", "rtp-range.*", "nat-behavior.*", "port-*", "sip-alg.undecided", "mapping-lifetime.*", "media-quality.*"),
        _over_udp,
    ),
    Rule(("outbound.udp-blocked",), Effect.NO_CALLS, _own, ("outbound.*", "rtp-range.outbound-blocked", "sip-alg.undecided"), _over_udp),
    Rule(
        ("topology.carrier-grade-nat", "port-forwarding.carrier-grade-nat"),
        Effect.CLOSED,
        _carrier,
        (*_NOT_LET_IN, "port-forwarding.undecided", "rtp-range.inbound-blocked", "topology.double-nat", "topology.wan-address-differs"),
        lambda cause, other: LED_ON not in cause.observed or other.id.startswith("topology."),
    ),
    Rule(
        ("topology.double-nat",),
        Effect.CLOSED,
        _both_routers,
        (*_NOT_LET_IN, "topology.wan-address-differs", "rtp-range.inbound-blocked"),
        lambda cause, other: other.id != "rtp-range.inbound-blocked" or _behind_two(other),
    ),
    Rule(
        ("port-forwarding.host-firewall",),
        Effect.CLOSED,
        lambda facts, found: f"this machine's own firewall drops {subjects(found)}",
        (*_NOT_REACHED, "host.firewall*"),
        lambda cause, other: other.id.startswith("host.") or _same_subject(cause, other),
    ),
    Rule(("outbound.captive-portal",), Effect.BROKEN, _say("a captive portal or web proxy stands before the internet")),
    Rule(("outbound.blocked",), Effect.BROKEN, _port("does not get out to the server", "do not get out to the server")),
    Rule(("outbound.refused",), Effect.BROKEN, _port("is refused on its way out", "are refused on their way out")),
    Rule(("outbound.intercepted",), Effect.BROKEN, _in_its_place, ("sip-alg.certificate-replaced",), _same_certificate),
    Rule(("outbound.dns-intercepted",), Effect.BROKEN, _say("this network answers DNS itself, whoever is asked")),
    Rule(("host.clock",), Effect.BROKEN, _say("this machine's clock is wrong")),
    Rule(
        ("sip-alg.destroyed",),
        Effect.BROKEN,
        _destroyed,
        (*_BY_AN_ALG, "outbound.blocked", "outbound.undecided"),
        _same_subject,
    ),
    Rule(
        ("sip-alg.answered-by-other",),
        Effect.BROKEN,
        _alg("answers", "answer", "SIP itself"),
        (*_BY_AN_ALG, "outbound.intercepted", "outbound.blocked", "outbound.undecided"),
        _same_subject,
    ),
    Rule(
        ("sip-alg.taken-on-the-way",), Effect.BROKEN, _alg("takes", "take", "SIP before it reaches the server"), _BY_AN_ALG, _same_subject
    ),
    Rule(("sip-alg.inconsistent",), Effect.DAMAGED, _alg("rewrites", "rewrite", "SIP inconsistently"), _BY_AN_ALG, _same_subject),
    Rule(
        ("sip-alg.certificate-replaced",),
        Effect.BROKEN,
        lambda facts, found: f"something on the path opens TLS and shows a certificate of its own on {subjects(found)}",
    ),
    Rule(("sip-alg.large-datagrams-lost",), Effect.BROKEN, lambda facts, found: f"long SIP messages are lost on {subjects(found)}"),
    Rule(("sip-alg.rewritten",), Effect.DAMAGED, _alg("rewrites", "rewrite", "SIP"), _BY_AN_ALG, _same_subject),
    Rule(
        ("port-forwarding.wrong-host",),
        Effect.CLOSED,
        _port("leads to another machine", "lead to another machine"),
        _NOT_REACHED,
        _same_subject,
    ),
    Rule(
        ("port-forwarding.wrong-port",),
        Effect.CLOSED,
        _port("arrives at another port of this machine", "arrive at other ports of this machine"),
        _NOT_REACHED,
        _same_subject,
    ),
    Rule(
        ("port-forwarding.led-on-here",),
        Effect.CLOSED,
        lambda facts, found: f"this machine's own rules lead {subjects(found)} on to a container or a virtual machine",
        _NOT_REACHED,
        _same_subject,
    ),
    Rule(
        ("port-forwarding.no-listener",),
        Effect.CLOSED,
        lambda facts, found: f"the router's rule leads {subjects(found)} to a port of this machine on which nothing listens",
        _NOT_REACHED,
        _same_subject,
    ),
    Rule(("port-forwarding.no-rule",), Effect.CLOSED, _without_rule, _NOT_REACHED, _same_subject),
    Rule(
        ("port-forwarding.held-by-another",),
        Effect.CLOSED,
        _port("is held by another device in the router", "are held by another device in the router"),
        _NOT_REACHED,
        _same_subject,
    ),
    Rule(
        ("port-forwarding.provider-drops",),
        Effect.CLOSED,
        _port("is turned away before the router", "are turned away before the router"),
        _NOT_REACHED,
        _same_subject,
    ),
    Rule(
        ("port-forwarding.router-refuses",),
        Effect.CLOSED,
        _port("is refused by the router itself", "are refused by the router itself"),
        _NOT_REACHED,
        _same_subject,
    ),
    Rule(
        ("port-forwarding.filtered-behind",),
        Effect.CLOSED,
        _port("is filtered behind the router's rule", "are filtered behind the router's rule"),
        _NOT_REACHED,
        _same_subject,
    ),
    Rule(("port-forwarding.blocked",), Effect.CLOSED, _one_of_several("does not arrive", "do not arrive")),
    Rule(("port-forwarding.refused",), Effect.CLOSED, _one_of_several("is refused", "are refused")),
    Rule(("rtp-range.inbound-blocked",), Effect.SILENT, _rtp_not_let_in),
    Rule(("rtp-range.outbound-blocked",), Effect.SILENT, _rtp("outbound_blocked", "does not get out")),
    Rule(("rtp-range.return-blocked",), Effect.SILENT, _rtp("return_blocked", "gets no answer back")),
    Rule(
        ("nat-behavior.endpoint-dependent-mapping",),
        Effect.ONE_WAY,
        _symmetric,
        ("rtp-range.remapped", "port-preservation.remapped", "port-preservation.one-port-remapped"),
    ),
    Rule(("port-preservation.remapped",), Effect.ONE_WAY, _renumbered, ("rtp-range.remapped",)),
    Rule(("rtp-range.remapped",), Effect.ONE_WAY, _rtp("remapped", "leaves by other ports")),
    Rule(("sip-alg.only-sip-passes",), Effect.FORGOTTEN, _alg("drops", "drop", "keep-alives")),
    Rule(("port-preservation.one-port-remapped",), Effect.ONE_WAY, lambda facts, found: f"{subjects(found)} leaves by another port"),
    Rule(("mapping-lifetime.very-short", "mapping-lifetime.short"), Effect.FORGOTTEN, _lifetime),
    Rule(("sip-alg.pinhole",), Effect.DAMAGED, _alg("opens", "open", "ports at SIP's word")),
    Rule(
        ("sip-alg.via-port",),
        Effect.DAMAGED,
        lambda facts, found: f"something on the path sends answers to SIP on {subjects(found)} to the port that Via names",
    ),
    Rule(
        ("nat-behavior.pooling", "topology.several-addresses"),
        Effect.ONE_WAY,
        _say("this network leaves by several public addresses"),
    ),
    Rule(("host.sip-helper",), Effect.DAMAGED, _say("this machine's own kernel has a SIP ALG in force")),
    Rule(("topology.several-routes", "host.several-routes"), Effect.ONE_WAY, _say("this machine has several ways out")),
    Rule(("topology.wan-address-differs",), Effect.ONE_WAY, _say("the router names a WAN address that nobody outside sees")),
)


def held(facts: Facts) -> tuple[Held, ...]:
    """The rules that hold, in the table's order, without the findings that follow from another rule; one that has no other is left out."""
    holding = []
    for rule in RULES:
        found = facts.having(*rule.causes, verdicts=(Verdict.FAIL, Verdict.WARN))
        if found:
            holding.append(_held(facts, rule, found))
    follow = [finding for one in holding for finding in one.explained]
    own = [one._replace(findings=tuple(each for each in one.findings if not any(each is other for other in follow))) for one in holding]
    return tuple(one for one in own if one.findings)


def _held(facts: Facts, rule: Rule, found: tuple[Finding, ...]) -> Held:
    explained = tuple(
        other
        for other in facts.troubles()
        if not any(other is cause for cause in found)
        and any(fnmatch(other.id, pattern) for pattern in rule.explains)
        and any(rule.only(cause, other) for cause in found)
    )
    grave = any(finding.verdict is Verdict.FAIL for finding in (*found, *explained))
    return Held(rule, found, explained, Verdict.FAIL if grave else Verdict.WARN)


def explained(facts: Facts) -> tuple[Finding, ...]:
    """Findings that follow from others."""
    return (*(finding for one in held(facts) for finding in one.explained), *told_better(facts))


def rank(finding: Finding) -> tuple[int, int]:
    """Where it stands among the causes: failures first, then as the table has them."""
    places = [place for place, rule in enumerate(RULES) if finding.id in rule.causes]
    return (0 if finding.verdict is Verdict.FAIL else 1, min(places, default=len(RULES)))
