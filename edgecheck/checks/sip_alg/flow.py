"""What is sent next: a flow of one method as a state machine without a clock or a socket."""

from edgecheck.checks.sip_alg import messages
from edgecheck.checks.sip_alg.log import Answer, ChannelLog, Sent, status_of
from edgecheck.checks.sip_alg.messages import Caller, Request, Step
from edgecheck.wire import probe, sip
from edgecheck.wire.errors import WireError

COPIES_OF_ACK = 2
"""Nobody answers an ACK, so nothing tells that it was lost; two cost nothing."""


class Flow:
    """One method from one socket, from its first request to the last answer."""

    def __init__(self, caller: Caller, method: str, log: ChannelLog, *, hold: bool = False) -> None:
        """``hold``: the registration and the call are kept up until ``release``."""
        self.caller = caller
        self.method = method
        self.pending: list[Sent] = []
        """Requests to which no final answer has come; an ACK is none of them."""
        self.acks: list[Sent] = []
        self._log = log
        self._hold = hold
        self._held: list[Request] = []

    def begin(self) -> None:
        make = {"OPTIONS": messages.options, "REGISTER": messages.register, "INVITE": messages.invite}[self.method]
        self._queue(make(self.caller))

    def owns(self, sent: Sent) -> bool:
        """Whether this request is one of this flow's."""
        return messages.FLOW_OF[sent.request.step] == self.method and messages.split_item(sent.request.item)[1] == self.caller.attempt

    def release(self) -> None:
        """What was kept up is ended now: UNREGISTER, BYE."""
        for request in self._held:
            self._queue(request)
        self._held.clear()

    def _queue_last(self, request: Request) -> None:
        if self._hold:
            self._held.append(request)
        else:
            self._queue(request)

    def _queue(self, request: Request) -> None:
        sent = self._log.sent[request.item] = Sent(request, self.caller.local)
        (self.pending if request.expects_answer else self.acks).append(sent)

    def take(self, sent: Sent, answer: Answer) -> None:
        """Note an answer and go on where it is the first final one."""
        first = not sent.answered
        if len(sent.answers) < _MOST_ANSWERS or not sent.answered:
            sent.answers.append(answer)
        if not (first and sent.answered):
            return
        if sent in self.pending:
            self.pending.remove(sent)
        status = status_of(answer.data) or 0
        step = sent.request.step
        if step is Step.REGISTER and status == 401:
            self._queue(messages.register(self.caller, Step.AUTHORIZED, _challenge(answer.data)))
        elif step is Step.AUTHORIZED and 200 <= status < 300:
            challenge = _challenge(next((known.data for known in self._answers(Step.REGISTER)), b""))
            self._queue_last(messages.register(self.caller, Step.UNREGISTER, challenge))
        elif step is Step.INVITE and 200 <= status < 300:
            self._queue(messages.within_dialog(self.caller, Step.ACK, answer.data))
            self._queue_last(messages.within_dialog(self.caller, Step.BYE, answer.data))

    def _answers(self, step: Step) -> list[Answer]:
        sent = self._log.sent.get(messages.item(self.caller.channel, self.caller.attempt, step))
        return sent.answers if sent else []


_MOST_ANSWERS = 64
"""A loop on the path must not fill our memory."""


def _challenge(answer: bytes) -> str | None:
    try:
        return sip.parse_datagram(answer).get("WWW-Authenticate")
    except WireError:
        return None


def control_probe(caller: Caller, copy: int, size: int, step: Step = Step.CONTROL) -> tuple[int, bytes]:
    """The item and the bytes of one non-SIP control."""
    item = messages.item(caller.channel, copy % messages.MOST_ATTEMPTS, step)
    asked = probe.Probe(probe.Kind.ECHO, caller.session, caller.series, item, copy % 256, caller.local.port)
    return item, probe.serialize(asked, size)


def returned_control(data: bytes, caller: Caller) -> int | None:
    """The item of a control that came back; None for anything else."""
    try:
        told = probe.parse(data)
    except WireError:
        return None
    ours = told.kind is probe.Kind.ECHOED and told.session == caller.session and told.series == caller.series
    return told.item if ours else None
