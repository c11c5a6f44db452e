"""What the looks at one TLS port prove about a box on the way. Pure.

Proved is it only by what a server cannot do: answer where nobody is, or, beside certificates made up for any name, stand nearer than itself
or bear an inspecting box's name. A private authority, a certificate that is new, a TCP relay: each alone has an honest cause, too.
"""

import datetime

from edgecheck.checks.tls.inspectors import inspector
from edgecheck.checks.tls.observation import TlsServer
from edgecheck.model.phone import NOWHERE, NOWHERE6, Certificate

_NEW_MINUTES = 60


def made_up(server: TlsServer, leaf: Certificate) -> bool:
    """Whether the authority of this certificate also signs one for a name that cannot exist. (Another authority for unknown names is a
    server's own stopgap.)"""
    return bool(server.minted) and server.minted_by == leaf.issuer


def interception(server: TlsServer, leaf: Certificate) -> str | None:
    """The proof in words; None: there is none."""
    nobody = f"{_nobody(server)}, an address that nobody has"
    # Two servers' certificates may come from one public authority; a box has none.
    if server.nowhere == "certificate" and server.nowhere_issuer == leaf.issuer and not leaf.logged:
        return f"the same authority signed one for {nobody}"
    if not made_up(server, leaf):
        return None
    any_name = "it makes one up for any name asked for"
    if server.nowhere in ("tls", "certificate"):
        return f"{any_name}, and speaks TLS also at {nobody}"
    if server.near:
        return f"{any_name}, and stands within the first hop, while other ports of that address are farther away"
    maker = inspector(leaf.issuer)
    return f"{any_name}, under the name that TLS inspection of {maker.maker} uses" if maker else None


def _nobody(server: TlsServer) -> str:
    """Who was asked in place of nobody: an address of the same family."""
    return NOWHERE6 if "[" in server.target else NOWHERE


def beside(server: TlsServer) -> str:
    """What is added where the authority is unknown, and something on the way takes connections: the certificate may be its own."""
    if server.near:
        return " Something within the first hop takes the connection in the server's place: a relay, or a box whose certificate this is."
    if server.nowhere in ("connected", "tls", "certificate"):
        return " Something on the way takes connections in the server's place: a relay, or a box whose certificate this is."
    return ""


def signs(server: TlsServer, seen_at: str) -> tuple[str, ...]:
    """The looks, for the evidence."""
    out = []
    if server.minted:
        out.append(f"asked for a random name under .invalid, it showed a certificate for that name, issued by {server.minted_by}")
    if server.nowhere not in (None, "nothing"):
        shown = f"showed a certificate issued by {server.nowhere_issuer}"
        did = {"connected": "took the connection", "tls": "spoke TLS"}.get(server.nowhere, shown)
        out.append(f"{_nobody(server)}, an address that nobody has, {did} at the same port")
    if server.near:
        out.append("a connection came about with packets that live for one hop; to another port of the same address, only with more")
    if server.chain:
        began = datetime.datetime.fromisoformat(server.chain[0].not_before)
        age = (datetime.datetime.fromisoformat(seen_at) - began).total_seconds() / 60
        if 0 <= age < _NEW_MINUTES:
            out.append(f"the certificate is valid since {age:.0f} minutes ago")
    return tuple(out)
