"""Did SIP open a port? From the knocks before it, after it and beside it. Pure.

``opened`` is said only when what came in after REGISTER or INVITE did not come in before it, at the same port, nor at the same time at a
port beside it that SIP never used, and loss does not explain that. Where anybody gets in at any time (a filter that lets everybody in, a
rule that forwards the range) nothing can be told. That nothing was opened is said only when enough else came through in those moments.
"""

from edgecheck.checks.sip_alg import loss
from edgecheck.checks.sip_alg.knocking import KNOCKS
from edgecheck.checks.sip_alg.observation import Knocks, Pinhole
from edgecheck.checks.sip_alg.phone_log import PhoneLog, Round
from edgecheck.model.evidence import loss_is_excluded
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint

OPEN_ANYWAY = "packets that nobody asked for come in without SIP as well"


def read_pinholes(log: PhoneLog) -> tuple[Pinhole, ...]:
    """Of the REGISTER and of the INVITE; nothing where nobody knocked."""
    if log.local is None or log.public is None or log.before is None:
        return ()
    if log.listens:
        beside = log.public_beside.port if log.public_beside else None
        return (_read(log, "REGISTER", log.local, log.local.port, log.public.port, log.beside, beside, log.registered, first="AX"),)
    if log.media is None:
        return ()
    media = log.public_media or log.media.port
    beside = log.public_beside.port if log.public_beside else None
    named = _read(
        log, "INVITE", log.media, log.media.port, media, log.media_beside, log.media_beside.port if log.media_beside else None, log.in_call
    )
    if log.transport != "udp":
        return (named,)
    signaling = _read(log, "REGISTER", log.local, log.public.port, log.public.port, log.beside, beside, log.registered)
    return (signaling, named)


def _read(
    log: PhoneLog,
    by: str,
    local: Endpoint,
    port_before: int,
    port: int,
    beside: Endpoint | None,
    port_beside: int | None,
    up: bool,
    *,
    first: control.Sender = "A2",
) -> Pinhole:
    """``first``: who knocked before SIP."""
    assert log.before is not None
    before = _knocks(log, "before", log.before, first, port_before, local)
    after = beside_it = foreign = None
    if log.after is not None and beside is not None and port_beside is not None:
        after = _knocks(log, "after", log.after, "AX", port, local)
        beside_it = _knocks(log, "beside", log.after, "AX", port_beside, beside)
        if "BX" in log.after.senders:
            foreign = _knocks(log, "after", log.after, "BX", port, local)
    opened, reason = _judge(log, before, after, beside_it, up)
    return Pinhole(
        transport=log.transport,
        server_port=log.server.port,
        opened_by="REGISTER" if by == "REGISTER" else "INVITE",
        opened=opened,
        local=str(local),
        from_address=bool(foreign.arrived) if opened and foreign is not None else None,
        knocks=tuple(one for one in (before, after, beside_it, foreign) if one is not None),
        reason=reason,
    )


def _knocks(log: PhoneLog, when: str, made: Round, sender: control.Sender, port: int, local: Endpoint) -> Knocks:
    return Knocks(
        when="before" if when == "before" else "after" if when == "after" else "beside",
        sender=sender,
        aimed_at=str(Endpoint(made.address, port)),
        sent=KNOCKS if made.left else 0,
        arrived=log.knocked.get((made.series, sender, port, local.port), 0),
    )


def _judge(log: PhoneLog, before: Knocks, after: Knocks | None, beside: Knocks | None, up: bool) -> tuple[bool | None, str]:
    if not up:
        return None, "no registration or call came about"
    if after is None or beside is None or not (before.sent and after.sent and beside.sent):
        return None, log.problem or "the server could not knock"
    if before.arrived or beside.arrived:
        return None, OPEN_ANYWAY
    if after.arrived:
        came = min(after.arrived, after.sent)
        if loss.drop_is_proved(before.sent, after.sent, came) and loss.drop_is_proved(beside.sent, after.sent, came):
            return True, ""
        return None, f"{after.arrived} of {after.sent} came in, and too much is lost here to say that none did before"
    if loss_is_excluded(log.gauge_returned, log.gauge_sent, after.sent):
        return False, ""
    return None, "nothing came in, and too few packets that were to come in did to say why"
