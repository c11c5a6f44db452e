"""Does the server answer, over the transports that its name or the user gives? All targets are asked at once, as failover would try them.

Silence is told as silence. What can be seen beside it is looked for: TCP where UDP is silent, the usual port where the one from the DNS
is dead, TLS at a plain port and the reverse.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from edgecheck.checks.dns.services import BY_TRANSPORT
from edgecheck.checks.transport.again import ask_again
from edgecheck.checks.transport.judge import judge, summarize
from edgecheck.checks.transport.knock import PINGS, knock
from edgecheck.checks.transport.observation import Attempt, TransportObservation
from edgecheck.model import draft
from edgecheck.model.account import SipTransport
from edgecheck.model.check import Check
from edgecheck.model.phone import Phone, Target
from edgecheck.model.profile import Profile

_PINGED = 3
"""Targets that are asked again for loss and round trip; a phone stays with the first that answers."""
_DUMB = ("connected-silent", "closed", "reset", "not-sip")


async def probe(phone: Phone, profile: Profile) -> TransportObservation:
    """Knock at every target; leave the first that answers, and our public address, for the checks that follow."""
    targets = phone.targets
    done: dict[int, Attempt] = {}

    async def one(index: int, target: Target) -> Attempt:
        attempt = await _told_apart(phone, await knock(phone, target, PINGS if index < _PINGED else 0))
        done[index] = attempt
        phone.progress(len(done), len(targets), str(target))
        return attempt

    draft.leave(lambda why: _observed([done[index] for index in sorted(done)], [], phone.own_address))

    attempts = await asyncio.gather(*(one(index, target) for index, target in enumerate(targets)))
    beside = await asyncio.gather(*(knock(phone, target, 0) for target in _beside(attempts)))
    attempts = await ask_again(phone, attempts, beside)
    chosen = _first(attempts)
    phone.flow = chosen.target if chosen else None
    seen = _observed(attempts, beside, phone.own_address)
    phone.public_address = seen.public_address
    return seen


def _observed(attempts: Sequence[Attempt], beside: Sequence[Attempt], own: str | None) -> TransportObservation:
    chosen = _first(attempts)
    return TransportObservation(
        attempts=tuple(attempts),
        beside=tuple(beside),
        flow=str(chosen.target) if chosen else None,
        public_address=next((each.seen_as for each in attempts if each.seen_as), None),
        own_address=own,
    )


def _first(attempts: Sequence[Attempt]) -> Attempt | None:
    """RFC 3263 section 4.3: the next target where one answers 503; one that answers from elsewhere only where nothing else does."""
    working = [each for each in attempts if each.works]
    ranked = (
        *(each for each in working if each.status != 503),
        *working,
        *(each for each in attempts if each.state == "answered-elsewhere"),
    )
    return next(iter(ranked), None)


async def _told_apart(phone: Phone, attempt: Attempt) -> Attempt:
    """A TLS server at a plain port says nothing to plain SIP, or hangs up; the reverse likewise. So the other one is tried."""
    if attempt.transport == "tcp" and attempt.state in _DUMB:
        facts = await phone.handshake(attempt.target.endpoint, phone.account.domain)
        if facts.failure is None:
            words = f"plain SIP got no answer ({attempt.words}); TLS was opened at once ({facts.version})"
            return msgspec.structs.replace(attempt, state="tls-on-plain", words=words)
    if attempt.transport == "tls" and attempt.state in ("tls-failed", "connected-silent") and not attempt.sent:
        plain = await knock(phone, msgspec.structs.replace(attempt.target, transport="tcp"), 0)
        if plain.works:
            words = f"TLS was not opened ({attempt.words}); plain SIP was answered with {plain.status}"
            return msgspec.structs.replace(attempt, state="plain-on-tls", words=words)
    return attempt


def _beside(attempts: list[Attempt]) -> list[Target]:
    """What would tell why a target does not answer: its sibling transport, and the usual port where the DNS names another one."""
    known = {(each.transport, each.address, each.port) for each in attempts}
    out: list[Target] = []

    def add(attempt: Attempt, transport: SipTransport, port: int, because: str) -> None:
        same = (transport, attempt.address, port)
        if same not in known:
            known.add(same)
            out.append(Target(transport=transport, host=attempt.host, address=attempt.address, port=port, because=because))

    for each in attempts:
        if each.state in ("answered", "answered-elsewhere", "not-tried"):
            continue
        if each.transport == "udp":
            add(each, "tcp", each.port, "beside UDP without an answer")
            if each.port == BY_TRANSPORT["tls"].port:
                add(each, "tls", each.port, "the usual port of TLS, beside UDP without an answer")
        elif each.transport == "tcp":
            add(each, "udp", each.port, "beside TCP without an answer")
        usual = BY_TRANSPORT[each.transport].port
        if each.port != usual:
            add(each, each.transport, usual, "the usual port, beside the one named")
    return out[:6]


CHECK = Check(
    id="transport",
    question="Does the server answer?",
    observation=TransportObservation,
    needs=frozenset(),
    probe=probe,
    judge=judge,
    stands=frozenset({"answered"}),
    summarize=summarize,
)
