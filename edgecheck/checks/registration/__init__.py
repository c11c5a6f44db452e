"""Does this account register, and can it be reached?

REGISTER as RFC 3261 section 10 has it, with digest (RFC 7616, 8760), outbound (RFC 5626) and what a careful phone does with every
answer. It leaves nothing behind but what it says, and sends a refused password twice at most.
"""

from edgecheck.checks.registration.evidence import sentence
from edgecheck.checks.registration.judge import judge, summarize
from edgecheck.checks.registration.observation import RegistrationObservation
from edgecheck.checks.registration.probe import probe_account
from edgecheck.model.check import Check

CHECK = Check(
    id="registration",
    question="Does this account register, and can it be reached?",
    observation=RegistrationObservation,
    needs=frozenset(),
    probe=probe_account,
    judge=judge,
    known=lambda seen: sentence(seen.attempts[-1]) if seen.attempts else "",
    stands=frozenset({"registered", "contact-rewritten", "expires-shortened", "reachable", "seen-as"}),
    summarize=summarize,
)
