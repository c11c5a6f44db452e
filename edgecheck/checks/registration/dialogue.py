"""From an answer to the next step of a REGISTER, pure: what a careful phone does with each status code, and when it stops.

Nothing is tried without end: one retry for each reason, ``MOST_REDIRECTS`` redirections, and the limit of ``credentials``.
"""

from typing import Literal, NamedTuple

from edgecheck.checks.registration.credentials import Credentials, challenges_of
from edgecheck.checks.registration.observation import Ending
from edgecheck.wire import sip
from edgecheck.wire.errors import WireError

MOST_REDIRECTS = 3
LONGEST_EXPIRY_S = 3600
"""What the doctor is ready to register for, where a registrar wants more than was asked for."""
_BRIEF_S = 5
"""A Retry-After of so many seconds is waited for, once."""
EXTENSIONS = ("path", "outbound", "gruu")
_WHATEVER_IS_ASKED = frozenset((404, 408, 410, 413, 420, 421, 423, 430, 439, 482, 483, 491, 494, 502, 503, 504, 513, 604))
"""Refusals that a Contact would not have changed: of the user, of an extension, of the moment."""


class Again(NamedTuple):
    """Send the request anew on the same way, as the dialogue has it now."""

    after_s: float = 0.0


class Redirected(NamedTuple):
    """Go on at one of these."""

    uris: tuple[str, ...]
    proxy: bool
    """305: only the next hop changes, the Request-URI stays."""


class Elsewhere(NamedTuple):
    """Try the next target (RFC 3263 section 4.3)."""


class Done(NamedTuple):
    """2xx."""


class Over(NamedTuple):
    """It ends here."""

    ending: Ending


Step = Again | Redirected | Elsewhere | Done | Over


class Dialogue:
    """What has been learned so far, and so what the next request looks like."""

    def __init__(self, credentials: Credentials, *, expires: int, dry: bool) -> None:
        self.credentials = credentials
        self.expires = expires
        self.dry = dry
        self.extensions: tuple[str, ...] = EXTENSIONS
        self.redirects = 0
        self._retried: set[int | str] = set()

    def weigh(self, message: sip.Message, *, sent_credentials: bool, trusted: bool, last_target: bool) -> Step:
        """What to do about a final answer. ``trusted``: the way is one to which credentials may be given."""
        status = message.status or 0
        if status < 300:
            return Done()
        if status in (401, 407):
            return self._challenged(message, sent_credentials, trusted)
        if status in (301, 302, 305):
            return self._redirected(message, status)
        if status == 423:
            return self._too_brief(message)
        if status in (420, 439):
            return self._without(message, status)
        if status == 503 and not last_target:
            return Elsewhere()
        if status in (430, 491, 500, 503, 480) and self._once(status):
            return self._wait(message, status)
        return Over("refused")

    @staticmethod
    def refuses_questions(step: Over, message: sip.Message) -> bool:
        """Whether a REGISTER that only asks for the bindings may have been refused for that: some registrars want a Contact in each."""
        return step.ending == "refused" and message.status not in _WHATEVER_IS_ASKED

    def _challenged(self, message: sip.Message, sent: bool, trusted: bool) -> Step:
        if self.dry and not sent:
            return Over("challenged" if challenges_of(message) else "no-challenge")
        if not trusted:
            return Over("untrusted")
        advice = self.credentials.weigh(message, sent=sent)
        return Again() if advice == "again" else Over(advice)

    def _redirected(self, message: sip.Message, status: int) -> Step:
        uris = redirections(message)
        if not uris or self.redirects == MOST_REDIRECTS:
            return Over("redirects")
        self.redirects += 1
        return Redirected(uris, proxy=status == 305)

    def _too_brief(self, message: sip.Message) -> Step:
        least = seconds(message.get("Min-Expires"))
        if least is None or not self.expires < least <= LONGEST_EXPIRY_S or not self._once(423):
            return Over("refused")
        self.expires = least
        return Again()

    def _without(self, message: sip.Message, status: int) -> Step:
        unwanted = {"outbound"} if status == 439 else set(option_tags(message, "Unsupported")) or set(EXTENSIONS)
        if not unwanted & set(self.extensions) or not self._once(status):
            return Over("refused")
        self.extensions = tuple(each for each in self.extensions if each not in unwanted)
        return Again()

    def _wait(self, message: sip.Message, status: int) -> Step:
        after = seconds(message.get("Retry-After"))
        if after is None:
            # 430: the flow is broken, a new request makes a new one. 491: something else is being done just now.
            return Again(1.0) if status in (430, 491) else Over("refused")
        return Again(float(after)) if after <= _BRIEF_S else Over("refused")

    def _once(self, reason: int | str) -> bool:
        if reason in self._retried:
            return False
        self._retried.add(reason)
        return True


def redirections(message: sip.Message) -> tuple[str, ...]:
    """The SIP URIs of the Contacts, best first (``q``)."""
    found: list[tuple[float, str]] = []
    for value in (item for line in message.all("Contact") for item in sip.split_addresses(line)):
        uri = sip.address_uri(value)[:300]
        try:
            sip.uri_parts(uri)
        except WireError:
            continue
        try:
            quality = float(sip.parameters(value).get("q", "1"))
        except ValueError:
            quality = 0.0
        found.append((-quality, uri))
    return tuple(uri for _, uri in sorted(found, key=lambda each: each[0]))[:MOST_REDIRECTS]


def option_tags(message: sip.Message, *names: Literal["Require", "Unsupported", "Supported"]) -> tuple[str, ...]:
    """The option tags of these headers, lower case, each once."""
    tags = (tag.strip().lower() for name in names for value in message.all(name) for tag in value.split(","))
    return tuple(dict.fromkeys(tag for tag in tags if tag))[:16]


def seconds(value: str | None) -> int | None:
    """Delta-seconds at the beginning of Expires, Min-Expires, Retry-After; None where there are none."""
    digits = ""
    for character in (value or "").strip():
        if character not in "0123456789" or len(digits) == 10:
            break
        digits += character
    return int(digits) if digits else None
