"""Short numbers that stand for people: extensions, for ``redact``.

``101`` is somebody's number in ``sip:101@pbx``, and a port, a status code or a count elsewhere. So it is taken from where only a user can
stand (SIP URIs, ``tel:``, digest user names, display names, the user of ``o=`` in SDP, fields of facts), and then looked for in all other
text, where it goes unless the words beside it say that it is something else: a port, a status, a size, a payload type.
"""

import re
from collections.abc import Callable, Iterable

_DIGIT = r"(?:\d|%3\d)"
_NUMBER = rf"{_DIGIT}{{2,15}}"
_PLACES = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        rf"\bsips?:({_NUMBER})(?=(?:[:;][^\s@<>\"]*)?(?:@|%40))",
        rf"<sips?:({_NUMBER})[>;]",
        rf"\btel:\+?({_NUMBER})(?![\w.-])",
        rf"\b(?:user|username|auth_user|ext|extension|caller)=\\?[\"']?({_NUMBER})(?![\w.:-])",
        rf"\"\s*({_NUMBER})\s*\\?\"\s*<(?:sips?|tel):",
        rf"(?<![\w.:%\"-])({_NUMBER})\s+<(?:sips?|tel):",
        r"(?:^|\\n)o=(\d{2,15})(?= \d+ \d+ IN )",
        rf"(?<![\w.:%+-])({_NUMBER})@(?=[\w\[])",
        rf"(?<![0-9A-Za-z.%])({_NUMBER})(?=%40)",
    )
)
"""Where nothing but a user can stand."""
_STATUSES = frozenset((
    100, 180, 181, 182, 183, 199, 200, 202, 204, 300, 301, 302, 305, 380, *range(400, 426), 428, 429, 430, 433, *range(436, 441),
    469, 470, *range(480, 490), 491, 493, 494, *range(500, 506), 513, 555, 580, 600, 603, 604, 606, 607, 608,
))  # fmt: skip
"""Of SIP, as registered with IANA."""
_REASON = re.compile(r" [A-Z][A-Za-z]+")
_LINES = re.compile(r"[abcmtvz]=")
"""Lines of SDP that hold numbers and no people."""
_OTHER_BEFORE = re.compile(
    r"(?:\b(?:ports?|udp|tcp|tls|wss?|rtp|rtcp|media|on)\s(?:[\d/-]+(?:, | and | or | to ))*"
    r"|\bRTP/S?AVPF?(?:\s\d+)*\s"
    r"|\b(?:SIP/2\.0|status|code|type|pid|section|RFC|ttl|hop|hops|series|version|icmp)\s"
    r"|\b(?:CSeq|Expires|Content-Length|Max-Forwards|Min-Expires|Retry-After|RSeq|RAck|Session-Expires|Min-SE|Timestamp|l|x):\s*"
    r"|\b\d+ of )$",
    re.IGNORECASE,
)
_OTHER_AFTER = re.compile(
    r"\s?(?:(?:ms|s|min|h|days?|%|[kKMG]i?B|B|bytes?|octets?|of|ports?|packets?|datagrams?|cop(?:y|ies)|connections?|messages?|times|hops?"
    r"|probes?|seconds?|minutes?|hours?|rounds?|calls|more|requests?|answers?|runs?)(?![\w-])|/s\b|/(?:udp|tcp|tls)\b|-\d)"
    r"|\s(?:telephone-event|[\w-]+/\d{4,6})\b|\s\d+-\d+",
)
_STATUS_BEFORE = re.compile(
    r"\b(?:\d{3} (?:and|or)|(?:status|code|answer) of|answer\w*|refus\w*|reject\w*|got|gets|said|says|sen[dt]s?|return\w*|with|the|an?|:)"
    r"\s(?:an?\s)?$",
    re.IGNORECASE,
)
_A_PERSON = re.compile(
    r"\b(?:extension|user|account|phone|caller|callee|called|number|name|from|to|contact|line)(?:\s(?:is|was))?[:\s]\s*['\"]?$",
    re.IGNORECASE,
)


def number(spelled: str) -> str:
    """Without percent-encoding (RFC 3986 section 2.1)."""
    return re.sub(r"%3(\d)", r"\1", spelled)


def found(text: str) -> Iterable[str]:
    """Numbers that stand where only a user can."""
    for pattern in _PLACES:
        for match in pattern.finditer(text):
            yield number(match[1])


class Extensions:
    """Those that were found, and a word for each."""

    def __init__(self, numbers: Iterable[str], word: Callable[[str], str]) -> None:
        self._word = word
        known = sorted(set(numbers), key=lambda each: (-len(each), each))
        spelled = "|".join("".join(f"(?:{digit}|%3{digit})" for digit in each) for each in known)
        self._known = frozenset(known)
        self._anywhere = re.compile(rf"(?<![\w.:/=+-])(?:{spelled})(?![\w/-]|:\w|\.\d)")
        self._encoded = re.compile(rf"(?<![0-9A-Za-z])(?:{spelled})(?![0-9A-Za-z])")

    def through(self, text: str) -> str:
        """The text without them."""
        if not self._known:
            return text
        for pattern in _PLACES:
            text = pattern.sub(self._placed, text)
        if "%3" in text:
            text = self._encoded.sub(lambda match: self._word(number(match[0])) if "%" in match[0] else match[0], text)
        return self._anywhere.sub(self._beside, text)

    def _placed(self, match: re.Match[str]) -> str:
        start, end = match.start(1) - match.start(), match.end(1) - match.start()
        return match[0][:start] + self._word(number(match[1])) + match[0][end:]

    def _beside(self, match: re.Match[str]) -> str:
        return match[0] if _means_something_else(match) else self._word(match[0])


def _means_something_else(match: re.Match[str]) -> bool:
    text, line = match.string, match.string.rfind("\n", 0, match.start()) + 1
    before, after = text[max(line, match.start() - 80) : match.start()], text[match.end() : match.end() + 40]
    if _A_PERSON.search(before):
        return False
    if _LINES.match(text, line) or _OTHER_BEFORE.search(before) or _OTHER_AFTER.match(after):
        return True
    if len(match[0]) != 3 or int(match[0]) not in _STATUSES:
        return False
    return bool(_REASON.match(after) or _STATUS_BEFORE.search(before)) or not before.strip()
