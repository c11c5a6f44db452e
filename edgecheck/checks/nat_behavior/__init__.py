"""How does the NAT map and filter? (RFC 4787 sections 4, 5, 6; RFC 5780 section 4)

``probe`` asks an echo server; ``foreign`` any other STUN server, one-sided. Both make one observation, and ``judge`` judges either.
"""

from edgecheck.checks.nat_behavior.judge import judge, summarize
from edgecheck.checks.nat_behavior.observation import NatObservation
from edgecheck.checks.nat_behavior.probe import probe_network
from edgecheck.model.check import Check

__all__ = ["CHECK", "NatObservation", "judge"]

CHECK = Check(
    id="nat-behavior",
    question="How does the NAT map and filter?",
    observation=NatObservation,
    needs=frozenset(),
    probe=probe_network,
    judge=judge,
    known=lambda seen: f"{seen.local_address} is seen outside as {seen.mapped_address}" if seen.mapped_address else "",
    stands=frozenset({"filtering", "pooling"}),
    summarize=summarize,
)
