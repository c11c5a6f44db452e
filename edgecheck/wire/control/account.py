"""The server's receipts: what it sent, and what it received.

The client numbers its questions (``series``). Everything that carries the session's name and a series
(STUN transaction ids, probes, RTP payloads, SIP markers) is accounted for by the server, and ``Account`` asks for it:
receipts are what let silence be judged.
"""

import msgspec


class Account(msgspec.Struct, frozen=True, kw_only=True, tag="account"):
    """What did you send and receive in this series?"""

    id: int
    series: int


class Accounted(msgspec.Struct, frozen=True, kw_only=True, tag="accounted"):
    """The server's receipt for one series."""

    id: int
    series: int
    sent: tuple["SentRow", ...] = ()
    received: tuple["ReceivedRow", ...] = ()
    """STUN requests, claims and echoes; one row for each (item, listener, source)."""
    media: "MediaRow | None" = None
    """RTP echoes, told as ranges because there may be ten thousand."""
    errors: tuple["ErrorRow", ...] = ()
    reached_by_others: tuple[tuple[int, int], ...] = ()
    """The server's UDP ports that packets of *others* have reached since it started: its own side is open there."""
    reached_by_others_tcp: tuple[tuple[int, int], ...] = ()
    """The same for TCP, TLS included."""


class SentRow(msgspec.Struct, frozen=True, kw_only=True):
    sender: str
    ports: tuple[tuple[int, int], ...]
    copies: int
    """Copies that left for each of these ports."""


class ReceivedRow(msgspec.Struct, frozen=True, kw_only=True):
    item: int
    listener: str
    """``A1``.. or ``sip:5060`` etc.; with ``/tcp`` appended where it was a stream."""
    source: str
    """Address and port as seen by the server."""
    copies: int
    answered: int
    first_ms: float
    """Since the session opened."""


class MediaRow(msgspec.Struct, frozen=True, kw_only=True):
    received: tuple[tuple[int, int], ...]
    """Items (the client's local ports) of which at least one packet arrived."""
    remapped: tuple[tuple[int, str], ...]
    """(item, source seen) where the source port is not the item; at most 4,096 of them."""
    remapped_ports: tuple[tuple[int, int], ...]
    """Every item whose source port was another."""
    sources: tuple[str, ...]
    """Distinct source IP addresses, 16 at most."""
    answered: int
    """Echoes that left."""


class ErrorRow(msgspec.Struct, frozen=True, kw_only=True):
    """An ICMP error that came back for a probe (needs ``udp-errors``)."""

    port: int
    """The port that was aimed at."""
    sender: str
    icmp_type: int
    icmp_code: int
    offender: str
    """Who sent the ICMP."""
    ttl: int | None = None
    """TTL of the ICMP packet when it arrived."""
    copies: int = 1


def stun_transaction_id(session: bytes, series: int, item: int) -> bytes:
    """The 12 bytes by which the server accounts for a STUN request of this session."""
    return session + series.to_bytes(2, "big") + item.to_bytes(2, "big")
