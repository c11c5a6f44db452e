"""From what both ends saw of one channel to its facts. Pure.

The order of proof for a request: it arrived, and the bytes are compared; or it did not, and then

- somebody else answered it: ``answered-by-other``;
- or non-SIP of the same size from the same socket got through in the same moments, often enough: ``lost`` (see ``loss``);
- or neither: ``undecided``.

For a response the same, with what the server says that it sent.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from edgecheck.checks.sip_alg import authorship, datagrams, interference
from edgecheck.checks.sip_alg.both_ends import BothEnds
from edgecheck.checks.sip_alg.compare import STATUS_LINE, Difference, compare
from edgecheck.checks.sip_alg.log import Answer, Sent, first_line_of, is_final, status_of
from edgecheck.checks.sip_alg.messages import FLOWS, METHODS, NAMES, Step
from edgecheck.checks.sip_alg.observation import Change, Channel, Direction, Harm, Level, MessageFacts, Proof, SipProbe, State
from edgecheck.wire import control

_SWALLOWED = {100: "phones repeat the INVITE needlessly", 180: "callers hear no ringing"}


@dataclass(slots=True)
class StepReading:
    """What is known of one step of a flow, over all its copies or connections."""

    step: Step
    request: State = "undecided"
    response: State | None = None
    copies: int = 0
    arrived: int | None = None
    answers_sent: int | None = None
    answers: int = 0
    reason: str = ""
    missing_statuses: frozenset[int] = frozenset()
    """Provisional responses that the server sent and that never came, beside others that did."""
    changes: list[Change] = field(default_factory=list)
    harms: list[Harm] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)

    def facts(self) -> MessageFacts:
        return MessageFacts(
            name=NAMES[self.step],
            request=self.request,
            response=self.response,
            copies_sent=self.copies,
            copies_arrived=self.arrived,
            answers_sent=self.answers_sent,
            answers_arrived=self.answers,
        )


def read_step(ends: BothEnds, step: Step) -> StepReading | None:
    """None when the step was not reached: what should have led to it got no answer."""
    sents = [sent for sent in ends.log.sent.values() if sent.request.step is step and sent.copies]
    if not sents:
        return None
    out = StepReading(step, copies=sum(sent.copies for sent in sents), answers=sum(len(sent.answers) for sent in sents))
    foreign = _read_request(ends, sents, out)
    if sents[0].request.expects_answer:
        _read_response(ends, sents, foreign, out)
    return out


def _read_request(ends: BothEnds, sents: Sequence[Sent], out: StepReading) -> list[Answer]:
    """Fills in the request's side; returns the answers that somebody else gave."""
    if ends.account.records is None:
        out.reason = ends.account.problem or "the server gave no account"
        return []
    foreign: list[Answer] = []
    out.arrived = 0
    for sent in sents:
        records = ends.received.get(sent.request.item, [])
        answers = [record.data for record in ends.sent.get(sent.request.item, [])]
        out.arrived += len(records)
        came = [answer.data for answer in sent.answers]
        if ends.account.whole:
            foreign += [answer for answer in sent.answers if authorship.is_foreign(answer.data, answers, bool(records), came)]
        for record in _distinct(records):
            _read_arrival(sent, record, answers, out)
    name = NAMES[out.step]
    if out.arrived:
        out.request = "rewritten" if out.changes else "unchanged"
        if ends.log.transport == "udp":
            absorbed, (moved, _) = datagrams.absorbed(ends, sents), datagrams.moved(ends)
            out.changes += [as_change("request", name, difference) for difference in (absorbed, moved) if difference is not None]
            out.harms += [datagrams.harm_of_moving(moved)] if moved is not None else []
    elif any(is_final(answer.data) for answer in foreign):
        out.request = "answered-by-other"
        out.reason = f"{name}: answered with {first_line_of(foreign[0].data)!r}, but it never reached the server"
    elif ends.request_drop_is_proved(sents):
        out.request = "lost"
        out.reason = f"{name}: none of {out.copies} arrived, while {_control_tally(ends)}"
    else:
        out.reason = f"{name}: none of {out.copies} arrived; {_control_tally(ends)}" + (
            f"; {ends.account.problem}" if ends.account.problem else ""
        )
    return foreign


def _read_arrival(sent: Sent, record: control.MirrorRecord, answers: Sequence[bytes], out: StepReading) -> None:
    differences = compare(sent.request.data, record.data)
    if not differences:
        return
    name = NAMES[out.step]
    _add(out, "request", name, differences)
    seen = datagrams.endpoint(record.peer)
    if seen is not None:
        out.harms += interference.request_harms(sent.request.data, record.data, differences, sent.local, seen)
    expected = 200 if out.step is Step.AUTHORIZED else interference.EXPECTED_STATUS.get(METHODS[out.step])
    refusals = [answer for answer in answers if is_final(answer) and status_of(answer) not in (expected, 200, 401)]
    if refusals:
        text = f"the server had to refuse the {METHODS[out.step]} as it arrived: {first_line_of(refusals[0])}"
        out.harms.append(Harm(level="inconsistent", direction="request", text=text))
    if not out.proofs:
        out.proofs.append(Proof(direction="request", message=name, sent=as_text(sent.request.data), arrived=as_text(record.data)))


def _read_response(ends: BothEnds, sents: Sequence[Sent], foreign: list[Answer], out: StepReading) -> None:
    if ends.account.records is None:
        _read_without_account(sents, out, ends.account.translated)
        return
    if out.request == "answered-by-other":
        out.response = "answered-by-other"
    sent_by_server = [record for sent in sents for record in ends.sent.get(sent.request.item, [])]
    out.answers_sent = len(sent_by_server)
    ours: list[Answer] = []
    found: list[Difference] = []
    for sent in sents:
        records = [record.data for record in ends.sent.get(sent.request.item, [])]
        mine = [answer for answer in sent.answers if answer not in foreign]
        ours += mine
        for answer in _distinct_answers(mine):
            found += _read_answer(ends, sent, answer, records, out)
    for answer in foreign:
        if out.response is None and is_final(answer.data):
            out.response = "answered-by-other"
            out.reason = out.reason or f"{NAMES[out.step]}: {first_line_of(answer.data)!r} was not sent by the server"
        elif not is_final(answer.data):
            line = first_line_of(answer.data)
            found.append(Difference(STATUS_LINE, "added", "", line))
            _add(out, "response", NAMES[out.step], found[-1:])
            text = f"{line!r} came, which the server did not send: whatever wrote it reads SIP, and may answer for good another time"
            out.harms.append(Harm(level="rewriting", direction="response", text=text, where=STATUS_LINE))
        out.proofs.append(Proof(direction="response", message=NAMES[out.step], sent="", arrived=as_text(answer.data)))
    found += _swallowed(ends, sents, sent_by_server, ours, out)
    if out.response is not None or not (out.arrived or out.answers):
        return
    finals = sum(is_final(record.data) for record in sent_by_server)
    if any(is_final(answer.data) for answer in ours):
        out.response = "rewritten" if found else "unchanged"
    elif finals and ends.answer_drop_is_proved(sents, finals):
        out.response = "lost"
        out.reason = f"{NAMES[out.step]}: none of {finals} answers came back, while {_control_tally(ends, back=True)}"
    else:
        out.response = "undecided"
        what = f"none of {finals} answers came back" if finals else "the server sent no answer"
        out.reason = out.reason or f"{NAMES[out.step]}: {what}; {_control_tally(ends, back=True)}"


def _read_answer(ends: BothEnds, sent: Sent, answer: Answer, records: Sequence[bytes], out: StepReading) -> list[Difference]:
    """One answer that our server wrote, beside the one it sent that is most like it."""
    original = authorship.original(answer.data, records)
    differences = list(compare(original, answer.data)) if original is not None else []
    if answer.source != ends.log.server:
        differences.append(datagrams.source_difference(ends.log.server, answer.source))
        text = f"answers come from {answer.source} instead of {ends.log.server}: many phones never see them"
        out.harms.append(Harm(level="inconsistent", direction="response", text=text, where=differences[-1].where))
    name = f"{status_of(original or answer.data) or 'answer'} to {NAMES[out.step]}"
    _add(out, "response", name, differences)
    if original is not None:
        out.harms += interference.response_harms(sent.request.data, original, answer.data, differences)
    if differences and not any(proof.direction == "response" for proof in out.proofs):
        out.proofs.append(Proof(direction="response", message=name, sent=as_text(original or b""), arrived=as_text(answer.data)))
    return differences


def _swallowed(
    ends: BothEnds, sents: Sequence[Sent], sent: Sequence[control.MirrorRecord], ours: Sequence[Answer], out: StepReading
) -> list[Difference]:
    """A7: a provisional response that never arrives though others do."""
    found = []
    arrived = {status_of(answer.data) for answer in ours}
    missing = {status for record in sent if not is_final(record.data) and (status := status_of(record.data)) is not None} - arrived
    if not any(is_final(answer.data) for answer in ours):
        return []
    for status in sorted(missing):
        copies = [record.data for record in sent if status_of(record.data) == status]
        if ends.answer_drop_is_proved(sents, len(copies)):
            found.append(Difference(STATUS_LINE, "removed", first_line_of(copies[0]), ""))
            missing.discard(status)
            effect = _SWALLOWED.get(status, "the caller is left in the dark")
            out.harms.append(Harm(level="rewriting", direction="response", text=f"{effect}: {status} is swallowed", where=STATUS_LINE))
    out.missing_statuses = frozenset(missing)
    _add(out, "response", NAMES[out.step], found)
    return found


def _read_without_account(sents: Sequence[Sent], out: StepReading, translated: bool) -> None:
    """The answers alone: they must repeat what was asked (RFC 3261 section 8.2.6.2). A difference proves an ALG, and seldom on which of the
    two ways; none proves nothing."""
    out.response = "undecided"
    for sent in sents:
        for answer in _distinct_answers(sent.answers):
            name = f"{status_of(answer.data) or 'answer'} to {NAMES[out.step]}"
            found = authorship.echo_differences(sent.request.data, answer.data)
            _add(out, None, name, found)
            if translated and (turned := authorship.turned_back(sent.request.data, answer.data, sent.local, answer.source)):
                found.append(turned)
                _add(out, "response", name, [turned])
                out.response = "rewritten"
            if found:
                out.harms += interference.response_harms(sent.request.data, None, answer.data, found)
                out.proofs.append(Proof(direction="response", message=name, sent="", arrived=as_text(answer.data)))


def read_probe(ends: BothEnds, method: str) -> SipProbe:
    """All steps of one method."""
    log = ends.log
    steps = [reading for step in FLOWS[method] if (reading := read_step(ends, step)) is not None]
    blank = SipProbe(transport=log.transport, server_port=log.server.port, method=method, request="undecided", response="undecided")
    if not steps:
        return msgspec.structs.replace(blank, reason="; ".join(log.errors) or "nothing could be sent")
    request = _worst([reading.request for reading in steps])
    response = _worst([reading.response for reading in steps if reading.response is not None])
    changes = list(_first_of_a_kind(change for reading in steps for change in reading.changes))
    made, _ = datagrams.doubled(ends)
    for reading in steps:
        if made is not None and reading.arrived is not None and reading.arrived > reading.copies:
            changes.append(as_change("request", NAMES[reading.step], made))
            break
    harms = tuple({(h.level, h.direction, h.text): h for reading in steps for h in reading.harms}.values())
    level = level_of(request, response, changes, harms)
    reasons = [reading.reason for reading in steps if reading.reason]
    if level == "none" and (suspicion := datagrams.unproved(ends)):
        level = None
        reasons.append(suspicion)
    return msgspec.structs.replace(
        blank,
        request=request,
        response=response,
        changes=tuple(changes),
        interference=level,
        harms=harms,
        reason="; ".join(reasons),
        messages=tuple(reading.facts() for reading in steps),
        proofs=tuple(_first_each_way(proof for reading in steps for proof in reading.proofs)),
    )


def _worst(states: Sequence[State]) -> State:
    order: tuple[State, ...] = ("answered-by-other", "lost", "rewritten", "undecided", "unchanged")
    return min(states, key=order.index, default="undecided")


def level_of(request: State, response: State, changes: Sequence[Change], harms: Sequence[Harm]) -> Level | None:
    if {"lost", "answered-by-other"} & {request, response}:
        return "destructive"
    differences = [Difference(change.where, change.action, change.sent, change.arrived) for change in changes]
    seen = interference.gravest([interference.base_level(differences), *(harm.level for harm in harms)])
    if seen == "none" and "undecided" in (request, response):
        return None
    return seen


def read_channel(ends: BothEnds) -> Channel:
    """The channel's own facts."""
    log = ends.log
    answered = any(sent.answers for sent in log.sent.values())
    arrived = bool(ends.received) or bool(ends.control_arrived)
    total = sum(sent.copies for sent in log.sent.values())
    sip_arrived = sum(len(records) for records in ends.received.values())
    dropped = None
    if ends.control_arrived is not None and ends.account.whole and (ends.control_arrived or sip_arrived):
        lost = max(0, total - sip_arrived)
        dropped = not ends.control_arrived and datagrams.is_doubtless(log.control_sent, log.control_sent, lost, total)
    return Channel(
        transport=log.transport,
        server_port=log.server.port,
        local=str(log.local) if log.local else None,
        server_saw=ends.sip_sources,
        control_saw=ends.control_sources,
        control_size=log.control_size,
        control_sent=log.control_sent,
        control_arrived=None if ends.control_arrived is None else len(ends.control_arrived),
        control_answered=None if ends.control_arrived is None else len(ends.control_answered),
        control_returned=len(log.control_returned),
        non_sip_dropped=dropped,
        offered=log.offered,
        not_tested=log.not_tested,
        silent=log.not_tested is None and not (answered or arrived or log.control_returned),
        errors=tuple(dict.fromkeys(log.errors)),
        certificate=control.fingerprint(log.certificate) if log.certificate else None,
    )


def _add(out: StepReading, direction: Direction | None, message: str, differences: Iterable[Difference]) -> None:
    known = {(change.direction, change.where, change.action) for change in out.changes}
    out.changes += [as_change(direction, message, d) for d in differences if (direction, d.where, d.action) not in known]


def as_change(direction: Direction | None, message: str, difference: Difference) -> Change:
    """A difference, with the message and the way on which it was seen."""
    return Change(
        direction=direction,
        where=difference.where,
        action=difference.action,
        sent=difference.sent,
        arrived=difference.arrived,
        message=message,
    )


def _first_of_a_kind(changes: Iterable[Change]) -> Iterator[Change]:
    """Each kind of change once, with the first message that shows it; of that message all."""
    shown: dict[tuple[Direction | None, str, str], str] = {}
    for change in changes:
        if shown.setdefault((change.direction, change.where, change.action), change.message) == change.message:
            yield change


def _first_each_way(proofs: Iterable[Proof]) -> Iterator[Proof]:
    shown = set()
    for proof in proofs:
        if proof.direction not in shown:
            shown.add(proof.direction)
            yield proof


def _distinct(records: Iterable[control.MirrorRecord]) -> list[control.MirrorRecord]:
    return list({record.data: record for record in records}.values())


def _distinct_answers(answers: Iterable[Answer]) -> list[Answer]:
    return list(dict.fromkeys(answers))


def _control_tally(ends: BothEnds, *, back: bool = False) -> str:
    log = ends.log
    if ends.alike_are_dropped_back if back else ends.alike_are_dropped:
        told = "of datagrams that are the same no more than one passes, SIP or not"
        return f"{told}: copies are dropped for being alike, or what is over a rate, or all of a flow that has had SIP"
    kind = "non-SIP datagrams" if log.transport == "udp" else "non-SIP connections"
    if back:
        return f"{len(log.control_returned)} of {len(ends.control_answered)} {kind} of {log.control_size} bytes came back"
    arrived = "an unknown number" if ends.control_arrived is None else str(len(ends.control_arrived))
    return f"{arrived} of {log.control_sent} {kind} of {log.control_size} bytes arrived"


def as_text(data: bytes) -> str:
    """Text with its line ends; ``base64:...`` where it is no UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(data).decode()
