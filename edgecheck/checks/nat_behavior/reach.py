"""When no Binding request was answered at all: which UDP ports of the server do our packets reach, by its own account?"""

from edgecheck.checks.nat_behavior.observation import NatObservation, Reach
from edgecheck.checks.unsolicited import margin
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.evidence import Exchange, loss_is_excluded
from edgecheck.wire import probe
from edgecheck.wire.address import Endpoint

REACH_COPIES = 8


async def nothing_answered(net: Network, first: tuple[Exchange, ...]) -> NatObservation:
    """No Binding answer at all. Which UDP ports of the server do our packets reach, by its own account?"""
    socket = await net.open_udp()
    try:
        service = net.service
        ports = list(dict.fromkeys((*service.stun_ports, service.sip_port, service.alternate_sip_port)))
        reach = [await _reach(net, socket, port) for port in ports if port]
    finally:
        socket.close()
    receipts = [row.arrived for row in reach]
    known = all(arrived is not None for arrived in receipts)
    nothing_out = known and not any(receipts) and not any(exchange.receipt is None or exchange.receipt.arrived for exchange in first)
    nothing_back = known and all(receipts) and not any(row.answered for row in reach) and _answers_were_shut_out(reach, first)
    blocked = True if nothing_out or nothing_back else None
    local = Endpoint(net.source, socket.local.port)
    reasons = {} if blocked else {"mapping": "no STUN answer came", "filtering": "no STUN answer came"}
    return NatObservation(
        local_address=str(local),
        behind_nat=net.observed != net.source,
        classic_type="udp blocked" if blocked else None,
        reach=tuple(reach),
        udp_blocked=blocked,
        unanswered=first,
        reasons=reasons,
    )


def _answers_were_shut_out(reach: list[Reach], first: tuple[Exchange, ...]) -> bool:
    """Whether loss like that on the way out no longer explains that not one answer came back."""
    receipts = [exchange.receipt for exchange in first if exchange.receipt is not None]
    sent = sum(row.copies for row in reach) + sum(exchange.copies for exchange in first if exchange.receipt is not None)
    arrived = sum(row.arrived or 0 for row in reach) + sum(receipt.arrived for receipt in receipts)
    return loss_is_excluded(arrived, sent, arrived)


async def _reach(net: Network, socket: UdpSocket, port: int) -> Reach:
    series = net.new_series()
    packet = probe.serialize(probe.Probe(probe.Kind.ECHO, net.session, series, port, port=socket.local.port))
    to = Endpoint(net.primary.host, port)

    def heard() -> bool:
        return any(arrival.source == to and arrival.data[4:5] == bytes((probe.Kind.ECHOED,)) for arrival in socket.inbox)

    for _ in range(REACH_COPIES):
        socket.send(packet, to)
        if await net.until(heard, 0.04):
            break
    answered = await net.until(heard, margin(net))
    account = await net.account(series)
    arrived = None if account is None else sum(row.copies for row in account.received)
    others = None if account is None else any(low <= port <= high for low, high in account.reached_by_others)
    return Reach(port=port, copies=REACH_COPIES, arrived=arrived, answered=answered, reached_by_others=others)
