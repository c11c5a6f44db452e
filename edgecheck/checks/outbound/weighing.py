"""From what both ends saw of a port to its state, and to whose doing that is. Pure."""

from collections.abc import Sequence

from msgspec.structs import replace

from edgecheck.checks.outbound.observation import ISSUED_BY, OutboundTarget, Side, State
from edgecheck.checks.outbound.streams import StreamTally
from edgecheck.checks.outbound.tally import UdpTally
from edgecheck.checks.outbound.udp import UdpResult

_NO_SESSION = "without a session with the server silence proves nothing"
_THE_SERVERS = "it comes from the server's own address, whose own firewall may shut out this one"
_ITS_OWN = "nobody else is known to have reached this port of the server: its own firewall may be what closes it"


_NEW_FLOWS = (
    "from new ports of this machine {anew.control} of {anew.control_copies} questions to open ports were answered, and none of "
    "{anew.copies} there: this network may let out so many new flows or packets a second and no more"
)


_TRICKLE = (
    "no UDP port answered, and the server received some of what was sent, and most of it not: that may be loss, or a line that lets "
    "through so many packets a second and no more"
)


def _trickles(tally: UdpTally, result: UdpResult) -> bool:
    """Whether so little gets through that neither silence nor an answer that is missing means anything: no open port measures the loss."""
    counted = [one for one in result.tallies if one.aim.speech != "rtp"]  # of RTP it is known only that something came
    if not tally.arrived:
        return any(one.arrived for one in result.tallies)
    return sum(one.arrived or 0 for one in counted) * 2 < sum(one.copies for one in counted)


class Sides:
    """Which ports of the server are known to be open on its own side, and what is."""

    def __init__(self, udp: UdpResult, in_session: bool, gateways: Sequence[str], source: str, server: str) -> None:
        self.in_session = in_session
        self._source, self.server = source, server
        self._udp, self._tcp = udp.reached_by_others, udp.reached_by_others_tcp
        self._receipts = udp.receipts
        self._gateways = frozenset(gateways)

    def vouched(self, transport: str, port: int) -> bool | None:
        """Whether others have reached it; None = no receipt tells."""
        return port in (self._udp if transport == "udp" else self._tcp) if self._receipts else None

    def of(self, transport: str, port: int, offender: str | None = None) -> Side:
        """Whose doing a closed port is."""
        if offender is not None and offender in (self._source, self.server):
            return "machine" if offender == self._source else "unknown"
        return "network" if self.vouched(transport, port) or (offender is not None and offender in self._gateways) else "unknown"


def weigh_udp(tally: UdpTally, result: UdpResult, sides: Sides, sip_records: int | None) -> OutboundTarget:
    """One UDP port."""
    aim = tally.aim
    heard, sent = result.control
    seen = OutboundTarget(
        transport="udp",
        port=aim.port,
        purpose=aim.purpose,
        state="open",
        copies=tally.copies,
        answered=tally.answered,
        arrived=tally.arrived,
        control=heard,
        control_copies=sent,
        reached_by_others=sides.vouched("udp", aim.port),
        plain_answered=bool(tally.plain_answered) if tally.plain_copies else None,
        new_copies=result.anew.copies if result.anew and not tally.answered else 0,
        new_control=result.anew.control if result.anew and not tally.answered else 0,
        new_control_copies=result.anew.control_copies if result.anew and not tally.answered else 0,
    )
    if aim.port == 53 and result.dns_answered:
        return _as(
            seen,
            "intercepted",
            "a DNS question to the echo server was answered, and it answers none",
            "network",
            answered_by="a DNS server",
        )
    if tally.answered:
        if tally.arrived == 0 and sip_records == 0:
            return _as(seen, "intercepted", "SIP was answered, and the server never saw it", "network", answered_by="a SIP server or ALG")
        return seen
    if tally.stranger is not None:
        return _as(seen, "intercepted", "what answers there is not the echo server", "network", answered_by=tally.stranger)
    if tally.refusal is not None:
        offender = tally.refusal.offender
        if offender is None:
            return _as(seen, "undecided", f"this machine itself did not send it ({tally.refusal})", "unknown")
        side = sides.of("udp", aim.port, offender)
        doubt = "" if side != "unknown" else f"; {_THE_SERVERS if offender == sides.server else _ITS_OWN}"
        return _as(seen, "refused", f"{tally.refusal}{doubt}", side, offender=offender)
    if tally.unsent and not tally.arrived:
        return _as(seen, "refused", tally.unsent.rstrip("."), "machine")
    if not sides.in_session:
        return _as(seen, "undecided", _NO_SESSION, "unknown")
    if not result.silence_proved(tally):
        return _as(
            seen, "undecided", f"no answer to {tally.copies} copies, {heard} of {sent} to open ports were answered: that may be loss", None
        )
    if result.anew is not None and not tally.plain_answered and not result.anew.silence_proved:
        return _as(seen, "undecided", _NEW_FLOWS.format(anew=result.anew), None)
    if tally.arrived and tally.plain_answered:
        return _as(seen, "blocked", "SIP reaches the server, and its answers do not come back; other packets' do", "network")
    if not sent and _trickles(tally, result):
        return _as(seen, "undecided", _TRICKLE, None)
    if tally.arrived:
        # That others' packets arrive shows nothing of how answers leave the server.
        return _as(seen, "undecided", f"{tally.arrived} copies reached the server, and no answer came back", "unknown")
    if tally.arrived is None:
        return _as(seen, "undecided", "the server's receipts could not be had", "unknown")
    if tally.plain_answered:
        return _as(seen, "blocked", "SIP does not pass, other packets to this port do", "network")
    side = sides.of("udp", aim.port)
    if side == "unknown":
        return _as(seen, "undecided", f"nothing reaches the server there; {_ITS_OWN}", side)
    return _as(seen, "blocked", "nothing reaches the server there, and others' packets do", side)


def weigh_stream(tally: StreamTally, sides: Sides) -> OutboundTarget:
    """One TCP or TLS port."""
    aim = tally.aim
    seen = OutboundTarget(
        transport=aim.transport,
        port=aim.port,
        purpose=aim.purpose,
        state="open",
        copies=tally.tried,
        answered=int(tally.answered),
        control=tally.control,
        control_copies=tally.control_copies,
        reached_by_others=sides.vouched("tcp", aim.port),
    )
    if tally.issuer is not None:
        return _as(
            seen,
            "intercepted",
            "another certificate was shown than the server's",
            "network",
            answered_by=f"{ISSUED_BY}{tally.issuer}",
        )
    if tally.answered:
        return seen
    if tally.stranger is not None:
        side: Side = "network" if sides.in_session else "unknown"
        return _as(seen, "intercepted", "what answers there is not the echo server", side, answered_by=tally.stranger)
    side = sides.of("tcp", aim.port)
    if tally.refused:
        return _as(seen, "refused", f"{tally.refused.rstrip('.')}{'' if side == 'network' else f'; {_ITS_OWN}'}", side)
    if tally.local_failure:
        return _as(seen, "undecided", tally.local_failure.rstrip("."), None)
    if not sides.in_session:
        return _as(
            seen,
            "undecided",
            f"a connection opens, the server's answer does not come ({tally.cut})" if tally.cut else _NO_SESSION,
            "unknown",
        )
    if tally.connected or tally.opened:
        how = f"was cut ({tally.cut.rstrip('.')})" if tally.cut else "stays without an answer"
        why = f"a connection opens, and {how}: lost packets, or something between that lets only certain traffic through"
        return _as(seen, "undecided", why, "unknown")
    if not tally.silence_proved:
        words = (
            f"{tally.control} of {tally.control_copies} connections to an open port came about" if tally.control_copies else "too few tries"
        )
        return _as(seen, "undecided", f"no answer to {tally.tried} connections, {words}: that may be loss", None)
    if side == "unknown":
        return _as(seen, "undecided", f"no connection comes about; {_ITS_OWN}", side)
    return _as(seen, "blocked", "no connection comes about, and others' do", side)


def _as(
    seen: OutboundTarget, state: State, reason: str, side: Side | None, *, answered_by: str | None = None, offender: str | None = None
) -> OutboundTarget:
    return replace(seen, state=state, reason=reason, side=side, answered_by=answered_by, offender=offender)
