"""What one side can tell: from the answers of a server that is not ours to facts, and from facts to findings. Pure.

What proves that something on the path reads SIP:

- The answer's Via, Call-ID, From or CSeq names something else than the request's: every server repeats them, or no phone could use it.
  (What a server may do to them by itself, and what it does over TLS as well, is a hint: ``echoes``.)
- ``received`` is this machine's own private address, ``rport`` its own port, and over another transport the same server, with a public
  address, saw another one: there is a NAT on the way, so somebody turned it back.
- Somebody answers for an address where nobody is.

What is a hint only: ``received`` is this machine's private address, and nothing else tells of a NAT: a PBX in the router, a server at this
site or behind a VPN does see that address, whatever its own. And ``received`` is missing though Via holds a private address and the server
a public one. RFC 3261 section 18.2.1 wants it there; so either Via was public when it arrived (and was turned back in the answer), or this
server does not tell. Where the same server tells on another transport, the first is likely; two causes fit all the same: both are named.

What proves nothing: a clean answer. An ALG that turns all back on the way home leaves no trace here. So ``none`` is never said.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edgecheck.checks.sip_alg import echoes, interference, judge_taken
from edgecheck.checks.sip_alg.authorship import turned_back
from edgecheck.checks.sip_alg.compare import Difference
from edgecheck.checks.sip_alg.datagrams import SOURCE_ADDRESS, SOURCE_PORT, source_difference
from edgecheck.checks.sip_alg.echoes import Own
from edgecheck.checks.sip_alg.log import first_line_of, is_final
from edgecheck.checks.sip_alg.observation import (
    Against,
    Change,
    Channel,
    Direction,
    ForeignAnswer,
    Harm,
    Proof,
    SipAlgObservation,
    SipProbe,
    State,
)
from edgecheck.checks.sip_alg.reading import as_change, as_text, level_of
from edgecheck.checks.sip_alg.taken import Nearer
from edgecheck.wire import control, sip
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import WireError

FROM_ELSEWHERE = (SOURCE_ADDRESS, SOURCE_PORT)
"""``where`` of an answer that comes from another socket than was asked."""
NO_ACCOUNT = "this server keeps no account for us: what arrived there is not known"


class Heard(NamedTuple):
    """An answer."""

    data: bytes
    source: Endpoint
    after_s: float
    """Seconds since the copy of the request that left last before it."""

    @property
    def final(self) -> bool:
        return is_final(self.data)


@dataclass(slots=True, kw_only=True)
class Tried:
    """One transport to one port."""

    transport: control.Transport
    server: Endpoint
    local: Endpoint | None = None
    requests: dict[str, bytes] = field(default_factory=dict)
    sent_at: dict[str, list[float]] = field(default_factory=dict)
    answers: dict[str, list[Heard]] = field(default_factory=dict)
    connect_s: float | None = None
    errors: list[str] = field(default_factory=list)
    not_tested: str | None = None
    """Why nothing could be asked, or not to the end."""

    @property
    def name(self) -> str:
        """``UDP 5060``."""
        return f"{self.transport.upper()} {self.server.port}"


def read(target: str, ways: Sequence[Tried], nobody: Tried, nearer: Nearer) -> SipAlgObservation:
    """The facts."""
    located = judge_taken.whereabouts(nearer)
    over_tls = [(tried.requests[method], heard.data) for tried, method, heard in _heard(ways) if tried.transport == "tls"]
    own = echoes.of_the_server(over_tls)
    probes = tuple(
        _probe(tried, method, _translated(tried, ways), own) for tried in ways if tried.local is not None for method in tried.requests
    )
    answers = tuple(_answer(tried, method, heard) for tried, method, heard in _heard(ways))
    levels = [probe.interference for probe in probes if probe.interference not in (None, "none")]
    stranger = next((heard for heard_all in nobody.answers.values() for heard in heard_all), None)
    levels += ["rewriting"] if nearer.taken is not None and nearer.taken.taken else []
    level = interference.gravest(one for one in levels if one is not None) if levels else None
    return SipAlgObservation(
        interference="destructive" if stranger is not None else level,
        probes=probes,
        located=located,
        located_reason="" if located else judge_taken.why_not(nearer),
        channels=tuple(_channel(tried) for tried in ways),
        mirror=NO_ACCOUNT,
        incoming_reason=NO_ACCOUNT,
        against=Against(
            target=target,
            server=ways[0].server.host,
            answers=answers,
            hints=(*_hints(ways), *_odd(ways, own), *judge_taken.hints(nearer)),
            nobody_answered=None if nobody.not_tested or nobody.local is None else stranger is not None,
            nobody=str(nobody.server),
            nobody_said=first_line_of(stranger.data) if stranger is not None else "",
        ),
        round_trips=nearer.round_trips,
        taken=tuple(one for one in (nearer.taken, nearer.nobody) if one is not None),
    )


def _heard(ways: Sequence[Tried]) -> Iterator[tuple[Tried, str, Heard]]:
    for tried in ways:
        for method, answers in tried.answers.items():
            for heard in answers:
                yield tried, method, heard


def _odd(ways: Sequence[Tried], own: Own) -> tuple[str, ...]:
    """What an answer's echo may owe to the server itself."""
    pairs = [(tried.name, echoes.odd(tried.requests[method], heard.data, own)) for tried, method, heard in _heard(ways)]
    hints = [
        f"{name}: in the answer {odd}: either something on the path does it, or this server writes its answers so"
        for name, odd in dict.fromkeys((name, odd) for name, found in pairs for odd in found)
    ]
    turned = {
        tried.name: rport
        for tried, method, heard in _heard(ways)
        if tried.local is not None
        and _translated(tried, ways)
        and turned_back(tried.requests[method], heard.data, tried.local, tried.server) is not None
        and (rport := _other_port(tried.local, heard.data))
    }
    hints += [
        f"{name}: received names this machine's own private address, and rport={port} is not its port: either something on the path turned "
        "received back, or the server stands behind a box that has that very address"
        for name, port in turned.items()
    ]
    return tuple(hints)


def _other_port(local: Endpoint, answer: bytes) -> str:
    """What ``rport`` says, where it is not this machine's own port; empty: it is, or says nothing."""
    rport = (_via(answer) or {}).get("rport") or ""
    return rport if rport != str(local.port) else ""


def _translated(tried: Tried, ways: Sequence[Tried]) -> str:
    """On which other way, and as what, the same server saw this machine at another address; empty: on none."""
    return next(
        (
            f"{other.name} it saw {seen}"
            for other in ways
            if other is not tried and other.local is not None and tried.local is not None and other.server.host == tried.server.host
            for seen in _received(other)
            if seen not in (other.local.host, tried.local.host) and not interference.is_private(seen)
        ),
        "",
    )


def _received(tried: Tried) -> list[str]:
    """Where final answers say that the request came from."""
    finals = [heard for heard_all in tried.answers.values() for heard in heard_all if heard.final]
    return [received for heard in finals if (received := (_via(heard.data) or {}).get("received"))]


def _probe(tried: Tried, method: str, translated: str, own: Own) -> SipProbe:
    assert tried.local is not None
    request, heard = tried.requests[method], tried.answers.get(method, [])
    changes: dict[tuple[str, str], Change] = {}
    harms: list[Harm] = []
    proofs: list[Proof] = []
    for answer in heard:
        found: list[tuple[Direction | None, Difference]] = [(None, one) for one in echoes.proofs(request, answer.data, own)]
        turned = turned_back(request, answer.data, tried.local, tried.server) if translated else None
        if turned is not None and not _other_port(tried.local, answer.data):
            found.append(("response", turned))
        if answer.source != tried.server:
            found.append(("response", source_difference(tried.server, answer.source)))
            text = f"the answer comes from {answer.source} instead of {tried.server}: many phones never see it"
            harms.append(Harm(level="inconsistent", direction="response", text=text, where=found[-1][1].where))
        if turned is not None and ("response", turned) in found:
            text = f"received was turned back to {tried.local.host}, this machine's private address, while on {translated}"
            harms.append(Harm(level="rewriting", direction="response", text=text, where="Via"))
        if found:
            harms += interference.response_harms(request, None, answer.data, [one for _, one in found])
            proofs.append(Proof(direction="response", message=f"answer to {method}", sent=as_text(request), arrived=as_text(answer.data)))
        for direction, one in found:
            changes.setdefault((one.where, one.action), as_change(direction, f"answer to {method}", one))
    copies = len(tried.sent_at.get(method, ()))
    if heard:
        reason = "" if changes else f"{method}: a clean answer, which proves nothing by itself"
    else:
        reason = f"{method}: no answer to {copies} {'copy' if copies == 1 else 'copies'}"
    unique = tuple({(harm.level, harm.text): harm for harm in harms}.values())
    # A server may answer from another socket by itself: that alone is nobody's interference.
    touched = [change for change in changes.values() if change.where not in FROM_ELSEWHERE]
    response: State = "rewritten" if any(change.direction for change in touched) else "undecided"
    level = level_of("undecided", response, touched, [harm for harm in unique if harm.where not in FROM_ELSEWHERE]) if touched else None
    return SipProbe(
        transport=tried.transport,
        server_port=tried.server.port,
        method=method,
        request="undecided",
        response=response,
        changes=tuple(changes.values()),
        interference=level,
        harms=unique,
        reason=reason,
        proofs=tuple(proofs[:1]),
    )


def _via(data: bytes) -> dict[str, str] | None:
    """The parameters of the topmost Via."""
    try:
        values = sip.parse_datagram(data).all("Via")
    except WireError:
        return None
    return sip.parameters((sip.split_addresses(values[0]) or [""])[0]) if values else None


def _answer(tried: Tried, method: str, heard: Heard) -> ForeignAnswer:
    via = _via(heard.data) or {}
    server = None
    try:
        message = sip.parse_datagram(heard.data)
        server = message.get("Server") or message.get("User-Agent")
    except WireError:
        pass
    return ForeignAnswer(
        transport=tried.transport,
        server_port=tried.server.port,
        method=method,
        status=first_line_of(heard.data),
        source=str(heard.source),
        server=server,
        received=via.get("received"),
        rport=via.get("rport") or None,
        after_ms=round(heard.after_s * 1000, 1),
    )


def _channel(tried: Tried) -> Channel:
    return Channel(
        transport=tried.transport,
        server_port=tried.server.port,
        local=str(tried.local) if tried.local else None,
        not_tested=tried.not_tested,
        silent=not tried.answers,
        errors=tuple(dict.fromkeys(tried.errors)),
    )


def _hints(ways: Sequence[Tried]) -> tuple[str, ...]:
    """``received`` missing where it should stand."""
    telling: list[str] = []
    silent: list[str] = []
    hints: list[str] = []
    for tried in ways:
        if tried.local is None or not interference.is_private(tried.local.host) or interference.is_private(tried.server.host):
            continue
        if tried.local.host in _received(tried) and not _translated(tried, ways):
            hints.append(
                f"{tried.name}: this server has a public address and says that it saw {tried.local.host}, this machine's private one: "
                "either something rewrites Via and turns it back in the answer, or no NAT stands between (a PBX in the router, a server at "
                "this site, a VPN)"
            )
        elif _received(tried):
            telling.append(tried.name)
        elif any(heard.final for heard_all in tried.answers.values() for heard in heard_all):
            silent.append(tried.name)
    for name in silent:
        if telling:
            hints.append(
                f"{name}: the answer names no other address than Via's, while on {', '.join(telling)} the same server saw another one: "
                f"either something rewrites Via on {name} and turns it back in the answer, or this server tells on some ports only"
            )
        else:
            hints.append(
                f"{name}: the answer does not say that the request came from elsewhere than its private Via, as RFC 3261 section 18.2.1 "
                "wants: either something rewrites Via and turns it back, or this server never says so"
            )
    return tuple(hints)
