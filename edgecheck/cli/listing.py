"""``edgecheck checks`` and ``edgecheck profiles``."""

import sys

from edgecheck.cli.output import width
from edgecheck.report.text import wrap

_CONFIDENCE = {
    "verified": "the project's own documentation or source",
    "vendor": "the vendor's own page or manual",
    "secondary": "other people's guides and configurations",
    "unverified": "unverified: compare with your PBX",
}


def checks() -> None:
    """One line a check."""
    from edgecheck.checks import ALL, DOCTOR

    columns = max(len(check.id) for check in (*ALL, *DOCTOR))
    for check in (*ALL, *DOCTOR):
        how = " (takes minutes: run when named)" if check.lengthy else " (of an account: edgecheck register)" if check in DOCTOR else ""
        print(f"{check.id.ljust(columns)}  {check.question}{how}")


def profiles(name: str | None) -> None:
    """One line a profile, or one profile in full."""
    from edgecheck.profiles import load, names

    if name is not None:
        _profile(name)
        return
    columns = max(map(len, names()))
    for each in names():
        profile = load(each)
        rtp = f"RTP {profile.rtp[0]}-{profile.rtp[1]}" if profile.rtp else "no RTP range"
        doubt = " (unverified)" if profile.confidence == "unverified" else ""
        print(f"{each.ljust(columns)}  {profile.title}, {rtp}{doubt}")


def _profile(name: str) -> None:
    from edgecheck.profiles import load

    profile = load(name)
    lines = [f"{profile.name}: {profile.title}", f"Source: {profile.source} ({_CONFIDENCE[profile.confidence]})"]
    lines.append(f"Checks: {', '.join(profile.checks)}")
    for title, direction in (("Must reach the PBX", "in"), ("Must be reachable outside", "out")):
        needs = [need for need in profile.ports if need.direction == direction]
        if needs:
            lines.append(f"{title}:")
            lines += [f"  {need.transport} {need.ports}: {need.purpose}{'' if need.required else ' (optional)'}" for need in needs]
    lines.append(f"RTP range: {f'{profile.rtp[0]}-{profile.rtp[1]}' if profile.rtp else 'none'}")
    expect = profile.expect
    lines.append(
        f"When it is not so: port not forwarded {expect.forwarding}; RTP port not open {expect.rtp_inbound}; port number changed "
        f"{expect.preservation}; mapping depends on the destination {expect.mapping}; SIP rewritten {expect.alg}"
    )
    lines += [f"Note: {note}" for note in profile.notes]
    for line in lines:
        print("\n".join(wrap(line, width(sys.stdout), rest="    ")))
