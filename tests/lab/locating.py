"""Runs the check ``dns`` for accounts given as arguments (``sip:u@host``, and behind bars a resolver, 4 or 6, and a STUN server), with real
sockets; prints targets, findings and their summaries as JSON."""

import asyncio
import json
import sys
from typing import Any

from edgecheck.checks import dns
from edgecheck.doctor import PROFILE
from edgecheck.model.account import parse_account
from edgecheck.net.phone import phone


async def _locate(uri: str) -> dict[str, Any]:
    account, resolver, family, stun, *_ = (*uri.split("|"), "", "", "")
    target = parse_account(account, resolver=resolver or None, stun=stun or None)
    one = phone.real(target, None, source=None, family=int(family) if family else None, progress=lambda done, total, note: None)
    seen = await dns.probe(one, PROFILE)
    findings = {finding.id.partition(".")[2]: finding for finding in dns.judge(seen, PROFILE)}
    return {
        "targets": [[target.transport, target.port, target.address] for target in seen.targets],
        "findings": {cause: finding.verdict for cause, finding in findings.items()},
        "summaries": {cause: finding.summary for cause, finding in findings.items()},
    }


async def _all(uris: list[str]) -> dict[str, Any]:
    return dict(zip(uris, await asyncio.gather(*map(_locate, uris)), strict=True))


if __name__ == "__main__":
    json.dump(asyncio.run(_all(sys.argv[1:])), sys.stdout)
