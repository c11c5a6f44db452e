"""What is said of a port that arrives where nobody listens. Pure."""

import ipaddress

from edgecheck.checks.port_forwarding.observation import PortRow
from edgecheck.model.machine import Holder


def is_unheard(row: PortRow) -> bool:
    """Whether it is reached, and whoever has it open does not hear it."""
    return row.state == "forwarded" and bool(row.listens_elsewhere)


def holders(row: PortRow) -> tuple[tuple[str, str], ...]:
    """What must be alike for two ports to be told of together."""
    return tuple((one.program, one.address) for one in row.listens_elsewhere) if is_unheard(row) else ()


def arrives_unheard(row: PortRow, here: str) -> str:
    """A clause that follows ``UDP 5060 (SIP)``, with its full stop. ``here``: the tested address."""
    programs: dict[str, list[str]] = {}
    for one in row.listens_elsewhere:
        programs.setdefault(one.program, []).append(_place(one))
    told = _and([f"{program} has the port open on {_and(places)} alone" for program, places in programs.items()])
    inward = all(ipaddress.ip_address(one.address.partition("%")[0]).is_loopback for one in row.listens_elsewhere)
    why = ", which nothing from outside this machine reaches" if inward else ""
    return f"arrives at this machine, but nobody listens at {here}, where it comes: {told}{why}."


def _place(holder: Holder) -> str:
    return {"::": "every IPv6 address (::)", "0.0.0.0": "every IPv4 address (0.0.0.0)"}.get(holder.address, holder.address)


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def proof(row: PortRow, here: str) -> list[str]:
    """The evidence, in clauses after ``UDP 5060: ``."""
    if not is_unheard(row):
        return []
    table = _and([f"{one.program} on {one.address}" for one in row.listens_elsewhere])
    out = [f"this machine's table of sockets has {table} and nobody on {here}"]
    if row.unheard:
        out.append(f"asked by this machine itself at {here} after the test, it is refused: nobody listens there")
    return out
