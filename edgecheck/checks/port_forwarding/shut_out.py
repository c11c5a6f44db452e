"""Whether the prober is shut out. Some routers and firewalls shut out for minutes whoever knocks at many ports (port scan protection, flood
protection, intrusion prevention); then its silence tells of no rule, and a canary's of no filter.

Two witnesses tell. A port at which it was let in before, in this very session, is asked once more, from ports of the prober's that nobody
has seen, for a router lets an existing flow pass where it takes no new ones. And where it was let in nowhere, the server's primary address,
which has knocked at no port, asks at the silent ones: let in there, and neither at a port without a rule nor at one that has contacted it,
it shows that there is a rule. (Where the NAT lets in whoever was contacted: see ``primary``, and last of all ``contacted``.)
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import NamedTuple

from edgecheck.checks.port_forwarding.asking import End, Manner, Transport, open_end, reaches
from edgecheck.checks.port_forwarding.observation import PortRow
from edgecheck.checks.port_forwarding.primary import Led, led_in, let_in_at
from edgecheck.checks.port_forwarding.tcp import CALM_PORTS, CALM_S
from edgecheck.checks.port_forwarding.weather import Weather, measure
from edgecheck.checks.port_forwarding.weighing import doubt
from edgecheck.checks.unsolicited import LET_IN, remembered
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import LocalFailure, RequestDeclined
from edgecheck.model.evidence import loss_is_excluded

COPIES, SPACING_MS, PATIENCE_MS = 8, 29, 200
_ROUNDS = 4
_SHUT_OUT = "shut-out"
_REACHED = ("forwarded", "answered")
_EARLIER = (
    "in an earlier run, {minutes} ago, something on the way shut out the server's alternate address (port scan protection), and may do so "
    "still: run again ten minutes after the last run"
)


class Witness(NamedTuple):
    """A port that the prober has reached."""

    transport: Transport
    port: int
    asked: bool
    """A service of this machine holds it, and has answered."""

    @property
    def name(self) -> str:
        """``UDP 5060``."""
        return f"{self.transport.upper()} {self.port}"


def witness_of(rows: Sequence[PortRow], transport: str = "") -> Witness | None:
    """The first port that was reached, of this transport where there is one: a guard against floods of connections lets datagrams pass."""
    reached = [row for row in rows if row.state == "forwarded" or (row.state == "answered" and row.answered_here)]
    found = [Witness(row.transport, row.port, row.asked) for row in reached if not row.asked or row.state == "answered"]
    return next((one for one in found if one.transport == transport), found[0] if found else None)


def leave(net: Network, witness: Witness) -> None:
    """For checks that come later in this session."""
    net.memory.note(LET_IN, f"{net.session.hex()} {witness.transport} {witness.port} {int(witness.asked)}")


def left(net: Network) -> Witness | None:
    """What an earlier check of this session has left."""
    words = _of_this_session(net, LET_IN).split()
    if len(words) != 3 or words[0] not in ("udp", "tcp"):
        return None
    return Witness("udp" if words[0] == "udp" else "tcp", int(words[1]), words[2] == "1")


def shut_out_before(net: Network) -> str:
    """Why an earlier check of this session took datagrams of the prober for shut out; empty: it did not."""
    return _of_this_session(net, _SHUT_OUT)


def tell(net: Network, why: str) -> None:
    """For checks that come later in this session, and for later runs."""
    net.memory.note(_SHUT_OUT, f"{net.session.hex()} {why}")
    note(net)


def note(net: Network) -> None:
    """For later runs, which may find both addresses of the server shut out from the start."""
    if net.alternate is not None:
        net.memory.note(f"{_SHUT_OUT}/{net.alternate.host}", "yes")


def noted(net: Network) -> str:
    """Why silence proves nothing after an earlier run; empty where nothing of the kind is known."""
    known = net.memory.recall(f"{_SHUT_OUT}/{net.alternate.host}") if net.alternate is not None else None
    if known is None or not remembered(known[1]):
        return ""
    minutes = round(known[1] / 60)
    return _EARLIER.format(minutes=f"{minutes} minute{'s' * (minutes != 1)}" if minutes else "less than a minute")


def _of_this_session(net: Network, key: str) -> str:
    noted = net.memory.recall(key)
    session, _, text = noted[0].partition(" ") if noted else ("", "", "")
    return text if session == net.session.hex() else ""


def reason(witness: Witness) -> str:
    """Why silence proves nothing now."""
    return (
        f"the server's alternate address was let in at {witness.name} before and no longer is: something on the way shuts out whoever "
        "knocks at many ports (port scan protection), so silence proves nothing"
    )


def unsure(witness: Witness) -> str:
    """The same where loss may explain that it is silent now."""
    return (
        f"the server's alternate address was let in at {witness.name} before, and is not known to be any more: too much loss, or something "
        "on the way shuts out whoever begins many flows (scan or flood protection)"
    )


def reason_of_another(row: PortRow, led: Led) -> str:
    """The same where the primary address was let in at this port."""
    some = " (those of a rule, or those that this port has contacted)" if row in led.unused else ""
    return (
        f"the server's primary address is let in at {row.transport.upper()} {row.port}, and its alternate address is not: something on "
        f"the way shuts out whoever knocks at many ports (port scan protection), or lets in some addresses only{some}, so silence proves "
        "nothing"
    )


async def weigh_silence(
    net: Network, rows: list[PortRow], avoid: Collection[int], leaning: Collection[str] = (), scouted: Witness | None = None
) -> list[PortRow]:
    """The rows; where the prober was shut out, silence is doubted, and so is what was let in on the strength of silent canaries.

    ``avoid``: ports that are no canaries. ``leaning``: transports whose arrivals are told for proofs because canaries stayed silent.
    ``scouted``: a port that was reached and is none of these.
    """
    out: dict[Witness, bool | None] = {}
    shut: dict[str, Witness] = {}
    reasons: dict[str, str] = {}
    for transport in ("udp", "tcp"):
        witness = witness_of(rows, transport) or scouted
        mine = [row for row in rows if row.transport == transport]
        leans = transport in leaning and witness is not None and witness.transport == transport
        if witness is None or not (leans or any(_silent(row) for row in mine)):
            continue
        if witness not in out:
            # One by one connections were let in, or would have been, were there a rule: ``Dials.ask_calmly``.
            calm = transport == "tcp" == witness.transport and sum(_silent(row) for row in mine) <= CALM_PORTS
            out[witness] = await is_shut_out(net, witness, calmly=calm)
        if out[witness] is not False:
            shut[transport] = witness
            reasons[transport] = reason(witness) if out[witness] else unsure(witness)
            rows = [doubt(row, reasons[transport]) if row.transport == transport and _silent(row) else row for row in rows]
    leant = [row for row in rows if _reached(row) and row.transport in shut and row.transport in leaning]
    led = await led_in(net, [row for row in rows if _silent(row) or row in leant], avoid)
    # The canaries of the primary address were silent: that counts only where it was let in after them as well.
    proved = await let_in_at(net, [row for row in leant if row in led.rules])
    out_of: dict[str, PortRow] = {row.transport: row for row in reversed(led.rows)}
    for transport in {"udp", "tcp"} - out_of.keys():
        # Who is shut out of the one may be so of the other, where that was not seen to let anybody in.
        if led.rows and not any(_reached(row) for row in rows if row.transport == transport):
            out_of[transport] = led.rows[0]
    why = reason(shut["udp"]) if "udp" in shut and out[shut["udp"]] else reason_of_another(out_of["udp"], led) if "udp" in out_of else ""
    if why:
        tell(net, why)
    elif not led.rows and scouted is None and witness_of(rows) is None:
        earlier = noted(net)
        return [doubt(row, earlier) if earlier and _silent(row) else row for row in rows]
    return [
        doubt(row, reasons[row.transport], _REACHED)
        if row in leant and row not in proved
        else doubt(row, reason_of_another(out_of[row.transport], led))
        if row.transport in out_of and _silent(row)
        else row
        for row in rows
    ]


def _silent(row: PortRow) -> bool:
    """A packet that landed on another port was let in."""
    return row.state == "blocked" and row.lands_on is None


def _reached(row: PortRow) -> bool:
    return row.state in _REACHED


# --- A port at which it was let in before --------------------------------------------------------------------------------------


async def is_shut_out(net: Network, witness: Witness, *, calmly: bool = False) -> bool | None:
    """Whether nothing arrives there any more, though packets of the primary address do in the same moments. Else: one round trip.

    None: nothing arrives, and loss may explain it. ``calmly``: silence is believed only when it lasts; a guard that lets in so few new
    connections a second forgets soon.
    """
    if "inquire" not in net.service.capabilities:
        return False
    try:
        opened = None if witness.asked else await open_end(net, (witness.transport, witness.port))
        weather = await net.open_udp()
    except LocalFailure:
        return False
    try:
        if await net.proved(weather) is None:
            return False
        silent = await _stays_silent(net, witness, opened, weather)
        if silent is not False and calmly:
            await net.sleep(CALM_S)
            silent = await _stays_silent(net, witness, opened, weather)
        return silent
    except RequestDeclined:
        return False
    finally:
        weather.close()
        if opened is not None:
            opened.close()


async def _stays_silent(net: Network, witness: Witness, opened: End | None, socket: UdpSocket) -> bool | None:
    how = Manner(witness.asked, COPIES, SPACING_MS, PATIENCE_MS)
    # A datagram is heard here; of a service that was asked, and of a connection, an answer has to get out as well.
    one_way = witness.transport == "udp" and not witness.asked
    attempts, weather = 0, Weather()
    for _ in range(_ROUNDS):
        measuring = asyncio.create_task(measure(net, socket))
        try:
            got, row = await reaches(net, (witness.transport, witness.port), how, opened)
            if got or row is None or row.outcome != "silent" or row.said:
                return False
            weather += await measuring
        finally:
            measuring.cancel()
            await asyncio.gather(measuring, return_exceptions=True)
        if not weather.sent:
            return False
        attempts += row.attempts
        if loss_is_excluded(*(weather.inward if one_way else weather.both_ways), attempts):
            return True
    return None
