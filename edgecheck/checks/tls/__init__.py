"""Would a phone trust this certificate? Each TLS port is opened as a phone would, without SNI, and with a name that nobody has."""

import asyncio
import datetime
from collections.abc import Mapping

from edgecheck.checks.tls.between import Between, look_between
from edgecheck.checks.tls.inspectors import inspector
from edgecheck.checks.tls.judge import judge, summarize
from edgecheck.checks.tls.names import told
from edgecheck.checks.tls.observation import TlsObservation, TlsServer
from edgecheck.model import draft
from edgecheck.model.account import encrypted
from edgecheck.model.check import Check
from edgecheck.model.phone import Certificate, Handshake, Phone, Target
from edgecheck.model.profile import Profile

_MOST_SERVERS = 4
_ANSWERED = ("alert", "closed", "old-version", "not-tls", "other")
"""Ends of a handshake that the server itself made."""


async def probe(phone: Phone, profile: Profile) -> TlsObservation:
    """Open TLS at every port that the name or the user gives for it."""
    place = phone.account.next_hop
    targets = [target for target in phone.targets if encrypted(target.transport)][:_MOST_SERVERS]
    looked: dict[int, TlsServer] = {}

    async def look(index: int) -> None:
        looked[index] = await _look(phone, targets[index], place.host, place.numeric)

    draft.leave(lambda why: _observed(phone, place.host, looked))
    await asyncio.gather(*map(look, range(len(targets))))
    return _observed(phone, place.host, looked)


def _observed(phone: Phone, domain: str, looked: Mapping[int, TlsServer]) -> TlsObservation:
    servers = tuple(looked[place] for place in sorted(looked))
    shown = next((server for server in servers if server.chain), None)
    leaf = shown.chain[0] if shown else None
    now = datetime.datetime.fromtimestamp(phone.wall(), datetime.UTC)
    return TlsObservation(
        domain=domain,
        names=told(leaf) if leaf else None,
        issuer=leaf.issuer if leaf else None,
        not_after=leaf.not_after if leaf else None,
        days_left=(datetime.datetime.fromisoformat(leaf.not_after) - now).days if leaf else None,
        version=shown.version if shown else None,
        chain_complete=_complete(shown) if shown else None,
        seen_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        decisive=phone.flow is None or encrypted(phone.flow.transport),
        servers=servers,
    )


def _complete(server: TlsServer) -> bool:
    return server.trusted or server.chain[-1].self_issued


async def _look(phone: Phone, target: Target, domain: str, numeric: bool) -> TlsServer:
    to = target.endpoint
    name = None if numeric else domain
    facts = await phone.handshake(to, name)
    below = False
    if facts.failure == "old-version" or (facts.failure == "alert" and facts.alert in ("protocol version", "handshake failure")):
        old = await phone.handshake(to, name, oldest=True)
        if old.failure is None:
            facts, below = old, True
    without_name: str | None = None
    minted: bool | None = None
    minted_by: str | None = None
    if facts.chain and not below:
        if name is not None:
            bare = await phone.handshake(to, None)
            if bare.chain or bare.failure in _ANSWERED:  # else what was lost is no answer
                without_name = "same" if bare.chain[:1] == facts.chain[:1] else "other" if bare.chain else _why(bare)
        invented = f"edgecheck-{phone.token(6)}.invalid"
        asked = await phone.handshake(to, invented)
        other = phone.read_certificate(asked.chain[0]) if asked.chain else None
        if asked.chain or asked.failure in _ANSWERED:
            minted = other is not None and invented in told(other)
        minted_by = other.issuer if other is not None and minted else None
    chain = _read(phone, facts)
    doubt = bool(chain) and (not facts.trusted or minted_by == chain[0].issuer or inspector(chain[0].issuer) is not None)
    between = await look_between(phone, to, name) if doubt and not below else Between()
    return TlsServer(
        target=str(target),
        host=target.host,
        failure=facts.failure,
        words=facts.words,
        alert=facts.alert,
        version=facts.version,
        cipher=facts.cipher,
        weak=facts.weak,
        below_floor=below,
        chain=chain,
        trusted=facts.trusted,
        verify_code=facts.verify_code,
        verify_words=facts.verify_words,
        client_certificate_requested=facts.client_certificate_requested,
        without_name=without_name,
        minted=minted,
        minted_by=minted_by,
        nowhere=between.nowhere,
        nowhere_issuer=between.nowhere_issuer,
        near=between.near,
        heard=repr(facts.heard[:60])[1:] if facts.heard else "",
    )


def _why(facts: Handshake) -> str:
    return f"alert: {facts.alert}" if facts.alert else facts.failure or "no certificate"


def _read(phone: Phone, facts: Handshake) -> tuple[Certificate, ...]:
    found = (phone.read_certificate(each) for each in facts.chain[:10])
    return tuple(each for each in found if each is not None)


CHECK = Check(
    id="tls",
    question="Would a phone trust this certificate?",
    observation=TlsObservation,
    needs=frozenset(),
    probe=probe,
    judge=judge,
    stands=frozenset({"trusted", "expired", "not-yet-valid", "expires-soon", "name-mismatch", "wildcard-only", "common-name-only"})
    | {"self-signed", "unknown-authority", "incomplete-chain", "old-version", "weak-cipher", "client-certificate-wanted"}
    | {"intercepted", "sni-needed"},
    summarize=summarize,
)
