"""One channel with its methods, and who is known to have done what there. Pure.

A hop is located by one kind of request (``Located.message``) and by what routers show of it: some of its headers. The rest of what is
changed on that channel, in SDP, in answers, in calls that come in, may be its doing or another box's: it is named for what was seen of it
and for nothing else, and where the gravest that happens there does not follow from that, "something on the path" did it.
"""

import re
from collections.abc import Iterable, Sequence

from edgecheck.checks.sip_alg import interference, judge_taken
from edgecheck.checks.sip_alg.compare import STATUS_LINE, Difference
from edgecheck.checks.sip_alg.dropper import DROPPED
from edgecheck.checks.sip_alg.messages import FLOWS
from edgecheck.checks.sip_alg.observation import (
    LEVELS,
    NEW_PORTS,
    Change,
    Channel,
    Harm,
    Level,
    Located,
    MessageFacts,
    Pinhole,
    SipAlgObservation,
    SipProbe,
)
from edgecheck.checks.sip_alg.taken import ANSWER, name_of

SOMEBODY = "something on the path"
EITHER = "request or response"
"""Where the server's account is missing: one of the two was changed."""
_ORDER = ("Status-Line", "Method", "Request-URI", "Via", "Contact", "From", "To", "Call-ID", "CSeq")
_KINDS = {"request": "requests", "response": "responses", None: "requests or responses"}


class Case:
    """One channel with its methods."""

    def __init__(self, channel: Channel, probes: Sequence[SipProbe], pinholes: Sequence[Pinhole] = ()) -> None:
        self.channel = channel
        self.located: tuple[Located, ...] = ()
        """Where the channel was followed."""
        self.near: tuple[str, ...] = ()
        """What was seen of requests that cannot get far."""
        self.name = channel.name
        self.probes = [p for p in probes if (p.transport, p.server_port) == (channel.transport, channel.server_port)]
        self.pinholes = [hole for hole in pinholes if (hole.transport, hole.server_port) == (channel.transport, channel.server_port)]
        self.opened = [hole for hole in self.pinholes if hole.opened]
        self.undecided = [probe for probe in self.probes if probe.interference is None]
        self.level: Level = interference.gravest(probe.interference for probe in self.probes if probe.interference is not None)

    # ---- who

    @property
    def who(self) -> str:
        """Whose doing the level is."""
        return self.seen_at if self.located and self._level_seen() == self.level else SOMEBODY

    @property
    def seen_at(self) -> str:
        """The hops that were located."""
        return listed([name_of(one) for one in self.located])

    def does(self, verb: str) -> str:
        """The verb, as it follows ``who``."""
        return verb if self.who != SOMEBODY and len(self.located) > 1 else f"{verb}s"

    @property
    def seen_there(self) -> list[Change]:
        """What the hops that were located were seen to do."""
        return [change for change in self.changes if self._is_seen(change)]

    @property
    def elsewhere(self) -> list[Change]:
        """What is changed besides, by them or by others. (Content-Length follows from the body.)"""
        rest = [change for change in self.changes if not self._is_seen(change)]
        return [change for change in rest if change.where != "Content-Length"] or rest

    @property
    def or_another(self) -> str:
        """Who did what was not seen there."""
        return f"by {'them' if len(self.located) > 1 else 'it'} or another box"

    def found(self) -> str:
        """What is changed; where it was followed to its hop, first what was seen there."""
        if self.who == SOMEBODY or not self.seen_there or not self.elsewhere:
            return where_of(self.changes)
        return f"{where_of(self.seen_there)}; {self.or_another}: {where_of(self.elsewhere)}"

    def beside(self) -> str:
        """A sentence of what was seen at a hop that is not known for the gravest; empty: nothing."""
        seen = where_of(self.seen_there)
        return f" At {self.seen_at} was seen: {seen}." if self.who == SOMEBODY and seen else ""

    def was_followed(self, method: str) -> bool:
        """Whether it was this method's request that was followed to its hop."""
        return any(one.message in ("", method) for one in self.located)

    def _is_seen(self, change: Change) -> bool:
        if any(ANSWER in one.where for one in self.located):
            return (change.where, change.action) == (STATUS_LINE, "added")
        return change.direction == "request" and not _comes_in(change) and any(change.where in one.where for one in self.located)

    def _level_seen(self) -> Level:
        """The gravest that follows from what was seen there."""
        wheres = {where for one in self.located for where in one.where}
        if ANSWER in wheres and self.stolen:
            return "destructive" if any(self.was_followed(probe.method) for probe in self.stolen) else "none"
        if ANSWER in wheres:
            wheres.add(STATUS_LINE)
        if DROPPED in wheres:
            return "destructive" if any(probe.lost_first and self.was_followed(probe.method) for probe in self.probes) else "none"
        # An answer repeats what the request said: what it breaks there follows from the request, unless the answer was changed as well.
        back = {change.where for change in self.changes if change.direction == "response" and not _comes_in(change)}
        levels: list[Level] = [
            harm.level
            for probe in self.probes
            if not probe.method.startswith("incoming")
            for harm in probe.harms
            if harm.where in wheres and (harm.direction == "request" or harm.where in (STATUS_LINE, *(wheres - back)))
        ]
        seen = [Difference(change.where, change.action, change.sent, change.arrived) for change in self.seen_there]
        return interference.gravest([interference.base_level(seen), *levels])

    # ---- what

    @property
    def stolen(self) -> list[SipProbe]:
        """Methods that another than the server answered."""
        return [probe for probe in self.probes if probe.stolen]

    @property
    def changes(self) -> list[Change]:
        """Each kind once, in the order of a message."""
        found: dict[tuple[str, str, str], Change] = {}
        for probe in self.probes:
            for change in probe.changes:
                incoming = change.message.startswith("incoming")
                found.setdefault((f"{incoming} {change.direction or EITHER}", change.where, change.action), change)
        return sorted(
            found.values(), key=lambda change: (change.message.startswith("incoming"), change.direction or EITHER, place(change.where))
        )

    @property
    def harms(self) -> list[Harm]:
        found = {(harm.direction, harm.text): harm for probe in reversed(self.probes) for harm in probe.harms}
        return sorted(found.values(), key=lambda harm: -LEVELS.index(harm.level))

    def consequences(self, level: Level) -> list[str]:
        """What the changes of this level do, the gravest method first; the same thing said of another method is left out."""
        found: dict[str, str] = {}
        for harm in self.harms:
            if harm.level == level:
                found.setdefault(re.split(r"[0-9:,]", harm.text, maxsplit=1)[0], harm.text)
        return list(found.values())

    def lost(self, way: str) -> list[str]:
        """Names of the messages that are dropped: ``out`` on their way to the server, ``back`` in its answers."""
        return lost(self.probes, way)

    @property
    def clean(self) -> bool:
        harmed = self.undecided or self.channel.non_sip_dropped or self.opened or self.channel.certificate_replaced
        return bool(self.probes) and self.level == "none" and not harmed


def cases(seen: SipAlgObservation) -> list[Case]:
    """Each channel."""
    # What was sent beside and could not be told says nothing about the channel; what was told does.
    told = [probe for probe in seen.beside if probe.interference is not None]
    found = [Case(channel, (*seen.probes, *seen.incoming, *told), seen.pinholes) for channel in seen.channels]
    # Followed hop by hop was the first channel of UDP on which somebody else answers, else that rewrites a request, else that loses one.
    udp = [(case, [probe for probe in case.probes if probe.method in FLOWS]) for case in found if case.channel.transport == "udp"]
    followed = [case for case, probes in udp if any(probe.answered_beside for probe in probes)]
    followed = followed or [case for case, probes in udp if any(probe.request == "rewritten" for probe in probes)]
    followed = followed or [case for case, probes in udp if any(probe.lost_first for probe in probes)]
    if followed and seen.located:
        followed[0].located = seen.located
    if followed:
        followed[0].near = judge_taken.lines(seen, followed[0].name)
    return found


def lost(probes: Sequence[SipProbe], way: str) -> list[str]:
    """Names of their messages that are dropped: ``out`` on their way to the server, ``back`` in its answers."""
    messages = [message for probe in probes for message in probe.messages]
    return [message.name.removesuffix(f" {NEW_PORTS}") for message in messages if _fate(message, way) == "lost"]


def _fate(message: MessageFacts, way: str) -> str | None:
    return message.request if way == "out" else message.response


def _comes_in(change: Change) -> bool:
    return change.message.startswith("incoming")


def where_of(changes: Iterable[Change]) -> str:
    """``Via, Contact, SDP c= in requests; Via in responses``."""
    parts: dict[str, list[str]] = {}
    for direction in ("request", "response", None):
        for change in changes:
            if change.direction == direction:
                kind = _KINDS[direction]
                if _comes_in(change):
                    kind = "incoming requests" if direction == "request" else "answers to incoming requests"
                parts.setdefault(kind, []).append(change.where)
    return "; ".join(f"{listed(names)} in {kind}".replace("sdp ", "SDP ") for kind, names in parts.items())


def place(where: str) -> tuple[int, str]:
    """Its place in a message."""
    if where.startswith("sdp "):
        return len(_ORDER) + 1 + "osctma".find(where[4]), where
    return (_ORDER.index(where), "") if where in _ORDER else (len(_ORDER), where)


def listed(words: Sequence[str], conjunction: str = "and") -> str:
    """``a, b and c``, each once."""
    unique = list(dict.fromkeys(words))
    return unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} {conjunction} {unique[-1]}"
