"""The whole check in one sentence. Pure."""

from edgecheck.checks.rtp_range.causes import Blocked, blocked_inward
from edgecheck.checks.rtp_range.judge import untold_either_way
from edgecheck.checks.rtp_range.observation import RtpObservation
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire import ports as port_ranges
from edgecheck.wire.ports import Ranges


def summarize(seen: RtpObservation, findings: tuple[Finding, ...]) -> str:
    """``10000-11999 open both ways; 12000-20000 never arrive``"""
    low, high = seen.range
    unneeded = {(finding.id.removeprefix("rtp-range."), finding.verdict) for finding in findings}
    asked_in = () if ("undecided", Verdict.SKIPPED) in unneeded else seen.inbound_undecided
    silence, unsure = set(port_ranges.expand(seen.inbound_blocked)), set(port_ranges.expand(seen.inbound_undecided))
    troubles: list[tuple[Ranges, str, str]] = [
        *([] if ("inbound-blocked", Verdict.PASS) in unneeded else map(_never_arrive, blocked_inward(seen))),
        (seen.outbound_blocked, "{} does not reach the server", "{} do not reach the server"),
        (seen.return_blocked, "{} gets no answer back", "{} get no answer back"),
        (asked_in, *_alike("whether {} can be reached could not be told")),
        (seen.outbound_undecided, *_alike("whether {} gets out and back could not be told")),
        (untold_either_way(seen), *_alike("{} could not be told")),
        (seen.busy, "{} is in use here and was not tested", "{} are in use here and were not tested"),
    ]
    fine = set(range(low, high + 1)).difference(*(port_ranges.expand(ranges) for ranges, _, _ in troubles))
    whole = seen.inbound_open is not None and seen.outbound_open is not None
    ways = "open both ways" if whole else "receive from outside" if seen.inbound_open is not None else "get out and are answered"
    moved = "with another number" + ", which this profile does not need kept" * (("remapped", Verdict.PASS) in unneeded)
    unasked = "{} get out and are answered; what comes unasked does not get in, which this profile does not need"
    untold = "{} get out and are answered; what comes unasked could not be told, nor does this profile need it"
    parts = [
        (port_ranges.compress(fine - silence - unsure), *_alike("{} " + ways)),
        (port_ranges.compress(fine & silence), *_alike(unasked)),
        (port_ranges.compress(fine & unsure), *_alike(untold)),
        *troubles,
        (seen.remapped, "{} leaves " + moved, "{} leave " + moved),
    ]
    told = [(ranges, one if port_ranges.count(ranges) == 1 else many) for ranges, one, many in parts if ranges]
    said = [words.format(_span(ranges, high - low + 1)) for ranges, words in told]
    said += [f"{way} not tested" for way, count in (("inbound", seen.inbound_open), ("outbound", seen.outbound_open)) if count is None]
    return "; ".join(said)


def _never_arrive(group: Blocked) -> tuple[Ranges, str, str]:
    if group.fits == ("wrong-port",):
        return group.ranges, "{} arrives at another port", "{} arrive at other ports"
    clause = f" ({group.clause})" if group.clause else ""
    return group.ranges, "{} never arrives" + clause, "{} never arrive" + clause


def _alike(words: str) -> tuple[str, str]:
    """The same for one port and for many."""
    return words, words


def _span(ranges: Ranges, size: int, most: int = 3) -> str:
    """A few ranges by their ends, many by their number."""
    return port_ranges.text(ranges) if len(ranges) <= most else f"{port_ranges.count(ranges)} of {size} ports"


def known(seen: RtpObservation) -> str:
    """Of a check that was cut short: ``2048 of 10001 ports receive from outside``."""
    counts = ((seen.inbound_open, "receive from outside"), (seen.outbound_open, "reach the server"))
    size = seen.range[1] - seen.range[0] + 1
    return " and ".join(f"{count} of {size} ports {words}" for count, words in counts if count)
