"""What ``nat-behavior`` observes: who was asked, what they saw, and what that comes to."""

import msgspec

from edgecheck.checks.unsolicited import FilterEvidence
from edgecheck.model.check import Observation
from edgecheck.model.evidence import Answered, Exchange


class Mapping(msgspec.Struct, frozen=True, kw_only=True):
    """The mapped endpoint that one destination saw."""

    local: str
    remote: str
    mapped: str
    """``ip:port``"""


def mapping_row(exchange: Exchange) -> Mapping | None:
    """The mapped endpoint of an answered exchange; an answer from elsewhere than asked is none."""
    outcome = exchange.outcome
    if not isinstance(outcome, Answered) or outcome.mapped is None or outcome.source != exchange.remote:
        return None
    return Mapping(local=exchange.local, remote=exchange.remote, mapped=outcome.mapped)


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Copies sent to one UDP port of the server, and how many it received by its own account."""

    port: int
    copies: int
    arrived: int | None
    """None = no receipt."""
    answered: bool
    reached_by_others: bool | None = None
    """Whether other clients' packets have reached this port: then the server's own side is open. None = no receipt."""


class NatObservation(Observation, frozen=True, kw_only=True):
    """Facts of ``nat-behavior``; ``None`` = could not tell, and ``reasons`` says why."""

    local_address: str | None = None
    mapped_address: str | None = None
    """``ip:port``"""
    behind_nat: bool | None = None
    mapping: str | None = None
    filtering: str | None = None
    hairpinning: bool | None = None
    classic_type: str | None = None
    pooling: str | None = None
    """RFC 4787 section 4.1: ``paired`` or ``arbitrary``."""
    mappings: tuple[Mapping, ...] = ()
    filter_test: FilterEvidence | None = None
    filter_exchanges: tuple[Exchange, ...] = ()
    """By a foreign server, which sends nothing unasked: the requests on which ``filtering`` rests, in their order."""
    hairpin_copies: int = 0
    """Copies sent each way between two own mapped endpoints."""
    reach: tuple[Reach, ...] = ()
    """Told when no STUN answer came at all: which UDP ports of the server were reached."""
    udp_blocked: bool | None = None
    """True: out or back in, see ``reach``."""
    unanswered: tuple[Exchange, ...] = ()
    reasons: dict[str, str] = {}
    """Field -> why it is None."""
