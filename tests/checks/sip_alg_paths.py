"""The whole check through a path that reads SIP, on a virtual clock: one run, and what each of the laboratory's mutations leads to."""

import asyncio
from typing import NamedTuple

from edgecheck.checks.sip_alg import CHECK
from edgecheck.checks.sip_alg.observation import Pinhole, SipAlgObservation, SipProbe
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict, worst
from tests.fakes import clock
from tests.fakes.sip_path import Deed, Reader, SipPath
from tests.lab import alg
from tests.lab.alg import Fate

PROFILE = Profile(name="test", title="", source="", confidence="verified", checks=())
OTHERS = {"TCP 5060", "TLS 5061", "UDP 5080", "TCP 5080"}
ALL = {"UDP 5060", *OTHERS}


class Run(NamedTuple):
    """What came of one run."""

    seen: SipAlgObservation
    findings: tuple[Finding, ...]
    seconds: float
    """Virtual ones."""

    @property
    def verdict(self) -> Verdict:
        return worst([finding.verdict for finding in self.findings])

    def finding(self, subject: str) -> Finding:
        (found,) = [finding for finding in self.findings if subject in finding.subject.split(", ")]
        return found

    def probe(self, method: str, transport: str = "udp", port: int = 5060) -> SipProbe:
        (found,) = [p for p in self.seen.probes if (p.transport, p.server_port, p.method) == (transport, port, method)]
        return found

    def causes(self, subject: str) -> set[str]:
        return {finding.id for finding in self.findings if subject in finding.subject.split(", ")}

    def incoming(self, method: str, port: int = 5060) -> SipProbe:
        (found,) = [row for row in self.seen.incoming if (row.server_port, row.method) == (port, f"incoming {method}")]
        return found

    def pinhole(self, opened_by: str, port: int = 5060) -> Pinhole:
        (found,) = [row for row in self.seen.pinholes if (row.server_port, row.opened_by) == (port, opened_by)]
        return found

    def changes(self, transport: str = "udp", port: int = 5060) -> set[tuple[str, str, str]]:
        return {(c.direction, c.where, c.action) for p in self.seen.probes if (p.transport, p.server_port) == (transport, port) for c in p.changes}


def go(path: SipPath) -> Run:
    async def work() -> tuple[SipAlgObservation, float]:
        seen = await CHECK.probe(path.network(), PROFILE)
        return seen, asyncio.get_running_loop().time()

    seen, seconds = clock.run(work())
    return Run(seen, CHECK.judge(seen, PROFILE), seconds)


def through(deed: Deed, **reader: frozenset[int] | frozenset[str]) -> Run:
    return go(SipPath(Reader(deed=deed, **reader)))  # type: ignore[arg-type]


def method(data: bytes) -> str:
    """Of a request; empty for all else."""
    return alg.method(data) if alg.is_sip(data) else ""


def replace_all(direction: str, data: bytes, edge: alg.Edge) -> Fate:
    """An ALG that does it well: every address out, every address back, lengths right."""
    if not alg.is_sip(data):
        return Fate((data,))
    return Fate((alg.recount((alg.to_public if direction == "out" else alg.to_private)(data, edge)),))


REQUEST, RESPONSE = "request", "response"
REWRITTEN, REMOVED, ADDED, REORDERED, REFORMATTED = "rewritten", "removed", "added", "reordered", "reformatted"
LENGTH = (REQUEST, "Content-Length", REWRITTEN)
NONE, HARMLESS, REWRITING, INCONSISTENT, DESTRUCTIVE = "none", "harmless", "rewriting", "inconsistent", "destructive"
Changes = set[tuple[str, str, str]]

MUTATIONS: dict[str, tuple[str, str, Changes]] = {
    "R1": (INCONSISTENT, "inconsistent", {(REQUEST, "Via", REWRITTEN)}),
    "R1-again": (INCONSISTENT, "inconsistent", {(REQUEST, "Via", REWRITTEN)}),
    "R2": (INCONSISTENT, "inconsistent", {(REQUEST, "Via", ADDED), (REQUEST, "Max-Forwards", REWRITTEN)}),
    "R3": (INCONSISTENT, "inconsistent", {(REQUEST, "Via", REWRITTEN)}),
    "R4": (INCONSISTENT, "inconsistent", {(REQUEST, "Via", REWRITTEN)}),
    "R4-filled": (REWRITING, "rewritten", {(REQUEST, "Via", REWRITTEN)}),
    "R5": (INCONSISTENT, "inconsistent", {(REQUEST, "Contact", REWRITTEN)}),
    "R5-port": (INCONSISTENT, "inconsistent", {(REQUEST, "Contact", REWRITTEN)}),
    "R5-parameters": (REWRITING, "rewritten", {(REQUEST, "Contact", REWRITTEN)}),
    "R6": (INCONSISTENT, "inconsistent", {(REQUEST, "Request-URI", REWRITTEN), (REQUEST, "From", REWRITTEN)}),
    "R7": (INCONSISTENT, "inconsistent", {(REQUEST, "Call-ID", REWRITTEN)}),
    "R8": (INCONSISTENT, "inconsistent", {(REQUEST, "From", REWRITTEN), (REQUEST, "CSeq", REWRITTEN)}),
    "R9": (REWRITING, "rewritten", {(REQUEST, "Record-Route", ADDED)}),
    "R9-hidden": (REWRITING, "rewritten", {(REQUEST, name, REMOVED) for name in ("User-Agent", "Supported", "Allow")}),
    "R10": (REWRITING, "rewritten", {(REQUEST, "sdp o=", REWRITTEN), (REQUEST, "sdp c=", REWRITTEN), LENGTH}),
    "R10-origin": (INCONSISTENT, "inconsistent", {(REQUEST, "sdp o=", REWRITTEN), LENGTH}),
    "R11": (REWRITING, "rewritten", {(REQUEST, "sdp m=", REWRITTEN)}),
    "R11-zero": (DESTRUCTIVE, "destroyed", {(REQUEST, "sdp m=", REWRITTEN), LENGTH}),
    "R12": (REWRITING, "rewritten", {(REQUEST, "sdp a=rtcp", REMOVED), (REQUEST, "sdp a=candidate", REMOVED), LENGTH}),
    "R13": (INCONSISTENT, "inconsistent", {(REQUEST, "sdp o=", REWRITTEN), (REQUEST, "sdp c=", REWRITTEN)}),
    "R13-padded": (HARMLESS, "harmless", {(REQUEST, "Content-Length", REFORMATTED)}),
    "R13-missing": (REWRITING, "rewritten", {(REQUEST, "Content-Length", REMOVED)}),
    "R13-cut": (DESTRUCTIVE, "destroyed", {(REQUEST, "body", REFORMATTED)}),
    "R14": (INCONSISTENT, "inconsistent", {(REQUEST, "Content-Type", REWRITTEN)}),
    "R15": (HARMLESS, "harmless", {(REQUEST, "Supported", REFORMATTED), (REQUEST, "Max-Forwards", REFORMATTED)}),
    "R15-order": (HARMLESS, "harmless", {(REQUEST, "CSeq", REORDERED)}),
    "R16": (DESTRUCTIVE, "destroyed", set()),
    "R16-all": (DESTRUCTIVE, "destroyed", set()),
    "R17": (HARMLESS, "only-sip-passes", set()),
    "R18": (NONE, "none", set()),  # fragments; our probes need none
    "R19": (REWRITING, "rewritten", {(REQUEST, "source port", REWRITTEN)}),
    "R21": (DESTRUCTIVE, "answered-by-other", set()),
    "R22": (NONE, "none", set()),  # TTL and DSCP do not reach this far
    "R23": (HARMLESS, "harmless", {(REQUEST, "retransmissions", ADDED)}),
    "R23-absorbed": (REWRITING, "rewritten", {(RESPONSE, "Status-Line", ADDED)}),
    "A1": (REWRITING, "rewritten", {(RESPONSE, "Via", REWRITTEN)}),
    "A2": (NONE, "none", set()),  # turns back what another mutation made public: nothing to turn here
    "A2-contact": (REWRITING, "rewritten", {(RESPONSE, "Contact", REWRITTEN)}),
    "A3": (REWRITING, "rewritten", {(RESPONSE, "sdp c=", REWRITTEN), (RESPONSE, "Content-Length", REWRITTEN)}),
    "A4": (REWRITING, "rewritten", {(RESPONSE, "Contact", REWRITTEN)}),
    "A5": (DESTRUCTIVE, "destroyed", {(RESPONSE, "Status-Line", REWRITTEN)}),
    "A5-busy": (DESTRUCTIVE, "answered-by-other", set()),
    "A6": (INCONSISTENT, "inconsistent", {(RESPONSE, "source port", REWRITTEN)}),
    "A7": (DESTRUCTIVE, "destroyed", set()),
    "A7-provisional": (REWRITING, "rewritten", {(RESPONSE, "Status-Line", REMOVED)}),
    "A8": (NONE, "none", set()),  # the server sends no requests of its own here
    "A9": (NONE, "none", set()),  # no answer's body holds our public address
    "A10": (DESTRUCTIVE, "destroyed", set()),
}
"""By the laboratory's ids: what one ALG on UDP 5060 leads to."""
