"""What became of the server's own requests to a phone that has registered, and of the phone's answers. Pure.

The same order of proof as for the phone's requests: what arrived is compared with what the server says that it sent; what did not is
``lost`` only where the probes beside it, from the same socket of the server's and as long, came through often enough.
"""

import msgspec

from edgecheck.checks.sip_alg import interference, loss
from edgecheck.checks.sip_alg.compare import Difference, compare
from edgecheck.checks.sip_alg.messages import Step, marked, split_item
from edgecheck.checks.sip_alg.observation import Change, Harm, MessageFacts, Proof, SipProbe, State
from edgecheck.checks.sip_alg.phone_log import Called, PhoneLog
from edgecheck.checks.sip_alg.reading import as_change, as_text, level_of
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint

NAMES = {Step.CALLED_OPTIONS: "incoming OPTIONS", Step.CALLED_INVITE: "incoming INVITE"}
DESTINATION_PORT = "destination port"


def read_incoming(log: PhoneLog, session: bytes) -> tuple[SipProbe, ...]:
    """One row a method; none where the server was not asked to call, or there is no account of it."""
    account = log.account
    if account is None or account.records is None or not log.call_controls_sent:
        return ()
    rows = []
    for step, called in log.called.items():
        sent, received = _records(account.records, session, log.series, step, log.transport)
        if sent:
            rows.append(_read(log, step, called, sent, received))
    return tuple(rows)


def _records(
    records: tuple[control.MirrorRecord, ...], session: bytes, series: int, step: Step, transport: control.Transport
) -> tuple[list[bytes], list[bytes]]:
    """The requests that left the server, and the answers that came to it."""
    ours = [record for record in records if record.transport == transport and marked(record.data, session, series) is step]
    return (
        [record.data for record in ours if record.direction == "sent"],
        [record.data for record in ours if record.direction == "received"],
    )


def _read(log: PhoneLog, step: Step, called: Called, sent: list[bytes], received: list[bytes]) -> SipProbe:
    name = NAMES[step]
    blank = SipProbe(transport=log.transport, server_port=log.server.port, method=name, request="undecided", response="undecided")
    changes: list[Change] = []
    harms: list[Harm] = []
    proofs: list[Proof] = []
    reasons: list[str] = []
    request: State
    response: State
    kind = "non-SIP datagrams of the same size from the same socket" if log.transport == "udp" else "connections with as much of no SIP"
    controls = f"{log.call_controls_arrived} of {log.call_controls_sent} {kind}"
    if called.arrived:
        _compare_requests(log, name, called, sent, changes, harms, proofs)
        request = "rewritten" if changes else "unchanged"
    elif _is_lost(log, len(sent), log.call_controls_sent, log.call_controls_arrived):
        request = "lost"
        reasons.append(f"{name}: none of {len(sent)} arrived, while {controls} did")
    else:
        request = "undecided"
        reasons.append(f"{name}: none of {len(sent)} arrived; {controls} did")
    if received and called.answers:
        found = [change for data in dict.fromkeys(received) for change in _answer_changes(name, called, data)]
        response = "rewritten" if found else "unchanged"
        changes += {(change.where, change.action): change for change in reversed(found)}.values()
        if found:
            first = next(data for data in received if _answer_changes(name, called, data))
            proofs.append(Proof(direction="response", message=name, sent=as_text(_like(called.answers, first)), arrived=as_text(first)))
    elif called.answers:
        arrived = {
            row.item for row in (log.account.controls if log.account else None) or () if split_item(row.item)[2] == Step.ANSWER_CONTROL
        }
        beside = f"{len(arrived)} of {len(log.answer_controls)} {kind.partition(' from ')[0]}"
        lost = _is_lost(log, len(called.answers), len(log.answer_controls), len(arrived))
        response = "lost" if lost else "undecided"
        reasons.append(f"{name}: none of {len(called.answers)} answers arrived, while {beside} did")
    else:
        response = "undecided"
    level = level_of(request, response if called.answers else "unchanged", changes, harms)
    facts = MessageFacts(
        name=name,
        request=request,
        response=response if called.answers else None,
        copies_sent=len(sent),
        copies_arrived=len(called.arrived),
        answers_sent=len(called.answers),
        answers_arrived=len(received),
    )
    return msgspec.structs.replace(
        blank,
        request=request,
        response=response,
        changes=tuple(changes),
        interference=level,
        harms=tuple(harms),
        reason="; ".join(reasons),
        messages=(facts,),
        proofs=tuple(proofs),
    )


def _is_lost(log: PhoneLog, copies: int, controls: int, arrived: int) -> bool:
    whole = log.account is not None and log.account.whole
    return whole and arrived <= controls and loss.drop_is_proved(copies, controls, arrived)


def _compare_requests(
    log: PhoneLog, name: str, called: Called, sent: list[bytes], changes: list[Change], harms: list[Harm], proofs: list[Proof]
) -> None:
    assert log.local is not None
    for data, port in dict.fromkeys(called.arrived):
        original = _like(sent, data)
        differences = list(compare(original, data))
        local = log.local if log.transport == "udp" else Endpoint(log.local.host, port)  # each connection has its own
        harms += [harm for harm in interference.incoming_harms(original, data, differences, local) if harm not in harms]
        if differences and not proofs:
            proofs.append(Proof(direction="request", message=name, sent=as_text(original), arrived=as_text(data)))
        if port != local.port:
            differences.append(Difference(DESTINATION_PORT, "rewritten", str(log.local.port), str(port)))
            text = f"it is delivered to port {port} of this machine instead of {log.local.port}: the phone does not hear it"
            harms.append(Harm(level="inconsistent", direction="request", text=text))
        known = {(change.where, change.action) for change in changes}
        changes += [as_change("request", name, one) for one in differences if (one.where, one.action) not in known]


def _answer_changes(name: str, called: Called, arrived: bytes) -> list[Change]:
    return [as_change("response", name, difference) for difference in compare(_like(called.answers, arrived), arrived)]


def _like(sent: list[bytes], arrived: bytes) -> bytes:
    """Which of these it is: the same bytes, or else the fewest differences."""
    return arrived if arrived in sent else min(dict.fromkeys(sent), key=lambda data: len(compare(data, arrived)))
