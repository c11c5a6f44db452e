"""What to do, in order: for the one who has the router's password."""

from collections.abc import Callable

from edgecheck.diagnosis import knowledge
from edgecheck.diagnosis.facts import Facts
from edgecheck.diagnosis.headline import join, subjects
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire import ports

_MOST = 6
"""Steps told; more would not be read, and every finding carries its own remedies."""


def advise(facts: Facts) -> tuple[str, ...]:
    """The steps for the whole run, gravest first, each once."""
    steps: dict[str, None] = {}
    kinds = {finding.id: finding for finding in reversed(facts.troubles())}
    known = [finding for finding in facts.troubles() if kinds[finding.id] is finding and finding.verdict is not Verdict.INCONCLUSIVE]
    cause = next((finding for finding in known if finding.id in _EXPLAINS_THE_REST and finding.verdict is Verdict.FAIL), None)
    for finding in [cause] if cause else known:
        for step in _specific(facts, finding) or _general(finding)[: 2 if cause else 1]:
            steps.setdefault(step)
    if cause is None:
        for step in _find_out(facts):
            steps.setdefault(step)
    if facts.this_machine_only:
        steps.setdefault(
            "To check your network's edge: run edgecheck-server on a host outside, and here: edgecheck run edge://TOKEN@HOST:PORT "
            "(the line that it prints)."
        )
    return tuple(steps)[:_MOST]


def _find_out(facts: Facts) -> tuple[str, ...]:
    """What to do about what could not be told: one step for all of it."""
    untold = [finding for finding in facts.troubles() if finding.verdict is Verdict.INCONCLUSIVE]
    if not untold:
        return ()
    special = [step for finding in untold for step in _specific(facts, finding)]
    if special:
        return tuple(dict.fromkeys(special))
    if len({finding.id for finding in untold}) == 1:
        return _general(untold[0])[:1]
    checks = dict.fromkeys(finding.id.partition(".")[0] for finding in untold)
    return (f"Run again what could not be told, after five minutes and with nothing else loading the line: {join(list(checks))}.",)


def remedies(facts: Facts, finding: Finding) -> tuple[str, ...]:
    """What to do about one finding: what fits this network, then what holds in general."""
    if finding.verdict in (Verdict.PASS, Verdict.SKIPPED):
        return finding.remedies
    return tuple(dict.fromkeys((*finding.remedies, *_specific(facts, finding), *_general(finding))))


def _general(finding: Finding) -> tuple[str, ...]:
    page = knowledge.explanation(finding.id)
    return page.do if page else ()


def _specific(facts: Facts, finding: Finding) -> tuple[str, ...]:
    rule = _RULES.get(finding.id)
    return rule(facts, finding) if rule else ()


def _forward(facts: Facts, finding: Finding) -> tuple[str, ...]:
    same = facts.having(finding.id, verdicts=(finding.verdict,))
    other = "; if there is a rule, see whether it points to another machine" if finding.id.endswith("refused") else ""
    return (f"{_open(facts)} {subjects(same)} to {facts.here}{other}.",)


def _keep_ports(facts: Facts, finding: Finding) -> tuple[str, ...]:
    return (
        f'In the router, have the source ports of {facts.here} kept ("static port", "port preservation", "consistent NAT"; pfSense and '
        "OPNsense: Outbound NAT, hybrid, a rule with static port).",
    )


def _keep_alive(facts: Facts, finding: Finding) -> tuple[str, ...]:
    every = facts.fact("mapping-lifetime", "recommended_keepalive_s")
    if not isinstance(every, int):
        return ()
    return (f"Set the NAT keep-alive of phones and trunks behind this edge to {every} s (Asterisk outside: qualify_frequency={every}).",)


def _second_address(facts: Facts, finding: Finding) -> tuple[str, ...]:
    if facts.server is None or facts.server.alternate is not None:
        return ()
    return ("Give the echo server a second public address (edgecheck-server --alternate IP): one address cannot tell the rest.",)


def _forward_rtp(facts: Facts, finding: Finding) -> tuple[str, ...]:
    whole, blocked = facts.profile.rtp, facts.ranges("inbound_blocked")
    if whole is None:
        return ()
    low, high = whole
    step = f"{_open(facts)} UDP {low}-{high} (RTP) to {facts.here}."
    if blocked == (whole,) or not blocked:
        return (step,)
    if len(blocked) == 1 and blocked[0][1] == high:
        return (f"The RTP rule seems to end at {blocked[0][0] - 1}; profile {facts.profile.name} uses {low}-{high}. {step}",)
    if len(blocked) == 1 and blocked[0][0] == low:
        return (f"The RTP rule seems to begin at {blocked[0][1] + 1}; profile {facts.profile.name} uses {low}-{high}. {step}",)
    some = ports.text(blocked[:3]) + (" ..." if len(blocked) > 3 else "")
    return (f"RTP {some} is missing in the rule or taken by another one; profile {facts.profile.name} uses {low}-{high}. {step}",)


def _open(facts: Facts) -> str:
    if facts.behind_nat is False:
        return "In the firewall before this machine (nothing translates addresses here), let in"
    return "In the router, forward"


def _alg(facts: Facts, finding: Finding) -> tuple[str, ...]:
    hints = [f"{router.vendor}: {router.short}" for router in knowledge.routers() if router.short and router.switch]
    none = join([router.vendor for router in knowledge.routers() if router.short and not router.switch])
    hints += [f"{none} have none", f"others: edgecheck explain {finding.id}"]
    steps = [f"Switch the SIP ALG off in the router, reboot it, run this again. {'; '.join(hints)}."]
    ways = [way for way in facts.untouched_ways() if way not in {f.subject for f in facts.having(*_ALG_IDS)}]
    if ways:
        steps.append(f"Or move the phones and trunks to {join(ways)}: SIP passed untouched there.")
    return ("\n".join(steps),)


_EXPLAINS_THE_REST = ("nat-behavior.udp-blocked",)
"""Where these hold, the other troubles follow from them."""
_ALG_IDS = ("sip-alg.rewritten", "sip-alg.inconsistent", "sip-alg.destroyed", "sip-alg.answered-by-other")
_RULES: dict[str, Callable[[Facts, Finding], tuple[str, ...]]] = {
    "port-forwarding.blocked": _forward,
    "port-forwarding.refused": _forward,
    "rtp-range.inbound-blocked": _forward_rtp,
    "rtp-range.remapped": _keep_ports,
    "port-preservation.remapped": _keep_ports,
    "nat-behavior.endpoint-dependent-mapping": _keep_ports,
    "mapping-lifetime.short": _keep_alive,
    "mapping-lifetime.very-short": _keep_alive,
    "nat-behavior.undecided": _second_address,
    "nat-behavior.filtering-undecided": _second_address,
    "port-forwarding.undecided": _second_address,
    **dict.fromkeys(_ALG_IDS, _alg),
}
