"""May this network reach the service at all?

Every port on which the echo server answers is asked at once: UDP by SIP, echoes and RTP packets, TCP and TLS by connections over which
the same is said. The server's receipts tell what arrived, open ports measure the loss of the same moments, and the packets of *others*
tell whether the server's own side is open: only then is a closed port this network's doing.

Only the primary address is contacted. Without a session the same ports are asked by STUN alone, and silence proves nothing.
"""

from edgecheck.checks.outbound.judge import judge, summarize
from edgecheck.checks.outbound.observation import OutboundObservation
from edgecheck.checks.outbound.probe import probe_network
from edgecheck.model.check import Check

CHECK = Check(
    id="outbound",
    question="May this network reach the service at all?",
    observation=OutboundObservation,
    needs=frozenset(),
    probe=probe_network,
    judge=judge,
    summarize=summarize,
    alone=True,
    stands=frozenset({"open", "captive-portal", "dns-intercepted"}),
)
