"""Does every RTP port work, both ways?

Every port of the profile's range, both parities. In: the server sends a real RTP packet from its never-contacted address to each port,
while the port listens and has sent nothing. Out: each port sends one to the server's media port, which counts it and returns it. How
ports are judged is told in ``rounds``.
"""

from edgecheck.checks.rtp_range.judge import judge
from edgecheck.checks.rtp_range.observation import RtpObservation
from edgecheck.checks.rtp_range.probe import probe_network
from edgecheck.checks.rtp_range.summary import known, summarize
from edgecheck.model.check import Check

__all__ = ["CHECK", "RtpObservation"]

CHECK = Check(
    id="rtp-range",
    question="Does every RTP port work, both ways?",
    observation=RtpObservation,
    needs=frozenset(),
    probe=probe_network,
    judge=judge,
    summarize=summarize,
    stands=frozenset({"inbound-blocked", "outbound-blocked", "return-blocked", "remapped", "in-use"}),
    known=known,
    unfit=lambda profile: "" if profile.rtp else "the profile names no RTP range",
)
