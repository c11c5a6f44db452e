"""What a check has by now, should it be cut short: the server gone, the time over, Ctrl-C.

A probe ``leave``s a draft as soon as it has something, and again when it has more: a function that makes the observation out of what is
known at the moment it is called, given why the rest is missing. What was not asked by then is None in it, or undecided, for that reason;
silence that was still being weighed against its control is no fact yet. Whoever runs the probe ``keep``s a place for the draft: outside of
one nothing is left.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from edgecheck.model.check import Observation

Draft = Callable[[str], Observation]
"""Why the rest is missing, a clause -> what is known."""


class Place:
    """Where a probe, and every task that it starts, leaves its draft."""

    draft: Draft | None = None
    """The latest; None = nothing was known yet."""


_PLACE: ContextVar[Place | None] = ContextVar("where the draft is left", default=None)


def leave(draft: Draft) -> None:
    """Take the place of the draft left before."""
    place = _PLACE.get()
    if place is not None:
        place.draft = draft


@contextmanager
def keep() -> Iterator[Place]:
    """A place for one check's draft, for as long as its probe runs."""
    place = Place()
    token = _PLACE.set(place)
    try:
        yield place
    finally:
        _PLACE.reset(token)
