"""The reading as a whole: three protocols in parallel, bounded in time; what is known when time is up is kept."""

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING, Any

from edgecheck.model.router import PortMapping, Protocol, RouterFacts, WanClaim
from edgecheck.net.machine.host import is_loopback
from edgecheck.net.quoting import tame
from edgecheck.net.router import port_control, routes
from edgecheck.net.router.igd_client import IgdClient, NotUnderstood
from edgecheck.net.router.search import search
from edgecheck.wire import igd, nat_pmp, ssdp

if TYPE_CHECKING:
    import aiohttp

BOUND_S = 3.0
"""For everything. A router on the same wire answers each question within milliseconds; most of it is patience with those that do not."""
MOST_MAPPINGS = 256
MOST_LINES = 4
_MOST_TEXT = 80


@dataclass
class Reading:
    """Filled as answers come, so that running out of time loses nothing."""

    source: str
    gateway: str
    description: igd.Description | None = None
    server: str = ""
    claims: list[WanClaim] = field(default_factory=list)
    mappings: list[PortMapping] = field(default_factory=list)
    mappings_complete: bool = False
    protocols: set[Protocol] = field(default_factory=set)
    others: tuple[str, ...] = ()
    trouble: list[str] = field(default_factory=list)

    def facts(self, other_routes: tuple[str, ...]) -> RouterFacts:
        """What is known so far."""
        spoken: tuple[Protocol, ...] = tuple(name for name in _BY_WORTH if name in self.protocols)
        told = self.description
        reason = "; ".join(dict.fromkeys(self.trouble))
        if not spoken:
            heard = "it answers neither UPnP nor NAT-PMP nor PCP (all three are often switched off)"
            reason = f"the router {self.gateway} told nothing: {reason or heard}"
        return RouterFacts(
            gateway=self.gateway,
            protocol=spoken[0] if spoken else None,
            protocols=spoken,
            manufacturer=_text(told.manufacturer) if told else None,
            model=_text(told.model) if told else None,
            model_number=_text(told.model_number) if told else None,
            firmware=(_text(told.firmware) if told else None) or _text(self.server),
            wan_address=self._wan_address(),
            claims=tuple(self.claims),
            mappings=tuple(self.mappings),
            mappings_complete=self.mappings_complete,
            other_gateways=self.others,
            other_routes=other_routes,
            reason=reason,
        )

    def _wan_address(self) -> str | None:
        usable = [claim for claim in self.claims if claim.address is not None and _usable(claim.address)]
        ordered = sorted(usable, key=lambda claim: (_BY_WORTH.index(claim.protocol), claim.status != "Connected"))
        return ordered[0].address if ordered else None


_BY_WORTH: tuple[Protocol, ...] = ("upnp", "nat-pmp", "pcp")


async def read_router(source: str) -> RouterFacts:
    """Ask the default router of this local address's interface. Never raises but to be canceled."""
    if is_loopback(source):
        return RouterFacts(reason="on loopback there is no router to ask")
    if ":" in source:
        return RouterFacts(reason="routers are asked over IPv4 only, and this run is over IPv6")
    known = routes.default_routes()
    interface = routes.interface_of(source)
    route = routes.route_of(known, interface)
    others = tuple(str(other) for other in known if other != route)
    if route is None:
        where = f"the interface of {source} ({interface})" if interface else f"an interface with {source}"
        return RouterFacts(other_routes=others, reason=f"no default router is known on {where}")
    reading = Reading(source, route.gateway)
    await read_into(reading)
    return reading.facts(others)


async def read_into(reading: Reading, *, bound_s: float = BOUND_S, ssdp_port: int = ssdp.PORT, control_port: int = nat_pmp.PORT) -> None:
    """All protocols at once, until all are through or time is up."""
    work: list[Coroutine[Any, Any, None]] = [_upnp(reading, ssdp_port), _port_control(reading, control_port)]
    tasks = [asyncio.create_task(one) for one in work]
    try:
        _, late = await asyncio.wait(tasks, timeout=bound_s)
        if late:
            reading.trouble.append(f"it had not told everything after {bound_s:g} s")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _port_control(reading: Reading, port: int) -> None:
    with contextlib.suppress(OSError):
        told = await port_control.ask(reading.source, reading.gateway, port)
        if told.external is not None:
            reading.protocols.add("nat-pmp")
            reading.claims.append(WanClaim(protocol="nat-pmp", address=told.external.address))
        if told.announced is not None:
            reading.protocols.add("pcp")


async def _upnp(reading: Reading, port: int) -> None:
    import aiohttp

    try:
        heard = await search(reading.source, reading.gateway, port)
        reading.others = tuple(heard.others)
        if not heard.found:
            return
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(local_addr=(reading.source, 0), force_close=True, limit=1),
            timeout=aiohttp.ClientTimeout(total=None),  # the whole reading is bounded
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        ) as http:
            await _describe(reading, heard.found, http)
    except OSError as error:
        reading.trouble.append(f"UPnP: {error.strerror or type(error).__name__}")


async def _describe(reading: Reading, found: list[ssdp.Found], http: "aiohttp.ClientSession") -> None:
    client = IgdClient(http, reading.gateway)
    for answer in found:
        try:
            description, base = await client.describe(answer.location)
        except NotUnderstood as error:
            reading.trouble.append(f"UPnP: {error}")
            continue
        reading.protocols.add("upnp")
        if reading.description is None or (description.connections and not reading.description.connections):
            reading.description, reading.server = description, answer.server
        if description.connections:
            await _lines(reading, client, base, description.connections[:MOST_LINES])
            return


async def _lines(reading: Reading, client: IgdClient, base: str, lines: tuple[igd.Service, ...]) -> None:
    """Each line's state and address; then the mappings of the line that is up (routers keep one table for all)."""
    connected: list[igd.Service] = []
    for line in lines:
        try:
            state = await client.call(base, line, "GetStatusInfo")
            told = await client.call(base, line, "GetExternalIPAddress")
        except NotUnderstood as error:
            reading.trouble.append(f"UPnP {line.line}: {error}")
            continue
        status = _text(state.get("NewConnectionStatus", "")) if isinstance(state, dict) else None
        address = _address(told.get("NewExternalIPAddress", "")) if isinstance(told, dict) else None
        reading.claims.append(WanClaim(protocol="upnp", address=address, line=line.line, status=status or ""))
        if status == "Connected":
            connected.append(line)
    for line in (connected or list(lines))[:1]:
        try:
            await _mappings(reading, client, base, line)
        except NotUnderstood as error:
            reading.trouble.append(f"UPnP port mappings: {error}")


async def _mappings(reading: Reading, client: IgdClient, base: str, line: igd.Service) -> None:
    seen: set[tuple[str, ...]] = set()
    for index in range(MOST_MAPPINGS + 1):
        told = await client.call(base, line, "GetGenericPortMappingEntry", index)
        if isinstance(told, igd.Fault):
            reading.mappings_complete = told.code in igd.END_OF_LIST
            if not reading.mappings_complete:
                reading.trouble.append(f"UPnP: it does not list its port mappings (error {told.code}: {tame(told.text, _MOST_TEXT)})")
            return
        if index == MOST_MAPPINGS:
            reading.trouble.append(f"UPnP: only the first {MOST_MAPPINGS} port mappings were read")
            return
        key = tuple(told.get(name, "") for name in ("NewRemoteHost", "NewExternalPort", "NewProtocol"))
        if key in seen:
            reading.trouble.append("UPnP: it lists the same port mapping again and again")
            return
        seen.add(key)
        mapping = _mapping(told)
        if mapping is None:
            reading.trouble.append("UPnP: a port mapping could not be understood")
            return
        reading.mappings.append(mapping)


def _mapping(told: dict[str, str]) -> PortMapping | None:
    transport = told.get("NewProtocol", "").lower()
    external, internal = _number(told.get("NewExternalPort", "")), _number(told.get("NewInternalPort", ""))
    host = _address(told.get("NewInternalClient", ""))
    if transport not in ("udp", "tcp") or external is None or internal is None or host is None:
        return None
    return PortMapping(
        transport="udp" if transport == "udp" else "tcp",
        external_port=external,
        internal_host=host,
        internal_port=internal,
        description=tame(told.get("NewPortMappingDescription", ""), _MOST_TEXT),
        enabled=told.get("NewEnabled", "1").lower() not in ("0", "false", "no"),
        lease_s=_number(told.get("NewLeaseDuration", "0"), 2**32 - 1) or 0,
        remote_host=tame(told.get("NewRemoteHost", ""), _MOST_TEXT),
    )


def _number(text: str, most: int = 65535) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= most else None


def _address(text: str) -> str | None:
    with contextlib.suppress(AddressValueError):
        return str(IPv4Address(text))
    return None


def _usable(address: str) -> bool:
    """Whether it can be the address of a line at all."""
    parsed = IPv4Address(address)
    return not (parsed.is_unspecified or parsed.is_loopback or parsed.is_multicast or parsed.is_link_local or address == "255.255.255.255")


def _text(told: str) -> str | None:
    return tame(told, _MOST_TEXT).strip() or None
