"""What differs between two reports: what ``edgecheck compare`` tells, and ``--json`` writes for it."""

from enum import StrEnum

import msgspec

from edgecheck.model.verdict import Verdict

SCHEMA = "edgecheck.comparison/1"


class Kind(StrEnum):
    """Which way something went."""

    WORSE = "worse"
    BETTER = "better"
    DIFFERENT = "different"
    """Changed, and neither better nor worse for calls by itself: another public address, another router."""
    NOT_COMPARED = "not-compared"
    """Told in one report only, or undecided in one of them: no change is claimed."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it was, or could not be compared."""

    kind: Kind
    check: str
    """The check's id; ``run`` for what concerns the whole run."""
    subject: str
    """``UDP 5060``, ``RTP inbound``, ``mapping``."""
    summary: str
    """One plain sentence."""
    before: str = ""
    """As the earlier report has it, in words."""
    after: str = ""
    cause: str = ""
    """What the change looks like, where it looks like something: "the new rule ends at 11999"."""
    required: bool = True
    """False: worse for something that the profile calls optional."""


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two reports, as far as a reader needs it to know which is which."""

    started_at: str
    verdict: Verdict
    headline: str
    server: str | None
    profile: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two reports compared."""

    schema: str = SCHEMA
    verdict: Verdict
    """``fail``: something required got worse; ``warn``: something optional did; ``inconclusive``: nothing did, but something could not be
    compared; else ``pass``."""
    headline: str
    before: Side
    after: Side
    changes: tuple[Change, ...]
    """Gravest first."""

    def of(self, kind: Kind) -> tuple[Change, ...]:
        """The changes of one kind."""
        return tuple(change for change in self.changes if change.kind is kind)
