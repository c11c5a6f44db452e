"""Facts of ``dns``."""

import msgspec

from edgecheck.model.check import Observation
from edgecheck.model.phone import Record, Target


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of RFC 3263, as a phone takes it: a question to the DNS, or a rule that needs none."""

    query: str
    """The name asked for, or what the rule was applied to."""
    type: str
    """``NAPTR``, ``SRV``, ``A``, ``AAAA``; ``addresses``: the system's own way; ``identity``: what a DNS server calls itself; ``rule``: no
    question was needed."""
    answer: str
    """In words."""
    rcode: str = ""
    """As in ``Answer.rcode``; empty for a rule."""
    server: str = ""
    elapsed_ms: float = 0.0
    records: tuple[Record, ...] = ()
    decisive: bool = True
    """False: asked for comparison; a phone would not ask it."""

    def __str__(self) -> str:
        if self.type == "rule":
            return f"{self.query}: {self.answer}"
        if self.type == "identity":
            return f"the DNS server at {self.server} calls itself {self.answer}"
        whom = "this machine's own way" if self.server == "system" else self.server
        return f"{self.type} {self.query}, asked of {whom}: {self.answer} ({self.elapsed_ms:g} ms)"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What two ways to ask for the same name said."""

    name: str
    one: str
    """Who was asked: ``system``, ``ip:port``, or ``ip:port over TCP``."""
    other: str
    one_says: tuple[str, ...]
    """Addresses; of two DNS servers, targets: ``UDP 203.0.113.5:5060``."""
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
    own_server: str | None = None
    """``ip:port`` of this machine's own DNS server, where another one was chosen and it was asked as well."""
    invented_by_own: tuple[str, ...] | None = None
    """The same of this machine's own DNS server, where another one was chosen."""
    intercepted: bool | None = None
    """Whether a question to an address that nobody has (RFC 5737) was answered, so that a box on the way answers for others. False says
    only that this was not seen: a box may do it to some addresses alone. None: not asked."""
    intercepted_stream: bool | None = None
    """The same over TCP; None: not asked."""
    interceptor: str | None = None
    """What that box calls itself; None: it does not say."""
    public_address: str | None = None
    """This network's public address, as the STUN server that was named sees it; None: none was named, or it said nothing."""
    translated: bool | None = None
    """Whether that address is another than this machine's own, so that a NAT stands between."""
    left_out: tuple[str, ...] = ()
    """Addresses of a family that has no route from here, or that the options exclude."""
    other_transports: tuple[str, ...] | None = None
    """Transports with SRV records where the one asked for has none; None: not looked for."""
