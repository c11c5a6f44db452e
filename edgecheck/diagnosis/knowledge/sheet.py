"""The verdict sheet of registrations: causes in order, the first thing to check, and where PBXs and phones have the setting.

Rows stand in ``registration.toml``, one a finding of the check ``registration``.
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

_FILE = Path(__file__).parent / "registration.toml"
Platform = Literal["pjsip", "chan_sip", "freepbx", "freeswitch", "kamailio", "threecx", "phone"]


class Program(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A PBX, or phones in general."""

    title: str
    source: str
    """Where its settings were read."""
    confidence: Literal["verified", "vendor", "secondary", "unverified"]


class Topic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that is set, and where each program has it."""

    title: str
    pjsip: tuple[str, ...]
    chan_sip: tuple[str, ...]
    freepbx: tuple[str, ...]
    freeswitch: tuple[str, ...]
    kamailio: tuple[str, ...]
    threecx: tuple[str, ...]
    phone: tuple[str, ...]

    def lines(self, program: Program) -> tuple[str, ...]:
        """This program's settings."""
        name = next(name for name, each in _sheet().sources.items() if each is program)
        lines: tuple[str, ...] = getattr(self, name)
        return lines


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One outcome of a registration."""

    id: str
    """Cause: the finding is ``registration.`` and this."""
    title: str
    means: str
    matters: str
    proved: str
    """Which evidence was looked at."""
    causes: tuple[str, ...]
    """Most likely first; empty where nothing is wrong."""
    first: str
    """The first thing to check."""
    do: tuple[str, ...]
    """After that."""
    settings: tuple[str, ...]
    codes: tuple[int, ...] = ()
    """SIP answers that lead here."""
    reference: str = ""

    @property
    def finding_id(self) -> str:
        """``registration.forbidden``."""
        return f"registration.{self.id}"

    def topics(self) -> tuple[Topic, ...]:
        """What is set where."""
        return tuple(_sheet().settings[name] for name in self.settings)


class _Sheet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    sources: dict[Platform, Program]
    settings: dict[str, Topic]
    row: tuple[Row, ...]


@cache
def _sheet() -> _Sheet:
    return msgspec.convert(tomllib.loads(_FILE.read_text("utf-8")), _Sheet)


def rows() -> tuple[Row, ...]:
    """Every row, in the order of the sheet."""
    return _sheet().row


def row(finding_id: str) -> Row | None:
    """The row of a finding."""
    return next((each for each in rows() if each.finding_id == finding_id), None)


def topics() -> tuple[Topic, ...]:
    """Everything that is set somewhere."""
    return tuple(_sheet().settings.values())


def programs() -> tuple[Program, ...]:
    """In the order in which they are told."""
    return tuple(_sheet().sources.values())
