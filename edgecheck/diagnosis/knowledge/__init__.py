"""What is known about findings and routers: data files beside this one, read once, when they are needed.

A statement that nobody could confirm is never shown as a fact: every router carries its confidence, and ``told`` says so.
"""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from edgecheck.diagnosis.knowledge import sheet

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


Confidence = Literal["verified", "vendor", "secondary", "unverified"]
Topic = Literal["forwarding", "static_port", "udp_timeout"]


class Setting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one thing is set, other than the ALG."""

    steps: tuple[str, ...]
    source: str
    confidence: Confidence

    def told(self) -> str:
        """The steps in a row, marked where nobody could confirm them."""
        return " ".join(self.steps).rstrip(".") + (" (unverified)" if self.confidence == "unverified" else "")


class Router(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one vendor's SIP ALG is switched off, and where its other settings for calls are."""

    vendor: str
    steps: tuple[str, ...]
    source: str
    confidence: Confidence
    switch: bool = True
    """False: there is no such setting, and nobody should go on looking for it."""
    after: str = ""
    unverified: str = ""
    """Which part nobody could confirm, where only a part."""
    short: str = ""
    """The few words told in the report while the router's make is unknown; most rows have none."""
    match: tuple[str, ...] = ()
    """Patterns for the name that the router gives itself."""
    forwarding: Setting | None = None
    static_port: Setting | None = None
    """Source ports kept."""
    udp_timeout: Setting | None = None

    def setting(self, topic: Topic) -> Setting | None:
        """What is known of this topic."""
        return {"forwarding": self.forwarding, "static_port": self.static_port, "udp_timeout": self.udp_timeout}[topic]

    def told(self) -> str:
        """The ALG's steps in a row, marked where nobody could confirm them, or only a part."""
        text = "; ".join(step.strip().rstrip(".") for step in self.steps)
        doubt = "unverified" if self.confidence == "unverified" else f"unverified: {self.unverified}" if self.unverified else ""
        return text + (f" ({doubt})" if doubt else "") + (f". {self.after.rstrip('.')}" if self.after else "")



class _Routers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    general: tuple[str, ...]
    router: tuple[Router, ...]


@cache
def explanations() -> dict[str, Explanation]:
    """Every page by finding id; ``*.fault``, ``*.skipped`` and ``*.cut-short`` hold for every check."""
    pages = msgspec.convert(tomllib.loads((_FOLDER / "explanations.toml").read_text("utf-8")), dict[str, Explanation])
    for row in sheet.rows():
        pages[row.finding_id] = Explanation(
            title=row.title,
            means=row.means,
            matters=row.matters,
            proved=row.proved,
            do=(row.first, *row.do),
            reference=row.reference,
        )
    return pages


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


def routers_named(name: str) -> tuple[Router, ...]:
    """The rows for a router that calls itself so (``NETGEAR, Inc. R7000``); none where no row fits, several where the name fits several
    product lines of one vendor alike."""
    longest: dict[str, int] = {}
    for router in routers():
        lengths = [len(found[0]) for pattern in router.match if (found := re.search(pattern, name, re.IGNORECASE))]
        if lengths:
            longest[router.vendor] = max(lengths)
    best = max(longest.values(), default=0)
    return tuple(router for router in routers() if longest.get(router.vendor) == best)
