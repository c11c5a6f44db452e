"""Facts that may change without being better or worse for calls: a table of what is looked at, and how it is read.

Only what is the same on every run over an unchanged edge stands here: a public *address*, never a public port.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from edgecheck.model.comparison import Change, Kind
from edgecheck.wire.address import parse_endpoint
from edgecheck.wire.errors import WireError

Read = Callable[[Mapping[str, Any]], str | None]


class _Fact(NamedTuple):
    subject: str
    read: Read
    """The fact in words; None = not told."""
    untold_matters: bool = False
    """Whether its being told in one run only is worth a line."""


def facts_changed(check: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterable[Change]:
    """What is not as it was, among the facts of this check."""
    for fact in _FACTS.get(check, ()):
        old, new = fact.read(was), fact.read(now)
        if old == new:
            continue
        if old is not None and new is not None:
            summary = f"The {fact.subject} is {new} now; before it was {old}."
            yield Change(kind=Kind.DIFFERENT, check=check, subject=fact.subject, summary=summary, before=old, after=new)
        elif fact.untold_matters:
            words = "before" if old is None else "now"
            summary = f"The {fact.subject} could not be told {words}."
            yield Change(kind=Kind.NOT_COMPARED, check=check, subject=fact.subject, summary=summary)


def _word(field: str) -> Read:
    def read(facts: Mapping[str, Any]) -> str | None:
        value = facts.get(field)
        if isinstance(value, bool):
            return "yes" if value else "no"
        return str(value) if isinstance(value, (str, int)) else None

    return read


def _host(field: str) -> Read:
    def read(facts: Mapping[str, Any]) -> str | None:
        try:
            return parse_endpoint(str(facts.get(field))).host
        except WireError:
            return None

    return read


def _hops(facts: Mapping[str, Any]) -> str | None:
    """How many, where every one of them answered: a router may be too busy to answer once."""
    hops = facts.get("hops")
    if not isinstance(hops, (list, tuple)) or not hops or not all(isinstance(hop, Mapping) and hop.get("address") for hop in hops):
        return None
    return str(len(hops))


def _targets(facts: Mapping[str, Any]) -> str | None:
    """Where the name leads, whatever the order: equal priorities are drawn by lot in every run (RFC 2782)."""
    told = facts.get("targets")
    if not isinstance(told, (list, tuple)):
        return None
    rows = [f"{row.get('transport')} {row.get('address')}:{row.get('port')}" for row in told if isinstance(row, Mapping)]
    return ", ".join(sorted(rows)) or None


def _names(facts: Mapping[str, Any]) -> str | None:
    names = facts.get("names")
    return ", ".join(sorted(map(str, names))) or None if isinstance(names, (list, tuple)) else None


_FACTS: dict[str, tuple[_Fact, ...]] = {
    "nat-behavior": (
        _Fact("public address", _host("mapped_address")),
        _Fact("network address translation", _word("behind_nat")),
        _Fact("mapping", _word("mapping"), True),
        _Fact("filtering", _word("filtering"), True),
    ),
    "port-preservation": (_Fact("port allocation", _word("allocation")),),
    "topology": (
        _Fact("number of NAT layers", _word("nat_layers"), True),
        _Fact("number of hops", _hops),
    ),
    "dns": (_Fact("list of servers behind the name", _targets),),
    "tls": (
        _Fact("certificate's issuer", _word("issuer")),
        _Fact("certificate's end", _word("not_after")),
        _Fact("certificate's names", _names),
        _Fact("TLS version", _word("version")),
    ),
    "registration": (_Fact("granted registration time", _word("granted_expires_s")),),
}
