"""Which hop rewrites? The same SIP message again and again, with a TTL of 1, 2, 3...: each router at which it expires quotes it as it
looked there (RFC 1812 section 4.3.2.3), and Linux shows the quote to an unprivileged program.

A change first seen at hop n+1 was made by hop n. It is one socket and one message throughout, so two quotes differ by what was done
between them and by nothing else. A router that quotes too little, or none, leaves a gap; what was done across a gap is not told: never
is "nobody" concluded from silence.
"""

import secrets
from collections.abc import Callable, Sequence
from itertools import pairwise

import msgspec

from edgecheck.checks.hops import expire
from edgecheck.checks.sip_alg.messages import Caller, Request, invite, options, register
from edgecheck.checks.sip_alg.observation import Located
from edgecheck.model.check import Network, Quote, UdpSocket
from edgecheck.model.errors import LocalFailure
from edgecheck.wire import sip, stun
from edgecheck.wire.address import Endpoint

MOST_HOPS = 12
SILENT_HOPS = 3
"""So many hops in a row that say nothing: the walk ends."""
ELSEWHERE = 33_434
"""A port at which nobody listens: traceroute's."""
ENOUGH = 60
"""Bytes of SIP that a quote must hold to be worth reading: a request line and the head of Via."""


WALKED: dict[str, Callable[[Caller], Request]] = {"OPTIONS": options, "REGISTER": register, "INVITE": invite}
"""What is followed hop by hop, by method; the first of these that shows it."""
_Line = tuple[str, int]
"""A header's name, or an SDP line's (``sdp c=``), and how many of that name went before it."""
SDP = "sdp "


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """The message as it looked when its TTL ran out, or at the server."""

    hop: int
    """1 = the first router."""
    address: str | None
    """The router that said so; None = it said nothing. The server, where it arrived."""
    text: bytes = b""
    """The quoted part of the message; empty where nothing useful was quoted."""


async def walk(net: Network, socket: UdpSocket, to: Endpoint, message: bytes) -> tuple[list[Stage], bool]:
    """Send the message with growing TTL until it arrives or nobody says anything any more; and whether it arrived.

    It has arrived where it is answered and nothing else expires with that TTL: else somebody has taken it on the way, and may have handed
    it on in a packet of his own.
    """
    stages: list[Stage] = []
    for hop in range(1, MOST_HOPS + 1):
        nearer = {stage.address for stage in stages if stage.address is not None}
        quote, answered = await expire(net, socket, to, message, hop, nearer=nearer)
        if answered:
            router = await _expires(net, to, hop) or await _expires(net, Endpoint(to.host, ELSEWHERE), hop)
            if router is None:
                return stages, True
            stages.append(Stage(hop=hop, address=router))
            return stages, False
        if quote is None:
            stages.append(Stage(hop=hop, address=None))
        elif not quote.expired:
            return stages, False  # refused, not expired: nothing lies beyond
        else:
            text = message_of(quote)
            stages.append(Stage(hop=hop, address=quote.offender, text=text if len(text) >= ENOUGH else b""))
        if len(stages) >= SILENT_HOPS and all(stage.address is None for stage in stages[-SILENT_HOPS:]):
            break
    return stages, False


def message_of(quote: Quote) -> bytes:
    """The message as far as it was quoted: behind it may stand padding, and what routers with MPLS add (RFC 4884, from its second byte on a
    zero), neither of which is part of a line of ours."""
    return quote.data.partition(b"\0")[0]


async def _expires(net: Network, to: Endpoint, hop: int) -> str | None:
    """Who tells that a packet that is no SIP expires at this hop, on its way there; None: nobody does, or it could not be sent."""
    try:
        socket = await net.open_udp()
    except LocalFailure:
        return None
    try:
        quote, _ = await expire(net, socket, to, stun.binding_request(secrets.token_bytes(12)), hop, 2)
    finally:
        socket.close()
    return quote.offender if quote is not None and quote.expired and quote.offender != to.host else None


def with_neighbors(
    located: Sequence[Located], stages: Sequence[Stage], gateways: Sequence[str], server: str | None = None
) -> tuple[Located, ...]:
    """Each bound with the router at its far end, or the ``server``, where that comes next; before the first, the default router where it is
    none of the hops. Pure."""
    addresses = {stage.hop: stage.address for stage in stages}
    if server is not None:
        addresses.setdefault(len(stages) + 1, server)
    unseen = next((gateway for gateway in gateways if addresses.get(1) and gateway not in addresses.values()), None)
    return tuple(
        one
        if one.up_to_hop is None
        else msgspec.structs.replace(one, up_to_address=addresses.get(one.up_to_hop), hidden=unseen if one.hop == 0 else None)
        for one in located
    )


def locate(sent: bytes, stages: Sequence[Stage], at_server: bytes | None) -> tuple[tuple[Located, ...] | None, str]:
    """Who changed what; None with the reason where it cannot be told. ``at_server``: the message as the server received it.

    Pure. ``stages`` in the order of hops; ``at_server`` is given only when the hop after the last stage is the server itself.
    """
    points = [Stage(hop=0, address="this machine", text=sent), *(stage for stage in stages if stage.text)]
    if len(points) == 1:
        return None, "no router on the path quotes enough of an expired packet"
    gaps: list[str] = []
    if at_server is not None:
        points.append(Stage(hop=stages[-1].hop + 1, address=None, text=at_server))
    else:
        gaps.append(f"what happens beyond hop {points[-1].hop} was not seen")
    found: list[Located] = []
    for here, there in pairwise(points):
        changed = differences(here.text, there.text)
        if changed and here.hop == 0 and there.hop == 1:
            # A router that does not count itself as a hop (some firewalls do not) stands before the first that does.
            found.append(Located(hop=0, address=here.address, where=changed, up_to_hop=1, up_to_address=there.address))
        elif changed and there.hop == here.hop + 1:
            last = at_server is not None and there is points[-1]
            found.append(Located(hop=here.hop, address=here.address, where=changed, before_server=last))
        elif changed:
            # By address: where words come late, the number of a hop that says nothing cannot be relied on.
            between = f"{here.address} and {there.address or 'the server'}"
            gaps.append(f"{', '.join(changed)} changed somewhere between {between}: not all of those there quote")
    unseen = _unseen(sent, at_server, {name for one in found for name in one.where}, gaps) if at_server is not None else ()
    if unseen:
        gaps.append(f"{', '.join(unseen)} changed, and what the routers quote does not show where")
    return tuple(found) or None, "; ".join(gaps) or ("" if found else "every hop that could be seen leaves the message as it was")


def _unseen(sent: bytes, at_server: bytes, located: set[str], gaps: list[str]) -> tuple[str, ...]:
    """What differs between both ends, and no hop or gap was named for."""
    told = located | {name for gap in gaps for name in gap.partition(" changed ")[0].split(", ")}
    changed = differences(sent, at_server)
    if sent.partition(_END)[2] != at_server.partition(_END)[2] and not any(name.startswith(SDP) for name in changed):
        changed = (*changed, "body")
    if not changed and sent != at_server:
        changed = ("its form",)  # white space, order, or spelling
    return tuple(name for name in changed if name not in told)


_END = b"\r\n\r\n"


def differences(before: bytes, after: bytes) -> tuple[str, ...]:
    """Names of what differs: the Request-URI, headers and lines of SDP whose values changed, and those that were added or removed.

    Either may be cut off at its end. What lies beyond the cut is not known, so a header that one has and the other has not counts only
    where all headers of the other are there, or it goes on with one that follows in the one; a line of SDP only where it goes on so.
    """
    ours, theirs = _lines(before), _lines(after)
    names = [name for name in ours if name in theirs and ours[name] != theirs[name]]
    missing = [*_missing(theirs, ours, before), *_missing(ours, theirs, after)]
    out = dict.fromkeys(name for (name, _) in [*names, *missing])
    return tuple("Request-URI" if name == "" else name for name in out)


def _missing(lines: dict[_Line, bytes], others: dict[_Line, bytes], other_text: bytes) -> list[_Line]:
    """Those that the other message lacks for certain."""
    order = list(lines)
    shared = [place for place, line in enumerate(order) if line in others]
    headers = sum(not name.startswith(SDP) for name, _ in order) if _END in other_text else 0
    seen = max(headers, shared[-1] if shared else 0)
    return [line for line in order[:seen] if line not in others]


def lines_named(text: bytes, name: str) -> list[bytes]:
    """The values that a header of this name has, as far as the text goes; ``Request-URI``: the start line."""
    wanted = "" if name == "Request-URI" else name
    return [value for (each, _), value in _lines(text).items() if each == wanted]


def _lines(text: bytes) -> dict[_Line, bytes]:
    """Headers and lines of SDP that are there in full, by name and how many of that name went before; the start line under no name."""
    head = text.partition(_END)
    lines = head[0].split(b"\r\n")
    if not head[1]:
        lines = lines[:-1]  # cut off in mid-line
    out: dict[_Line, bytes] = {}
    for number, line in enumerate(lines):
        name, colon, value = line.partition(b":")
        if number == 0:
            out["", 0] = line
        elif colon and not line.startswith((b" ", b"\t")):
            long = sip.long_name(name.decode("ascii", "replace").strip())
            out[long, sum(each == long for each, _ in out)] = value.strip()
    if head[2].startswith(b"v="):
        for line in head[2].split(b"\r\n")[:-1]:
            name, _, value = line.partition(b"=")
            label = f"{SDP}{name.decode('ascii', 'replace')}="
            label += value.partition(b":")[0].decode("ascii", "replace") if name == b"a" else ""
            out[label, sum(each == label for each, _ in out)] = value
    return out
