"""Switching a SIP ALG off: in this router where it is known and the ALG is in it, else a short list by vendor; and the way round it."""

from edgecheck.diagnosis import knowledge
from edgecheck.diagnosis.facts import Facts, RouterFacts
from edgecheck.diagnosis.words import join
from edgecheck.model.verdict import Finding

IDS = ("sip-alg.rewritten", "sip-alg.inconsistent", "sip-alg.destroyed", "sip-alg.answered-by-other", "sip-alg.taken-on-the-way")


def switch_off(facts: Facts, finding: Finding) -> tuple[str, ...]:
    """One step, a line for each part: where it is switched off, and which way round was seen to work. The same for all that an ALG does."""
    found = facts.having(*IDS) or (finding,)
    blamed = [facts.blames_located(each) for each in found]
    located = facts.located if any(blamed) else ()
    steps = []
    if not located or any(hop.hop == 1 for hop in located):
        router = facts.router
        steps.append(_in_router(router, all(blamed)) if router and router.rows else _by_vendor(found[0]))
    if any(hop.hop == 0 for hop in located):
        steps.append(f"This machine itself does it: {_row('Linux router').told()}.")
    beyond = [hop for hop in located if hop.hop > 1]
    if beyond:
        boxes = join([f"{hop.address} (hop {hop.hop})" for hop in beyond])
        too = ", too" if len(beyond) < len(located) else ", not your own router"
        whose = "ask whoever runs it (the provider, if it is no second router of yours) to switch its SIP ALG off"
        steps.append(f"{boxes} does it{too}: {whose}.")
    ways = [way for way in facts.untouched_ways() if way not in {each.subject for each in facts.having(*IDS)}]
    if ways:
        steps.append(f"Or move the phones and trunks to {join(ways)}: SIP passed untouched there.")
    return ("\n".join(steps),)


def _in_router(router: RouterFacts, located: bool) -> str:
    """What is known of this router. It is the first hop; where the ALG was not located it may be another box all the same."""
    doubt = "" if located else " Should that change nothing, another box on the way does it (a second router, the provider)."
    if len(router.rows) > 1:
        told = "; ".join(f"{row.vendor}: {row.told()}" for row in router.rows)
        return f"Switch the SIP ALG off in {router.found}, by product line: {told}. Reboot it, run this again.{doubt}"
    row = router.rows[0]
    if not row.switch:
        return f"{router.found} has no switch for a SIP ALG that is known: {row.told()}.{doubt}"
    again = "Run this again." if "reboot" in row.told() else "Reboot it, run this again."
    return f"Switch the SIP ALG off in {router.found}: {row.told()}. {again}{doubt}"


def _by_vendor(finding: Finding) -> str:
    rows = knowledge.routers()
    hints = [f"{row.vendor}: {row.short}" for row in rows if row.short and row.switch]
    hints.append(f"{join([row.vendor for row in rows if row.short and not row.switch])} have none")
    hints.append(f"others: edgecheck explain {finding.id}")
    return f"Switch the SIP ALG off in the router, reboot it, run this again. {'; '.join(hints)}."


def _row(vendor: str) -> knowledge.Router:
    return next(row for row in knowledge.routers() if row.vendor == vendor)
