"""Why a port is not reached. Pure: from one port's evidence and the path to every cause that fits, the likeliest first.

One cause means that the evidence leaves no other that is known here. Where several fit, all are told, with what would tell them apart.
What each piece of evidence is worth, and what looks like it, stands in ``docs/checks/port-forwarding.md``.
"""

from typing import NamedTuple

import msgspec

from edgecheck.checks.port_forwarding.observation import PACKETS, Icmp, Path, PortRow
from edgecheck.wire.networks import is_shared


class Cause(NamedTuple):
    """One cause, in words."""

    says: str
    """The finding's sentence after the port: ``UDP 5060 (SIP) ...``."""
    clause: str
    """The same where it is one of several."""
    told_by: str
    """What would show that it is this one."""


CAUSES: dict[str, Cause] = {
    "no-rule": Cause(
        "does not arrive: {box} has no rule that lets it in.",
        "{box} has no rule for it",
        "look for the rule in the router's port forwarding table",
    ),
    "wrong-host": Cause(
        "does not arrive: the router leads it to another machine than this one ({here}).",
        "the router's rule leads to another machine than {here}",
        "compare the address in the rule with {here}",
    ),
    "held-by-another": Cause(
        "does not arrive: another device holds this port in the router, {holder}.",
        "another device holds this port in the router, {holder}",
        "look at the router's list of UPnP mappings",
    ),
    "wrong-port": Cause(
        "arrives at this machine, but at {lands}: the router's rule changes the port.",
        "the router's rule leads to another port of this machine",
        "compare the rule's internal port with the external one",
    ),
    "led-on-here": Cause(
        "arrives at this machine, whose own rules lead it on: to a container or a virtual machine, where nothing listens.",
        "this machine's own rules lead it on to a container or a virtual machine",
        "look at what containers of this machine publish, and at its NAT rules",
    ),
    "no-listener": Cause(
        "arrives at this machine, but where nothing listens: the rule changes the port, or means another of this machine's addresses.",
        "the rule leads to a port where nothing listens",
        "compare the rule's internal port with the external one",
    ),
    "host-firewall": Cause(
        "arrives at this machine, and this machine's own firewall drops it.",
        "this machine's own firewall drops it",
        "let it in there and run this again (on Linux, and with the PBX stopped, it is told for certain)",
    ),
    "reverse-path": Cause(
        "arrives at this machine, and this machine's check of senders (rp_filter) drops it: its answers would leave by another interface.",
        "this machine's check of senders (rp_filter) drops it",
        "look at this machine's routes (ip route) and rp_filter",
    ),
    "double-nat": Cause(
        "does not arrive: two routers in a row translate addresses (double NAT), and the outer one, {second}, which has {public}, has no "
        "rule that lets it in. Both need one; if the outer one is the provider's, only the provider can make it.",
        "two routers in a row translate addresses (double NAT), and one of them has no rule for it",
        "look for the rule in both routers",
    ),
    "carrier-grade-nat": Cause(
        "cannot be forwarded: the provider translates addresses too (carrier-grade NAT), and {public} is not this network's own address; "
        "unless {second} is a router of your own (some sites number theirs so): then this is double NAT, and that one needs the rule.",
        "{translator}",
        "compare the router's WAN address with {public}: another one means a second router before it, your own (it needs the rule, too) or "
        "the provider's",
    ),
    "provider-drops": Cause(
        "does not arrive: something before the router, at the provider or on the way, turns it away.",
        "the provider, or another firewall before the router, drops it",
        "if the rule is there and right, ask the provider; or try another port number",
    ),
    "router-refuses": Cause(
        "is refused by the router itself, and other ports are not: it keeps this port for itself, or has a rule that rejects it.",
        "the router refuses this port itself",
        "look for a rule or a service of the router's own on this port (its telephony, its remote administration)",
    ),
    "router-answers": Cause(
        "does not reach this machine: {box} answers there itself, as {who}. It keeps this port for its own telephony or administration.",
        "{box} answers there itself: it keeps this port for its own telephony or administration",
        "look for telephony, SIP or remote administration of the router's own on this port",
    ),
    "answered-before": Cause(
        "does not reach this machine: something before the router answers in its place, as {who}.",
        "something before it, at the provider or on the way, answers in its place",
        "with the router switched off for a minute, have somebody ask again from outside: what still answers stands before it",
    ),
    "filtered-behind": Cause(
        "is led on by the router and does not arrive: a filter between the router's rule and this machine holds it up.",
        "a filter of the router, or of something between it and this machine, holds it up behind the rule",
        "if the rule leads to {here}, look at the router's firewall rules, and at a virtual machine's host or a switch between",
    ),
}
"""By the finding's cause."""
_ABSENT = frozenset({(3, 0), (3, 1)}), frozenset({(1, 0), (1, 3)})
"""Net or host unreachable, address unreachable (RFC 792, RFC 4443): the machine that a rule leads to is not there."""
_NOBODY_LISTENS = ((3, 3), (1, 4))
"""Port unreachable, likewise."""


def fitting(row: PortRow, path: Path, here: str, public: str) -> tuple[str, ...]:
    """Every cause that fits a port that was not reached, the likeliest first. ``here``: this machine's address."""
    if row.lands_on is not None:
        return ("wrong-port",)
    if row.state == "answered":
        return _answered(row, path, here, public)
    if row.here == "dropped":
        return ("host-firewall",)
    if row.here == "reverse-path":
        return ("reverse-path",)
    if row.here == "nobody-listens":
        return ("no-listener",)
    if row.here == "taken":
        return ("wrong-port",)
    if row.here == "led-on":
        return ("led-on-here",)
    if path.cgnat and not path.let_in:
        return ("carrier-grade-nat",)
    held = _is_held(row, here) and row.passed_on is not False
    if held and _is_absent(row) and (row.state == "blocked" or row.passed_on):
        return ("wrong-host",)  # a machine that is gone holds nothing: it may have been this one, under another address
    if held and row.passed_on:
        return ("held-by-another",)
    if here == public:
        found = _untranslated(row, path, here)
    elif row.asked and row.state == "refused":
        found = _refused_to_the_service(row)
    elif row.icmp is not None or row.state == "refused":
        found = _refused(row, path, public)
    else:
        found = _silent(row, path)
    if held:
        found = ("held-by-another", *found)  # its list alone: it may have forgotten to apply it, or to take it off
    if row.passed_on and not path.nearby:
        found = ("no-rule", *found)  # of the router within
    # By a packet socket, which sees what comes before any firewall of this machine does: nothing came.
    watched = row.asked and (row.seen_by == PACKETS or (row.transport == "udp" and row.state == "blocked")) and not row.arrived
    if row.here is None and not watched and "wrong-host" in found:
        found = (*found, "host-firewall", *(["no-listener"] if row.state == "refused" else []))
    unseen = row.here is None and not watched and row.transport == "udp" and row.state == "blocked"
    if "wrong-host" in found and (row.here == "undropped" or unseen):
        found = (*found, "wrong-port")  # taken by another program of this machine
    # Whoever has the address leads ports on; or it is this network's router, which on a provider's own network is the provider's.
    elsewhere = (path.nearby and not is_shared(here)) or path.let_in or row.passed_on is True or here == public
    if path.double and not elsewhere and "no-rule" in found:
        return tuple(dict.fromkeys("double-nat" if cause == "no-rule" else cause for cause in found))
    if not elsewhere and ("no-rule" in found or "router-refuses" in found):
        found = (*found, "carrier-grade-nat")
    return tuple(dict.fromkeys(found))


def _answered(row: PortRow, path: Path, here: str, public: str) -> tuple[str, ...]:
    """Somebody else answered: a machine to which the router beside us leads the port on; where it leads it on to nobody, the router itself
    or whoever stands before it."""
    if row.passed_on is False and not row.arrived and row.answered_here is not True and here != public and not path.cgnat:
        if row.answered_before is not None:
            return ("answered-before",) if row.answered_before else ("router-answers",)
        return ("router-answers", "answered-before")
    beside = path.behind_owner == 1 and path.unseen_router is None and here != public and not path.cgnat
    nothing_here = row.answered_here is False if row.asked else row.here == "nothing" and row.unbound is None
    led_away = beside and row.passed_on and nothing_here and not row.arrived
    return () if not led_away else ("held-by-another",) if _is_held(row, here) else ("wrong-host",)


def _is_held(row: PortRow, here: str) -> bool:
    """Whether the router lists a mapping of the port to another machine: its word."""
    return row.mapping is not None and row.mapping.internal_host != here


def _is_absent(row: PortRow) -> bool:
    """Whether somebody says that the machine that the port is led to is not there."""
    return row.icmp is not None and any((row.icmp.icmp_type, row.icmp.icmp_code) in kinds for kinds in _ABSENT)


def _untranslated(row: PortRow, path: Path, here: str) -> tuple[str, ...]:
    """No address is translated: there is a filter, here or on the way."""
    itself = ("host-firewall",) if row.here is None else ()
    if row.punched:
        return ("no-rule", *itself)
    told = row.icmp.offender if row.icmp is not None else here if row.state == "refused" else ""
    if told and told not in (here, path.router):
        return ("provider-drops", "no-rule")
    return ("no-rule", "provider-drops", *itself)


def _refused(row: PortRow, path: Path, public: str) -> tuple[str, ...]:
    """Somebody answered. Every machine behind the NAT answers under the public address, and so does the box that has it."""
    if row.reset_before:
        return ("provider-drops",)
    usual = _as_usual(row, path)
    absent = _is_absent(row)
    if row.passed_on:
        return _refused_behind(row, absent, path)
    if row.icmp is not None and row.icmp.offender != public:
        if row.icmp.offender in path.before_owner:
            return ("provider-drops",)
        if row.icmp.ttl is None or row.icmp.ttl != path.expiry_ttl:
            return ("provider-drops", "no-rule")
        row = msgspec.structs.replace(row, passed_on=False)  # another address of the box itself
    by_the_box = ("no-rule",) if usual else ("router-refuses",) if usual is False else ("no-rule", "router-refuses")
    if row.passed_on is False:
        return by_the_box
    if row.reset_before is False:
        return by_the_box if row.punched else (*by_the_box, "provider-drops")  # a reset bears whatever address its maker likes
    if absent and row.state == "blocked":
        return ("wrong-host",)  # told only after the router had looked for it; who rejects by rule does so at once
    if absent and usual is False:
        return ("wrong-host", "filtered-behind", "router-refuses")
    before = ("provider-drops",) if row.icmp is None and not row.punched else ()
    if usual:
        return ("no-rule", "wrong-host", "filtered-behind", *before)
    return ("wrong-host", "no-rule", "filtered-behind", "router-refuses", *before)


def _refused_behind(row: PortRow, absent: bool, path: Path) -> tuple[str, ...]:
    """The box leads it on. A machine that is there answers a port where nobody listens with "port unreachable" or a reset; other words, and
    whatever is made by the box, are a filter's."""
    if absent and row.state == "blocked":
        return ("wrong-host",)  # told only after the router had looked for it; who rejects by rule does so at once
    if row.refused_by_box and not absent:
        return ("filtered-behind",)
    as_a_machine = row.icmp is None or (row.icmp.icmp_type, row.icmp.icmp_code) in _NOBODY_LISTENS
    alone = as_a_machine and row.refused_by_box is False and path.nearby  # else a router between may be the one that refuses
    return ("wrong-host",) if alone else ("wrong-host", "filtered-behind")


def _refused_to_the_service(row: PortRow) -> tuple[str, ...]:
    """A port that is in use here was asked, not probed: how it was refused is known in words alone, so nothing is held against it."""
    if row.arrived:
        return ("host-firewall", "no-listener")
    if row.passed_on:
        return ("wrong-host", "filtered-behind")
    by_others = ("no-rule", "router-refuses", "provider-drops")
    return by_others if row.passed_on is False else ("wrong-host", *by_others, "filtered-behind")


def _as_usual(row: PortRow, path: Path) -> bool | None:
    """Whether ports that no rule names are answered alike; None = could not tell."""
    if row.transport == "udp":
        if path.canary is None and path.canary_passed_on is not False:
            return None  # it may have saved its errors
        return _alike(row.icmp, path.canary)
    if not path.canary_tcp or (row.icmp is not None and path.canary_tcp == "silent"):
        return None  # a router that saves its errors is silent, too
    return path.canary_tcp == ("refused" if row.icmp is None else "unreachable")


def _alike(one: Icmp | None, other: Icmp | None) -> bool:
    if one is None or other is None:
        return False
    return (one.icmp_type, one.icmp_code, one.offender, one.ttl) == (other.icmp_type, other.icmp_code, other.offender, other.ttl)


def _silent(row: PortRow, path: Path) -> tuple[str, ...]:
    if row.passed_on:
        return ("wrong-host", "filtered-behind")
    beyond = () if row.punched else ("provider-drops",)
    if row.passed_on is False:
        return ("no-rule", *beyond)
    return ("no-rule", "wrong-host", "filtered-behind", *beyond)
