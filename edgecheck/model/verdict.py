"""Verdicts, findings and the report: what ``--json`` writes and ``explain`` reads back."""

from enum import StrEnum
from typing import Any

import msgspec

from edgecheck.model.router import RouterName

SCHEMA = "edgecheck.report/1"


class Verdict(StrEnum):
    """Four answers and one non-answer. A lost packet may turn a verdict into INCONCLUSIVE, never into a wrong PASS or FAIL."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    WARN = "warn"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    """Tried, could not tell."""
    SKIPPED = "skipped"
    """Not tried, and the finding says why."""


_GRAVITY = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WARN, Verdict.PASS)


def worst(verdicts: "list[Verdict] | tuple[Verdict, ...]") -> Verdict:
    """The verdict of the whole: fail, else inconclusive, else warn, else pass; SKIPPED only when nothing was tried."""
    for verdict in _GRAVITY:
        if verdict in verdicts:
            return verdict
    return Verdict.SKIPPED


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was found out, with its proof."""

    id: str
    """``CHECK.CAUSE``: stable, lower case, hyphens."""
    verdict: Verdict
    subject: str
    """What it is about: ``UDP 5060``, ``10000-11999``, ``mapping``."""
    summary: str
    """One plain sentence."""
    expected: str = ""
    observed: str = ""
    evidence: tuple[str, ...] = ()
    """Sentences of fact: what was sent, what both ends saw, when. Never empty for PASS, WARN or FAIL."""
    remedies: tuple[str, ...] = ()
    """What to do, most likely first; filled by the diagnosis."""
    reference: str = ""
    """``RFC 4787 section 5``."""


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one check observed and what follows from it."""

    id: str
    verdict: Verdict
    summary: str
    """One plain sentence."""
    duration_s: float
    observation: dict[str, Any] | None = None
    """Facts only; ``None`` when the check was not tried."""
    findings: tuple[Finding, ...] = ()
    fault: str | None = None
    """A traceback: the check failed through a fault of edgecheck."""
    cut_short: str | None = None
    """Why the check was not finished, a clause; ``observation`` is what was known by then. ``None``: it was finished, or not begun."""


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    protocol: int


class ServerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The echo server as the session found it."""

    address: str
    alternate: str | None = None
    version: str = ""
    capabilities: tuple[str, ...] = ()
    limits: dict[str, Any] = {}


class ClientFacts(msgspec.Struct, frozen=True, kw_only=True):
    """This machine."""

    source: str | None = None
    """Local address that the checks used."""
    interfaces: tuple[dict[str, Any], ...] = ()
    """``{"name": "eth0", "addresses": ["192.168.1.20"], "networks": ["192.168.1.0/24"]}``"""
    gateway: str | None = None
    platform: str = ""
    public_address: str | None = None
    """IP address from which the server saw this machine; None: no session, or another box answered in its place."""
    router: RouterName | None = None
    """The default router, where it told its name before the checks were through."""


class SettingsPart(msgspec.Struct, frozen=True, kw_only=True):
    """Lines for one place of a PBX's configuration."""

    where: str
    """``pjsip.conf``; ``admin console, Advanced > Network``."""
    text: str
    """Ready to paste: each line ends with a line feed."""


class PbxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What this edge calls for in a PBX; only what was measured stands there as a setting, the rest as a comment."""

    pbx: str
    """``asterisk``, ``freepbx``, ``freeswitch``, ``fusionpbx``, ``kamailio``, ``3cx``."""
    title: str
    parts: tuple[SettingsPart, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run, whole."""

    schema: str = SCHEMA
    tool: Tool
    started_at: str
    """ISO 8601, UTC, ``Z``."""
    duration_s: float
    settings: dict[str, Any]
    """What was asked for: the profile in full, the checks, pace, family; never a secret."""
    server: ServerFacts | None
    client: ClientFacts
    verdict: Verdict
    headline: str
    """First line for the person on the phone: the gravest thing and its cause, in one sentence."""
    headline_of: str | None = None
    """Id of the finding that the first line is about, of several the first; None = of no trouble."""
    checks: tuple[CheckResult, ...]
    advice: tuple[str, ...] = ()
    """What to do, in order; from the diagnosis."""
    settings_for_pbx: tuple[PbxSettings, ...] = ()
    """For the PBX that the profile names; empty where it names none or the public side was not seen."""
    notes: tuple[str, ...] = ()
    """Limits of the run itself: interrupted, only this machine checked, one address only."""
