"""``edgecheck settings``: what a saved report's edge calls for in a PBX, ready to paste."""

from edgecheck.cli import saved, status
from edgecheck.model.errors import UsageError


def settings(name: str, pbx: str | None) -> int:
    """Print the settings; return the exit status. Raises ``UsageError``."""
    import msgspec

    from edgecheck.diagnosis import settings_for_pbx
    from edgecheck.diagnosis.pbx import FAMILIES
    from edgecheck.model.profile import Profile
    from edgecheck.report.text import settings_lines

    if pbx is not None and pbx not in FAMILIES:
        raise UsageError(f"--pbx: there is no {pbx!r} here; there are {', '.join(FAMILIES)}.")
    report = saved.baseline(name)
    profile = msgspec.convert(report.settings.get("profile"), Profile)
    wanted = pbx or profile.pbx
    if not wanted:
        raise UsageError(f"Profile {profile.name} names no PBX: add --pbx and one of {', '.join(FAMILIES)}.")
    for one in settings_for_pbx(report.checks, profile, report.server, report.client, wanted):
        print("\n".join(settings_lines(one)))
    return status.FINE
