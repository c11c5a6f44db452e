"""Who ends TLS: the server, or a box on the way? Nobody but the server's address, and one that nobody has, is asked.

A certificate alone does not say: a PBX with an authority of its own looks like a box with one. What a box does and a server does not:

* It answers for everybody, so also at an address that nobody has (RFC 5737).
* It stands nearer: a connection comes about with packets that live for one hop, while other ports of that address are farther away.

A box that goes to the server first, copies its names and stands farther off shows neither.
"""

import asyncio
from typing import Literal

import msgspec

from edgecheck.model.phone import NOWHERE, NOWHERE6, Phone
from edgecheck.wire.address import Endpoint
from edgecheck.wire.networks import is_public

Nowhere = Literal["nothing", "connected", "tls", "certificate"]
"""What an address that nobody has did: nothing; took the connection; spoke TLS (an alert); showed a certificate."""
_NEAR = 1
_CONTROLS = (5060, 5080, 9)
"""Ports of the same address that a box for TLS leaves alone. Whether they are open or refuse does not matter."""
_TLS_S = 6.0
"""A box that goes to the server first gives up late on one that is not there."""


class Between(msgspec.Struct, frozen=True, kw_only=True):
    """Fields as in ``TlsServer``."""

    nowhere: Nowhere | None = None
    nowhere_issuer: str | None = None
    near: bool | None = None


async def look_between(phone: Phone, to: Endpoint, name: str | None) -> Between:
    """Asked only where the certificate is in doubt."""
    (nowhere, issuer), near = await asyncio.gather(_nowhere(phone, to, name), _near(phone, to))
    return Between(nowhere=nowhere, nowhere_issuer=issuer, near=near)


async def _nowhere(phone: Phone, to: Endpoint, name: str | None) -> tuple[Nowhere | None, str | None]:
    nobody = Endpoint(NOWHERE6 if ":" in to.host else NOWHERE, to.port)
    if phone.source_for(nobody.host) is None:
        return None, None
    if await phone.connects(nobody) != "open":
        return "nothing", None
    facts = await phone.handshake(nobody, name, _TLS_S)
    shown = phone.read_certificate(facts.chain[0]) if facts.chain else None
    if shown is not None:
        return "certificate", shown.issuer
    return ("tls" if facts.alert else "connected"), None


async def _near(phone: Phone, to: Endpoint) -> bool | None:
    """Whether something within the first hop takes the connection in place of a machine that is farther away; None: it cannot be told."""
    source = phone.source_for(to.host)
    if source is None or is_public(source) is not False or is_public(to.host) is not True:
        return None  # the server may be a neighbor: then the first hop is right
    if to.host == phone.own_address:
        return None  # behind this very router, which may open TLS for it by its owner's will
    if await phone.connects(to, hops=_NEAR) != "open":
        return False
    controls = [Endpoint(to.host, port) for port in _CONTROLS if port != to.port]
    near, far = await asyncio.gather(
        asyncio.gather(*(phone.connects(each, hops=_NEAR) for each in controls)), asyncio.gather(*map(phone.connects, controls))
    )
    if any(each != "silent" for each in near):
        return None  # that hop answers for every port: it may be the server itself
    return True if any(each != "silent" for each in far) else None
