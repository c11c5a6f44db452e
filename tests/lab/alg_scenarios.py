"""What ``sip-alg`` is to say of each mutation of the user-space ALG, on UDP to the SIP port; the control port beside it always stays clean.

Written from the lists of what ALGs do (R1-R23, A1-A10) and the contract's words, never from what edgecheck said.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.lab.expectation import Includes, one_of

HARMFUL = one_of("rewriting", "inconsistent", "destructive")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One mutation (or a pair that belongs together) and what is to be observed."""

    mutations: tuple[str, ...]
    method: str = "INVITE"
    """Which flow shows it."""
    request: Any = "unchanged"
    response: Any = "unchanged"
    changes: tuple[Mapping[str, Any], ...] = ()
    """The flow's changes: all of these, and no others but a Content-Length made to fit."""
    interference: Any = HARMFUL
    """Of the whole check."""
    found: str = ""
    """A finding that is to be made of it, where its changes do not tell."""
    others: Mapping[str, Any] = field(default_factory=dict)
    """Method -> what its request is then, where that is worth saying."""

    @property
    def name(self) -> str:
        return "+".join(self.mutations)

    def expected(self) -> dict[str, Any]:
        """The flow's row."""
        return {"request": self.request, "response": self.response, "changes": Includes(self.changes)}

    def unexpected(self, changes: list[dict[str, Any]]) -> list[str]:
        """What the flow's row names beyond that."""
        known = {(row["direction"], row["where"]) for row in self.changes}
        told = {(row["direction"], row["where"]) for row in changes if row["where"] != "Content-Length"}
        return [f"{direction}: {where} was not touched" for direction, where in sorted(told - known)]


def _request(*rows: tuple[str, str]) -> dict[str, Any]:
    """A request rewritten so, answered as if nothing were the matter."""
    return {
        "request": "rewritten",
        "response": one_of("unchanged", "rewritten"),
        "changes": tuple({"direction": "request", "where": where, "action": action} for where, action in rows),
    }


def _response(*rows: tuple[str, str]) -> dict[str, Any]:
    return {
        "response": "rewritten",
        "changes": tuple({"direction": "response", "where": where, "action": action} for where, action in rows),
    }


def _both(out: tuple[str, ...], back: tuple[str, ...]) -> dict[str, Any]:
    changed = [("request", where) for where in out] + [("response", where) for where in back]
    rows = tuple({"direction": direction, "where": where, "action": "rewritten"} for direction, where in changed)
    return {"request": "rewritten", "response": "rewritten", "changes": rows}


LOST: dict[str, Any] = {"request": "lost", "response": one_of("lost", "undecided", "unchanged")}
CASES: tuple[Case, ...] = (
    Case(mutations=("R1",), **_request(("Via", "rewritten"))),
    # On a clean path only the ACK leaves twice. Whoever follows the INVITE meets the other copies: nobody must be named for it.
    Case(mutations=("R1-again",), **_request(("Via", "rewritten"))),
    Case(mutations=("R2",), **_request(("Via", "added"), ("Max-Forwards", "rewritten"))),
    Case(mutations=("R3",), **_request(("Via", "rewritten"))),
    Case(mutations=("R4",), **_request(("Via", "rewritten"))),
    Case(mutations=("R4-filled",), **_request(("Via", "rewritten"))),
    Case(mutations=("R5",), **_request(("Contact", "rewritten"))),
    Case(mutations=("R5-port",), **_request(("Contact", "rewritten"))),
    Case(mutations=("R5-parameters",), method="REGISTER", **_request(("Contact", "rewritten"))),
    Case(mutations=("R6",), **_request(("Request-URI", "rewritten"), ("From", "rewritten"))),
    Case(mutations=("R7",), **_request(("Call-ID", "rewritten"))),
    Case(mutations=("R8",), **_request(("From", "rewritten"), ("CSeq", "rewritten"))),
    Case(mutations=("R9",), **_request(("Record-Route", "added"))),
    Case(mutations=("R9-hidden",), **_request(("User-Agent", "removed"), ("Supported", "removed"), ("Allow", "removed"))),
    Case(mutations=("R10",), **_request(("sdp o=", "rewritten"), ("sdp c=", "rewritten"), ("Content-Length", "rewritten"))),
    Case(mutations=("R10-origin",), interference="inconsistent", **_request(("sdp o=", "rewritten"))),
    Case(mutations=("R11",), **_request(("sdp m=", "rewritten"))),
    Case(mutations=("R11-zero",), **_request(("sdp m=", "rewritten"))),
    Case(mutations=("R12",), **_request(("sdp a=rtcp", "removed"), ("sdp a=candidate", "removed"))),
    Case(
        mutations=("R13",), interference=one_of("inconsistent", "destructive"), **_request(("sdp o=", "rewritten"), ("sdp c=", "rewritten"))
    ),
    Case(mutations=("R13-padded",), interference="harmless", **_request(("Content-Length", "reformatted"))),
    Case(mutations=("R13-missing",), **_request(("Content-Length", "removed"))),
    Case(mutations=("R13-cut",), interference=one_of("inconsistent", "destructive"), **_request(("body", "reformatted"))),
    Case(mutations=("R14",), **_request(("Content-Type", "rewritten"))),
    Case(mutations=("R15",), interference="harmless", **_request(("Supported", "reformatted"), ("Max-Forwards", "reformatted"))),
    Case(mutations=("R15-order",), interference="harmless", **_request(("CSeq", "reordered"))),
    Case(mutations=("R16",), interference="destructive", others={"OPTIONS": "unchanged", "REGISTER": "unchanged"}, **LOST),
    Case(mutations=("R16-all",), interference="destructive", others={"OPTIONS": "lost", "REGISTER": "lost"}, **LOST),
    Case(mutations=("R17",), found="only-sip-passes", interference=one_of("none", "harmless", "rewriting", "inconsistent", "destructive")),
    Case(mutations=("R19",), changes=({"direction": "request", "where": "source port"},), request=one_of("unchanged", "rewritten")),
    Case(
        mutations=("R21",),
        interference="destructive",
        request="answered-by-other",
        response=one_of("answered-by-other", "unchanged", "rewritten", "lost"),
    ),
    Case(mutations=("R23",), interference=one_of("none", "harmless"), changes=({"direction": "request", "where": "retransmissions"},)),
    Case(
        mutations=("R23-absorbed",),
        request=one_of("unchanged", "answered-by-other"),
        response=one_of("rewritten", "answered-by-other"),
        changes=({"direction": "response", "where": "Status-Line", "action": "added"},),
    ),
    Case(mutations=("A1",), **_response(("Via", "rewritten"))),
    Case(mutations=("A2-contact",), **_response(("Contact", "rewritten"))),
    Case(mutations=("A3",), **_response(("sdp c=", "rewritten"))),
    Case(mutations=("A4",), method="REGISTER", **_response(("Contact", "rewritten"))),
    Case(mutations=("A5",), interference="destructive", **_response(("Status-Line", "rewritten"))),
    Case(
        mutations=("A5-busy",),
        interference="destructive",
        request="answered-by-other",
        response=one_of("answered-by-other", "unchanged", "rewritten", "lost"),
    ),
    Case(
        mutations=("A6",),
        response=one_of("rewritten", "lost"),
        interference=one_of("inconsistent", "destructive"),
        changes=({"direction": "response", "where": "source port"},),
    ),
    Case(mutations=("A7",), method="REGISTER", interference="destructive", response="lost"),
    Case(mutations=("A10",), interference="destructive", request="lost", response=one_of("unchanged", "rewritten", "lost", "undecided")),
    Case(mutations=("A2",), method="incoming INVITE", **_request(("Request-URI", "rewritten"), ("To", "rewritten"))),
    Case(mutations=("A8",), method="incoming INVITE", interference="destructive", others={"incoming OPTIONS": "lost"}, **LOST),
    Case(mutations=("A9",), method="incoming INVITE", **_request(("sdp s=", "rewritten"))),
    # what Linux does, in both directions, but by hand: consistent where the server stands, and turned back on the way home
    Case(mutations=("R1", "R5", "R10", "A1"), **_both(("Via", "Contact", "sdp o=", "sdp c="), ("Via",))),
)
UNSEEN = {
    "R18": "it drops whatever is long, SIP or not: a case of its own, ``test_fragments_dropped``",
    "R22": "TTL and DSCP are not looked at by this check",
    "A7-provisional": "a provisional answer is no promise (RFC 3261 section 17.2.1): its loss alone proves nothing",
}
"""Mutations that this check cannot see from here, and why; the lab has them for checks to come."""
