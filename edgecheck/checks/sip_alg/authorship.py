"""Who wrote a response: our server, or somebody on the way? Pure.

Our server signs with ``X-Edgecheck``; a box on the path may have stripped it. So without it other traits decide, against what the
server says that it sent: its To tag, its Server header, or the same headers one by one.
"""

from collections.abc import Sequence

from edgecheck.checks.sip_alg.compare import Difference, compare
from edgecheck.checks.sip_alg.interference import is_private
from edgecheck.checks.sip_alg.log import is_final, status_of
from edgecheck.wire import sip
from edgecheck.wire.address import Endpoint
from edgecheck.wire.control import SIP_MARKER
from edgecheck.wire.errors import WireError

SIGNATURE = "X-Edgecheck"


def is_foreign(answer: bytes, sent: Sequence[bytes], arrived: bool, answers: Sequence[bytes]) -> bool:
    """Whether somebody else wrote this answer to a request of ours.

    ``sent``: what the server says that it answered; ``arrived``: whether it says that the request arrived; ``answers``: all that
    came for this request. The server's account must be whole.
    """
    if is_signed(answer):
        return False
    if not arrived:
        return True
    if not sent:
        return False  # it arrived and the server wrote nothing down: no telling
    message = _parse(answer)
    if message is None:
        return False
    status = status_of(answer)
    alike = [other for other in map(_parse, (data for data in sent if status_of(data) == status)) if other is not None]
    if not alike and is_final(answer):
        # The server sent no such status. Was its own answer altered (then it is missing), or has another one been put beside it?
        alike = [other for other in map(_parse, (data for data in sent if is_final(data))) if other is not None]
        return not any(_same_hand(message, other) for other in alike)
    signed_twin = any(is_signed(other) and status_of(other) == status for other in answers)
    return signed_twin or not any(_same_hand(message, other) for other in alike)


def is_signed(answer: bytes) -> bool:
    message = _parse(answer)
    return message is not None and SIP_MARKER.search((message.get(SIGNATURE) or "").encode()) is not None


def _same_hand(message: sip.Message, other: sip.Message) -> bool:
    tags = [sip.parameters(one.get("To") or "").get("tag") for one in (message, other)]
    if tags[0] and tags[0] == tags[1]:
        return True
    servers = [one.get("Server") for one in (message, other)]
    return bool(servers[0]) and servers[0] == servers[1]


def original(answer: bytes, sent: Sequence[bytes]) -> bytes | None:
    """Which of the responses sent this one is: the same bytes, else the same status and the fewest differences."""
    if answer in sent:
        return answer
    alike = [data for data in sent if status_of(data) == status_of(answer)] or [data for data in sent if is_final(data) == is_final(answer)]
    return min(dict.fromkeys(alike), key=lambda data: len(compare(data, answer)), default=None)


def echo_differences(request: bytes, answer: bytes) -> list[Difference]:
    """Where an answer does not repeat the request's Via, From, Call-ID and CSeq, as every server must.

    Of Via all but ``received`` and ``rport``, which the server fills in. On which way they were changed it does not say: the server may
    have repeated faithfully what had been changed on the way to it.
    """
    asked, told = _parse(request), _parse(answer)
    if asked is None or told is None:
        return []
    out = []
    for name in ("From", "Call-ID", "CSeq"):
        one, other = asked.get(name) or "", told.get(name) or ""
        if " ".join(one.split()) != " ".join(other.split()):
            out.append(Difference(name, "rewritten" if other else "removed", one, other))
    ours, theirs = (asked.get("Via") or ""), [via for value in told.all("Via") for via in sip.split_addresses(value)]
    if len(theirs) != 1:
        out.append(Difference("Via", "added" if theirs else "removed", ours, ", ".join(theirs)))
    elif _sent_part(ours) != _sent_part(theirs[0]):
        out.append(Difference("Via", "rewritten", ours, theirs[0]))
    return out


def turned_back(request: bytes, answer: bytes, local: Endpoint, server: Endpoint) -> Difference | None:
    """``received`` names this machine's private address: on the answer's way somebody put it back.

    Only of a server that is known to see this machine at another address. (That the server's own address is a public one does not tell: a
    PBX in the router has one, a server of this site, and one behind a VPN, and they see private addresses.)
    """
    asked, told = _parse(request), _parse(answer)
    vias = [via for value in told.all("Via") for via in sip.split_addresses(value)] if told is not None else []
    ours = (asked.get("Via") or "") if asked is not None else ""
    if len(vias) != 1 or _sent_part(ours) != _sent_part(vias[0]) or not is_private(local.host) or is_private(server.host):
        return None
    return Difference("Via", "rewritten", ours, vias[0]) if sip.parameters(vias[0]).get("received") == local.host else None


def _sent_part(via: str) -> tuple[str, dict[str, str]]:
    parameters = {name: value for name, value in sip.parameters(via).items() if name not in ("received", "rport")}
    return " ".join(via.partition(";")[0].split()), parameters


def _parse(data: bytes) -> sip.Message | None:
    try:
        return sip.parse_datagram(data)
    except WireError:
        return None
