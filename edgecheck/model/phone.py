"""The one door through which a check of the registration doctor reaches the network, and what one such check leaves for the next.

There is no echo server here: nobody keeps receipts, and what a peer says is all that is known of it. So silence is told as
silence, never as its cause.
"""

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from edgecheck.model.account import Account, SipTransport
from edgecheck.model.check import Arrival, Delivery, Quote, UdpSocket
from edgecheck.wire.address import Endpoint

RecordType = Literal["A", "AAAA", "SRV", "NAPTR", "CNAME"]
NOWHERE, NOWHERE6 = "192.0.2.233", "2001:db8:ffff::e9"
"""Addresses for documentation (RFC 5737, RFC 3849): nobody has them, so whatever answers there stands on the way."""


class AddressRecord(msgspec.Struct, frozen=True, kw_only=True, tag="address"):
    """A or AAAA."""

    name: str
    ttl: int
    address: str


class SrvRecord(msgspec.Struct, frozen=True, kw_only=True, tag="srv"):
    """RFC 2782: lower priorities first; within one, weight is the share of the traffic."""

    name: str
    ttl: int
    priority: int
    weight: int
    port: int
    target: str
    """Without the final dot; empty for ``.``: the service is decidedly not offered."""


class NaptrRecord(msgspec.Struct, frozen=True, kw_only=True, tag="naptr"):
    """RFC 3403; RFC 3263 uses those with flag ``s``, service and replacement."""

    name: str
    ttl: int
    order: int
    preference: int
    flags: str
    service: str
    """``SIP+D2U``, ``SIPS+D2T``..."""
    regexp: str
    replacement: str
    """Without the final dot; empty for ``.``."""


class AliasRecord(msgspec.Struct, frozen=True, kw_only=True, tag="alias"):
    """CNAME, as it was passed on the way to the answer."""

    name: str
    ttl: int
    target: str


Record = AddressRecord | SrvRecord | NaptrRecord | AliasRecord


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one resolver said to one question."""

    name: str
    """What was asked for, without the final dot."""
    type: str
    """``A``, ``SRV``... ; ``addresses`` for the system's own way to look a name up."""
    server: str
    """``ip:port`` of the DNS server that answered or was asked last; ``system`` for the system's own way (hosts file and all)."""
    rcode: str
    """``NOERROR``, ``NXDOMAIN``, ``SERVFAIL``, ``REFUSED``...; ``NONE``: the system's own way knows no address (it does not tell
    whether the name exists); ``TIMEOUT``: no server answered; ``UNREACHABLE``: none could be asked;
    ``MALFORMED``: what came was no answer."""
    records: tuple[Record, ...] = ()
    """Of the type asked for, and the aliases on the way, in the order received."""
    elapsed_ms: float = 0.0
    note: str = ""
    """Why, where the code does not say it all."""

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(record.address for record in self.records if isinstance(record, AddressRecord))

    @property
    def services(self) -> tuple[SrvRecord, ...]:
        return tuple(record for record in self.records if isinstance(record, SrvRecord))

    @property
    def pointers(self) -> tuple[NaptrRecord, ...]:
        return tuple(record for record in self.records if isinstance(record, NaptrRecord))

    @property
    def aliases(self) -> tuple[AliasRecord, ...]:
        return tuple(record for record in self.records if isinstance(record, AliasRecord))

    @property
    def told(self) -> bool:
        """Whether a resolver spoke for the name at all: records, none of this type, or no such name."""
        return self.rcode in ("NOERROR", "NXDOMAIN")


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One address to be tried, in the order of RFC 3263."""

    transport: SipTransport
    host: str
    """The name that led to the address (target of the SRV record, or the domain itself)."""
    address: str
    port: int
    because: str = ""
    """Which step led here: ``SRV _sip._udp.example.com, priority 10``, ``written in the address``."""

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.address, self.port)

    def __str__(self) -> str:
        return f"{self.transport.upper()} {self.endpoint}"


class Handshake(msgspec.Struct, frozen=True, kw_only=True):
    """What one TLS handshake showed, finished or not."""

    server_name: str | None
    """SNI that was sent; None: none."""
    version: str | None = None
    """``TLSv1.3``; None: the handshake was not finished."""
    cipher: str | None = None
    weak: bool = False
    """The cipher is one that current libraries leave out unless they are told (RFC 9325 section 4.2), and none better was to be had."""
    chain: tuple[bytes, ...] = ()
    """DER, as the server sent it: its own certificate first."""
    trusted: bool = False
    """Whether the chain leads to an authority in the system's store or the CA file. The name is not part of this."""
    verify_code: int | None = None
    """OpenSSL's verification error (10 = expired, 18 = self-signed, 20 = issuer not found...); None: none, or never got so far."""
    verify_words: str = ""
    client_certificate_requested: bool | None = None
    """None: could not be seen."""
    alert: str | None = None
    """The alert that ended it, in TLS's words: ``protocol version``, ``handshake failure``."""
    failure: str | None = None
    """Why it was not finished: ``not-tls`` (something else answered), ``alert``, ``old-version`` (only versions below the floor),
    ``closed``, ``timeout`` (connected, then nothing), ``other``; before that ``refused``, ``reset``, ``no-answer``, ``no-route``;
    None: it was finished."""
    words: str = ""
    """The failure in the system's words, where there was none of TLS's."""
    heard: bytes = b""
    """First bytes of an answer that was no TLS."""


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in one certificate."""

    subject: str
    issuer: str
    """Both as RFC 4514 writes names."""
    common_name: str | None
    dns_names: tuple[str, ...]
    uris: tuple[str, ...]
    addresses: tuple[str, ...]
    """subjectAltName (RFC 5280 section 4.2.1.6)."""
    has_alternative_names: bool
    not_before: str
    not_after: str
    """ISO 8601, UTC."""
    self_issued: bool
    """Subject and issuer are the same name."""
    issuer_published: bool
    """It says where its issuer's certificate can be had (authority information access), as public authorities do."""
    logged: bool = False
    """It bears timestamps of certificate transparency logs (RFC 6962), as those of public authorities do and hardly any other."""
    key: str
    """``RSA 2048``, ``EC secp256r1``."""
    signature: str
    """``sha256``; empty where the algorithm has none of its own."""
    fingerprint: str
    """SHA-256, hexadecimal."""


class Link(Protocol):
    """A way to a SIP server over any transport, one SIP message (or keep-alive) at a time."""

    transport: SipTransport
    local: Endpoint
    remote: Endpoint
    unframed: bytes
    """Over a stream: what could not be read as SIP, from where the framing broke."""
    errors: list[str]
    """ICMP errors and what else the system reported, in words."""
    quotes: list[Quote]
    """ICMP errors with what they quote (UDP, where the platform shows them)."""
    handshake: Handshake | None
    """Over TLS and WSS."""

    @property
    def inbox(self) -> list[Arrival]:
        """Whole messages, in order, each with where it came from; over UDP whatever reaches the socket, from anywhere."""

    @property
    def closed(self) -> str | None:
        """Why the connection ended, in words; None while it is open (UDP: always)."""

    def delivery(self) -> Delivery | None:
        """How TCP fares beneath it; None: UDP, or it cannot be told."""

    def send(self, data: bytes) -> None:
        """Send one message now."""

    def close(self) -> None: ...


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """One datagram or segment of the doctor's own traffic."""

    at: float
    """Seconds since the epoch."""
    direction: Literal["out", "in"]
    protocol: Literal["udp", "tcp"]
    local: Endpoint
    remote: Endpoint
    data: bytes
    """Payload; of an encrypted stream, as it was before encryption."""
    encrypted: bool = False


class Phone(Protocol):
    """All that a check of the doctor may do to the outside. One run has one; ``net.phone`` implements it, ``tests/fakes/phone`` too."""

    account: Account
    family: int | None
    """4 or 6, where only one is wanted."""
    sees_quotes: bool
    """Whether this platform shows ICMP errors with their quotes (Linux)."""
    targets: list[Target]
    """Left by ``dns``: in the order in which a phone tries them."""
    flow: Target | None
    """Left by ``transport``: the first target in that order that answered SIP; None: none did, or it has not been tried."""
    own_address: str | None
    """Left by ``dns``: this network's public address, where a STUN server told it and a NAT stands between."""
    pinged: dict[str, tuple[int, int]]
    """Left by ``transport``: for each target by its text, what was answered and the copies that it took; over TCP, the segments. It tells
    the loss of the line."""
    public_address: str | None
    """Left by ``transport``: ``ip:port`` from which the server says it saw us (``received`` and ``rport``)."""

    @property
    def traffic(self) -> list[Packet]:
        """Everything sent and received so far, in order, for the bundle."""

    def secret(self) -> str | None:
        """The password; None: none was given. It must reach no observation, finding, message or log."""

    def now(self) -> float:
        """Monotonic seconds."""

    async def sleep(self, seconds: float) -> None: ...

    async def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until the condition holds (looked at after every arrival) or time is up; its last value."""

    def wall(self) -> float:
        """Seconds since the epoch, by this machine's clock."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Tell the person what is being counted."""

    def token(self, size: int = 8) -> str:
        """Random hexadecimal digits for tags, branches and Call-IDs: ``size`` bytes of them."""

    @property
    def resolvers(self) -> tuple[str, ...]:
        """``ip:port`` of this machine's own DNS servers."""

    async def resolve(
        self, name: str, type: RecordType, via: str | None = None, *, stream: bool = False, hasty: bool = False
    ) -> Answer:
        """Ask one DNS server (``via``, ``ip:port``), the chosen one, or else this machine's own. Never raises for what the network does.

        ``stream``: over TCP. ``hasty``: wait about a second in all, where silence is what is expected.
        """

    async def identity(self, server: str) -> str | None:
        """What this DNS server (``ip:port``) calls itself: ``version.bind`` and ``id.server`` (RFC 4892); None: it does not say."""

    async def look_up(self, name: str) -> Answer:
        """The addresses of a name by the system's own way, hosts file and all (``getaddrinfo``)."""

    def source_for(self, host: str) -> str | None:
        """The local address that packets to this address leave from; None: there is no route."""

    async def open_udp(self, to: Endpoint, port: int = 0) -> UdpSocket:
        """A UDP socket on the local address that fits this destination; unconnected. Raises ``LocalFailure``."""

    async def open_link(self, target: Target, timeout: float = 5.0, *, server_name: str | None = None) -> Link:
        """A way to this target: UDP at once; TCP, TLS and WSS once the connection stands. Raises ``LocalFailure``
        (``refused``, ``reset``, ``timeout``, ``no-route``, ``tls``...).

        TLS is opened whatever the certificate says: ``handshake.trusted`` tells, and the caller decides what it entrusts to it.
        ``server_name`` is the SNI; the SIP domain when None.
        """

    async def connects(self, to: Endpoint, *, hops: int | None = None) -> Literal["open", "refused", "silent"]:
        """Whether a TCP connection comes about, in little more than a second; it is closed at once. ``hops``: for how many its packets
        live. Never raises for what the network does."""

    def read_certificate(self, data: bytes) -> Certificate | None:
        """What stands in it (DER); None: it cannot be read."""

    async def handshake(
        self, to: Endpoint, server_name: str | None, timeout: float = 5.0, *, oldest: bool = False
    ) -> Handshake:
        """Open TLS, verify, look, and close. Never raises for what the network does.

        ``oldest``: versions and ciphers below today's floor are offered as well, to see what an old server speaks.
        """
