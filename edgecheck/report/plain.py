"""The plain twin of a technical term, put behind it the first time it stands in a text."""

import re

TWINS = {
    "SIP ALG": "a router feature that rewrites phone signaling",
    "RTP": "call audio",
    "STUN": "a question to a server outside: from where do you see me?",
    "carrier-grade NAT": "the provider shares one public address among customers",
    "hairpinning": "reaching one's own public address from inside",
    "endpoint-independent mapping": "one public port, whoever is called",
    "address-dependent mapping": "another public port for each address called",
    "address-and-port-dependent mapping": "another public port for each address and port called",
    "endpoint-independent filtering": "lets anyone in who knows the port",
    "address-dependent filtering": "lets in only addresses called before",
    "address-and-port-dependent filtering": "lets in only answers from where was called",
}
"""Term -> what it means for somebody who has never heard it. The longest term that fits wins."""

_TERMS = re.compile(r"(?<![\w-])(?:" + "|".join(sorted(map(re.escape, TWINS), key=len, reverse=True)) + r")(?![\w-])")


class Plain:
    """Remembers which terms a reader has met."""

    def __init__(self) -> None:
        self._met: set[str] = set()

    def explain(self, sentence: str) -> str:
        """The sentence with a twin behind each term that is new; a term that is followed by its own brackets is left as it is."""
        aliased = '("' in sentence  # the sentence brings the common name itself: ("port restricted cone")

        def twin(match: re.Match[str]) -> str:
            term = match[0]
            if term in self._met:
                return term
            self._met.add(term)
            after = sentence[match.end() :]
            if after.startswith((" (", ")")) or (aliased and term.endswith(("mapping", "filtering"))):
                return term
            return f"{term} ({TWINS[term]})"

        return _TERMS.sub(twin, sentence)
