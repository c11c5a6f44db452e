"""What ``port-preservation`` observes: each port, and what the server saw of it."""

from typing import Literal

import msgspec

from edgecheck.model.check import Observation


class PortRow(msgspec.Struct, frozen=True, kw_only=True):
    """One local port and what the server saw of it."""

    transport: Literal["udp", "tcp"]
    local: int
    mapped: int | None
    """None = could not tell, see ``reason``."""
    signaling: bool = False
    reason: str = ""
    in_use: bool = False
    """A program of this machine holds it: not borrowed, and so not asked."""
    owner: str | None = None
    """That program; None: nobody does, or it cannot be told."""


class PreservationObservation(Observation, frozen=True, kw_only=True):
    """Facts of ``port-preservation``."""

    tested: int
    """Ports that got an answer."""
    preserved: int
    ports: tuple[PortRow, ...]
    """In the order in which they were sent."""
    allocation: str | None
    """``preserved``, ``sequential``, ``random``, ``parity``; None = could not tell."""
    parity_kept: bool | None
    """Whether even stays even and odd stays odd (RFC 4787 section 4.2.2)."""
    remote: str
    """Who was asked."""
    fresh: tuple[PortRow, ...] = ()
    """UDP ports that had sent nothing before, asked one after the other: their mappings are new, so their order shows the rule."""
