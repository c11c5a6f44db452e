"""What is said of an observation. Pure: a saved report is judged by the same lines."""

from edgecheck.checks.port_forwarding.causes import CAUSES, fitting
from edgecheck.checks.port_forwarding.evidence import evidence
from edgecheck.checks.port_forwarding.held_words import answered
from edgecheck.checks.port_forwarding.observation import ForwardingObservation, PortRow
from edgecheck.checks.port_forwarding.unheard_words import arrives_unheard, holders, is_unheard
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire import ports as port_ranges
from edgecheck.wire.networks import is_shared

_OF_A_BOX = ("router-answers", "answered-before")
"""Who answers where nothing is led on."""
UNHEARD = "listens-elsewhere"
"""The cause of a port that arrives, where whoever has it open does not hear it."""


def judge(seen: ForwardingObservation, profile: Profile) -> tuple[Finding, ...]:
    """One finding for all ports of a transport of which the same can be said; a port that is closed is judged as the profile expects."""
    keys = {id(row): _alike(seen, profile, row) for row in seen.ports}
    groups = [[row for row in seen.ports if keys[id(row)] == key] for key in dict.fromkeys(keys.values())]
    return tuple(_finding(seen, profile, rows) for rows in groups)


def causes(seen: ForwardingObservation, row: PortRow) -> tuple[str, ...]:
    """Every cause that fits, for a port that was not reached, or where a stranger answered; none where causes were not looked for."""
    if row.lands_on is not None:
        return ("wrong-port",)  # seen here: nothing between had to be looked at
    if seen.path is None or row.state not in ("blocked", "refused", "answered"):
        return ()
    found = fitting(row, seen.path, seen.local_address, seen.probed_address)
    # The router told that this device is not there when it was asked of another port.
    return ("wrong-host",) if found == ("held-by-another",) and _holder(row) in _gone(seen) else found


def _gone(seen: ForwardingObservation) -> set[str]:
    """Devices that hold ports by the router's word, and are not there."""
    assert seen.path is not None
    held = [row for row in seen.ports if row.mapping is not None]
    fits = [(row, fitting(row, seen.path, seen.local_address, seen.probed_address)) for row in held]
    return {_holder(row) for row, found in fits if found == ("wrong-host",)}


def _alike(seen: ForwardingObservation, profile: Profile, row: PortRow) -> tuple[object, ...]:
    said = row.reason if row.state == "undecided" else row.answered_by
    holder = row.mapping.internal_host if row.mapping else ""
    service = (row.owner, row.answered_here, row.unused) if row.asked or row.unused else ()
    return row.transport, row.state, row.required, said, causes(seen, row), holder, row.lands_on, service, holders(row)


def _breach(profile: Profile, row: PortRow) -> Verdict:
    breach = {"fail": Verdict.FAIL, "warn": Verdict.WARN, "ignore": Verdict.PASS}[profile.expect.forwarding]
    return Verdict.WARN if breach is Verdict.FAIL and not row.required else breach


def _finding(seen: ForwardingObservation, profile: Profile, rows: list[PortRow]) -> Finding:
    row, state = rows[0], rows[0].state
    breach = _breach(profile, row)
    fits = causes(seen, row)
    verdict = {"forwarded": Verdict.PASS, "blocked": breach, "refused": breach}.get(state, Verdict.INCONCLUSIVE)
    subject = f"{row.transport.upper()} {port_ranges.text(port_ranges.compress(each.port for each in rows))}"
    asked = f"{subject} ({', '.join(dict.fromkeys(each.purpose for each in rows))})"
    cause: str = state
    if row.unused:
        cause, verdict = "not-tested", Verdict.SKIPPED
    elif is_unheard(row) and breach is not Verdict.PASS:
        cause, verdict = UNHEARD, Verdict.WARN
    elif row.answered_here:
        verdict = Verdict.PASS
    elif row.answered_here is False:
        cause, verdict = "wrong-host", breach
    remedies: tuple[str, ...] = ()
    blocked, refused = "never arrives: nothing unsolicited gets in there.", ": it is not forwarded to a listening port of this machine."
    if breach is Verdict.PASS:
        blocked, refused = "does not come in unasked, which this profile does not need.", ", which this profile does not need."
        fits = ()
    if state == "answered" and row.lands_on is not None:
        cause, verdict = "wrong-port", breach
        whom = f"what listens at port {row.lands_on} of this machine ({row.answered_by})"
        summary = f"{asked} is answered by {whom}: the router's rule changes the port."
    elif state == "answered" and fits and fits[0] in _OF_A_BOX:
        cause, verdict = (fits[0] if len(fits) == 1 else state), breach
        summary = f"{asked} {why(seen, row, fits)}"
        remedies = telling(seen, row, fits)
    elif state == "answered" and fits:
        cause, verdict = fits[0], breach
        how = f"it holds this port in the router, {_holder(row)}" if cause == "held-by-another" else "the router leads it there"
        summary = f"{asked} is answered by another machine than this one ({row.answered_by}): {how}."
    elif cause == UNHEARD:
        summary = f"{asked} {arrives_unheard(row, seen.local_address)}"
    elif fits:
        cause = fits[0] if len(fits) == 1 else state
        summary = f"{asked} {why(seen, row, fits)}{_other_transport(seen, rows, fits)}"
        remedies = telling(seen, row, fits)
    else:
        summary = {
            "forwarded": f"{asked} arrives: unsolicited packets reach this machine.",
            "blocked": f"{asked} {blocked}",
            "refused": f"{asked} is refused by {row.answered_by}{refused}",
            "answered": f"{asked} {answered(row)}",
            "undecided": f"{asked} could not be told: {row.reason.rstrip('.')}.",
            "not-tested": f"{asked} was not tested: {row.reason}.",
            "wrong-host": f"{asked} {answered(row)}",
        }[cause]
    return Finding(
        id=f"port-forwarding.{cause}",
        verdict=verdict,
        subject=subject,
        summary=summary,
        expected="forwarded to this machine",
        observed=f"{state}: {' or '.join(fits)}" if fits else f"{state}, unheard" if cause == UNHEARD else state,
        evidence=evidence(seen, rows),
        remedies=remedies,
        reference="RFC 4787 section 5",
    )


def _other_transport(seen: ForwardingObservation, rows: list[PortRow], fits: tuple[str, ...]) -> str:
    """The usual mistake: a rule for TCP where UDP is wanted, or the other way round."""
    if "no-rule" not in fits:
        return ""
    missing = {row.port for row in rows}
    other = "tcp" if rows[0].transport == "udp" else "udp"
    reached = [row for row in seen.ports if row.transport == other and (row.state == "forwarded" or row.answered_here)]
    if not missing <= {row.port for row in reached} or not reached:
        return ""
    ports = port_ranges.text(port_ranges.compress(missing))
    seems = "the rule seems to be" if len(fits) == 1 else "if there is a rule, it may be"
    return f" {other.upper()} {ports} arrives: {seems} for {other.upper()} alone."


def plain(fits: tuple[str, ...]) -> str:
    """The causes in brief: ``no rule or provider drops``."""
    return " or ".join(cause.removesuffix("-nat") + " NAT" if cause.endswith("-nat") else cause.replace("-", " ") for cause in fits)


def why(seen: ForwardingObservation, row: PortRow, fits: tuple[str, ...]) -> str:
    """The cause, or all that fit."""
    words = _words(seen, row)
    if len(fits) == 1:
        return CAUSES[fits[0]].says.format(**words)
    happens = {
        "refused": f"is refused by {row.answered_by}",
        "answered": f"does not reach this machine, and is answered ({row.answered_by})",
    }.get(row.state, "never arrives")
    return f"{happens}: {', or '.join(CAUSES[cause].clause.format(**words) for cause in fits)}."


def telling(seen: ForwardingObservation, row: PortRow, fits: tuple[str, ...]) -> tuple[str, ...]:
    """What would tell the causes apart, where several fit."""
    if len(fits) == 1:
        return ()
    words = _words(seen, row)
    steps = "; ".join(CAUSES[cause].told_by.format(**words) for cause in fits)
    return (f"To tell which of the {len(fits)} causes it is: {steps}.",)


def _words(seen: ForwardingObservation, row: PortRow) -> dict[str, str]:
    return {
        "box": _box(seen, row),
        "here": seen.local_address or "this machine",
        "public": seen.probed_address,
        "second": (seen.path.owner if seen.path else None) or "the box that has it",
        "holder": _holder(row),
        "translator": _translator(seen),
        "who": row.answered_by or "a service that said nothing",
        "lands": f"its port {row.lands_on}" if row.lands_on is not None else "another of its ports, where a program takes it",
    }


def _translator(seen: ForwardingObservation) -> str:
    """Whose NAT it may be that has the public address, where that is not told."""
    if is_shared(seen.local_address or seen.probed_address):
        return f"that router is the provider's (carrier-grade NAT), of whose range {seen.local_address} is"
    return "a second router translates before it: your own (double NAT), or the provider's (carrier-grade NAT)"


def _box(seen: ForwardingObservation, row: PortRow) -> str:
    """Whoever decides what is let in to the public address; where that one leads it on, a router within."""
    path = seen.path
    if path is not None and row.passed_on and not path.nearby:
        which = f" ({path.router})" if path.behind_owner == 2 and path.router else ""
        return f"a router{which} behind the one that has {seen.probed_address}"
    if seen.local_address == seen.probed_address:
        return f"the firewall before this machine{f' ({path.router})' if path and path.router else ''}"
    if path is not None and path.nearby and path.router:
        return f"the router ({path.router})"
    if path is None or path.owner_hop in (None, 1):
        return "the router"
    return f"the router that has {seen.probed_address}{f' ({path.owner}, hop {path.owner_hop})' if path.owner else ''}"


def _holder(row: PortRow) -> str:
    if row.mapping is None:
        return "whose address it does not tell"
    named = f" ({row.mapping.description})" if row.mapping.description else ""
    return f"{row.mapping.internal_host}{named}"


def summarize(seen: ForwardingObservation, findings: tuple[Finding, ...]) -> str:
    """``UDP 5060, TCP 5060 arrive; TCP 5061 never arrives``"""
    unneeded = {finding.observed.partition(":")[0] for finding in findings if finding.verdict is Verdict.PASS} - {"forwarded", "answered"}
    words = {
        "forwarded": ("arrives", "arrive"),
        "blocked": ("never arrives", "never arrive"),
        "moved": ("arrives at another port", "arrive at other ports"),
        "unheard": ("arrives, where nobody listens", "arrive, where nobody listens"),
        "refused": ("is refused", "are refused"),
        "answered": ("is answered by something else", "are answered by something else"),
        "here": ("is answered by the service that holds it here", "are answered by the services that hold them here"),
        "another": ("is answered by another device", "are answered by another device"),
        "unused": ("was not tested", "were not tested"),
        "undecided": ("could not be told", "could not be told"),
    }
    if "blocked" in unneeded:
        words["blocked"] = ("does not come in unasked", "do not come in unasked")
    parts: list[str] = []
    optional: list[str] = []
    unheard = any(finding.id.endswith(f".{UNHEARD}") for finding in findings)  # else the profile wants none of it
    for state, (one, many) in words.items():
        rows = [row for row in seen.ports if ("unheard" if unheard and is_unheard(row) else _told_as(row)) == state]
        fits = {row: () if state == "moved" or state in unneeded else causes(seen, row) for row in rows}
        for why in dict.fromkeys(fits.values()):
            ports = [f"{row.transport.upper()} {row.port}" for row in rows if fits[row] == why]
            verb = (one if len(ports) == 1 else many) + ", which this profile does not need" * (state in unneeded)
            verb += f" ({plain(why)})" * bool(why)
            spare = state not in _FINE and not any(row.required for row in rows if fits[row] == why)
            (optional if spare else parts).append(f"{', '.join(ports[:6])}{' ...' if len(ports) > 6 else ''} {verb}")
    return "; ".join([*parts, *(f"optional: {part}" if parts else part for part in optional)])


_FINE = ("forwarded", "here")


def _told_as(row: PortRow) -> str:
    """The state, and for a port that something holds what became of asking it."""
    if row.unused or row.lands_on is not None or row.here == "taken":
        return "unused" if row.unused else "moved"
    return {True: "here", False: "another", None: row.state}[row.answered_here] if row.state == "answered" else row.state
