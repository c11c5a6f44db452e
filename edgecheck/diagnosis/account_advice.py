"""What to do about a registration that is refused: by whether a password was asked for before."""

import re

from edgecheck.diagnosis.facts import Facts
from edgecheck.model.verdict import Finding


def forbidden(facts: Facts, finding: Finding) -> tuple[str, ...]:
    """403: before a password it is mostly the place that is refused, after it mostly the password."""
    if "without asking for a password first" in finding.summary:
        seen = re.search(r"\(it sees ([0-9a-fA-F:.]+)\)", finding.summary)
        address = f" ({seen[1]})" if seen else ""
        return (
            f"Have the provider, or the PBX's allow-list, admit this network's public address{address}: the refusal came before any "
            "password was asked for. If it is on the list: ask whether this account may register at all, under this domain, over this "
            "transport.",
        )
    if "to the credentials" in finding.summary:
        return (
            "Enter password and authentication user anew, just as the provider's letter has them (a user name in the wrong field is the "
            "usual fault). If they are right: ask the provider what its log says of this 403; the account may be locked, or in use "
            "elsewhere.",
        )
    return ()
