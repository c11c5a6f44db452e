"""What follows from who answers how near, and how soon: findings and hints of the one-sided test. Pure.

A time alone proves nothing. Routers answer ICMP when they have nothing better to do, servers do with connections what they like, and an
edge that lets SIP overtake all else makes it come back sooner from just as far. What is told is that it was sooner, and what fits that.
"""

from collections.abc import Sequence

from edgecheck.checks.sip_alg.observation import HopTrial, Located, RoundTrip, SipAlgObservation, Taken, Tally
from edgecheck.checks.sip_alg.taken import NOT_PLACED, TIMED, Nearer, hops_of, name_of, place
from edgecheck.model.verdict import Finding, Verdict

SOONER_MS = 5.0
"""What a busy machine may be late by; and half of the server's own time."""
NOT_SEEN = "this platform shows a program without privileges no quotes of expired packets"
EITHER = (
    "Either it answers in the server's place, or it hands SIP on in packets of its own, as a proxy does, or at the least sets its TTL "
    "anew: an account of what arrives at the server (an echo server's) tells which"
)


def whereabouts(nearer: Nearer) -> tuple[Located, ...] | None:
    """Who answers for everybody; else who takes SIP before the server."""
    if nearer.nobody is not None:
        one = place(nearer.nobody, nearer.gateways)
    else:
        one = place(nearer.taken, nearer.gateways) if nearer.taken is not None and nearer.taken.taken else None
    return None if one is None else (one,)


def why_not(nearer: Nearer) -> str:
    """Why nobody is located."""
    asked = nearer.nobody or nearer.taken
    if asked is None:
        return NOT_SEEN
    if nearer.nobody is not None and nearer.nobody.hops is not None:
        return NOT_PLACED
    return asked.reason or "an answer does not say which hop it was"


def hints(nearer: Nearer) -> tuple[str, ...]:
    """What fits an answer in the server's place, and something else as well."""
    seen = nearer.taken
    if seen is None or seen.taken:
        return ()
    name, out = f"UDP {seen.server_port}", []
    if seen.suspected:
        out.append(
            f"{name}: a request that gets no further than hop {seen.hops} is answered ({seen.reason}): either something there takes SIP, "
            "or a box before sets its TTL anew, or this port goes another way (a VPN) on which the server is that near, or the server's "
            "own network answers there"
        )
    early = sooner(nearer.round_trips)
    if early is not None and not out:
        out.append(
            f"{name}: {early}: either something nearer answers in its place, or this network lets SIP overtake all else, or the server is "
            "slower in everything else"
        )
    return tuple(out)


def sooner(trips: Sequence[RoundTrip]) -> str | None:
    """How much sooner SIP was answered than anything else by the server, in words; None where it was not, or not clearly."""
    sip = [trip for trip in trips if trip.by == "sip" and trip.samples >= TIMED]
    others = [trip for trip in trips if trip.by == "server" and trip.samples >= TIMED]
    if not sip or not others:
        return None
    other = min(others, key=lambda trip: trip.least_ms)
    if sip[0].least_ms + max(SOONER_MS, other.least_ms / 2) > other.least_ms:
        return None
    return f"SIP is answered within {sip[0].least_ms:g} ms, and nothing else of the server's within {other.least_ms:g} ms ({other.of})"


def findings(seen: SipAlgObservation, expected: Verdict) -> list[Finding]:
    """That SIP is taken before the server, where it is proved, and where it is not said already that it is answered for everybody."""
    against = seen.against
    assert against is not None
    taken = next((one for one in seen.taken[:1] if one.taken), None)
    if taken is None or against.nobody_answered or not seen.located:
        return []
    name = f"UDP {taken.server_port}"
    there = next(trial for trial in taken.trials if trial.hops == taken.hops)
    beyond = next(trial for trial in taken.trials if trial.hops == (taken.hops or 0) + 1)
    early = sooner(seen.round_trips)
    told = f"; {early}, which speaks for the first" if early else ""
    return [
        Finding(
            id="sip-alg.taken-on-the-way",
            verdict=expected,
            subject=name,
            summary=f"{sentence(names(seen.located))} takes SIP on {name}: requests that get no further than {there.router} are answered, "
            f"while other packets to the server expire there and, one hop further, at {beyond.router}. {EITHER}{told}.",
            expected="a request that expires on the way is not answered",
            observed=f"{there.sip.answered} of {there.sip.sent} requests that live for {hops_of(taken.hops or 0)} were answered",
            evidence=(*trial_lines([taken]), *_times(seen.round_trips)),
            reference="RFC 791 section 3.2; RFC 3261 section 16",
        )
    ]


def lines(seen: SipAlgObservation, name: str) -> tuple[str, ...]:
    """What was seen of this channel."""
    asked = [one for one in seen.taken[:1] if f"UDP {one.server_port}" == name]
    return (*trial_lines(asked), *_times(seen.round_trips)) if asked else ()


def trial_lines(asked: Sequence[Taken]) -> tuple[str, ...]:
    """A line for each number of hops."""
    return tuple(_trial(one, trial) for one in asked for trial in one.trials)


def _trial(one: Taken, trial: HopTrial) -> str:
    kinds: tuple[tuple[str, Tally], ...] = (
        (f"SIP requests to port {one.server_port}", trial.sip),
        (f"STUN requests to port {one.server_port}", trial.same),
        ("datagrams to other ports", trial.beside),
    )
    counts = [f"{tally.sent} {what}: {tally.answered} answered, {tally.expired} expired" for what, tally in kinds if tally.sent]
    where = f"expired at {trial.router}" if trial.router else "nobody told that they expired"
    return f"to live for {hops_of(trial.hops)} ({where}): {'; '.join(counts)}"


def _times(trips: Sequence[RoundTrip]) -> tuple[str, ...]:
    return tuple(f"{trip.of}: answered within {trip.least_ms:g} ms at the soonest, of {trip.samples}" for trip in trips)


def names(located: Sequence[Located] | None) -> str:
    """Who."""
    return " and ".join(name_of(one) for one in located or ())


def sentence(text: str) -> str:
    """With a capital."""
    return text[:1].upper() + text[1:]
