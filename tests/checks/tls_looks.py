"""One look of ``tls`` at a port in the world of memory."""

from pathlib import Path

import msgspec

from edgecheck.checks import tls
from edgecheck.checks.tls.observation import TlsObservation
from edgecheck.doctor import PROFILE
from edgecheck.model.account import SipTransport, parse_account
from edgecheck.model.phone import Target
from edgecheck.model.verdict import Finding, Verdict
from tests.fakes import clock
from tests.fakes.certificates import Identity
from tests.fakes.phone import PhoneWorld

DOMAIN, ADDRESS = "pbx.example.com", "203.0.113.5"


def look(
    world: PhoneWorld, folder: Path, trust: Identity | None = None, *, own: str | None = None, flow: SipTransport | None = None
) -> tuple[TlsObservation, dict[str, Finding]]:
    """``trust``: the only authority that the phone knows; ``own``: this network's public address; ``flow``: over what ``transport`` went."""
    ca = None
    if trust is not None:
        ca = str(folder / "ca.pem")
        Path(ca).write_bytes(trust.pem)

    async def go() -> TlsObservation:
        phone = world.phone(parse_account(f"sip:alice@{DOMAIN};transport=tls", ca=ca))
        phone.own_address = own
        phone.targets = [Target(transport="tls", host=DOMAIN, address=ADDRESS, port=5061)]
        if flow is not None:
            phone.flow = Target(transport=flow, host=DOMAIN, address=ADDRESS, port=5060)
        return await tls.probe(phone, PROFILE)

    seen = clock.run(go())
    findings = tls.judge(seen, PROFILE)
    assert all(finding.evidence for finding in findings if finding.verdict is not Verdict.SKIPPED)
    again = msgspec.convert(msgspec.json.decode(msgspec.json.encode(seen)), TlsObservation)
    assert tls.judge(again, PROFILE) == findings, "a saved observation is judged the same"
    return seen, {finding.id.partition(".")[2]: finding for finding in findings}
