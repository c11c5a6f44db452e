"""Does a local port keep its number outside? (RFC 4787 section 4.2)

Every signaling port of the profile and a sample of its RTP range asks the primary address for its mapped address, over UDP and TCP.
Only the primary: the alternate must stay uncontacted for the checks that need it so. A port that an unsolicited packet has just
probed keeps its number all the same, because that packet came from another address (the conntrack entries do not clash).
"""

from edgecheck.checks.port_preservation.judge import judge, kept, summarize
from edgecheck.checks.port_preservation.observation import PortRow, PreservationObservation
from edgecheck.checks.port_preservation.probe import probe_network
from edgecheck.checks.port_preservation.sample import signaling_ports
from edgecheck.model.check import Check

__all__ = ["CHECK", "PortRow", "PreservationObservation"]

CHECK = Check(
    id="port-preservation",
    question="Does a local port keep its number outside?",
    observation=PreservationObservation,
    needs=frozenset(),
    probe=probe_network,
    judge=judge,
    summarize=summarize,
    unfit=lambda profile: "" if signaling_ports(profile) or profile.rtp else "the profile names no SIP port and no RTP range",
    stands=frozenset({"remapped"}),
    known=lambda seen: f"{kept(seen)} so far" if seen.tested else "",
)
