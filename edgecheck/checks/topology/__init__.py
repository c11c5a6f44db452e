"""What stands between here and the internet? The router in its own words, NAT layers, carrier-grade NAT, the hops to the server.

Two walks with growing TTL: one to the server, one to this network's own public address. The box that owns the public address takes the
packet for itself, whatever its TTL; a box before it lets it expire. So the owner is the first hop that does *not* say "expired" of a
packet to the public address; the same packet to the server, in the same moments, shows that this hop speaks when packets expire.

Meanwhile the default router is asked who it is and what WAN address it has. That is a claim: ``layers`` weighs it against what was
measured.
"""

from edgecheck.checks.topology.judge import judge, summarize
from edgecheck.checks.topology.observation import TopologyObservation
from edgecheck.checks.topology.probe import probe_network, walk
from edgecheck.model.check import Check

__all__ = ["CHECK", "TopologyObservation", "walk"]

CHECK = Check(
    id="topology",
    question="What stands between here and the internet?",
    observation=TopologyObservation,
    needs=frozenset(),
    probe=probe_network,
    judge=judge,
    summarize=summarize,
    known=lambda seen: f"{len(seen.hops)} hops were seen" if len(seen.hops) > 1 else "",
    stands=frozenset({"single-nat", "several-addresses", "several-routes"}),
)
