"""Answering challenges, and knowing when to stop.

A registrar's guard (fail2ban and its kin) bans an address after a few refused passwords, and with it everyone behind that address. So the
same password is refused at most ``MOST_REFUSALS`` times in a run, whatever the reason.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from edgecheck.wire import digest, sip

MOST_REFUSALS = 2
"""Guards begin to ban at three to six refusals within minutes."""

Advice = Literal["again", "no-password", "unsupported-digest", "no-challenge", "credentials-refused", "stale-again"]


def challenges_of(message: sip.Message) -> tuple[digest.Challenge, ...]:
    """Every challenge of an answer, 401's and 407's, in order."""
    return (
        *digest.parse_challenges(message.all("WWW-Authenticate")),
        *digest.parse_challenges(message.all("Proxy-Authenticate"), proxy=True),
    )


class Credentials:
    """What is known of one server's challenges, and the answers to them."""

    def __init__(self, username: str, password: str | None, new_cnonce: Callable[[], str]) -> None:
        self.username = username
        self._password = password
        self._new_cnonce = new_cnonce
        self._held: dict[bool, digest.Challenge] = {}
        """By kind: proxy or not."""
        self._uses: dict[bool, int] = {}
        self._next: dict[bool, str] = {}
        self._tried: set[tuple[bool, str]] = set()
        """(kind, algorithm) that were refused."""
        self._proofs: dict[bool, str | None] = {}
        self.refusals = 0
        """How often credentials were sent and not taken."""
        self._accepted: set[bool] = set()
        """Kinds that were taken since they were last challenged: the next challenge wants a fresh nonce and nothing else."""

    @property
    def ready(self) -> bool:
        """Whether the next request can carry credentials."""
        return bool(self._held)

    @property
    def algorithm(self) -> str | None:
        """Of what is sent next."""
        return next((challenge.name for challenge in self._held.values()), None)

    def forget(self) -> None:
        """For another server: nothing that this one said holds there. The count of refusals stays."""
        self._held, self._uses, self._next = {}, {}, {}
        self._accepted, self._tried = set(), set()

    def headers(self, method: str, uri: str) -> tuple[tuple[str, str], ...]:
        """Credentials for the next request, one header for each kind of challenge held."""
        out = []
        for kind, challenge in self._held.items():
            nonce = self._next.pop(kind, "")
            self._uses[kind] = 1 if nonce else self._uses.get(kind, 0) + 1
            if nonce:
                challenge = self._held[kind] = challenge._replace(nonce=nonce)
            made = digest.answer(
                challenge,
                username=self.username,
                password=self._password or "",
                method=method,
                uri=uri,
                cnonce=self._new_cnonce(),
                count=self._uses[kind],
            )
            self._proofs[kind] = made.expected_proof
            out.append((made.header, made.value))
        return tuple(out)

    def weigh(self, message: sip.Message, *, sent: bool) -> Advice:
        """What a 401 or 407 asks for next; ``sent``: the request that it answers carried credentials."""
        offered = challenges_of(message)
        if not offered:
            return "no-challenge"
        if self._password is None:
            return "no-password"
        if sent:
            self._passed({challenge.proxy for challenge in offered})
        advice: Advice | None = None
        for kind in dict.fromkeys(challenge.proxy for challenge in offered):
            same = [challenge for challenge in offered if challenge.proxy == kind]
            advice = self._answer(same, kind, sent and kind in self._held) or advice
        return advice or "again"

    def _passed(self, challenged: set[bool]) -> None:
        """A server behind the proxy asks: so the proxy took what it was given. Nonces that serve once make it ask again, with the next
        request. (The other way round, where both were sent and the proxy asks, the server behind it has seen nothing.)"""
        if True in self._held and True not in challenged:
            self._accepted.add(True)
        elif challenged == {True} and True not in self._held:
            self._accepted.add(False)

    def _answer(self, offered: Sequence[digest.Challenge], kind: bool, sent: bool) -> Advice | None:
        chosen = digest.choose(offered)
        if sent:
            held = self._held[kind]
            fresh = kind in self._accepted and chosen is not None and chosen.nonce != held.nonce
            if fresh:
                self._accepted.remove(kind)  # once: a nonce that served may be used up
            else:
                self.refusals += 1
                if chosen is None or not chosen.stale:
                    self._tried.add((kind, held.name))
                    # Some hold the password for one algorithm and offer several: what was not tried yet may be the one.
                    chosen = digest.choose([challenge for challenge in offered if (kind, challenge.name) not in self._tried])
                if self.refusals >= MOST_REFUSALS or chosen is None:
                    stale = any(challenge.stale for challenge in offered)
                    self._held.pop(kind)
                    return "stale-again" if stale else "credentials-refused"
        if chosen is None:
            return "unsupported-digest"
        self._held[kind], self._uses[kind] = chosen, 0
        return None

    def taken(self, message: sip.Message) -> bool | None:
        """Note a 2xx. Whether the server proved that it knows the password, where it said so (Authentication-Info)."""
        if not self._held:
            return None
        self._accepted = set(self._held)
        proved: bool | None = None
        for kind, header in ((False, "Authentication-Info"), (True, "Proxy-Authentication-Info")):
            value = message.get(header)
            if value is None or kind not in self._held:
                continue
            given = digest.parse_parameters(value)
            if given.get("nextnonce"):
                self._next[kind] = given["nextnonce"]
            expected = self._proofs.get(kind)
            if given.get("rspauth") and expected and given.get("qop", "auth").lower() == "auth":
                proved = given["rspauth"].lower() == expected
        return proved

    def spend(self) -> None:
        """Without qop a nonce is not made to be used twice: ask for a new one."""
        for kind in [kind for kind, challenge in self._held.items() if not challenge.qop and kind not in self._next]:
            self._held.pop(kind)
