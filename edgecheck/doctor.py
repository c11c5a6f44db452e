"""The registration doctor: the way of a phone to its registrar, check by check, as a report like any other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from edgecheck.checks import DOCTOR
from edgecheck.checks.registration.evidence import host_of
from edgecheck.course import Course, Show, reported
from edgecheck.model.account import Account
from edgecheck.model.phone import Phone
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Report
from edgecheck.net.machine import host
from edgecheck.wire.networks import is_public

PROFILE = Profile(
    name="register",
    title="A SIP account, by its own address",
    source="RFC 3261, RFC 3263",
    confidence="verified",
    checks=tuple(check.id for check in DOCTOR),
)
"""What the doctor judges by; stored in its reports, so that they can be judged anew."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What was asked for. The password is not part of it: the phone holds that."""

    account: Account
    source: str | None = None
    family: int | None = None
    timeout: float | None = None
    """Seconds for the whole; None = no bound but the checks' own."""

    def told(self) -> dict[str, Any]:
        """What the report says of it."""
        return {
            "profile": msgspec.to_builtins(PROFILE),
            "checks": [check.id for check in DOCTOR],
            "target": self.account.aor,
            "account": msgspec.to_builtins(self.account),
            "source": self.source,
            "family": self.family,
            "timeout": self.timeout,
        }


Connect = Callable[[Settings, Callable[[int, int, str], None]], Phone]
"""Makes the phone, given where it tells its progress; ``net.phone`` has the real one."""


class _Visit(Course):
    """One look at one account: the checks in their order, each building on what the ones before it left."""

    def __init__(self, settings: Settings, show: Show, connect: Connect) -> None:
        super().__init__(show, DOCTOR, PROFILE, settings.account.aor, settings.timeout)
        self.settings = settings
        self.phone = connect(settings, self.progress)

    def why_untested(self) -> str:
        return "the run ended before its turn"

    def settings_told(self) -> dict[str, Any]:
        return self.settings.told()

    async def carry_out(self) -> None:
        self.client = host.facts(self.settings.source)
        for check in self.plan:
            await self.one(check, self.phone)
            if self.phone.public_address and is_public(host_of(self.phone.public_address)):
                self.client = msgspec.structs.replace(self.client, public_address=host_of(self.phone.public_address))


async def register(settings: Settings, show: Show, connect: Connect) -> tuple[Report, Phone]:
    """Do the job; beside the report, the phone with its traffic. Cancelled (``Ctrl-C``), it ends cleanly and reports what is known."""
    visit = _Visit(settings, show, connect)
    return await reported(visit), visit.phone
