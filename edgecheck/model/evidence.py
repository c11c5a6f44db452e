"""What both ends saw of one question put on the wire."""

import math

import msgspec


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The server's own account of one exchange. ``None`` in its place means that no receipt could be had."""

    arrived: int
    """Copies of the question that reached the server."""
    sent: int
    """Copies of the answer (or of an unsolicited probe) that left the server."""
    source: str | None = None
    """Where the question came from, as the server saw it: ``ip:port``."""


class Answered(msgspec.Struct, frozen=True, kw_only=True, tag="answered"):
    """An answer with the right transaction arrived."""

    source: str
    """Where the answer came from, ``ip:port``: compared with where it should have come from."""
    mapped: str | None
    """XOR-MAPPED-ADDRESS or MAPPED-ADDRESS, ``ip:port``."""
    rtt_ms: float
    copies: int = 1
    other_address: str | None = None
    """OTHER-ADDRESS (RFC 5780) or CHANGED-ADDRESS (RFC 3489)."""
    error: int | None = None
    """STUN error code, 420 and the like."""


class Silent(msgspec.Struct, frozen=True, kw_only=True, tag="silent"):
    """Nothing arrived in the time given."""

    waited_ms: float


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The system or the path refused: an ICMP error or a local error."""

    operation: str
    """``send``, ``connect``, ``receive``."""
    reason: str
    """Words: the errno's text."""
    offender: str | None = None
    """Who sent the ICMP, where the platform tells."""


Outcome = Answered | Silent | Failed


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One question and what both ends saw of it."""

    question: str
    """``STUN Binding``, ``STUN Binding CHANGE-REQUEST ip port``, ``probe from B1``."""
    local: str
    """``ip:port`` it was sent from or expected on."""
    remote: str
    """``ip:port`` it was sent to or expected from."""
    copies: int
    """Copies sent by this end."""
    outcome: Outcome
    receipt: Receipt | None = None


WRONG_BY_CHANCE = 1e-5
"""Highest chance, at the loss just measured, that random loss alone explains a silence on which a verdict rests."""


def chance_at_worst(control_arrived: int, control_sent: int, copies: int) -> float:
    """The chance that all ``copies`` of a probe were lost at random, at the worst loss that still goes with what a control met.

    Every loss is weighed by how well it explains the control (its likelihood beside that of the best), and the worst product counts: five
    controls that all arrived do not rule out a line that loses half, and the loss that fits them best is too sure. The control must have
    met what the probe meets: where that needs an answer, so does each control. 1.0 when nothing is known.
    """
    if control_arrived <= 0 or copies <= 0:
        return 1.0
    missed = max(0, control_sent - control_arrived)
    return math.exp(_likeliest(missed + copies, control_arrived) - _likeliest(missed, control_arrived))


def loss_is_excluded(control_arrived: int, control_sent: int, copies: int, *, among: int = 1) -> bool:
    """Whether random loss no longer explains that all ``copies`` of a probe stayed without a sign.

    ``among``: silences that one measurement weighs so. Each has its chance to be taken for proved, so each must be the less likely.
    """
    return chance_at_worst(control_arrived, control_sent, copies) * max(1, among) < WRONG_BY_CHANCE


def _likeliest(lost: int, arrived: int) -> float:
    """The logarithm of the chance of such a series at the loss that fits it best."""
    loss = lost / (lost + arrived)
    return (lost * math.log(loss) if lost else 0.0) + arrived * math.log1p(-loss)
