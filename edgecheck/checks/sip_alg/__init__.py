"""Does something on the path touch SIP?

OPTIONS, REGISTER and INVITE with SDP go to the server's SIP mirror over UDP, TCP and TLS, on the usual port and on another one. The
server says over the control channel, where no ALG can reach, which bytes it received and which it sent; they are compared with
those that left and arrived here. Beside each goes a control of the same size that is no SIP: only what passes where SIP does not
makes a loss a drop.
"""

from edgecheck.checks.sip_alg.judge import judge, summarize
from edgecheck.checks.sip_alg.judge_one_sided import known_so_far
from edgecheck.checks.sip_alg.observation import SipAlgObservation
from edgecheck.checks.sip_alg.probe import probe_network
from edgecheck.model.check import Check

CHECK = Check(
    id="sip-alg",
    question="Does something on the path touch SIP?",
    observation=SipAlgObservation,
    needs=frozenset(),
    probe=probe_network,
    judge=judge,
    stands=frozenset({"rewritten", "inconsistent", "harmless", "destroyed", "answered-by-other", "taken-on-the-way", "pinhole"}),
    summarize=summarize,
    known=known_so_far,
)
