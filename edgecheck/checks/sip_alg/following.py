"""From one side: a request is followed hop by hop in what the routers quote of it. No server is needed for that: see ``locate``.

So an ALG shows itself that turns all back in the answers, and is named. What lies beyond the last router that quotes is not seen.
"""

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from edgecheck.checks.sip_alg import interference
from edgecheck.checks.sip_alg.compare import Action, same_meaning
from edgecheck.checks.sip_alg.locate import Stage, differences, lines_named, locate, walk, with_neighbors
from edgecheck.checks.sip_alg.observation import Change, Located, Proof, SipAlgObservation, SipProbe
from edgecheck.checks.sip_alg.owner import check_owners, written
from edgecheck.checks.sip_alg.reading import as_text, level_of
from edgecheck.checks.sip_alg.rewriter import unsteady
from edgecheck.model.check import Network, UdpSocket
from edgecheck.wire.address import Endpoint


async def follow(net: Network, socket: UdpSocket, server: Endpoint, request: bytes, seen: SipAlgObservation) -> SipAlgObservation:
    """The observation with who changed this OPTIONS on its way, where the quotes show it. ``socket``: the one that the request names."""
    stages, _ = await walk(net, socket, server, request)
    located, reason = locate(request, stages, None)
    if located is None:
        return with_quotes(seen, server, request, stages, None, reason)
    doubt = await unsteady(net, socket, server, request, stages, located)
    shown = with_quotes(seen, server, request, stages, located, doubt or reason)  # that it is rewritten is so, whoever does it
    if doubt:
        return msgspec.structs.replace(shown, located=None)
    located = await check_owners(net, server, located, stages, written(request, stages, None))
    located = with_neighbors(located, stages, (await net.machine()).gateways)
    return msgspec.structs.replace(shown, located=located)


def with_quotes(
    seen: SipAlgObservation, server: Endpoint, request: bytes, stages: Sequence[Stage], located: tuple[Located, ...] | None, reason: str
) -> SipAlgObservation:
    """The observation with what the quotes show of the OPTIONS over UDP. Pure."""
    changes = quoted_changes(request, stages)
    if not changes:
        return msgspec.structs.replace(seen, located=located, located_reason=reason)
    probes = tuple(_with_changes(one, changes, request, stages) if _is_asked(one, server) else one for one in seen.probes)
    levels = [level for level in (seen.interference, *(one.interference for one in probes)) if level is not None]
    return msgspec.structs.replace(
        seen, probes=probes, located=located, located_reason=reason, interference=interference.gravest(levels) if levels else None
    )


def _is_asked(one: SipProbe, server: Endpoint) -> bool:
    return (one.transport, one.server_port, one.method) == ("udp", server.port, "OPTIONS")


def quoted_changes(request: bytes, stages: Sequence[Stage]) -> tuple[Change, ...]:
    """What was changed from one quote to the next, whether or not it is known by which hop. Pure."""
    points = [Stage(hop=0, address=None, text=request), *(stage for stage in stages if stage.text)]
    out = []
    for here, there in pairwise(points):
        for name in differences(here.text, there.text):
            before, after = (b", ".join(lines_named(text, name)).decode("utf-8", "replace") for text in (here.text, there.text))
            action: Action = "added" if not before else "removed" if not after else "rewritten"
            if action == "rewritten" and same_meaning(name, before, after):
                action = "reformatted"
            message = f"OPTIONS, as hop {there.hop} quotes it"
            out.append(Change(direction="request", where=name, action=action, sent=before, arrived=after, message=message))
    return tuple(out)


def _with_changes(one: SipProbe, changes: tuple[Change, ...], request: bytes, stages: Sequence[Stage]) -> SipProbe:
    level = level_of("rewritten", one.response, changes, ())
    levels = [each for each in (one.interference, level) if each is not None]
    last = next(stage for stage in reversed(stages) if stage.text)
    proof = Proof(direction="request", message=f"OPTIONS, as hop {last.hop} quotes it", sent=as_text(request), arrived=as_text(last.text))
    return msgspec.structs.replace(
        one,
        request="rewritten",
        changes=(*one.changes, *changes),
        interference=interference.gravest(levels) if levels else None,
        proofs=(*one.proofs, proof),
    )
