"""Which ports are tried, and what is spoken there."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from edgecheck.model.profile import Profile
from edgecheck.wire import ports
from edgecheck.wire.control import Service, Transport

Speech = Literal["sip", "echo", "rtp"]

USUAL: tuple[tuple[Transport, int, str], ...] = (
    ("udp", 5060, "SIP"),
    ("tcp", 5060, "SIP"),
    ("tls", 5061, "SIP over TLS"),
    ("udp", 5080, "SIP, another port"),
    ("tcp", 5080, "SIP, another port"),
    ("udp", 5090, "SIP or tunnel of a hosted PBX"),
    ("tcp", 5090, "SIP or tunnel of a hosted PBX"),
    ("tls", 443, "HTTPS, SIP over TLS, WebRTC"),
    ("udp", 443, "TURN, QUIC"),
    ("udp", 3478, "STUN, TURN"),
    ("tcp", 3478, "STUN, TURN"),
    ("tcp", 80, "HTTP"),
    ("udp", 53, "DNS"),
)
RTP_SAMPLE = 6
OWN_SERVERS = frozenset({53, 123})
"""DNS and time: a network may offer these itself and close the way to others'; that stands in nobody's way."""
_MOST_OF_A_RANGE = 4


class Aim(NamedTuple):
    """One port to be tried."""

    transport: Transport
    port: int
    purpose: str
    speech: Speech | None
    """None: the server does not answer there."""


def aims(service: Service, profile: Profile, media: Iterable[int]) -> tuple[Aim, ...]:
    """The usual ports, those of the profile, and those that this server has instead; ``media``: RTP ports that it has opened."""
    offered = _offered(service)
    out: dict[tuple[Transport, int], Aim] = {}
    for transport, port, purpose in USUAL:
        out[transport, port] = Aim(transport, port, purpose, offered.get((transport, port)))
    for need in profile.ports:
        if need.direction == "out":
            for low, high in ports.parse(need.ports):
                for port in range(low, min(high, low + _MOST_OF_A_RANGE - 1) + 1):
                    transport = transport_of(need.transport, port, offered)
                    if port not in OWN_SERVERS and (transport, port) not in out:
                        out[transport, port] = Aim(transport, port, need.purpose, offered.get((transport, port)))
    for (transport, port), speech in offered.items():
        if (transport, port) not in out:
            out[transport, port] = Aim(transport, port, "SIP" if speech == "sip" else "STUN, echo", speech)
    for port in media:
        out.setdefault(("udp", port), Aim("udp", port, "RTP", "rtp"))
    return tuple(out.values())


def transport_of(transport: Transport, port: int, offered: Iterable[tuple[Transport, int]]) -> Transport:
    """What a profile calls TCP is TLS where the server, or everybody, speaks that."""
    tls = ("tls", port) in offered or any(row[:2] == ("tls", port) for row in USUAL)
    return "tls" if transport == "tcp" and tls else transport


def _offered(service: Service) -> dict[tuple[Transport, int], Speech]:
    out: dict[tuple[Transport, int], Speech] = {("udp", service.stun_ports[0]): "echo", ("tcp", service.stun_ports[0]): "echo"}
    for port in (service.sip_port, service.alternate_sip_port):
        if port:
            out["udp", port] = out["tcp", port] = "sip"
    if service.sips_port:
        out["tls", service.sips_port] = "sip"
    out |= {(row.transport, row.port): "echo" for row in service.reach}
    return out


def sample(media: tuple[int, int] | None) -> tuple[int, ...]:
    """Even RTP ports spread over the range; the same in every run, so that one client vouches for the server to the next."""
    if media is None:
        return ()
    low, high = media
    even = range(low + low % 2, high + 1, 2) or range(low, high + 1)
    step = max(1, (len(even) - 1) // (RTP_SAMPLE - 1))
    return tuple(even[::step][:RTP_SAMPLE])
