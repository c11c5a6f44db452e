"""The same asked otherwise, as no phone asks it: of this machine's own DNS server where another one was chosen, over TCP, and of an address
that nobody has. Two answers alone do not say who lies; these say who answers."""

import asyncio

import msgspec

from edgecheck.checks.dns.locate import locate, step_of
from edgecheck.checks.dns.observation import Comparison, DnsObservation, Step
from edgecheck.model.account import Place
from edgecheck.model.phone import NOWHERE, NOWHERE6, AddressRecord, Phone
from edgecheck.wire.address import Endpoint, parse_endpoint

TOLD = ("NOERROR", "NXDOMAIN")
OVER_TCP = " over TCP"
_ASKED = ("NAPTR", "SRV", "A", "AAAA")


class Overheard(msgspec.Struct, frozen=True, kw_only=True):
    """What an address that nobody has answered; fields as in ``DnsObservation``."""

    intercepted: bool | None = None
    intercepted_stream: bool | None = None
    interceptor: str | None = None
    steps: tuple[Step, ...] = ()


async def overhear(phone: Phone, place: Place) -> Overheard:
    """Ask where nobody can answer. An address needs no DNS, and no such question."""
    first = phone.account.resolver or next(iter(phone.resolvers), None)
    if first is None or place.numeric:
        return Overheard()
    host = NOWHERE6 if ":" in parse_endpoint(first).host else NOWHERE
    if phone.source_for(host) is None:
        return Overheard()
    nowhere = str(Endpoint(host, 53))
    name = f"edgecheck-{phone.token(6)}.invalid"
    answer = await phone.resolve(name, "A", nowhere, hasty=True)
    if answer.rcode in ("TIMEOUT", "UNREACHABLE"):
        return Overheard(intercepted=False)
    stream, itself = await asyncio.gather(phone.resolve(name, "A", nowhere, stream=True, hasty=True), phone.identity(nowhere))
    steps = [step_of(answer, False)]
    if itself:
        steps.append(_identity(nowhere, itself))
    return Overheard(intercepted=True, intercepted_stream=stream.rcode != "TIMEOUT", interceptor=itself, steps=tuple(steps))


def _identity(server: str, said: str) -> Step:
    return Step(query="its own name", type="identity", answer=said, server=server, decisive=False)


async def ask_own(phone: Phone, place: Place) -> DnsObservation | None:
    """The same search by this machine's own DNS server, where another one was chosen."""
    own = _own(phone)
    return await locate(phone, place, own) if own is not None and not place.numeric else None


def _own(phone: Phone) -> str | None:
    chosen = phone.account.resolver
    own = next((server for server in phone.resolvers if phone.source_for(parse_endpoint(server).host)), None)
    return own if chosen is not None and own != chosen else None


async def ask_otherwise(
    phone: Phone, place: Place, seen: DnsObservation, heard: Overheard, by_own: DnsObservation | None
) -> DnsObservation:
    """The observation with what other ways to ask say."""
    chosen, own = phone.account.resolver, _own(phone)
    told = any(step.server == chosen and step.rcode in TOLD for step in seen.steps)
    steps = [*seen.steps, *heard.steps]
    comparisons = list(seen.comparisons)
    over_tcp = await _over_tcp(phone, place, seen, heard) if (chosen and told) or heard.intercepted else None
    if not told:
        by_own = None  # nothing to compare it with
    if chosen and told:
        servers = [server for server in (chosen, own) if server]
        named = await asyncio.gather(*map(phone.identity, servers))
        steps += [_identity(server, said) for server, said in zip(servers, named, strict=True) if said]
    if by_own is not None:
        steps += [msgspec.structs.replace(step, decisive=False) for step in by_own.steps if step.type != "rule"]
        if _whole(seen) and _whole(by_own):
            one, other = (tuple(map(str, each.targets)) for each in (seen, by_own))
            comparisons.append(Comparison(name=place.host, one=chosen or "", other=own or "", one_says=one, other_says=other))
    return msgspec.structs.replace(
        seen,
        steps=tuple(steps),
        comparisons=(*comparisons, *([over_tcp] if over_tcp else [])),
        own_server=own if by_own else None,
        invented_by_own=by_own.invented if by_own else None,
        intercepted=heard.intercepted,
        intercepted_stream=heard.intercepted_stream,
        interceptor=heard.interceptor,
    )


def _whole(seen: DnsObservation) -> bool:
    """Whether every question on a phone's way was answered: one that was lost may have led elsewhere."""
    return all(step.rcode in TOLD for step in seen.steps if step.decisive and step.type in _ASKED)


async def _over_tcp(phone: Phone, place: Place, seen: DnsObservation, heard: Overheard) -> Comparison | None:
    """The addresses of the first target over TCP, of the very server that was asked for them; None: it does not answer over TCP, or
    what answers there is the box on the way."""
    name = seen.targets[0].host if seen.targets else place.host
    asked = [step for step in seen.steps if step.query == name and step.type in ("A", "AAAA")]
    if not asked or any(step.rcode not in TOLD for step in asked) or heard.intercepted_stream:
        return None
    server = asked[0].server
    answers = await asyncio.gather(*(phone.resolve(name, kind, server, stream=True) for kind in ("A", "AAAA")))
    if not all(answer.told for answer in answers):
        return None
    before = tuple(record.address for step in asked for record in step.records if isinstance(record, AddressRecord))
    now = tuple(address for answer in answers for address in answer.addresses)
    return Comparison(name=name, one=server, other=f"{server}{OVER_TCP}", one_says=before, other_says=now)
