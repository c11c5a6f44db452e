"""Where is a request dropped? It is sent to expire at hop 1, 2, 3...: the last router that quotes it has seen it.

That it is not quoted further on is no proof by itself: routers tell of few expired packets. So beside each goes what is no SIP and as
long, from the same socket to the same port, with the same TTL; it must be told of often enough while the request never is (see
``loss``). Whoever drops it is that last router, behind its look at the TTL, or the next one before it, or a box between.
"""

import msgspec

from edgecheck.checks.sip_alg import loss
from edgecheck.checks.sip_alg.answerer import maker
from edgecheck.checks.sip_alg.log import ChannelLog
from edgecheck.checks.sip_alg.observation import HopTrial, Located, SipAlgObservation
from edgecheck.checks.sip_alg.taken import Climb
from edgecheck.model.check import Network
from edgecheck.model.errors import LocalFailure

PAIRS = 12
MOST_STEPS = 3
"""Where a request that had seemed to be gone is told of after all, it is looked for further on."""
DROPPED = "message"


async def look_for_whoever_drops(net: Network, log: ChannelLog, seen: SipAlgObservation, method: str) -> SipAlgObservation:
    """The observation with the drop located, or why not."""
    try:
        socket = await net.open_udp()
    except LocalFailure as failure:
        return msgspec.structs.replace(seen, located_reason=str(failure))
    climbing = Climb(net, socket, log.server, maker(net, log, socket, method), lambda data: data.startswith(b"SIP/2.0 "))
    try:
        taken = await climbing.run(())
        last = max((trial.hops for trial in taken.trials if trial.sip.expired), default=0)
        for _ in range(MOST_STEPS):
            await climbing.compare(last + 1, PAIRS)
            if not climbing.trial(last + 1).sip.expired:
                break
            last += 1
    finally:
        socket.close()
    near = climbing.trial(last).router if last else "this machine"
    located, reason = place_drop(last, near, climbing.trial(last + 1))
    told = tuple(msgspec.structs.replace(one, message=method) for one in located) if located else None
    return msgspec.structs.replace(seen, located=told, located_reason=reason)


def place_drop(last: int, near: str | None, there: HopTrial) -> tuple[tuple[Located, ...] | None, str]:
    """``last``: the last hop that has told of the request; ``there``: the next one's trial. Pure."""
    if there.sip.answered or there.same.answered:
        return None, "the request is dropped only sometimes, or behind the last router that shows itself"
    if there.sip.expired or not loss.drop_is_proved(there.sip.sent, there.same.sent, there.same.expired):
        told = f"{there.same.expired} of {there.same.sent} packets that are no SIP"
        return (
            None,
            f"hop {there.hops} told of {there.sip.expired} of {there.sip.sent} requests and of {told}: too few to say where it is dropped",
        )
    one = Located(hop=last, address=near, where=(DROPPED,), up_to_hop=there.hops, up_to_address=there.router)
    return (one,), ""
