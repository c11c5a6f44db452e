"""What is said of a command that was stopped at once: whether anything had been sent by then is what a person wants to know."""

from collections.abc import Sequence

_MEASURE = ("run", "alg", "register", "stun", "watch")
"""Commands that measure a network."""
_begun = False


def begin() -> None:
    """From now on packets are sent."""
    global _begun
    _begun = True


def sentence(arguments: Sequence[str]) -> str:
    """For the command of this line; ``begin`` is forgotten."""
    global _begun
    begun, _begun = _begun, False
    if arguments[:1] and arguments[0] in _MEASURE and not begun:
        return "Stopped before anything was sent: nothing is known of this network yet."
    return "Stopped at once; nothing is reported."
