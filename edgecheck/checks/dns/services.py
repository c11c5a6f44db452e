"""RFC 3263's and RFC 7118's names for transports, and RFC 2782's order. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from edgecheck.model.account import Place, SipTransport
from edgecheck.model.phone import NaptrRecord, SrvRecord


class Service(NamedTuple):
    """One transport in the DNS."""

    transport: SipTransport
    naptr: str
    prefix: str
    """Of the SRV name."""
    port: int
    """Where no record names one."""


SERVICES = (
    Service("udp", "SIP+D2U", "_sip._udp", 5060),
    Service("tcp", "SIP+D2T", "_sip._tcp", 5060),
    Service("tls", "SIPS+D2T", "_sips._tcp", 5061),
    Service("ws", "SIP+D2W", "_sip._ws", 80),
    Service("wss", "SIPS+D2W", "_sips._ws", 443),
)
BY_TRANSPORT = {service.transport: service for service in SERVICES}
BY_NAPTR = {service.naptr: service for service in SERVICES}
_ALONE: tuple[SipTransport, ...] = ("udp", "tcp", "tls")
"""Asked for by SRV where the DNS has no NAPTR, in the order of preference of most phones. Web phones are told their URL."""


def candidates(place: Place) -> tuple[Service, ...]:
    """The transports that a phone asks SRV for where there is no NAPTR: one where the URI names it, TLS alone for ``sips``."""
    if place.transport is not None:
        return (BY_TRANSPORT[place.transport],)
    return (BY_TRANSPORT["tls"],) if place.secure else tuple(BY_TRANSPORT[transport] for transport in _ALONE)


def plain_transport(place: Place) -> SipTransport:
    """Where neither URI nor DNS names one (RFC 3263 section 4.1): UDP, TLS for ``sips``."""
    return place.transport or ("tls" if place.secure else "udp")


def pointers_in_order(records: Iterable[NaptrRecord], place: Place) -> list[NaptrRecord]:
    """Those that a SIP client follows: flag ``s``, a service that it knows, for ``sips`` an encrypted one; by preference.

    Of the lowest order alone: once a record fits, those of a higher order do not exist for the client (RFC 3403 section 4.1).
    """
    wanted = [
        record
        for record in records
        if record.flags.lower() == "s"
        and record.service.upper() in BY_NAPTR
        and not (place.secure and not record.service.upper().startswith("SIPS"))
        and (place.transport is None or BY_NAPTR[record.service.upper()].transport == place.transport)
    ]
    lowest = min((record.order for record in wanted), default=0)
    return sorted((record for record in wanted if record.order == lowest), key=lambda record: record.preference)


def services_in_order(records: Sequence[SrvRecord]) -> list[SrvRecord]:
    """Lowest priority first. Within one, RFC 2782 draws by weight: told is the order that is drawn most often, the heaviest first."""
    return sorted((record for record in records if record.target), key=lambda record: (record.priority, -record.weight, record.target))
