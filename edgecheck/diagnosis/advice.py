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
    done: set[str] = set()
    for finding in facts.troubles():
        if finding.id in done:
            continue
        done.add(finding.id)
        for step in _specific(facts, finding) or _general(finding)[:1]:
            steps.setdefault(step)
    if facts.this_machine_only:
        steps.setdefault(
            "To check your network's edge: run edgecheck-server on a host outside, and here: edgecheck run edge://TOKEN@HOST:PORT "
            "(the line that it prints)."
        )
    return tuple(steps)[:_MOST]


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
    return (f"{_open(facts)} {subjects(same)} to {facts.here}.",)


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
    hints += [f"{none} have none", f"all: edgecheck explain {finding.id}"]
    steps = [f"Switch the SIP ALG off in the router, reboot it, run this again. {'; '.join(hints)}."]
    ways = [way for way in facts.untouched_ways() if way not in {f.subject for f in facts.having(*_ALG_IDS)}]
    if ways:
        steps.append(f"Or move the phones and trunks to {join(ways)}: SIP passed untouched there.")
    return ("\n".join(steps),)


_ALG_IDS = ("sip-alg.rewritten", "sip-alg.inconsistent", "sip-alg.destroyed", "sip-alg.answered-by-other")
_RULES: dict[str, Callable[[Facts, Finding], tuple[str, ...]]] = {
    "port-forwarding.blocked": _forward,
    "port-forwarding.refused": _forward,
    "rtp-range.inbound-blocked": _forward_rtp,
    **dict.fromkeys(_ALG_IDS, _alg),
}
