"""Switching a SIP ALG off: in this router where it is known and the ALG is in it, else a short list by vendor; and the way round it."""

from collections.abc import Sequence

from edgecheck.diagnosis import knowledge
from edgecheck.diagnosis.facts import Facts, Hop, RouterFacts
from edgecheck.diagnosis.words import join, subjects
from edgecheck.model.verdict import Finding

OF_A_BOX = ("sip-alg.rewritten", "sip-alg.inconsistent", "sip-alg.destroyed", "sip-alg.answered-by-other")
"""What their pages say to do holds for one's own router alone."""
_WITH_ITS_FLOW = "each from a port of its own"
"""Stands in the evidence of it."""
IDS = (*OF_A_BOX, "sip-alg.taken-on-the-way")


def switch_off(facts: Facts, finding: Finding) -> tuple[str, ...]:
    """One step, a line for each part: where it is switched off, and which way round was seen to work. The same for all that an ALG does."""
    found = facts.having(*IDS) or (finding,)
    blamed = [each for each in found if facts.blames_located(each)]
    bounded = [each for each in found if facts.beyond_the_router and each.summary.startswith("Hop ")]
    others = [each for each in found if each not in blamed and each not in bounded]
    located = facts.located if blamed else ()
    ways = [way for way in facts.untouched_ways() if way not in {each.subject for each in found}]
    to_ways = f"ove the phones and trunks to {join(ways)}: SIP passed untouched there." if ways else ""
    steps = []
    if bounded:
        own = ", not your own router" if not others else ""
        whose = f"the provider, if it is no second router of yours, or the {'echo ' if facts.server else ''}server's own edge"
        does = f"{facts.beyond_the_router} does it{own}: ask whoever runs it ({whose}) to switch its SIP ALG off."
        steps.append(does[:1].upper() + does[1:])
    home = [hop for hop in located if hop.hop == 1 and not facts.is_servers(hop)]
    at_home = bool(home)
    known = facts.router.rows if facts.router else ()
    if home and ways and known and not any(row.switch for row in known):
        steps.append(f"M{to_ways}")  # the one thing that can be done is said first
        to_ways = ""
    if home:
        unseen = " Should that change nothing, it is an unseen box right behind it." if home[0].or_unseen else ""
        steps.append(f"{_in_the_router(facts, found[0])}{unseen}")
    if any(hop.hop == 0 for hop in located):
        steps.append(f"This machine itself does it: {_row('Linux router').told()}.")
    steps += _beyond(facts, located, alone=not others)
    here = [each for each in others if facts.before_the_router and each.summary.startswith("This machine itself")]
    if here and here == others:
        steps += [_here(facts), _in_the_router(facts, found[0])]
    elif others:
        steps.append(_not_seen(facts, others, located=bool(located or bounded), at_home=at_home))
    if any(_WITH_ITS_FLOW in line for each in found for line in each.evidence):
        steps.append("All of a flow is dropped once it has had SIP, as application control does: in a firewall that has it, allow SIP.")
    if to_ways:
        steps.append(f"Or m{to_ways}")
    return ("\n".join(steps),)


def _in_the_router(facts: Facts, finding: Finding) -> str:
    return _in_router(facts.router) if facts.router and facts.router.rows else _by_vendor(finding)


def _beyond(facts: Facts, located: Sequence[Hop], *, alone: bool) -> list[str]:
    """Boxes behind the first router: whoever runs them must do it."""
    steps = []
    servers = [hop for hop in located if facts.is_servers(hop)]
    beyond = [hop for hop in located if hop.hop > 1 and hop not in servers]
    too = ", too" if len(beyond) < len(located) else ", not your own router" if alone else ""
    for hops in ([hop for hop in beyond if not hop.before_server], [hop for hop in beyond if hop.before_server]):
        boxes = join([f"{hop.address} (hop {hop.hop}){' or a box right behind it' if hop.or_unseen else ''}" for hop in hops])
        whose = "the provider, if it is no second router of yours"
        if hops and hops[0].before_server:
            whose += "; being the last router before the echo server, it may be the server's own edge"
        steps += [f"{boxes} does it{too}: ask whoever runs it ({whose}) to switch its SIP ALG off."] if hops else []
    steps += [
        f"{hop.address} (hop {hop.hop}) is the echo server's own address: this box stands before the echo server and is no part of your "
        "network. Whoever runs that server must switch its SIP ALG off; or run this against another server. Calls to your provider do not "
        "pass it."
        for hop in servers
    ]
    return steps


def _here(facts: Facts) -> str:
    """It is this machine, the first router, or a box between them."""
    begin = "It is done before the first router tells of it: by this machine, by that router, or by a box between them."
    if facts.having("host.sip-helper"):
        return f"{begin} This machine's own kernel has a SIP ALG in force: take that off first ({_row('Linux router').told()})."
    helper = "the kernel's SIP helper (it is loaded), a" if facts.sip_helper_loaded else "a"
    return f"{begin} Look on this machine for {helper} VPN client, a virus scanner or a firewall that reads SIP."


def _not_seen(facts: Facts, others: Sequence[Finding], *, located: bool, at_home: bool) -> str:
    """What to do about those whose doer is not known: the first router is likely, and not the only one that can be it."""
    who = ["a second router", "the provider", f"what stands before the {'echo ' if facts.server else ''}server"]
    who += ["this machine itself (the kernel's SIP helper is loaded here)"] if facts.sip_helper_loaded else []
    another = f"another box on the way does it: {', '.join(who[:-1])}, or {who[-1]}"
    if at_home:
        return f"Who does it on {subjects(others)} was not seen: should it stay, {another}."
    begin = f"Who does it on {subjects(others)} was not seen. " if located else ""
    return f"{begin}{_in_the_router(facts, others[0])} Should that change nothing, {another}."


def _in_router(router: RouterFacts) -> str:
    """What is known of this router; it is the first hop."""
    if len(router.rows) > 1:
        told = "; ".join(f"{row.vendor}: {row.told()}" for row in router.rows)
        return f"Switch the SIP ALG off in {router.found}, by product line: {told}. Reboot it, run this again."
    row = router.rows[0]
    if not row.switch:
        return f"No switch for a SIP ALG is known in {router.found}: {row.told()}."
    again = "Run this again." if "reboot" in row.told() or "write memory" in row.told() else "Reboot it, run this again."
    return f"Switch the SIP ALG off in {router.found}: {row.told()}. {again}"


def _by_vendor(finding: Finding) -> str:
    rows = knowledge.routers()
    hints = [f"{row.vendor}: {row.short}" for row in rows if row.short and row.switch]
    hints.append(f"{join([row.vendor for row in rows if row.short and not row.switch])} have none")
    hints.append(f"others: edgecheck explain {finding.id}")
    return f"Switch the SIP ALG off in the router, reboot it, run this again. {'; '.join(hints)}."


def _row(vendor: str) -> knowledge.Router:
    return next(row for row in knowledge.routers() if row.vendor == vendor)
