"""A STUN server that is not ours: our verdict, pystun3's beside it, and why they differ. For ``edgecheck stun``."""

import msgspec

from edgecheck.checks import nat_behavior
from edgecheck.checks.nat_behavior.foreign import probe_foreign
from edgecheck.model.errors import ServerUnreachable
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding
from edgecheck.net import foreign
from edgecheck.net.control.reach import resolve


class ForeignStun(msgspec.Struct, frozen=True, kw_only=True):
    """What ``edgecheck stun HOST`` found: our verdict, and pystun3's RFC 3489 verdict beside it."""

    server: str
    observation: nat_behavior.NatObservation
    findings: tuple[Finding, ...]
    classic: str | None
    """pystun3's words; None for IPv6, which it does not speak."""
    difference: str | None
    """Why the two differ; None when they agree."""


async def ask(name: str, port: int = 3478, source: str | None = None, family: int | None = None) -> ForeignStun:
    """Ask a STUN server that is not ours. Raises ``ServerUnreachable``, ``LocalFailure``."""
    address = await resolve(name, port, family)
    try:
        own = source or foreign.source_for(address)
    except OSError as error:
        raise ServerUnreachable(f"No route to {name} ({address}): is this machine's network up?") from error
    observation = await probe_foreign(foreign.stun_only(address, port, own))
    profile = Profile(name="stun", title="", source="", confidence="verified", checks=())
    classic = await foreign.pystun3_type(address, port, own) if ":" not in address else None
    return ForeignStun(
        server=f"{name}:{port}",
        observation=observation,
        findings=nat_behavior.judge(observation, profile),
        classic=classic,
        difference=_difference(observation, classic),
    )


_PYSTUN3 = {
    "Blocked": "udp blocked",
    "Open Internet": "open internet",
    "Full Cone": "full cone",
    "Symmetric UDP Firewall": "symmetric udp firewall",
    "Restric NAT": "restricted cone",
    "Restric Port NAT": "port restricted cone",
    "Symmetric NAT": "symmetric",
}


def _difference(seen: nat_behavior.NatObservation, classic: str | None) -> str | None:
    """Why pystun3 says something else, where it is known why."""
    if classic is None or _PYSTUN3.get(classic, classic) == seen.classic_type:
        return None
    ignored = seen.reasons.get("filtering", "")
    if "ignores CHANGE-REQUEST" in ignored:
        return "the server ignores CHANGE-REQUEST; pystun3 takes any answer for one from another address, whatever its source"
    if "CHANGE-REQUEST" in ignored or "OTHER-ADDRESS" in ignored:
        return f"{ignored}; pystun3 reads silence as a filter"
    if classic == "Symmetric NAT" and seen.mapping == "endpoint-independent":
        return "pystun3 judged the mapping after packets from the alternate address had met the router: some routers move the port then"
    if classic.startswith("no verdict") or classic == "Blocked":
        return "pystun3 sends few copies with long waits and gave up; a lost packet is enough for that"
    return "pystun3 judges by the absence of single answers, without a control: loss, or what its earlier packets opened, misleads it"
