"""Does the name lead to the server? RFC 3263 as a phone walks it, every step shown."""

import asyncio

import msgspec

from edgecheck.checks.dns.judge import judge, summarize
from edgecheck.checks.dns.locate import locate
from edgecheck.checks.dns.observation import DnsObservation
from edgecheck.checks.dns.otherwise import ask_otherwise, ask_own, overhear
from edgecheck.checks.dns.public import public_address
from edgecheck.model import draft
from edgecheck.model.check import Check
from edgecheck.model.phone import Phone
from edgecheck.model.profile import Profile


async def probe(phone: Phone, profile: Profile) -> DnsObservation:
    """Find the targets, and leave them for the checks that follow."""
    place = phone.account.next_hop
    seen, (public, translated), heard, by_own = await asyncio.gather(
        locate(phone, place), public_address(phone), overhear(phone, place), ask_own(phone, place)
    )
    phone.targets = list(seen.targets)
    phone.own_address = public if translated else None
    draft.leave(lambda why: seen)
    if not place.numeric:
        seen = await ask_otherwise(phone, place, seen, heard, by_own)
    return msgspec.structs.replace(seen, public_address=public, translated=translated)


CHECK = Check(
    id="dns",
    question="Does the name lead to the server?",
    observation=DnsObservation,
    needs=frozenset(),
    probe=probe,
    judge=judge,
    known=lambda seen: f"{len(seen.steps)} steps of the search were made" if seen.steps else "",
    summarize=summarize,
)
