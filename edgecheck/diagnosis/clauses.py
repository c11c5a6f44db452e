"""The words for a cause: a clause, from the findings that hold. What makes one from given words is a function of those."""

import re
from collections.abc import Callable, Sequence

from edgecheck.checks.topology.judge import LED_ON
from edgecheck.diagnosis.facts import Facts
from edgecheck.diagnosis.words import clause, few, fitting, join, subjects, verb
from edgecheck.model.verdict import Finding

Found = Sequence[Finding]
Told = Callable[[Facts, Found], str]
ANOTHER_CERTIFICATE = "another certificate"
NOT_LET_IN = ("port-forwarding.blocked", "port-forwarding.no-rule", "port-forwarding.refused")


def say(text: str) -> Told:
    """Always the same words."""
    return lambda facts, found: text


def own(facts: Facts, found: Found) -> str:
    """The finding's own sentence."""
    return clause(found[0])


def port(one: str, many: str) -> Told:
    """``UDP 5060 is refused``: the ports, and what is said of one or of many."""
    return lambda facts, found: verb(subjects(found), one, many)


def refused_out(facts: Facts, found: Found) -> str:
    """This machine's own system that does not send is nobody's doing on the way."""
    own = [each for each in found if each.summary.startswith("This machine's own system refuses")]
    others = [each for each in found if each not in own]
    parts = [f"this machine's own firewall does not let out {subjects(own)}"] if own else []
    parts += [verb(subjects(others), "is refused on its way out", "are refused on their way out")] if others else []
    return join(parts)


def without_rule(facts: Facts, found: Found) -> str:
    """A rule that lacks: of the router, or of the firewall where nothing is translated."""
    if facts.behind_nat is False:
        return verb(
            subjects(found), "is not let in by the firewall before this machine", "are not let in by the firewall before this machine"
        )
    return verb(subjects(found), "is not forwarded", "are not forwarded")


def one_of_several(one: str, many: str) -> Told:
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
    "reverse-path": "this machine's check of senders drops it",
    "led-on-here": "this machine's own rules lead it on",
    "no-listener": "nothing listens where the rule leads",
    "host-firewall": "this machine's firewall drops it",
    "double-nat": "double NAT, and one router lacks the rule",
    "carrier-grade-nat": "a second NAT, double or carrier-grade",
    "provider-drops": "the provider turns it away",
    "router-refuses": "the router refuses it itself",
    "router-answers": "the router itself answers there",
    "answered-before": "something before it answers there",
    "filtered-behind": "filtered behind the router's rule",
}


def alg(one: str, many: str, what: str) -> Told:
    """Who on the path does what to SIP: by name what was followed to it, and apart from it the rest."""

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


def destroyed(facts: Facts, found: Found) -> str:
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
        parts += [f"{alg(*words, 'SIP')(facts, group)}{shown}"] if group else []
    return join(parts)


_GARBLED = "what arrived is no SIP message"
_SHORT_DEED = 60
"""Characters: ``the answer 200 became 403``."""


def rtp_not_let_in(facts: Facts, found: Found) -> str:
    """The ports of each cause, and the cause."""
    if not any(map(fitting, found)):
        return rtp("inbound_blocked", "does not arrive")(facts, found)
    told = one_of_several("does not arrive", "do not arrive")(facts, found).replace("UDP ", "RTP ")
    return re.sub(r"(RTP [0-9]+-[0-9]+) do not", r"\1 does not", told)


def rtp(field: str, does: str) -> Told:
    """The RTP ports of this field of the observation."""

    def told(facts: Facts, found: Found) -> str:
        span = few(facts.ranges(field)) or subjects(found).removeprefix("UDP ")
        return f"RTP {span} {does}"

    return told


def through_a_vpn(facts: Facts, found: Found) -> str:
    """What was measured is the VPN's far end; no router here has been met."""
    shut = facts.having(*NOT_LET_IN, "rtp-range.inbound-blocked")
    far = f", at whose far end {verb(subjects(shut), 'is', 'are')} not let in" if shut else ": what they say is of its far end"
    return f"the checks went through a VPN ({found[0].subject}){far}"


def carrier(facts: Facts, found: Found) -> str:
    """Some providers lead ports on: all of them, or those that were asked for."""
    if any(LED_ON in finding.observed for finding in found):
        return "the provider translates addresses too (carrier-grade NAT), and leads ports on to here"
    return "the provider translates addresses too (carrier-grade NAT), so no port can be forwarded to here"


def both_routers(facts: Facts, found: Found) -> str:
    """Double NAT, and what does not arrive for want of a rule in one of the two."""
    closed = facts.having(*NOT_LET_IN, "port-forwarding.double-nat")
    needed = [each for each in closed if not facts.optional(each)] or closed
    blocked = [*needed, *filter(behind_two, facts.having("rtp-range.inbound-blocked"))]
    if not blocked:
        return "two routers in a row translate addresses (double NAT)"
    return f"two routers in a row translate addresses (double NAT), and {verb(subjects(blocked), 'does', 'do')} not arrive through both"


def behind_two(rtp: Finding) -> bool:
    """No RTP port at all is let in, and a rule is what lacks, at the one router or the other."""
    causes = fitting(rtp)
    lacking = "double-nat" in causes or ("no-rule" in causes and len(causes) > 1)
    return lacking and " ports receive" not in rtp.summary


def lifetime(facts: Facts, found: Found) -> str:
    """How long a mapping lives."""
    every = facts.fact("mapping-lifetime", "recommended_keepalive_s")
    needed = f", so a keep-alive is needed every {every} s" if isinstance(every, int) else ""
    return f"the {found[0].subject} is forgotten after {found[0].observed}{needed}"


def symmetric(facts: Facts, found: Found) -> str:
    """Endpoint-dependent mapping."""
    return 'the public port changes with each destination ("symmetric" NAT)' + _rtp_too(facts)


def renumbered(facts: Facts, found: Found) -> str:
    """Ports that lose their number."""
    return "the NAT changes port numbers" + _rtp_too(facts)


def _rtp_too(facts: Facts) -> str:
    rtp = few(facts.ranges("remapped")) if facts.having("rtp-range.remapped") else ""
    return f", RTP {rtp} too" if rtp else ""


def in_its_place(facts: Facts, found: Found) -> str:
    """A certificate of its own is told apart from other answers: there TLS inspection is to be looked for."""
    parts = []
    for shown, text in (
        (True, "something on the path shows a certificate of its own on {}"),
        (False, "somebody else answers on {} in the server's place"),
    ):
        kind = [finding for finding in found if (finding.observed == ANOTHER_CERTIFICATE) is shown]
        parts += [text.format(subjects(kind))] if kind else []
    return join(parts)
