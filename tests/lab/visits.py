"""Runs inside a namespace: looks at several SIP accounts at once, and writes their reports as one JSON list.

``python -m tests.lab.visits '[{"account": "sip:a@b", "password": "x", ...}]'``; other keys as ``parse_account`` takes them.
"""

import asyncio
import json
import sys
from typing import Any

import msgspec

from edgecheck import doctor
from edgecheck.model.account import parse_account
from edgecheck.model.verdict import CheckResult, Report
from edgecheck.net.phone import phone


class _Quiet:
    """Shows nothing."""

    def check_started(self, id: str, question: str) -> None: ...

    def progress(self, id: str, done: int, total: int, note: str) -> None: ...

    def check_finished(self, result: CheckResult) -> None: ...

    def notice(self, text: str) -> None: ...


async def visit(wanted: dict[str, Any]) -> Report:
    """One account."""
    password = wanted.pop("password", None)
    account = parse_account(wanted.pop("account"), **wanted)

    def connect(settings: doctor.Settings, progress: Any) -> phone.SocketPhone:
        return phone.real(settings.account, password, source=None, family=None, progress=progress)

    report, _ = await doctor.register(doctor.Settings(account=account), _Quiet(), connect)
    return report


async def _all(wanted: list[dict[str, Any]]) -> list[Report]:
    return await asyncio.gather(*map(visit, wanted))


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(_all(json.loads(sys.argv[1])))))
