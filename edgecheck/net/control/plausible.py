"""Whether what the echo server says can be true: checked where it comes in, so that no check meets a port 99999 or ten billion ports.

A server that knows the token may still be broken, and an open server is anybody's. Raises ``Malformed``.
"""

from collections.abc import Sequence
from typing import Any, get_args

import msgspec

from edgecheck.wire import control, ports
from edgecheck.wire.address import Endpoint, parse_endpoint, parse_host
from edgecheck.wire.errors import Malformed

_MOST_PORTS = 65_536
_MOST_REACH = 64
"""A client tries each of them."""
_MAY_BE_NOTHING = ("media_ports", "fresh_ports")
"""A server short of descriptors offers no media, and an older one knows of no fresh ports."""
_TAGS = frozenset(kind.__struct_config__.tag for kind in get_args(control.Message))


class _Head(msgspec.Struct):
    type: str


def unknown(text: str | bytes) -> bool:
    """Whether this is a message of a kind that this version does not know: a newer server may say more."""
    try:
        return msgspec.json.decode(text, type=_Head).type not in _TAGS
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return False


def check_limits(limits: control.Limits) -> None:
    """Every limit lets something through, but for what a server may do without."""
    for name, value in msgspec.structs.asdict(limits).items():
        if value < (0 if name in _MAY_BE_NOTHING else 1):
            raise Malformed(f"its limit {name} is {value}")


def check_welcome(welcome: control.Welcome) -> Endpoint:
    """Addresses and ports that there can be; the endpoint from which the server sees us."""
    service = welcome.service
    control.parse_hex(welcome.session, control.SESSION_SIZE)
    observed = parse_endpoint(welcome.observed)
    families = {Endpoint(parse_host(host), 0).family for host in (service.address, service.alternate) if host is not None}
    if len(families) > 1:
        raise Malformed("its two addresses are of different families")
    ports.validate([(port, port) for port in service.stun_ports])
    ports.validate([(port, port) for port in (*service.probe_ports, service.sip_port, service.alternate_sip_port, service.sips_port)], 0)
    if service.media is not None:
        ports.validate([service.media])
    if (welcome.alternate_contacted_s or 0) < 0:
        raise Malformed(f"its alternate address was contacted {welcome.alternate_contacted_s} s ago")
    if len(service.reach) > _MOST_REACH:
        raise Malformed(f"it names {len(service.reach)} further ports")
    ports.validate([(row.port, row.port) for row in service.reach])
    return observed


def check_reply(reply: control.Message) -> None:
    """Ports that there are, each told once or a few times, and addresses that can be read."""
    if isinstance(reply, control.MediaOpened):
        _ranges(reply.ports)
    elif isinstance(reply, control.Dialed):
        _ports(row.port for row in reply.rows)
    elif isinstance(reply, control.Inquired):
        _ports(row.port for row in reply.rows)
        for source in (source for row in reply.rows for source in row.sources):
            parse_endpoint(source)
    elif isinstance(reply, control.Accounted):
        for sent in reply.sent:
            _ranges(sent.ports)
        for received in reply.received:
            parse_endpoint(received.source)
        _ports(error.port for error in reply.errors)
        _ranges(reply.reached_by_others)
        _ranges(reply.reached_by_others_tcp)
        if reply.media is not None:
            _ranges(reply.media.received)
            _ranges(reply.media.remapped_ports)
            _ports(item for item, _ in reply.media.remapped)


def _ports(numbers: Any) -> None:
    for number in numbers:
        if not 0 <= number <= 65_535:
            raise Malformed(f"{number} is not a port")


def _ranges(ranges: Sequence[Sequence[int]]) -> None:
    ports.validate(ranges, 0)
    if ports.count(ranges) > _MOST_PORTS:
        raise Malformed("more ports than there are")
