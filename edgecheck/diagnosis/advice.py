"""What to do, in order: for the one who has the router's password."""

import re
from collections.abc import Callable, Sequence

from edgecheck.checks.port_preservation.probe import ANSWERS_LOST
from edgecheck.checks.topology.judge import LED_ON
from edgecheck.diagnosis import account_advice, alg_advice, knowledge
from edgecheck.diagnosis.alg_advice import switch_off
from edgecheck.diagnosis.facts import Facts
from edgecheck.diagnosis.lifetime_advice import keep_alive, sip_apart
from edgecheck.diagnosis.router_settings import where_set
from edgecheck.diagnosis.rules import UNHEARD, explained, held, rank
from edgecheck.diagnosis.unclear_advice import (
    FIREWALLS,
    let_out_here,
    no_session,
    nothing_reached,
    nothing_through,
    second_address,
    shut_out,
    untold_port,
)
from edgecheck.diagnosis.unheard_advice import listen_there
from edgecheck.diagnosis.words import fitting, join, subjects
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire import ports

_RTP_BLOCKED = "rtp-range.inbound-blocked"
_NO_RULE = "port-forwarding.no-rule"
_SEVERAL = ("port-forwarding.blocked", "port-forwarding.refused")
"""Ports for which more than one cause fits."""
_MOST = 6
"""Steps told; more would not be read, and every finding carries its own remedies."""


def advise(facts: Facts) -> tuple[str, ...]:
    """The steps for the whole run, gravest first, each once; nothing for what only follows from something else."""
    steps: dict[str, None] = {}
    follows = explained(facts)
    troubles = [finding for finding in facts.troubles() if not any(finding is other for other in follows)]
    kinds = {_kind(finding): finding for finding in reversed(troubles)}
    known = [finding for finding in troubles if kinds[_kind(finding)] is finding and finding.verdict is not Verdict.INCONCLUSIVE]
    known.sort(key=rank)
    alone = len(known) == 1 and bool(follows)
    for finding in known:
        for step in _specific(facts, finding) or (*finding.remedies, *_general(finding))[: 2 if alone else 1]:
            steps.setdefault(step)
    for step in _find_out(facts, [finding for finding in troubles if finding.verdict is Verdict.INCONCLUSIVE]):
        steps.setdefault(step)
    if facts.this_machine_only:
        steps.setdefault(
            "To check your network's edge: run edgecheck-server on a host outside, and here: edgecheck run edge://TOKEN@HOST:PORT "
            "(the line that it prints)."
        )
    return tuple(steps)[:_MOST]


_NO_UDP = ("nat-behavior.udp-blocked", "outbound.udp-blocked")


def _find_out(facts: Facts, untold: list[Finding]) -> tuple[str, ...]:
    """What to do about what could not be told: one step for all of it."""
    if any(finding.id in _NO_UDP for finding in untold):
        # it says the same of UDP as a whole, and more
        untold = [each for each in untold if each.id != "outbound.undecided" or "TCP" in each.subject or "TLS" in each.subject]
    if not untold:
        return ()
    special = [step for finding in untold for step in _specific(facts, finding)]
    if special:
        return tuple(dict.fromkeys(special))
    # What was lost with the server, or left when the run was stopped, needs no other remedy than that loss.
    untold = [finding for finding in untold if not finding.id.endswith(".cut-short")] or untold[:1]
    # What keeps the run as a whole from telling comes before all: it is no check that could be run again.
    untold = [finding for finding in untold if finding.id.startswith("control.")] or untold
    if len({finding.id for finding in untold}) == 1:
        return (*untold[0].remedies, *_general(untold[0]))[:1]
    checks = dict.fromkeys(finding.id.partition(".")[0] for finding in untold)
    return (f"Run again what could not be told, after five minutes and with nothing else loading the line: {join(list(checks))}.",)


def remedies(facts: Facts, finding: Finding) -> tuple[str, ...]:
    """What to do about one finding: what fits this network, then what holds in general."""
    if finding.verdict in (Verdict.PASS, Verdict.SKIPPED):
        return finding.remedies
    cause = next((one.findings[0] for one in held(facts) if any(finding is other for other in one.explained)), None)
    if cause is not None:  # what is to be done about that; more would contradict it: forward a port that cannot be forwarded
        return _specific(facts, cause) or (*cause.remedies, *_general(cause))[:1]
    # Of an ALG the page speaks of "the router": whose box it is, the steps for this network know better.
    general = () if finding.id in alg_advice.OF_A_BOX else _general(finding)
    return tuple(dict.fromkeys((*finding.remedies, *_specific(facts, finding), *general)))


def _kind(finding: Finding) -> tuple[str, ...]:
    """What is told once for all findings that are alike: a port is not let in for one cause here and for another there."""
    return (finding.id, *fitting(finding)) if finding.id in (_RTP_BLOCKED, *_SEVERAL) else (finding.id,)


def _general(finding: Finding) -> tuple[str, ...]:
    causes = fitting(finding) if finding.id == _RTP_BLOCKED else ()
    page = knowledge.explanation(f"port-forwarding.{causes[0]}" if len(causes) == 1 else finding.id)
    return page.do if page else ()


def _specific(facts: Facts, finding: Finding) -> tuple[str, ...]:
    rule = _RULES.get(finding.id)
    return rule(facts, finding) if rule else ()


def _forward(facts: Facts, finding: Finding) -> tuple[str, ...]:
    same = facts.having(finding.id, verdicts=(finding.verdict,))
    other = _ELSE.get(finding.id, "") if not all(map(facts.optional, same)) else ""
    tell = _telling(finding)
    if tell:
        unused = all(facts.optional(each) for each in same)  # nobody looks for the cause of what he may not need
        return (*_filtered_first(facts, finding), _see_the_rule(facts, fitting(finding)), *(() if unused else tell))
    ports_told, rtp = _ports(facts, finding), _rtp_without_rule(facts) if other and finding.id == _NO_RULE else None
    if rtp:
        ports_told += f", and UDP {rtp[0]}-{rtp[1]} (RTP),"
    step = f"{_open(facts)} {ports_told} to {facts.here}{other}.{_through_the_firewall(facts)}{_how_to_forward(facts)}"
    return (_where_used(facts, same, step),)


def _filtered_first(facts: Facts, finding: Finding) -> tuple[str, ...]:
    """What leaves from the very port arrives, and the answers to it do not: a rule that is missing keeps no answers out."""
    rows = facts.fact("port-preservation", "ports")
    lost = [
        row.get("local")
        for row in (rows if isinstance(rows, (list, tuple)) else ())
        if isinstance(row, dict) and row.get("transport") == "udp" and str(row.get("reason")).endswith(ANSWERS_LOST)
    ]
    if "provider-drops" not in fitting(finding) or not any(finding.subject == f"UDP {port}" for port in lost):
        return ()
    return (
        f"Ask the provider about {finding.subject} first: what left from this port reached the server, and the answers did not come back. "
        "A missing rule does not explain that; a filter for this port does, at the provider or in the router.",
    )


def _rtp_without_rule(facts: Facts) -> tuple[int, int] | None:
    """The RTP range, where a rule is all that lacks, and for the whole of it: then it is one step with other ports that lack one."""
    blocked = facts.having(_RTP_BLOCKED)
    alone = bool(blocked) and all(fitting(each) == ("no-rule",) and "for TCP alone" not in each.summary for each in blocked)
    whole = facts.profile.rtp
    return whole if alone and whole is not None and facts.ranges("inbound_blocked") == (whole,) else None


def _ports(facts: Facts, finding: Finding) -> str:
    """Those that are alike by name, and apart from them the ones that the profile calls optional: nobody should open what is not used."""
    alike = [each for each in facts.having(finding.id) if fitting(each) == fitting(finding)]
    needed, optional = ([each for each in alike if facts.optional(each) is which] for which in (False, True))
    if not needed or not optional:
        return subjects(alike)
    return subjects(needed) + _if_used(optional)


def _if_used(optional: Sequence[Finding]) -> str:
    return f" (and, if used, {subjects(optional)})" if optional else ""


def _where_used(facts: Facts, found: tuple[Finding, ...], step: str) -> str:
    """A step that is about optional ports alone says so, and what they would be for."""
    if not all(facts.optional(each) for each in found):
        return step
    named_in = [re.split(r"[ ,]+", each.subject) for each in found]
    purposes = [need for words in named_in for need in facts.profile.ports if words[0].lower() == need.transport and need.ports in words]
    named = [f"{need.transport.upper()} {need.ports}: {re.split(r' ?[,(]', need.purpose)[0]}" for need in purposes]
    return f"Only if you use it ({'; '.join(dict.fromkeys(named))}): {_lower(step)}"


def _through_the_firewall(facts: Facts) -> str:
    """What stands behind a rule that is still missing: this machine's own firewall, where it is known to drop by default."""
    firewall = facts.own_firewall
    drops = f" This machine's own firewall ({firewall}) drops what none of its rules admits: see that it lets them in, too."
    return drops if firewall else ""


def _telling(finding: Finding) -> tuple[str, ...]:
    """What would tell apart the causes that fit."""
    return tuple(step for step in finding.remedies if step.startswith("To tell which"))


def _see_the_rule(facts: Facts, causes: tuple[str, ...]) -> str:
    """One step for all that the same causes fit: ports by name, and RTP."""
    alike = [each for each in facts.having(*_SEVERAL, _RTP_BLOCKED) if fitting(each) == causes and _telling(each)]
    closed = tuple(each for each in alike if each.id != _RTP_BLOCKED)
    needed = [each for each in closed if not facts.optional(each)]
    names = [subjects([each]) for each in needed or closed]
    if needed:
        names[-1] += _if_used([each for each in closed if facts.optional(each)])
    rtp = facts.profile.rtp
    names += [f"UDP {rtp[0]}-{rtp[1]} (RTP)"] if rtp and any(each.id == _RTP_BLOCKED for each in alike) else []
    what = join(list(dict.fromkeys(names)))
    step = f"See that there is a rule, and a right one: {_lower(_open(facts))} {what} to {facts.here}.{_how_to_forward(facts)}"
    if "no-rule" not in causes and "wrong-host" in causes:
        step = f"See that the router's rule for {what} leads to {facts.here}.{_how_to_forward(facts)}"
    return step if len(alike) > len(closed) else _where_used(facts, closed, step)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _host_firewall(facts: Facts, finding: Finding) -> tuple[str, ...]:
    """The ports by name, and RTP that does not arrive: whatever else keeps it out, it has to be let in there, too."""
    dropped = _ports(facts, finding)
    rtp = facts.ranges("inbound_blocked") and facts.profile.rtp
    also = f" and, for RTP, UDP {rtp[0]}-{rtp[1]}" if rtp else ""
    return (f"In this machine's own firewall, let in {dropped}{also} (look at: {FIREWALLS}), and run this again.",)


def _how_to_forward(facts: Facts) -> str:
    return "" if facts.behind_nat is False or facts.having("host.vpn") else where_set(facts, "forwarding")


def _right_host(facts: Facts, finding: Finding) -> tuple[str, ...]:
    does = " If it does already, a transparent firewall between refuses in this machine's name." * finding.observed.startswith("refused")
    media = [each for each in facts.having(_RTP_BLOCKED) if fitting(each) == ("wrong-host",)]
    rtp = f", and for {subjects(media)} (RTP)," if media else ""
    return (f"Let the router's rule for {_ports(facts, finding)}{rtp} lead to {facts.here}, this machine.{does}{_how_to_forward(facts)}",)


def _held(facts: Facts, finding: Finding) -> tuple[str, ...]:
    """Who holds it, where the router tells."""
    if not facts.holders:
        return ()
    same = facts.having(finding.id, verdicts=(finding.verdict,))
    return (
        f"On {join(list(facts.holders))}, to which the router leads {subjects(same)}, switch UPnP off or choose another port; then "
        f"restart it, or delete the mapping in the router. Then forward {subjects(same)} to {facts.here}.{_how_to_forward(facts)}",
    )


_INNER, _OUTER = {"no-rule", "filtered-behind"}, {"carrier-grade-nat", "provider-drops"}
"""What fits a port that the outer of two routers leads on, and what does not."""


def _both_routers(facts: Facts, finding: Finding) -> tuple[str, ...]:
    inner = facts.router.wan_address if facts.router else None
    target = f"to the inner one ({inner})" if inner else "to the inner one's outer address"
    shut = facts.having("port-forwarding.no-rule", "port-forwarding.double-nat", *_SEVERAL)
    rtp = facts.profile.rtp if facts.having(_RTP_BLOCKED) else None
    needed, optional = ([each for each in shut if facts.optional(each) is which] for which in (False, True))
    ports_told = subjects(needed) + _if_used(optional) if needed else subjects(optional)
    names = [*([ports_told] if shut else []), *([f"UDP {rtp[0]}-{rtp[1]} (RTP)"] if rtp else [])]
    what = f"forward {join(names)}" if names else "forward"
    closed = (*shut, *facts.having(_RTP_BLOCKED))
    if closed and all(set(fitting(each)) >= _INNER and not _OUTER & set(fitting(each)) for each in closed):
        return (
            f"The outer router leads {join(names)} on: in the inner one, {what} to {facts.here}. If there is such a rule, see that it "
            f"leads there, and that no filter undoes it.{where_set(facts, 'forwarding')}",
        )
    return (
        f"Put the outer router into bridge (modem) mode. Or {what} in both: in the outer one {target}, in the inner one to {facts.here}."
        + where_set(facts, "forwarding"),
    )


def _public_address(facts: Facts, finding: Finding) -> tuple[str, ...]:
    if LED_ON in finding.observed:
        return (
            "The provider's NAT leads ports on to this network: ask the provider whether that is meant to stay, or for a public address of "
            "your own.",
        )
    return (
        "Ask the provider for a public address of your own: no rule in your router can open a port through the provider's NAT. Until then "
        "let trunks and phones register from here to the outside and keep their mappings alive. (If the second router, with an "
        "address of 100.64.0.0/10, is one of your own: that one needs the rules.)",
    )


def _keep_ports(facts: Facts, finding: Finding) -> tuple[str, ...]:
    hints = "" if facts.router and facts.router.rows else "; pfSense and OPNsense: Outbound NAT, hybrid, a rule with static port"
    return (
        f'In the router, have the source ports of {facts.here} kept ("static port", "port preservation", "consistent NAT"{hints}).'
        + where_set(facts, "static_port"),
    )


def _udp_out(facts: Facts, finding: Finding) -> tuple[str, ...]:
    """TLS helps signaling alone: call audio is UDP whatever carries SIP."""
    page = _general(finding)[:2]
    if finding.verdict is Verdict.INCONCLUSIVE:
        page = (f"{_FROM_ANOTHER} Or see that the firewall in front of the server lets in UDP 3478, 3479, 5060 and 5080.", *page[:1])
    ways = [way for way in facts.untouched_ways() if not way.startswith("UDP")]
    around = f"Until then SIP itself can use {join(ways)}: it passed there. Call audio is UDP and needs TURN over TCP or TLS."
    return (*page, around) if ways else page


_FROM_ANOTHER = "Run this once from another network: if UDP arrives at the server from there, it is this network that lets none out."


def _echo_server(facts: Facts, finding: Finding) -> tuple[str, ...]:
    """What one side cannot tell it will not tell the next time either."""
    run = "edgecheck run sip-alg edge://TOKEN@HOST:PORT (the line that it prints)"
    return (f"To know, start edgecheck-server on a host outside and run: {run}.",)


def _forward_rtp(facts: Facts, finding: Finding) -> tuple[str, ...]:
    """By its cause; where none is known alone, there may be no rule, or a wrong one."""
    whole, blocked, causes = facts.profile.rtp, facts.ranges("inbound_blocked"), fitting(finding)
    if whole is None:
        return ()
    if causes == ("carrier-grade-nat",):
        return _public_address(facts, finding)
    if causes == ("double-nat",):
        return _both_routers(facts, finding)
    elsewhere = [each for each in facts.troubles() if each.id == "port-forwarding.wrong-host"]
    if causes == ("wrong-host",) and elsewhere and not facts.optional(elsewhere[0]):
        return _right_host(facts, elsewhere[0])
    if causes == ("wrong-host",):
        return (f"Let the router's rule for {finding.subject} (RTP) lead to {facts.here}, this machine.{_how_to_forward(facts)}",)
    if causes == ("provider-drops",):
        return (f"Ask the provider whether it filters {finding.subject}; or give the PBX another RTP range, and forward that.",)
    closed = facts.having("port-forwarding.host-firewall", verdicts=(Verdict.FAIL, Verdict.WARN))
    if causes == ("host-firewall",) and closed:
        return _host_firewall(facts, closed[0])
    if causes == ("host-firewall",):
        return (f"In this machine's own firewall, let in {finding.subject} (look at: {FIREWALLS}), and run this again.",)
    tell = _telling(finding)
    if causes and "no-rule" not in causes:
        return (_see_the_rule(facts, causes), *tell) if "wrong-host" in causes else tell
    without = [each for each in facts.having(_NO_RULE) if not facts.optional(each)]
    if without and _rtp_without_rule(facts):
        return _forward(facts, without[0])
    if closed:
        rule = f"{_lower(_open(facts))} UDP {whole[0]}-{whole[1]} to {facts.here}.{_how_to_forward(facts)}"
        return (f"Should RTP still not arrive then: {rule}",)
    error = _typing_error(facts, finding, whole, blocked)
    if tell and not error:
        return (_see_the_rule(facts, causes), *tell)
    step = f"{_open(facts)} UDP {whole[0]}-{whole[1]} (RTP) to {facts.here}.{_how_to_forward(facts)}"
    return (" ".join(filter(None, (error, step))), *tell)


def _typing_error(facts: Facts, finding: Finding, whole: tuple[int, int], blocked: ports.Ranges) -> str:
    """What is wrong with the rule, by what it lets in."""
    low, high = whole
    wanted = f"profile {facts.profile.name} uses {low}-{high}."
    if "for TCP alone" in finding.summary:
        return "The RTP rule seems to be for TCP: RTP is UDP."
    if blocked == (whole,) or not blocked:
        return ""
    if finding.subject.endswith(" ports)"):
        return f"The RTP rule seems to let in every other port; {wanted}"
    if len(blocked) == 1 and blocked[0][1] == high:
        return f"The RTP rule seems to end at {blocked[0][0] - 1}; {wanted}"
    if len(blocked) == 1 and blocked[0][0] == low:
        return f"The RTP rule seems to begin at {blocked[0][1] + 1}; {wanted}"
    some = ports.text(blocked[:3]) + (" ..." if len(blocked) > 3 else "")
    return f"RTP {some} is missing in the rule or taken by another one; {wanted}"


def _open(facts: Facts) -> str:
    if facts.having("host.vpn"):
        return "At the VPN's far end (with the VPN off: in the router), forward"
    if facts.behind_nat is False:
        return "In the firewall before this machine (nothing translates addresses here), let in"
    return "In the router, forward"


_ELSE = {
    "port-forwarding.blocked": "; if there is such a rule, look at this machine's own firewall",
    "port-forwarding.no-rule": "; if there is such a rule, see whether it is for certain senders alone (a trunk's own: as it should be), "
    "or whether a filter of the router's stands before it",
    "port-forwarding.refused": "; if there is a rule, see whether it points to another machine",
}
"""What else to look at."""
_RULES: dict[str, Callable[[Facts, Finding], tuple[str, ...]]] = {
    "port-forwarding.blocked": _forward,
    "port-forwarding.no-rule": _forward,
    "port-forwarding.refused": _forward,
    "port-forwarding.wrong-host": _right_host,
    "port-forwarding.held-by-another": _held,
    "port-forwarding.carrier-grade-nat": _public_address,
    "topology.carrier-grade-nat": _public_address,
    "topology.double-nat": _both_routers,
    "port-forwarding.double-nat": _both_routers,
    "port-forwarding.host-firewall": _host_firewall,
    "control.unreachable": no_session,
    "outbound.undecided": nothing_reached,
    "outbound.refused": let_out_here,
    "sip-alg.undecided": nothing_through,
    "nat-behavior.udp-blocked": _udp_out,
    "outbound.udp-blocked": _udp_out,
    "rtp-range.inbound-blocked": _forward_rtp,
    "rtp-range.undecided": lambda facts, finding: shut_out(facts, finding) or let_out_here(facts, finding),
    "rtp-range.remapped": _keep_ports,
    "port-preservation.remapped": _keep_ports,
    "nat-behavior.endpoint-dependent-mapping": _keep_ports,
    "mapping-lifetime.short": keep_alive,
    "mapping-lifetime.very-short": keep_alive,
    "mapping-lifetime.sip-longer": sip_apart,
    "mapping-lifetime.sip-shorter": sip_apart,
    "registration.forbidden": account_advice.forbidden,
    "sip-alg.hint": _echo_server,
    "sip-alg.no-trace": _echo_server,
    "nat-behavior.undecided": second_address,
    "nat-behavior.filtering-undecided": second_address,
    "port-forwarding.undecided": untold_port,
    UNHEARD: listen_there,
    **dict.fromkeys(alg_advice.IDS, switch_off),
}
