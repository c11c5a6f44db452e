"""The registration check in a world of memory: one call from a world to its observation and findings."""

from typing import Any

from edgecheck.checks import registration
from edgecheck.checks.registration.observation import RegistrationObservation
from edgecheck.doctor import PROFILE
from edgecheck.model.phone import Phone, Target
from edgecheck.model.verdict import Finding
from tests.fakes.clock import run
from tests.fakes.phone import PhoneWorld, endpoint
from tests.fakes.registrar import Registrar
from tests.fakes.sip_peers import over_udp

SERVER = "203.0.113.10:5060"
ACCOUNT = "sip:alice@203.0.113.10"


class Visit:
    """What one look at an account found."""

    def __init__(self, seen: RegistrationObservation, phone: Phone) -> None:
        self.seen = seen
        self.phone = phone
        self.findings: dict[str, Finding] = {finding.id.partition(".")[2]: finding for finding in registration.judge(seen, PROFILE)}

    @property
    def verdicts(self) -> dict[str, str]:
        return {cause: finding.verdict.value for cause, finding in self.findings.items()}

    @property
    def statuses(self) -> list[int | None]:
        return [attempt.status for attempt in self.seen.attempts]


def visit(
    world: PhoneWorld,
    account: Any = ACCOUNT,
    secret: str | None = "secret",
    targets: tuple[str, ...] = (),
    pinged: tuple[int, int] | None = None,
) -> Visit:
    """Probe and judge, on the jumping clock. ``targets``: what ``dns`` would have left, over UDP; ``pinged``: what ``transport`` would have
    left of UDP 5060."""

    async def go() -> Visit:
        phone = world.phone(account, secret)
        if pinged is not None:
            phone.pinged[f"UDP {SERVER}"] = pinged
        for where in map(endpoint, targets):
            phone.targets.append(Target(transport="udp", host=where.host, address=where.host, port=where.port))
        return Visit(await registration.CHECK.probe(phone, PROFILE), phone)

    return run(go())


def at(registrar: Registrar, **how: Any) -> PhoneWorld:
    """A world with this registrar at UDP 5060."""
    return PhoneWorld().udp_at(SERVER, over_udp(registrar, **how))
