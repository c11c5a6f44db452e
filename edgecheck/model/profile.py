"""A profile: which ports a PBX or a phone needs, and what counts as a failure. A data file, ``edgecheck/profiles/*.toml``."""

from typing import Literal

import msgspec


class PortNeed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One port, or a range of ports, that the service uses."""

    ports: str
    """``5060`` or ``5060-5091``."""
    transport: Literal["udp", "tcp"]
    purpose: str
    """``SIP``, ``SIP over TLS``, ``web``..."""
    protocol: Literal["sip", "sips", "rtp", "web", "other"] = "other"
    """What would be spoken there; ``sip`` and ``sips`` ports are the signaling ports."""
    direction: Literal["in", "out"] = "in"
    """``in``: must be forwarded to the PBX. ``out``: must be reachable outside."""
    required: bool = True
    """False: its being closed is worth a warning at most."""


class Expectation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the edge must do for this service; a breach is judged as named here."""

    mapping: Literal["fail", "warn", "ignore"] = "warn"
    """When the mapping is not endpoint-independent."""
    preservation: Literal["fail", "warn", "ignore"] = "warn"
    """When a port does not keep its number."""
    forwarding: Literal["fail", "warn", "ignore"] = "fail"
    """When a required inbound port is not forwarded."""
    rtp_inbound: Literal["fail", "warn", "ignore"] = "fail"
    """When an RTP port does not receive unsolicited packets."""
    alg: Literal["fail", "warn"] = "fail"
    """When SIP is rewritten consistently. Destruction and inconsistency always fail."""


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to check for and how to judge it."""

    name: str
    title: str
    """``3CX on-premises``."""
    source: str
    """Where the figures come from."""
    confidence: Literal["verified", "vendor", "secondary", "unverified"]
    checks: tuple[str, ...]
    """Check ids. The order in which they run is ``checks.ALL``'s."""
    ports: tuple[PortNeed, ...] = ()
    rtp: tuple[int, int] | None = None
    """The RTP range, inclusive; None: the service takes no media here."""
    pbx: Literal["", "asterisk", "freepbx", "freeswitch", "fusionpbx", "kamailio", "3cx"] = ""
    """Whose settings the report prints, ready to paste."""
    preservation_sample: int = 32
    """RTP ports sampled by ``port-preservation``; 0 = all of them."""
    expect: Expectation = Expectation()
    notes: tuple[str, ...] = ()
    """What else to know, shown by ``edgecheck profiles NAME``: ``never expose 8021``."""
