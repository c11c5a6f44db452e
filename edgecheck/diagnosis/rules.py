"""Rules across checks: what a finding does to calls, the words for its cause, and which other findings follow from it.

The table is in the order in which causes are told. A rule that explains others takes their place in the first line and in *What to do*, and
is as grave as the gravest of them. Only what follows of necessity is explained: where two causes fit, neither explains the other and
both are told.
"""

from collections.abc import Callable
from enum import IntEnum
from fnmatch import fnmatch
from typing import NamedTuple

from edgecheck.checks.topology.judge import LED_ON
from edgecheck.diagnosis import clauses
from edgecheck.diagnosis.clauses import Told
from edgecheck.diagnosis.facts import Facts
from edgecheck.diagnosis.on_the_way import told_better
from edgecheck.diagnosis.words import subjects, verb
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


class Rule(NamedTuple):
    """One row of the table."""

    causes: tuple[str, ...]
    """Finding ids; the rule holds where one of them is a failure or a warning."""
    effect: Effect
    told: Told
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


# --------------------------------------------------------------------------------------------------------------------- what follows


def _same_subject(cause: Finding, other: Finding) -> bool:
    return cause.subject == other.subject


def _over_udp(cause: Finding, other: Finding) -> bool:
    return "TCP" not in other.subject and "TLS" not in other.subject


def _same_certificate(cause: Finding, other: Finding) -> bool:
    """Both saw it, on the same port."""
    return cause.observed == clauses.ANOTHER_CERTIFICATE and other.subject in cause.subject.split(", ")


UNHEARD = "port-forwarding.listens-elsewhere"
_BY_AN_ALG = ("sip-alg.pinhole", "sip-alg.via-port")
"""What an ALG does besides."""
_NOT_REACHED = ("port-forwarding.blocked", "port-forwarding.refused", "port-forwarding.undecided")
RULES: tuple[Rule, ...] = (
    Rule(
        ("nat-behavior.udp-blocked",),
        Effect.NO_CALLS,
        clauses.own,
        ("outbound.*", "rtp-range.*", "nat-behavior.*", "port-*", "sip-alg.undecided", "mapping-lifetime.*", "media-quality.*"),
        _over_udp,
    ),
    Rule(
        ("outbound.udp-blocked",),
        Effect.NO_CALLS,
        clauses.own,
        ("outbound.*", "rtp-range.outbound-blocked", "sip-alg.undecided"),
        _over_udp,
    ),
    Rule(("host.vpn",), Effect.ONE_WAY, clauses.through_a_vpn, (*clauses.NOT_LET_IN, "rtp-range.inbound-blocked")),
    Rule(
        ("topology.carrier-grade-nat", "port-forwarding.carrier-grade-nat"),
        Effect.CLOSED,
        clauses.carrier,
        (
            *clauses.NOT_LET_IN,
            "port-forwarding.undecided",
            "rtp-range.inbound-blocked",
            "topology.double-nat",
            "topology.wan-address-differs",
        ),
        lambda cause, other: LED_ON not in cause.observed or other.id.startswith("topology."),
    ),
    Rule(
        ("topology.double-nat", "port-forwarding.double-nat"),
        Effect.CLOSED,
        clauses.both_routers,
        (*clauses.NOT_LET_IN, "topology.wan-address-differs", "rtp-range.inbound-blocked"),
        lambda cause, other: other.id != "rtp-range.inbound-blocked" or clauses.behind_two(other),
    ),
    Rule(
        ("port-forwarding.host-firewall",),
        Effect.CLOSED,
        lambda facts, found: f"this machine's own firewall drops {subjects(found)}",
        (*_NOT_REACHED, "host.firewall*"),
        lambda cause, other: other.id.startswith("host.") or _same_subject(cause, other),
    ),
    Rule((UNHEARD,), Effect.CLOSED, lambda facts, found: f"nobody listens where {verb(subjects(found), 'comes', 'come')} in"),
    Rule(("outbound.captive-portal",), Effect.BROKEN, clauses.say("a captive portal or web proxy stands before the internet")),
    Rule(("outbound.blocked",), Effect.BROKEN, clauses.port("does not get out to the server", "do not get out to the server")),
    Rule(("outbound.refused",), Effect.BROKEN, clauses.refused_out),
    Rule(("outbound.intercepted",), Effect.BROKEN, clauses.in_its_place, ("sip-alg.certificate-replaced",), _same_certificate),
    Rule(("outbound.dns-intercepted",), Effect.BROKEN, clauses.say("this network answers DNS itself, whoever is asked")),
    Rule(("host.clock",), Effect.BROKEN, clauses.say("this machine's clock is wrong")),
    Rule(
        ("sip-alg.destroyed",),
        Effect.BROKEN,
        clauses.destroyed,
        (*_BY_AN_ALG, "outbound.blocked", "outbound.undecided"),
        _same_subject,
    ),
    Rule(
        ("sip-alg.answered-by-other",),
        Effect.BROKEN,
        clauses.alg("answers", "answer", "SIP itself"),
        (*_BY_AN_ALG, "outbound.intercepted", "outbound.blocked", "outbound.undecided"),
        _same_subject,
    ),
    Rule(
        ("sip-alg.taken-on-the-way",),
        Effect.BROKEN,
        clauses.alg("takes", "take", "SIP before it reaches the server"),
        _BY_AN_ALG,
        _same_subject,
    ),
    Rule(("sip-alg.inconsistent",), Effect.DAMAGED, clauses.alg("rewrites", "rewrite", "SIP inconsistently"), _BY_AN_ALG, _same_subject),
    Rule(
        ("sip-alg.certificate-replaced",),
        Effect.BROKEN,
        lambda facts, found: f"something on the path opens TLS and shows a certificate of its own on {subjects(found)}",
    ),
    Rule(("sip-alg.large-datagrams-lost",), Effect.BROKEN, lambda facts, found: f"long SIP messages are lost on {subjects(found)}"),
    Rule(("sip-alg.rewritten",), Effect.DAMAGED, clauses.alg("rewrites", "rewrite", "SIP"), _BY_AN_ALG, _same_subject),
    Rule(
        ("port-forwarding.wrong-host",),
        Effect.CLOSED,
        clauses.port("leads to another machine", "lead to another machine"),
        _NOT_REACHED,
        _same_subject,
    ),
    Rule(
        ("port-forwarding.wrong-port",),
        Effect.CLOSED,
        clauses.port("arrives at another port of this machine", "arrive at other ports of this machine"),
        _NOT_REACHED,
        _same_subject,
    ),
    Rule(
        ("port-forwarding.reverse-path",),
        Effect.CLOSED,
        lambda facts, found: f"this machine's own check of senders (rp_filter) drops {subjects(found)}",
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
    Rule(("port-forwarding.no-rule",), Effect.CLOSED, clauses.without_rule, _NOT_REACHED, _same_subject),
    Rule(
        ("port-forwarding.held-by-another",),
        Effect.CLOSED,
        clauses.port("is held by another device in the router", "are held by another device in the router"),
        _NOT_REACHED,
        _same_subject,
    ),
    Rule(
        ("port-forwarding.provider-drops",),
        Effect.CLOSED,
        clauses.port("is turned away before the router", "are turned away before the router"),
        _NOT_REACHED,
        _same_subject,
    ),
    Rule(
        ("port-forwarding.router-refuses",),
        Effect.CLOSED,
        clauses.port("is refused by the router itself", "are refused by the router itself"),
        _NOT_REACHED,
        _same_subject,
    ),
    Rule(
        ("port-forwarding.router-answers",),
        Effect.CLOSED,
        clauses.port("is answered by the router itself", "are answered by the router itself"),
        _NOT_REACHED,
        _same_subject,
    ),
    Rule(
        ("port-forwarding.answered-before",),
        Effect.CLOSED,
        clauses.port("is answered by something before the router", "are answered by something before the router"),
        _NOT_REACHED,
        _same_subject,
    ),
    Rule(
        ("port-forwarding.filtered-behind",),
        Effect.CLOSED,
        clauses.port("is filtered behind the router's rule", "are filtered behind the router's rule"),
        _NOT_REACHED,
        _same_subject,
    ),
    Rule(("port-forwarding.answered",), Effect.CLOSED, clauses.one_of_several("does not reach this machine", "do not reach this machine")),
    Rule(("port-forwarding.blocked",), Effect.CLOSED, clauses.one_of_several("does not arrive", "do not arrive")),
    Rule(("port-forwarding.refused",), Effect.CLOSED, clauses.one_of_several("is refused", "are refused")),
    Rule(("rtp-range.inbound-blocked",), Effect.SILENT, clauses.rtp_not_let_in),
    Rule(("rtp-range.outbound-blocked",), Effect.SILENT, clauses.rtp("outbound_blocked", "does not get out")),
    Rule(("rtp-range.return-blocked",), Effect.SILENT, clauses.rtp("return_blocked", "gets no answer back")),
    Rule(
        ("nat-behavior.endpoint-dependent-mapping",),
        Effect.ONE_WAY,
        clauses.symmetric,
        ("rtp-range.remapped", "port-preservation.remapped", "port-preservation.one-port-remapped"),
    ),
    Rule(("port-preservation.remapped",), Effect.ONE_WAY, clauses.renumbered, ("rtp-range.remapped",)),
    Rule(("rtp-range.remapped",), Effect.ONE_WAY, clauses.rtp("remapped", "leaves by other ports")),
    Rule(("sip-alg.only-sip-passes",), Effect.FORGOTTEN, clauses.alg("drops", "drop", "keep-alives")),
    Rule(("port-preservation.one-port-remapped",), Effect.ONE_WAY, lambda facts, found: f"{subjects(found)} leaves by another port"),
    Rule(("mapping-lifetime.very-short", "mapping-lifetime.short"), Effect.FORGOTTEN, clauses.lifetime),
    Rule(("sip-alg.pinhole",), Effect.DAMAGED, clauses.alg("opens", "open", "ports at SIP's word")),
    Rule(
        ("sip-alg.via-port",),
        Effect.DAMAGED,
        lambda facts, found: f"something on the path sends answers to SIP on {subjects(found)} to the port that Via names",
    ),
    Rule(
        ("nat-behavior.pooling", "topology.several-addresses"),
        Effect.ONE_WAY,
        clauses.say("this network leaves by several public addresses"),
    ),
    Rule(("host.sip-helper",), Effect.DAMAGED, clauses.say("this machine's own kernel has a SIP ALG in force")),
    Rule(("topology.several-routes", "host.several-routes"), Effect.ONE_WAY, clauses.say("this machine has several ways out")),
    Rule(("topology.wan-address-differs",), Effect.ONE_WAY, clauses.say("the router names a WAN address that nobody outside sees")),
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
