"""What is known about findings and routers: data files beside this one, read once, when they are needed.

A statement that nobody could confirm is never shown as a fact: every router carries its confidence, and ``told`` says so.
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

_FOLDER = Path(__file__).parent


class Explanation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The page of one finding."""

    title: str
    means: str
    matters: str
    """For calls."""
    proved: str
    """How it was found out."""
    do: tuple[str, ...]
    """Most likely first."""
    reference: str = ""


class Router(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one vendor's SIP ALG is switched off."""

    vendor: str
    steps: tuple[str, ...]
    source: str
    confidence: Literal["verified", "vendor", "secondary", "unverified"]
    switch: bool = True
    """False: there is no such setting, and nobody should go on looking for it."""
    after: str = ""
    unverified: str = ""
    """Which part nobody could confirm, where only a part."""
    short: str = ""
    """The few words told in the report while the router's make is unknown; most rows have none."""


class _Routers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    general: tuple[str, ...]
    router: tuple[Router, ...]


@cache
def explanations() -> dict[str, Explanation]:
    """Every page by finding id; ``*.fault`` and ``*.skipped`` hold for every check."""
    return msgspec.convert(tomllib.loads((_FOLDER / "explanations.toml").read_text("utf-8")), dict[str, Explanation])


def explanation(finding_id: str) -> Explanation | None:
    """The page of a finding."""
    pages = explanations()
    return pages.get(finding_id) or pages.get(f"*.{finding_id.partition('.')[2]}")


@cache
def _routers() -> _Routers:
    return msgspec.convert(tomllib.loads((_FOLDER / "routers.toml").read_text("utf-8")), _Routers)


def routers() -> tuple[Router, ...]:
    """Every vendor, in alphabetical order, the internet providers' own boxes last."""
    return _routers().router


def aftercare() -> tuple[str, ...]:
    """What to do after any such change."""
    return _routers().general
