"""Runs ``transport`` and ``tls`` for an address, a CA file and accounts given as arguments; prints the findings as JSON."""

import asyncio
import json
import sys
from typing import Any

from edgecheck.checks import tls, transport
from edgecheck.checks.dns.services import plain_transport
from edgecheck.doctor import PROFILE
from edgecheck.model.account import parse_account
from edgecheck.model.phone import Target
from edgecheck.model.verdict import Finding
from edgecheck.net.phone import phone

_AT_ONCE = 4
"""Each has seconds for an answer; on a slow machine the handshakes of all would take longer, in this one process and in one server."""


async def _look(uri: str, address: str, ca: str) -> dict[str, Any]:
    account = parse_account(uri, ca=ca)
    place = account.next_hop
    one = phone.real(account, None, source=None, family=None, progress=lambda done, total, note: None)
    one.targets = [Target(transport=plain_transport(place), host=place.host, address=address, port=place.port or 5060)]
    reached = transport.judge(await transport.probe(one, PROFILE), PROFILE)
    return {"transport": _told(reached), "tls": _told(tls.judge(await tls.probe(one, PROFILE), PROFILE))}


def _told(findings: tuple[Finding, ...]) -> dict[str, str]:
    return {finding.id.partition(".")[2]: finding.verdict for finding in findings}


async def _all(address: str, ca: str, uris: list[str]) -> dict[str, Any]:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def look(uri: str) -> dict[str, Any]:
        async with turns:
            return await _look(uri, address, ca)

    return dict(zip(uris, await asyncio.gather(*map(look, uris)), strict=True))


if __name__ == "__main__":
    json.dump(asyncio.run(_all(sys.argv[1], sys.argv[2], sys.argv[3:])), sys.stdout)
