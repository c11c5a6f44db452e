"""What to do about mappings that are forgotten too soon, or of which SIP's are kept apart."""

from edgecheck.diagnosis import alg_advice
from edgecheck.diagnosis.alg_advice import switch_off
from edgecheck.diagnosis.facts import Facts
from edgecheck.diagnosis.router_settings import where_set
from edgecheck.model.verdict import Finding, Verdict

_CARRIER = ("topology.carrier-grade-nat", "port-forwarding.carrier-grade-nat")
"""Whose timeout no setting of one's own changes."""
_NOTHING_CHANGED = (
    "Leave it, unless calls fail: something keeps SIP's mappings apart from others, and sip-alg saw nothing changed. The switch for it "
    "would be the router's SIP ALG: edgecheck explain sip-alg.rewritten."
)


def keep_alive(facts: Facts, finding: Finding) -> tuple[str, ...]:
    every = facts.fact("mapping-lifetime", "recommended_keepalive_s")
    if not isinstance(every, int):
        return ()
    where = where_set(facts, "udp_timeout")
    if finding.id == "mapping-lifetime.very-short" and not facts.having(*_CARRIER):
        # few devices can be set to so short an interval
        return (
            f'Raise the UDP timeout in the router ("UDP timeout", "UDP session timeout") to 120 s or more.{where}\n'
            f"Until then: NAT keep-alive of phones and trunks every {every} s (Asterisk: qualify_frequency={every}), or SIP over TCP or "
            "TLS.",
        )
    return (f"Set the NAT keep-alive of phones and trunks behind this edge to {every} s (Asterisk: qualify_frequency={every}).{where}",)


def sip_apart(facts: Facts, finding: Finding) -> tuple[str, ...]:
    """Of an ALG that was looked for in the same run nobody needs to be told to look for it."""
    if not any(result.id == "sip-alg" for result in facts.results):
        return ()
    touched = facts.having(*alg_advice.IDS, verdicts=(Verdict.FAIL, Verdict.WARN))
    if touched:
        return switch_off(facts, touched[0])
    unchanged = any(result.id == "sip-alg" and result.verdict is Verdict.PASS for result in facts.results)
    return (_NOTHING_CHANGED,) if unchanged and finding.id == "mapping-lifetime.sip-longer" else ()
