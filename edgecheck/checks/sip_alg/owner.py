"""Is it the hop that is named, or a box that does not show itself? The address that was written tells, where there is one.

A box behind hop n that leaves the TTL alone changes what is seen at hop n+1, just as hop n would. What it writes into Via and Contact is
its own address, as a rule; so packets to that address are sent to live for n hops. If they come to it, it is not beyond hop n; if they
expire at hop n, it is another's. Where nothing was written that has an owner, nothing tells the two apart, and both are named.

And where no quote shows the change and the server's account alone does, an address that is reached at fewer hops belies the quotes: a box
that turns the text back in what routers quote, as it does in answers, makes itself look as if it stood right before the server.
"""

import ipaddress
import random
import re
import secrets
from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec

from edgecheck.checks.hops import RATE_LIMIT_S, SPACING_S
from edgecheck.checks.sip_alg import loss
from edgecheck.checks.sip_alg.locate import ELSEWHERE, Stage, differences, lines_named
from edgecheck.checks.sip_alg.observation import Located
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import LocalFailure
from edgecheck.wire import stun
from edgecheck.wire.address import Endpoint

PAIRS = 12
"""So many packets to the address stay untold of, while as many others that expire at that hop are told of: then they came to it."""
_MUTE = 3
"""After so many that nobody tells of, there is no more to be had."""
MOST_ADDRESSES = 2
_ADDRESS = re.compile(rb"(?<![0-9A-Fa-f.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9.]*[0-9])|(?<=\[)[0-9A-Fa-f:.]{3,45}(?=\])")


async def check_owners(
    net: Network, to: Endpoint, located: Sequence[Located], stages: Sequence[Stage], addresses: Mapping[int, Sequence[str]]
) -> tuple[Located, ...]:
    """Each as far as the address that was written bears it out. ``to``: the server; ``addresses``: see ``written``."""
    return tuple([await _check(net, to, one, stages, addresses.get(one.hop, ())) for one in located])


async def _check(net: Network, to: Endpoint, one: Located, stages: Sequence[Stage], addresses: Sequence[str]) -> Located:
    if not one.hop or one.up_to_hop is not None or one.address == to.host:
        return one  # bounded already, or it speaks from the server's own address
    expired = False
    for host in addresses[:MOST_ADDRESSES]:
        reached = await _reaches(net, host, to, one.hop)
        if reached:
            return await _no_nearer(net, to, one, stages, host)
        expired = expired or reached is False
    if expired or one.before_server:
        # Before the server, too, there may be more than shows itself: who sets the TTL anew hides all that is behind it.
        return msgspec.structs.replace(one, up_to_hop=one.hop + 1, before_server=False)
    return msgspec.structs.replace(one, or_unseen=True)


async def _no_nearer(net: Network, to: Endpoint, one: Located, stages: Sequence[Stage], host: str) -> Located:
    """The address is this hop's, unless it is reached at fewer hops already; then it is another's, who turns quotes back or is named by one
    further on, as whoever writes where a packet came from does. (In a quote that shows the change, nobody has turned it back.)"""
    nearest = one.hop
    while nearest > 1 and await _reaches(net, host, to, nearest - 1):
        nearest -= 1
        if not one.before_server:
            return msgspec.structs.replace(one, or_unseen=True)
    if nearest == one.hop:
        return one
    address = next((stage.address for stage in stages if stage.hop == nearest), None)
    return msgspec.structs.replace(one, hop=nearest, address=address, up_to_hop=one.hop + 1, before_server=False)


async def _reaches(net: Network, host: str, to: Endpoint, hops: int) -> bool | None:
    """Whether what lives for so many hops comes to this address; None: nothing tells.

    It did if the address answers for itself; or if none is told of, while each time what goes to the server and expires there is.
    """
    try:
        socket = await net.open_udp()
    except LocalFailure:
        return None
    own, beside = Endpoint(host, ELSEWHERE), Endpoint(to.host, ELSEWHERE)
    draw, told, tired = random.Random(secrets.randbits(32)), 0, False
    try:
        for pair in range(PAIRS):
            if pair >= _MUTE and not told:
                return None  # nobody says anything here
            if tired:
                await net.sleep(RATE_LIMIT_S)
            before = len(socket.quotes)
            for where in draw.sample((own, beside), 2):
                socket.send(stun.binding_request(secrets.token_bytes(12)), where, hops)
            await net.until(lambda before=before: _told(socket, before) >= {own, beside}, max(SPACING_S, 1.3 * net.rtt))  # type: ignore[misc]
            of_own = [quote for quote in socket.quotes if quote.to == own and quote.offender is not None]
            if of_own:
                return False if of_own[0].expired and of_own[0].offender != host else True if of_own[0].offender == host else None
            expired = any(quote.to == beside and quote.expired for quote in socket.quotes[before:])
            told += expired
            tired = tired or not expired
    finally:
        socket.close()
    return True if loss.drop_is_proved(PAIRS, PAIRS, told) else None


def _told(socket: UdpSocket, since: int) -> set[Endpoint]:
    return {quote.to for quote in socket.quotes[since:]}


def written(sent: bytes, stages: Sequence[Stage], at_server: bytes | None) -> dict[int, tuple[str, ...]]:
    """By the hop before: the IP addresses that stand in what was changed from then on, and stood nowhere before. Pure."""
    points = [Stage(hop=0, address=None, text=sent), *(stage for stage in stages if stage.text)]
    if at_server is not None:
        points.append(Stage(hop=stages[-1].hop + 1 if stages else 1, address=None, text=at_server))
    out = {}
    for here, there in pairwise(points):
        known = set(_ADDRESS.findall(here.text))
        lines = [line for name in differences(here.text, there.text) for line in lines_named(there.text, name)]
        fresh = dict.fromkeys(found for line in lines for found in _ADDRESS.findall(line) if found not in known)
        hosts = tuple(host for host in (_host(found) for found in fresh) if host is not None)
        if hosts:
            out[here.hop] = hosts
    return out


def _host(found: bytes) -> str | None:
    """The address, where it is one that a host may have. (A stranger may have written it.)"""
    try:
        address = ipaddress.ip_address(found.decode())
    except ValueError:
        return None
    return None if address.is_multicast or address.is_loopback or address.is_unspecified or address.is_reserved else str(address)
