"""From what was seen to RFC 4787's words, and to RFC 3489's aliases. Pure."""

from collections.abc import Sequence

from edgecheck.checks.nat_behavior.observation import Mapping
from edgecheck.checks.unsolicited import FilterEvidence, believed, remembered

ENDPOINT_INDEPENDENT = "endpoint-independent"
ADDRESS_DEPENDENT = "address-dependent"
ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"


def classify_mapping(rows: Sequence[Mapping], primary: str, alternate: str | None) -> tuple[str | None, str]:
    """Mapping behavior (RFC 4787 section 4.1) by majority over the local sockets; the reason where it could not be told.

    ``primary`` and ``alternate`` are IP addresses of the server.
    """
    locals_ = dict.fromkeys(row.local for row in rows)
    verdicts = [_one_socket([row for row in rows if row.local == local], primary, alternate) for local in locals_]
    told = [verdict for verdict in verdicts if verdict is not None]
    if not told:
        if alternate is None:
            return None, "the server has one address: a mapping that depends on the address cannot be told from one that does not"
        return None, "too few destinations answered"
    winner = max(set(told), key=told.count)
    if told.count(winner) * 2 <= len(told):
        return None, "sockets disagree: the mapping is unstable (several public addresses, or a busy NAT)"
    return winner, ""


def _one_socket(rows: Sequence[Mapping], primary: str, alternate: str | None) -> str | None:
    to_primary = [row.mapped for row in rows if _host(row.remote) == primary]
    to_alternate = [row.mapped for row in rows if alternate is not None and _host(row.remote) == alternate]
    if rows and all(row.mapped == row.local for row in rows):
        return ENDPOINT_INDEPENDENT  # not translated at all
    if len(set(to_primary)) > 1 or len(set(to_alternate)) > 1:
        return ADDRESS_AND_PORT_DEPENDENT
    if len(to_primary) < 2 or not to_alternate:
        return None
    return ENDPOINT_INDEPENDENT if to_primary[0] == to_alternate[0] else ADDRESS_DEPENDENT


def classify_filtering(seen: FilterEvidence | None) -> tuple[str | None, str]:
    """Filtering behavior (RFC 4787 section 5); the reason where it could not be told."""
    if seen is None:
        return None, "no mapped port could be probed"
    if seen.other_address:
        if not remembered(seen.alternate_contacted_s):
            return ENDPOINT_INDEPENDENT, ""
        if seen.recalled == ENDPOINT_INDEPENDENT and believed(seen.recalled_s):
            return ENDPOINT_INDEPENDENT, ""
        return None, (
            f"somebody here contacted the alternate address {seen.alternate_contacted_s:.0f} s ago, and a router that remembers "
            "hosts would let it in for that; run again ten minutes after the last run"
        )
    if not seen.silence_proved:
        return None, f"too much loss: {seen.control} of {seen.copies} control packets arrived"
    if seen.same_address:
        if seen.other_address is None:
            return None, "the server has one address: endpoint-independent and address-dependent filtering cannot be told apart"
        if not seen.alternate_answers:
            return None, "the server's alternate address did not answer even when contacted, so its silence proves nothing"
        return ADDRESS_DEPENDENT, ""
    if not seen.same_address_answers:
        return None, "the server's second port did not answer even when contacted, so its silence proves nothing"
    return ADDRESS_AND_PORT_DEPENDENT, ""


def classic_type(behind_nat: bool | None, mapping: str | None, filtering: str | None) -> str | None:
    """RFC 3489's name. "Cone" and "symmetric" are aliases, poorer than the two behaviors."""
    if behind_nat is False:
        if filtering is None:
            return None
        return "open internet" if filtering == ENDPOINT_INDEPENDENT else "symmetric udp firewall"
    if behind_nat is None or mapping is None:
        return None
    if mapping != ENDPOINT_INDEPENDENT:
        return "symmetric"
    return {
        ENDPOINT_INDEPENDENT: "full cone",
        ADDRESS_DEPENDENT: "restricted cone",
        ADDRESS_AND_PORT_DEPENDENT: "port restricted cone",
    }.get(filtering or "")


def classify_pooling(rows: Sequence[Mapping], others: Sequence[str]) -> str | None:
    """IP address pooling (RFC 4787 section 4.1): ``paired`` when every session uses one public address, else ``arbitrary``."""
    hosts = {_host(row.mapped) for row in rows} | {_host(mapped) for mapped in others}
    if not hosts or len(rows) + len(others) < 3:
        return None
    return "paired" if len(hosts) == 1 else "arbitrary"


def _host(endpoint: str) -> str:
    return endpoint.rpartition(":")[0].strip("[]")
