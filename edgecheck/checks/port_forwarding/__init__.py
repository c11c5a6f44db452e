"""Does an unsolicited packet reach the PBX?

The server sends to every inbound port of the profile from its alternate address, which this machine has never contacted, while the
ports listen and have sent nothing. What arrives is held against canaries (see ``unsolicited``): a NAT that filters loosely, or one that
remembers hosts, is not a forwarding rule. TCP ports are dialed the same way and must return a nonce, so that whoever else accepts the
connection is not taken for us.
"""

from edgecheck.checks.port_forwarding.causes import CAUSES
from edgecheck.checks.port_forwarding.judge import UNHEARD, judge, summarize
from edgecheck.checks.port_forwarding.observation import Canaries, ForwardingObservation, PortRow, State, inbound
from edgecheck.checks.port_forwarding.probe import probe_network
from edgecheck.model.check import Check

__all__ = ["CHECK", "Canaries", "ForwardingObservation", "PortRow", "State", "inbound"]

CHECK = Check(
    id="port-forwarding",
    question="Does an unsolicited packet reach the PBX?",
    observation=ForwardingObservation,
    needs=frozenset({"alternate-address"}),
    probe=probe_network,
    judge=judge,
    summarize=summarize,
    stands=frozenset({"forwarded", "blocked", "refused", "answered", "not-tested", UNHEARD, *CAUSES}),
    unfit=lambda profile: "" if inbound(profile) else "the profile needs no port forwarded",
)
