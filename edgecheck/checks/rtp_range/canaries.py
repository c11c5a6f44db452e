"""Ports that arrived though nothing need forward them: a loose filter, or a router that remembers (see ``unsolicited``)."""

import asyncio

from edgecheck.checks.rtp_range.listening import Run, count_probes, request
from edgecheck.checks.unsolicited import MOST_ROUNDS, believed, copies_at_once, lets_anyone_in, margin, remembered
from edgecheck.model.check import UdpSocket
from edgecheck.model.evidence import WRONG_BY_CHANCE, chance_at_worst
from edgecheck.wire.address import Endpoint

MOST_USED_BY_OTHERS = 512
"""RTP ports that other programs of this machine may have used in the last minutes: some hundred calls."""


async def weigh(
    run: Run, arrived: set[int], contacted: float | None, pair: tuple[UdpSocket, Endpoint | None], bare: list[UdpSocket]
) -> set[int]:
    """Those of the ports that arrived of which it proves no rule; why stands in the reasons then. ``pair``: the contacted pair."""
    net = run.net
    used, few = _used(run, arrived), _few(arrived)
    if net.alternate is None or not needed(run, arrived, contacted):
        return set()
    unused, loose = await _reached(run, *pair, bare)
    exposed = 0 < len(bare) == len(unused)  # one of three may have been another program's a minute ago
    known = net.memory.recall(f"exposed/{net.alternate.host}")
    trusted = not remembered(contacted) or (known is not None and known[0] == "yes" and believed(known[1]))
    if unused and not trusted:
        run.reasons["undecided"] = (
            "an earlier run contacted the alternate address, and this edge lets it in on any port now: "
            "run again ten minutes after the last run"
        )
        return set(arrived)
    if loose is not False and not exposed and used:
        run.reasons["undecided"] = (
            f"these ports sent packets in the last ten minutes, and {lets_anyone_in(loose)}: run again ten minutes after the last run"
        )
        return used
    if loose is not False and not exposed and few:
        run.reasons["undecided"] = f"they arrive, but {lets_anyone_in(loose)}, and another program may have used them"
        return set(arrived)
    return set()


def needed(run: Run, arrived: set[int], contacted: float | None) -> bool:
    """Whether something else than a rule could explain what arrived."""
    return bool(arrived) and (bool(_used(run, arrived)) or _few(arrived) or remembered(contacted))


def _used(run: Run, arrived: set[int]) -> set[int]:
    return {port for port in arrived if remembered(run.net.memory.sent_from(port))}


def _few(arrived: set[int]) -> bool:
    """A PBX that was just stopped has used some ports, not thousands: then a loose filter alone could explain what arrived."""
    return len(arrived) <= MOST_USED_BY_OTHERS


async def _reached(run: Run, contact: UdpSocket, at: Endpoint | None, bare: list[UdpSocket]) -> tuple[set[int], bool | None]:
    """The ports that sent nothing which the never-contacted address reaches, and whether it reaches one that was used; None: loss may
    explain it."""
    net = run.net
    unused: set[int] = set()
    reached = False
    sent, arrived, copies = 0, 0, copies_at_once(net)
    for _ in range(MOST_ROUNDS):
        series, control_series = net.new_series(), net.new_series()
        asks = []
        if bare:
            ports = [socket.local.port for socket in bare]
            asks.append(net.ask(lambda id: request(id, series, net.observed, ports, "BX", copies=copies)))  # noqa: B023
        if at is not None:
            for number, who in ((series, "BX"), (control_series, "A1")):
                asks.append(net.ask(lambda id, number=number, who=who: request(id, number, at.host, [at.port], who, copies=copies)))  # type: ignore[misc]
        await asyncio.gather(*asks)
        await net.until(lambda: False, margin(net))
        unused |= {socket.local.port for socket in bare if count_probes(net, socket, series)}
        if at is None:
            return unused, None
        reached |= count_probes(net, contact, series) > 0
        sent, arrived = sent + copies, arrived + count_probes(net, contact, control_series)
        if reached or chance_at_worst(arrived, sent, sent) < WRONG_BY_CHANCE:
            return unused, reached
    return unused, None
