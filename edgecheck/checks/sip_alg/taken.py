"""Who answers: the server, or somebody nearer? SIP requests that can get no further than hop 1, 2, 3...

A request that lives for n hops is gone at hop n at the latest. Is it answered all the same, then whoever answers sits there or nearer.
That the server itself does not sit there must be seen, too: packets to the same address that live for n hops expire at a router, and those
that live for one more at the next. Of the same way are only packets of the same ports: a network may send SIP another way than all else (by
port, through a VPN), on which the server is nearer. So what proves it is STUN, which is no SIP, from the same socket to the same port;
other ports will do at the first hop alone, which is passed whichever way a packet goes on. And one more router must be seen beyond: the
last box before a server may be the provider's own, and speak SIP in its name by right.

Two things fit an answer from nearer: somebody answers in the server's place, or a proxy takes the request, hands it on as its own, and
hands back the server's answer. Which of them it is, only the server's account tells.
"""

import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from edgecheck.checks.hops import LATE_S, RATE_LIMIT_S, SPACING_S
from edgecheck.checks.sip_alg.observation import HopTrial, Located, RoundTrip, Taken, Tally
from edgecheck.model.check import Network, UdpSocket
from edgecheck.wire import stun
from edgecheck.wire.address import Endpoint

MOST_HOPS = 10
SILENT_HOPS = 3
"""So many hops in a row that say nothing: nobody is asked any further."""
COPIES = 2
ROUNDS = 3
"""Of what tells the server's distance. Linux routers tell of six expired packets at once, and then of one a second."""
ENOUGH = 2
"""Of each kind: one packet may have gone another way."""
TIMED = 3
"""Requests, and connections, for the least time that they take."""
FULL = 64
_PORT = 33_434
"""Where traceroute's packets go: nobody listens there."""
Kind = Literal["sip", "same", "beside"]
Make = Callable[[int], tuple[bytes, bytes]]
"""A fresh request, by its number; and the token by which it and its answer are known."""
ANSWER = "answer"


class _Asked(NamedTuple):
    kind: Kind
    hops: int
    at: float
    to: Endpoint


@dataclass(slots=True)
class _Log:
    """What was sent, by its token; when and by whom each was first answered or told of."""

    asked: dict[bytes, _Asked] = field(default_factory=dict)
    answered: dict[bytes, float] = field(default_factory=dict)
    expired: dict[bytes, tuple[float, str]] = field(default_factory=dict)
    refused: dict[bytes, float] = field(default_factory=dict)
    """By the server's own address."""


@dataclass(slots=True)
class Nearer:
    """Of the one-sided test: who answers over UDP, the server or somebody nearer?"""

    taken: Taken | None = None
    nobody: Taken | None = None
    """The same of the address that nobody has, where that was answered."""
    round_trips: tuple[RoundTrip, ...] = ()
    gateways: tuple[str, ...] = ()
    """This machine's default routers."""


class Climb:
    """One socket, one server; see the module's text."""

    def __init__(self, net: Network, socket: UdpSocket, server: Endpoint, make: Make, is_answer: Callable[[bytes], bool]) -> None:
        """``is_answer``: whether a datagram is a SIP answer that is looked for."""
        self._net, self._socket, self._server = net, socket, server
        self._make, self._is_answer = make, is_answer
        self._log = _Log()
        self._numbers = self._length = 0
        self._seen = self._quoted = 0
        self._draw = random.Random(secrets.randbits(32))

    async def run(self, pauses: Sequence[float] = (SPACING_S, RATE_LIMIT_S)) -> Taken:
        """Up to the first hop from which SIP is answered, and once more there: in rounds so far apart, until it is proved."""
        hops, silent = 0, 0
        while hops < MOST_HOPS and silent < SILENT_HOPS:
            hops += 1
            for copy in range(COPIES):
                self._ask("sip", hops)
                late = LATE_S if copy == COPIES - 1 else SPACING_S
                if await self._net.until(lambda hops=hops: self._heard(hops), max(late, 1.3 * self._net.rtt)):  # type: ignore[misc]
                    break
            if self._fewest() is not None:
                break
            silent = 0 if self._heard(hops) else silent + 1
        return await self._measure(pauses)

    async def _measure(self, pauses: Sequence[float]) -> Taken:
        for pause in pauses:
            hops = self._fewest()
            if hops is None or self._told().taken is not None or self._all_told(hops):
                break
            for _ in range(ROUNDS):
                kinds: list[tuple[Kind, int]] = [("sip", hops), ("same", hops), ("beside", hops), ("same", hops + 1), ("beside", hops + 1)]
                self._draw.shuffle(kinds)
                for kind, far in kinds:
                    self._ask(kind, far)
                if await self._net.until(lambda: self._told().taken is not None, pause):
                    return self._told()
            await self._net.until(lambda: self._told().taken is not None, LATE_S)
        return self._told()

    def _all_told(self, hops: int) -> bool:
        """Routers told of all that went beside: what they did not tell of did not expire there."""
        beside = [self._tally("beside", far) for far in (hops, hops + 1)]
        return all(tally.sent and tally.expired == tally.sent for tally in beside)

    async def time(self, rounds: int) -> None:
        """Ask the server itself, from afar, for round trips: SIP and STUN."""
        for _ in range(rounds):
            for kind in self._draw.sample(("sip", "same"), 2):
                token = self._ask(kind, FULL)  # type: ignore[arg-type]
                await self._net.until(lambda token=token: self._is_answered(token), LATE_S)  # type: ignore[misc]

    async def compare(self, hops: int, pairs: int) -> None:
        """So many requests that live for so many hops, each beside what is no SIP and as long: quickly, and one a second once a router is
        tired."""
        tired = False
        for _ in range(pairs):
            if tired:
                await self._net.sleep(RATE_LIMIT_S)
            kinds: list[Kind] = ["sip", "same"]
            self._draw.shuffle(kinds)
            tokens = {kind: self._ask(kind, hops, as_long=True) for kind in kinds}
            patience = max(SPACING_S, 1.3 * self._net.rtt)
            tired |= not await self._net.until(lambda tokens=tokens: self._is_told(tokens["same"]), patience)  # type: ignore[misc]
        await self._net.until(lambda: False, SPACING_S)
        self._listen()

    def trial(self, hops: int) -> HopTrial:
        """What is known of this number of hops."""
        return next((trial for trial in self._trials() if trial.hops == hops), HopTrial(hops=hops))

    def _is_told(self, token: bytes) -> bool:
        self._listen()
        return token in self._log.expired

    def tokens(self, hops: int) -> tuple[bytes, ...]:
        """Of the SIP requests that live for so many hops."""
        return tuple(token for token, asked in self._log.asked.items() if (asked.kind, asked.hops) == ("sip", hops))

    # ---- sending and hearing

    def _ask(self, kind: Kind, hops: int, *, as_long: bool = False) -> bytes:
        """``as_long``: what is no SIP is as long as the request before it."""
        self._numbers += 1
        to = self._server
        if kind == "sip":
            data, token = self._make(self._numbers)
            self._length = len(data)
        else:
            token = secrets.token_bytes(12)
            padding = max(0, self._length - stun.HEADER - 4 & ~3) if as_long else 0
            data = stun.binding_request(token, *([stun.Attribute(stun.PADDING, bytes(padding))] if padding else []))
            to = to if kind == "same" else Endpoint(to.host, _PORT + self._numbers)
        self._log.asked[token] = _Asked(kind, hops, self._net.now(), to)
        self._socket.send(data, to, hops)
        return token

    def _listen(self) -> None:
        log = self._log
        for arrival in self._socket.inbox[self._seen :]:
            for token, asked in log.asked.items():
                if token in arrival.data and (self._is_answer(arrival.data) if asked.kind == "sip" else arrival.source == asked.to):
                    log.answered.setdefault(token, arrival.at)
        self._seen = len(self._socket.inbox)
        for quote in self._socket.quotes[self._quoted :]:
            for token, asked in log.asked.items():
                # A quote of eight bytes holds ports alone: those of ``beside`` are each packet's own.
                ours = token in quote.data or (asked.kind == "beside" and quote.to == asked.to)
                if not ours or quote.offender is None:
                    continue
                if quote.expired and quote.offender != self._server.host:
                    log.expired.setdefault(token, (quote.at, quote.offender))
                elif quote.offender == self._server.host:
                    log.refused.setdefault(token, quote.at)
        self._quoted = len(self._socket.quotes)

    def _is_answered(self, token: bytes) -> bool:
        self._listen()
        return token in self._log.answered

    def _heard(self, hops: int) -> bool:
        """Anything of the requests that live for so many hops; or an answer to any."""
        self._listen()
        return self._fewest() is not None or any(self._log.asked[token].hops == hops for token in self._log.expired)

    def _fewest(self) -> int | None:
        return min((self._log.asked[token].hops for token in self._log.answered if self._log.asked[token].kind == "sip"), default=None)

    # ---- facts

    def _told(self) -> Taken:
        self._listen()
        return weigh(self._server, self._trials())

    def _trials(self) -> tuple[HopTrial, ...]:
        log = self._log
        return tuple(
            HopTrial(
                hops=hops,
                router=next(
                    (log.expired[token][1] for token, asked in log.asked.items() if asked.hops == hops and token in log.expired), None
                ),
                **{kind: self._tally(kind, hops) for kind in ("sip", "same", "beside")},
            )
            for hops in sorted({asked.hops for asked in log.asked.values()} - {FULL})
        )

    def _tally(self, kind: str, hops: int) -> Tally:
        log = self._log
        tokens = [token for token, asked in log.asked.items() if (asked.kind, asked.hops) == (kind, hops)]
        answered = sum(token in log.answered or token in log.refused for token in tokens)
        return Tally(sent=len(tokens), answered=answered, expired=sum(token in log.expired for token in tokens))

    def round_trips(self) -> tuple[RoundTrip, ...]:
        """The soonest answers; each packet is known by itself, so none is taken for another's."""
        self._listen()
        log, rows = self._log, []
        name = f"UDP {self._server.port}"
        of: dict[tuple[str, Literal["sip", "server", "hop"]], list[float]] = {}
        for token, asked in log.asked.items():
            if token in log.answered:
                key: tuple[str, Literal["sip", "server", "hop"]]
                key = (f"SIP on {name}", "sip") if asked.kind == "sip" else (f"STUN on {name}", "server")
                of.setdefault(key, []).append(log.answered[token] - asked.at)
            elif token in log.refused:
                of.setdefault(("ICMP of the server's address", "server"), []).append(log.refused[token] - asked.at)
            elif token in log.expired:
                at, router = log.expired[token]
                of.setdefault((f"hop {asked.hops} ({router})", "hop"), []).append(at - asked.at)
        for (what, by), seconds in of.items():
            rows.append(RoundTrip(of=what, by=by, samples=len(seconds), least_ms=round(min(seconds) * 1000, 2)))
        return tuple(rows)


def weigh(server: Endpoint, trials: Sequence[HopTrial]) -> Taken:
    """From the trials to what they prove. Pure."""
    blank = Taken(server_port=server.port, trials=tuple(trials))
    by_hops = {trial.hops: trial for trial in trials}
    fewest = min((trial.hops for trial in trials if trial.sip.answered), default=None)
    if fewest is None:
        return _because(blank, "no request that was sent to expire on the way was answered")
    blank = Taken(server_port=server.port, hops=fewest, trials=tuple(trials))
    here, beyond = by_hops[fewest], by_hops.get(fewest + 1, HopTrial(hops=fewest + 1))
    if here.same.answered or here.beside.answered:
        return _because(blank, f"what is no SIP and lives for {hops_of(fewest)} reaches the server's address as well", taken=False)
    same, beside = here.same.expired >= ENOUGH, here.beside.expired >= ENOUGH
    if not (same or beside):
        return _because(blank, f"no router was heard {hops_of(fewest)} away: the server itself may be there")
    goes_on = beyond.same.expired + beyond.beside.expired >= ENOUGH and beyond.router not in (None, here.router)
    if here.sip.answered >= ENOUGH and goes_on and (same or fewest == 1):
        return Taken(server_port=server.port, hops=fewest, taken=True, trials=tuple(trials))
    if not goes_on:
        why = f"nobody was heard beyond hop {fewest}: whoever answers there may do it in the server's name by right"
    elif here.sip.answered < ENOUGH:
        why = f"only {here.sip.answered} of {here.sip.sent} requests that live for {hops_of(fewest)} was answered"
    else:
        why = f"packets to other ports go on from hop {fewest}; whether those to port {server.port} do could not be seen"
    return _because(blank, why, suspected=True)


def _because(seen: Taken, reason: str, *, taken: bool | None = None, suspected: bool = False) -> Taken:
    return Taken(server_port=seen.server_port, hops=seen.hops, taken=taken, suspected=suspected, reason=reason, trials=seen.trials)


def hops_of(number: int) -> str:
    """``1 hop``, ``2 hops``."""
    return f"{number} hop{'' if number == 1 else 's'}"


NOT_PLACED = "nothing is told to expire where it is answered: a router may set the TTL anew, and whoever answers be anywhere behind it"


def place(seen: Taken, gateways: Sequence[str] = ()) -> Located | None:
    """Where whoever answers sits: between the last hop at which a request was seen to expire, and the first from which one is answered.

    Pure. A box behind a router's own look at the TTL is seen one hop further than it is; so where both ends are routers, both are named.
    None where nothing was answered, or nothing at all is told to expire there: a router before it may set the TTL anew, and then it is
    anywhere behind that one.
    """
    if seen.hops is None:
        return None
    by_hops = {trial.hops: trial for trial in seen.trials}
    there = by_hops[seen.hops].router
    if there is None:
        return None
    passed = max((trial.hops for trial in seen.trials if trial.hops < seen.hops and trial.sip.expired), default=0)
    if passed == 0 and seen.hops == 1 and (not gateways or there in gateways):
        return Located(hop=1, address=there, where=(ANSWER,))
    # Before the first router that shows itself there may be one that does not: the default router, where it has another address.
    near = by_hops[passed].router if passed else "this machine"
    hidden = None if passed or there in gateways else next(iter(gateways), None)
    return Located(hop=passed, address=near, where=(ANSWER,), up_to_hop=seen.hops, up_to_address=there, hidden=hidden)


def name_of(one: Located) -> str:
    """``hop 1 (192.168.1.1)``, ``hop 1 (192.168.1.1), hop 2 (192.0.2.1) or a box between them``."""
    near = f"hop {one.hop} ({one.address})" if one.hop else "this machine itself"
    if one.up_to_hop is None:
        return f"{near} or an unseen box right behind it" if one.or_unseen else near
    far = f"hop {one.up_to_hop} ({one.up_to_address})" if one.up_to_address else f"hop {one.up_to_hop}"
    if one.hidden:
        return f"{near}, the default router {one.hidden} (which does not count itself as a hop) or {far}"
    return f"{near}, {far} or a box between them"
