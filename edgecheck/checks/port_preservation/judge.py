"""What is said of kept and of moved ports. Pure."""

from edgecheck.checks.port_preservation.observation import PortRow, PreservationObservation
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire import ports as port_ranges


def judge(seen: PreservationObservation, profile: Profile) -> tuple[Finding, ...]:
    """Kept: pass. Moved: as the profile expects, one port alone told apart from a NAT that moves them all."""
    findings: list[Finding] = []
    told = [row for row in seen.ports if row.mapped is not None]
    moved = [row for row in told if row.mapped != row.local]
    breach = {"fail": Verdict.FAIL, "warn": Verdict.WARN, "ignore": Verdict.PASS}[profile.expect.preservation]
    unneeded = breach is Verdict.PASS
    alone = [row for row in moved if seen.allocation == "preserved" and not _all_moved(told, row.transport)]
    findings += [
        Finding(
            id="port-preservation.one-port-remapped",
            verdict=breach,
            subject=_name(row),
            summary=f"{_name(row)} leaves as {row.mapped} while the NAT keeps the others"
            + ("; this profile does not need it kept." if unneeded else ": another device behind the same router probably uses that port."),
            expected=str(row.local),
            observed=str(row.mapped),
            evidence=(_sentence(row, seen.remote), f"{seen.preserved} of {seen.tested} ports keep their number"),
            reference="RFC 4787 section 4.2",
        )
        for row in alone
    ]
    if len(alone) < len(moved):
        moved = [row for row in moved if row not in alone]
        transports = sorted({row.transport.upper() for row in moved})
        asked = sum(row.transport.upper() in transports for row in told)
        consequence = "; this profile does not need them kept." if unneeded else ": what the PBX announces is not what the provider sees."
        findings.append(
            Finding(
                id="port-preservation.remapped",
                verdict=breach,
                subject=", ".join(transports),
                summary=f"{len(moved)} of {asked} {' and '.join(transports)} ports leave with another number ({_rule(seen)}){consequence}",
                expected="every port keeps its number",
                observed=", ".join(f"{row.local} as {row.mapped}" for row in moved[:8]) + (" ..." if len(moved) > 8 else ""),
                evidence=tuple(_sentence(row, seen.remote) for row in moved[:32]),
                reference="RFC 4787 section 4.2",
            )
        )
    if told and not moved:
        findings.append(
            Finding(
                id="port-preservation.preserved",
                verdict=Verdict.PASS,
                subject="ports",
                summary=f"{kept(seen)} outside.",
                evidence=tuple(_sentence(row, seen.remote) for row in told if row.signaling)
                or (f"{seen.tested} ports asked {seen.remote}, each was seen with its own number",),
                reference="RFC 4787 section 4.2",
            )
        )
    findings += [
        Finding(
            id="port-preservation.undecided",
            verdict=Verdict.INCONCLUSIVE,
            subject=subject,
            summary=f"{what}: {rows[0].reason.rstrip('.')}.",
            evidence=tuple(f"{_name(row)}: {row.reason}" for row in rows[:8]),
        )
        for subject, what, rows in _untold(seen)
    ]
    held = [row for row in seen.ports if row.in_use]
    if held:
        findings.append(
            Finding(
                id="port-preservation.in-use",
                verdict=Verdict.SKIPPED,
                subject=_names(held),
                summary=f"{_names(held)} {_was(held)} not asked: in use on this machine{_holders(held)}.",
                expected="the port keeps its number",
                observed="in use here",
                evidence=tuple(f"{_name(row)}: {row.reason}" for row in held[:8]),
            )
        )
    return tuple(findings)


def _names(rows: list[PortRow]) -> str:
    """``UDP 5060 and TCP 5060-5061``"""
    kinds = {row.transport for row in rows}
    parts = [
        f"{kind.upper()} {port_ranges.text(port_ranges.compress(row.local for row in rows if row.transport == kind))}"
        for kind in ("udp", "tcp")
        if kind in kinds
    ]
    return " and ".join(parts)


def _was(rows: list[PortRow]) -> str:
    return "was" if len(rows) == 1 else "were"


def _holders(rows: list[PortRow]) -> str:
    names = list(dict.fromkeys(row.owner for row in rows if row.owner))
    return f" by {', '.join(names[:3])}{' and others' * (len(names) > 3)}" if names else ""


def _all_moved(told: list[PortRow], transport: str) -> bool:
    """A single port may be somebody else's; several that all move are the NAT's doing."""
    rows = [row for row in told if row.transport == transport]
    return len(rows) > 1 and all(row.mapped != row.local for row in rows)


def _rule(seen: PreservationObservation) -> str:
    if seen.allocation == "preserved":
        return "UDP ports keep theirs"
    return f"allocation: {seen.allocation}" if seen.allocation else "too few to tell the rule"


def _untold(seen: PreservationObservation) -> list[tuple[str, str, list[PortRow]]]:
    """What could not be told: (subject, the words for it, the ports), signaling ports one by one.

    A sampled RTP port that got no answer is one of many; where more than a quarter of them got none, that is said.
    """
    out = []
    for transport in ("udp", "tcp"):
        rows = [row for row in seen.ports if row.transport == transport and not row.in_use]
        untold = [row for row in rows if row.mapped is None]
        name = transport.upper()
        if len(untold) == len(rows) > 1:
            out.append((name, f"{name} could not be told, none of {len(rows)} ports got an answer", untold))
            continue
        out += [(_name(row), f"{_name(row)} could not be told", [row]) for row in untold if row.signaling]
        sampled = [row for row in untold if not row.signaling]
        if len(sampled) * 4 > len(rows):
            ports = port_ranges.text(port_ranges.compress(row.local for row in sampled))
            out.append((f"{name} {ports}", f"{len(sampled)} of {len(rows)} {name} ports could not be told", sampled))
    return out


def kept(seen: PreservationObservation) -> str:
    """``27 of 27 ports keep their number``"""
    asked = {row.transport for row in seen.ports if not row.in_use}
    told = {row.transport.upper() for row in seen.ports if row.mapped is not None}
    # Where a transport was asked and gave no answer at all, the figure is the other one's alone.
    which = f"{told.pop()} " if len(told) < len(asked) else ""
    return f"{seen.preserved} of {seen.tested} {which}ports keep their number"


def _name(row: PortRow) -> str:
    return f"{row.transport.upper()} {row.local}"


def _sentence(row: PortRow, remote: str) -> str:
    return f"{_name(row)} was seen by {remote} as {row.mapped}"


def summarize(seen: PreservationObservation, findings: tuple[Finding, ...]) -> str:
    """``27 of 27 ports keep their number``"""
    moved = seen.tested - seen.preserved
    breaches = [finding.verdict for finding in findings if finding.id.endswith("remapped")]
    told = [kept(seen)] if seen.tested else []
    if moved and Verdict.PASS in breaches:
        told = [
            f"{seen.tested} ports get out and are answered; {moved} of them {'leave' if moved > 1 else 'leaves'} with another number "
            f"({_rule(seen)}), which this profile does not need kept"
        ]
    elif moved and seen.allocation != "preserved":
        told = [f"{kept(seen)} ({_rule(seen)})"]
    untold = [what for _, what, _ in _untold(seen)]
    held = [row for row in seen.ports if row.in_use]
    told += [f"{_names(held)} {'is' if len(held) == 1 else 'are'} in use here and {_was(held)} not asked"] if held else []
    # The gravest first: a breach, then what could not be told.
    return "; ".join([*told, *untold] if moved and Verdict.PASS not in breaches else [*untold, *told]) or "no port was asked"
