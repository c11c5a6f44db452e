"""Which ports are asked: all for signaling, some of many for RTP. Pure."""

from typing import Literal

from edgecheck.model.profile import Profile
from edgecheck.wire import ports as port_ranges


def signaling_ports(profile: Profile) -> list[tuple[Literal["udp", "tcp"], int]]:
    """The profile's SIP ports, each once, in its order."""
    needs = [need for need in profile.ports if need.protocol in ("sip", "sips")]
    return list(dict.fromkeys((need.transport, port) for need in needs for port in port_ranges.expand(port_ranges.parse(need.ports))))


def rtp_sample(profile: Profile) -> list[int]:
    """Ports spread evenly over the RTP range, its ends and both parities among them."""
    if profile.rtp is None:
        return []
    low, high = profile.rtp
    size, wanted = high - low + 1, profile.preservation_sample
    if wanted <= 0 or wanted >= size:
        return list(range(low, high + 1))
    sample = [low + round(step * (size - 1) / max(1, wanted - 1)) for step in range(wanted)]
    # Even and odd by turns: an even stride would take one parity only.
    for position in range(1, len(sample) - 1, 2):
        sample[position] += sample[position] % 2 == low % 2
    for position in range(2, len(sample) - 1, 2):
        sample[position] += sample[position] % 2 != low % 2
    return sorted({*sample})
