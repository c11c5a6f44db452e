"""The checks. Adding one is a file and a line here; ``tests/test_house`` then stays red until its page and its tests exist."""

from edgecheck.checks import (
    dns,
    host,
    mapping_lifetime,
    nat_behavior,
    outbound,
    port_forwarding,
    port_preservation,
    registration,
    rtp_range,
    sip_alg,
    tls,
    topology,
    transport,
)
from edgecheck.model.check import Check

ALL: tuple[Check, ...] = (
    port_forwarding.CHECK,
    rtp_range.CHECK,
    nat_behavior.CHECK,
    port_preservation.CHECK,
    sip_alg.CHECK,
    topology.CHECK,
    outbound.CHECK,
    host.CHECK,
    mapping_lifetime.CHECK,
)
"""In the order in which they run: whoever needs the alternate address uncontacted, or its own ports unused, comes first;
who takes minutes, last."""

DOCTOR: tuple[Check, ...] = (
    dns.CHECK,
    transport.CHECK,
    tls.CHECK,
    registration.CHECK,
)
"""Those of ``edgecheck register``, in the order in which they run: each builds on what the ones before it left in the ``Phone``."""

BY_ID: dict[str, Check] = {check.id: check for check in (*ALL, *DOCTOR)}
"""Every check whose observation a saved report may hold."""
