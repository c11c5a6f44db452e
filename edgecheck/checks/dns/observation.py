"""Facts of ``dns``."""

import msgspec

from edgecheck.model.check import Observation
from edgecheck.model.phone import Record, Target


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of RFC 3263, as a phone takes it: a question to the DNS, or a rule that needs none."""

    query: str
    """The name asked for, or what the rule was applied to."""
    type: str
    """``NAPTR``, ``SRV``, ``A``, ``AAAA``; ``addresses``: the system's own way; ``rule``: no question was needed."""
    answer: str
    """In words."""
    rcode: str = ""
    """As in ``Answer.rcode``; empty for a rule."""
    server: str = ""
    elapsed_ms: float = 0.0
    records: tuple[Record, ...] = ()
    decisive: bool = True
    """False: asked for comparison; a phone would not ask it."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What two ways to ask for the same name said."""

    name: str
    one: str
    """Who was asked: ``system``, or ``ip:port``."""
    other: str
    one_says: tuple[str, ...]
    other_says: tuple[str, ...]


class DnsObservation(Observation, frozen=True, kw_only=True):
    """Facts of ``dns``; ``None`` = could not tell."""

    asked: str
    """Where requests go: the proxy, else the domain, as a URI."""
    steps: tuple[Step, ...]
    targets: tuple[Target, ...]
    """In the order in which a phone tries them."""
    domain_addresses: tuple[str, ...] | None = None
    """A and AAAA of the name itself; None: not asked, or no resolver told."""
    comparisons: tuple[Comparison, ...] = ()
    invented: tuple[str, ...] | None = None
    """Addresses that the resolver gave for a name that cannot exist (RFC 6761); None: it was not asked, or gave no answer."""
    public_address: str | None = None
    """This network's public address, as the STUN server that was named sees it; None: none was named, or it said nothing."""
    translated: bool | None = None
    """Whether that address is another than this machine's own, so that a NAT stands between."""
    left_out: tuple[str, ...] = ()
    """Addresses of a family that has no route from here, or that the options exclude."""
    other_transports: tuple[str, ...] | None = None
    """Transports with SRV records where the one asked for has none; None: not looked for."""
