"""RFC 3263 section 4, step by step, as a phone takes it."""

import asyncio

from edgecheck.checks.dns.observation import Comparison, DnsObservation, Step
from edgecheck.checks.dns.services import (
    BY_NAPTR,
    SERVICES,
    Service,
    candidates,
    plain_transport,
    pointers_in_order,
    services_in_order,
)
from edgecheck.model import draft
from edgecheck.model.account import Place, SipTransport
from edgecheck.model.phone import Answer, NaptrRecord, Phone, RecordType, SrvRecord, Target

MOST_TARGETS = 12
"""A zone with hundreds of records must not make the doctor knock for hours."""
DEFAULT_PORTS = {service.transport: service.port for service in SERVICES}


async def locate(phone: Phone, place: Place, via: str | None = None) -> DnsObservation:
    """Find where a request for this place goes. ``via``: by this DNS server alone, and nothing is compared."""
    return await _Search(phone, place, via).go()


class _Search:
    def __init__(self, phone: Phone, place: Place, via: str | None) -> None:
        self.phone = phone
        self.place = place
        self.via = via
        self.steps: list[Step] = []
        self.targets: list[Target] = []
        self.left_out: list[str] = []
        self.answers: dict[tuple[str, str], Answer] = {}
        self.by_system: Answer | None = None

    async def go(self) -> DnsObservation:
        place = self.place
        self._leave(lambda why: self._observed(None, None, (), None))
        others: tuple[str, ...] | None = None
        transport = plain_transport(place)
        if place.numeric:
            self._rule("an IP address: nothing to look up", transport, place.port)
            self._add(transport, place.host, (place.host,), place.port or DEFAULT_PORTS[transport], "written in the address")
        elif place.port is not None:
            self._rule("a port is written: no NAPTR and no SRV are asked for (RFC 3263 section 4.2)", transport, place.port)
            await self._by_address(transport, place.port, "written in the address")
        else:
            others = await self._by_records()
        domain = self._domain_addresses()
        comparisons: tuple[Comparison, ...] = ()
        invented: tuple[str, ...] | None = None
        if not place.numeric:
            comparisons = await self._compare() if self.via is None else ()
            self._leave(lambda why: self._observed(others, domain, comparisons, None))
            invented = await self._invented()
        return self._observed(others, domain, comparisons, invented)

    def _leave(self, made: draft.Draft) -> None:
        """What is asked for comparison alone is no draft of the whole."""
        if self.via is None:
            draft.leave(made)

    def _observed(
        self,
        others: tuple[str, ...] | None,
        domain: tuple[str, ...] | None,
        comparisons: tuple[Comparison, ...],
        invented: tuple[str, ...] | None,
    ) -> DnsObservation:
        return DnsObservation(
            asked=self.place.uri,
            steps=tuple(self.steps),
            targets=tuple(self.targets),
            domain_addresses=domain,
            comparisons=comparisons,
            invented=invented,
            left_out=tuple(dict.fromkeys(self.left_out)),
            other_transports=others,
        )

    # --- the steps --------------------------------------------------------------------------------------------------------------

    async def _by_records(self) -> tuple[str, ...] | None:
        """NAPTR, else SRV, else addresses. Returns what else is published, where the transport asked for is not."""
        place = self.place
        if place.transport is None:
            naptr = await self.ask(place.host, "NAPTR")
            pointers = pointers_in_order(naptr.pointers, place)
            if pointers:
                found = [await self._follow(pointer) for pointer in pointers[:MOST_TARGETS]]
                if not any(found):
                    first = BY_NAPTR[pointers[0].service.upper()].transport
                    await self._by_address(first, DEFAULT_PORTS[first], f"{place.host} itself, for no SRV record was found")
                return None
        wanted = candidates(place)
        answers = await asyncio.gather(*(self.ask(f"{service.prefix}.{place.host}", "SRV") for service in wanted))
        for service, answer in zip(wanted, answers, strict=True):
            await self._srv(service, answer)
        if any(answer.services for answer in answers):
            await self._ask_addresses(place.host, decisive=False)
            return None
        transport = plain_transport(place)
        others = await self._published_otherwise(wanted) if place.transport else None
        self._rule("no SRV record", transport, DEFAULT_PORTS[transport])
        await self._by_address(transport, DEFAULT_PORTS[transport], f"{place.host} itself, for there is no SRV record")
        return others

    async def _follow(self, pointer: NaptrRecord) -> bool:
        """One NAPTR to its SRV records; whether there are any."""
        service = BY_NAPTR[pointer.service.upper()]
        answer = await self.ask(pointer.replacement, "SRV") if pointer.replacement else None
        if answer is not None:
            await self._srv(service, answer)
        return answer is not None and bool(answer.services)

    async def _srv(self, service: Service, answer: Answer) -> None:
        records = services_in_order(answer.services)
        await asyncio.gather(*(self._ask_addresses(name) for name in dict.fromkeys(record.target for record in records)))
        for record in records:
            why = f"SRV {answer.name}, priority {record.priority}, weight {record.weight}"
            self._add(service.transport, record.target, self._known(record.target), record.port, why)

    async def _published_otherwise(self, wanted: tuple[Service, ...]) -> tuple[str, ...]:
        rest = [service for service in candidates(Place(host=self.place.host)) if service not in wanted]
        answers = await asyncio.gather(*(self.ask(f"{service.prefix}.{self.place.host}", "SRV", decisive=False) for service in rest))
        return tuple(service.transport for service, answer in zip(rest, answers, strict=True) if services_in_order(answer.services))

    async def _by_address(self, transport: SipTransport, port: int, why: str) -> None:
        host = self.place.host
        await self._ask_addresses(host)
        addresses = self._known(host)
        if not addresses and self.via is None:
            # A hosts file, mDNS, or no DNS server at all: what the system itself knows is what most phones on it would use.
            self.by_system = await self._look_up(host, decisive=True)
            addresses = self.by_system.addresses
            why = f"{why}; known to this machine's own way alone"
        self._add(transport, host, addresses, port, why)

    # --- questions --------------------------------------------------------------------------------------------------------------

    async def ask(self, name: str, type: RecordType, *, decisive: bool = True) -> Answer:
        """Each question once."""
        if (name, type) not in self.answers:
            self.phone.progress(len(self.steps), 0, f"{type} {name}")
            answer = await self.phone.resolve(name, type, self.via)
            self.answers[name, type] = answer
            self.steps.append(step_of(answer, decisive))
        return self.answers[name, type]

    async def _ask_addresses(self, name: str, *, decisive: bool = True) -> None:
        await asyncio.gather(self.ask(name, "A", decisive=decisive), self.ask(name, "AAAA", decisive=decisive))

    async def _look_up(self, name: str, *, decisive: bool) -> Answer:
        answer = await self.phone.look_up(name)
        self.steps.append(step_of(answer, decisive))
        return answer

    def _known(self, name: str) -> tuple[str, ...]:
        """A before AAAA: a phone has the one for sure."""
        return tuple(
            address for type in ("A", "AAAA") if (name, type) in self.answers for address in self.answers[name, type].addresses
        )

    def _domain_addresses(self) -> tuple[str, ...] | None:
        asked = [self.answers[key] for key in ((self.place.host, "A"), (self.place.host, "AAAA")) if key in self.answers]
        if not any(answer.told for answer in asked):
            return None
        return self._known(self.place.host)

    # --- what it leads to -------------------------------------------------------------------------------------------------------

    def _rule(self, why: str, transport: SipTransport, port: int | None) -> None:
        to = f"{transport.upper()}, port {port or DEFAULT_PORTS[transport]}"
        self.steps.append(Step(query=self.place.uri, type="rule", answer=f"{why}; {to}"))

    def _add(self, transport: SipTransport, host: str, addresses: tuple[str, ...], port: int, why: str) -> None:
        for address in addresses:
            if self.phone.source_for(address) is None:
                self.left_out.append(address)
                continue
            same = (transport, address, port)
            if len(self.targets) < MOST_TARGETS and same not in {(each.transport, each.address, each.port) for each in self.targets}:
                self.targets.append(Target(transport=transport, host=host, address=address, port=port, because=why))

    # --- what a phone does not ask ------------------------------------------------------------------------------------------------

    async def _compare(self) -> tuple[Comparison, ...]:
        """The same names by the system's own way."""
        names = list(dict.fromkeys(target.host for target in self.targets))[:3] or [self.place.host]
        out = []
        chosen = self.phone.account.resolver
        for name in names:
            asked = [self.answers[name, kind] for kind in ("A", "AAAA") if (name, kind) in self.answers]
            if not asked or not all(answer.told for answer in asked):
                continue  # what was lost may be what the system knows
            system = self.by_system if self.by_system and name == self.place.host else await self._look_up(name, decisive=False)
            if system.rcode in ("NOERROR", "NONE"):
                out.append(
                    Comparison(
                        name=name,
                        one=chosen or asked[0].server,
                        other="system",
                        one_says=self._known(name),
                        other_says=system.addresses,
                    )
                )
        return tuple(out)

    async def _invented(self) -> tuple[str, ...] | None:
        """``.invalid`` never exists (RFC 6761 section 6.4): a resolver that gives it an address makes answers up."""
        if not any(answer.told for answer in self.answers.values()):
            return None
        answer = await self.phone.resolve(f"edgecheck-{self.phone.token(6)}.invalid", "A", self.via)
        return answer.addresses if answer.told else None


_CODES = {
    "NXDOMAIN": "no such name (NXDOMAIN)",
    "NONE": "no address known",
    "SERVFAIL": "the server failed (SERVFAIL)",
    "REFUSED": "the server refused (REFUSED)",
    "TIMEOUT": "no answer",
    "UNREACHABLE": "no server could be asked",
    "MALFORMED": "no question that DNS can carry",
}


def step_of(answer: Answer, decisive: bool) -> Step:
    """A question and its answer, in words."""
    words = _CODES.get(answer.rcode, answer.rcode) if answer.rcode != "NOERROR" else ""
    if answer.note and words:
        words = f"{words}: {answer.note}"
    if not words:
        of_type = [text_of(record) for record in answer.records]
        words = "; ".join(of_type) or "the name has no record of this type"
        if of_type and not (answer.addresses or answer.services or answer.pointers) and answer.type != "CNAME":
            words += "; no record of this type there"
    return Step(
        query=answer.name,
        type=answer.type,
        answer=words,
        rcode=answer.rcode,
        server=answer.server,
        elapsed_ms=answer.elapsed_ms,
        records=answer.records,
        decisive=decisive,
    )


def text_of(record: object) -> str:
    """As a zone file writes the data."""
    if isinstance(record, SrvRecord):
        return f"{record.priority} {record.weight} {record.port} {record.target or '.'}"
    if isinstance(record, NaptrRecord):
        return f'{record.order} {record.preference} "{record.flags}" "{record.service}" "{record.regexp}" {record.replacement or "."}'
    address = getattr(record, "address", None)
    return str(address) if address else f"alias of {getattr(record, 'target', '')}"
