"""What is said of a port whose service was asked. Pure."""

from edgecheck.checks.port_forwarding.observation import PortRow


def answered(row: PortRow) -> str:
    """A clause that follows ``UDP 5060 (SIP)``, with its full stop."""
    if not row.asked:
        return f"is answered by something else than this test ({row.answered_by})."
    holder = row.owner or "the service"
    if row.answered_here:
        return f"arrives: {holder}, which holds it on this machine, answered as {row.answered_by}."
    if row.answered_here is False:
        return (
            f"is answered by another device ({row.answered_by}): {row.reason}. "
            "The rule leads to the wrong host, or the router itself answers."
        )
    return f"is answered ({row.answered_by}), but it could not be told by whom: {row.reason}."


def asked(row: PortRow, prober: str, probed: str) -> tuple[str, ...]:
    """The evidence, in sentences."""
    where = f"{row.transport.upper()} {row.port}"
    holder = row.owner or "a program that could not be named"
    out = [f"{where} on this machine is used by {holder}: tested by asking it instead of borrowing the port"]
    told = f"asked from {prober} at {probed}:{row.port}, {row.copies} {'copies' if row.transport == 'udp' else 'connections'}: "
    out.append(told + (row.answered_by or ("no answer" if row.state != "undecided" else row.reason)))
    out.append(f"asked directly on this machine: {row.direct}")
    if row.seen_by is not None:
        out.append(f"seen to arrive at this machine ({row.seen_by}): {row.arrived}")
    return tuple(out)
