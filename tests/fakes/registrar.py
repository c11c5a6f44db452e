"""A registrar made of memory: digest, bindings, and whatever a test wants it to get wrong."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from edgecheck.wire import digest, sip
from edgecheck.wire.address import Endpoint
from tests.fakes.sip_peers import response

Override = Callable[[sip.Message, Endpoint], "bytes | None"]
"""Answers in the registrar's place; None: the registrar answers."""


@dataclass
class Registrar:
    """Answers REGISTER as RFC 3261 section 10.3 says, and OPTIONS with 404. A ``Respond`` of ``tests.fakes.sip_peers``."""

    password: str | None = "secret"
    """None: asks for none."""
    auth_user: str = "alice"
    realm: str = "example.com"
    algorithms: tuple[str | None, ...] = ("MD5",)
    qop: str | None = "auth"
    header: str = "WWW-Authenticate"
    status: int = 401
    most_expires: int = 7200
    rewrite: Callable[[str], str] | None = None
    """How a Contact is stored."""
    others: list[str] = field(default_factory=list)
    """Contacts of other devices, with their parameters."""
    override: Override | None = None
    extra: tuple[tuple[str, str], ...] = ()
    """Headers of a 200."""
    stale: bool = False
    """Calls every nonce stale."""
    seen: list[sip.Message] = field(default_factory=list)
    bindings: dict[str, int] = field(default_factory=dict)

    def __call__(self, request: bytes, source: Endpoint) -> Iterable[bytes]:
        message = sip.parse_datagram(request)
        if not message.is_request or message.method == "ACK":
            return
        self.seen.append(message)
        own = self.override(message, source) if self.override else None
        if own is not None:
            yield own
        elif message.method != "REGISTER":
            yield response(request, source, 404, "Not Found")
        elif self.password is not None and not self._proved(message):
            yield response(request, source, self.status, "Unauthorized", *self._challenges())
        else:
            yield self._registered(request, message, source)

    def _challenges(self) -> list[tuple[str, str]]:
        nonce = f"nonce-{len(self.seen)}"
        parts = [f'Digest realm="{self.realm}"', f'nonce="{nonce}"']
        parts += [f'qop="{self.qop}"'] if self.qop else []
        parts += ["stale=true"] if self.stale and len(self.seen) > 1 else []
        return [(self.header, ", ".join([*parts, *([f"algorithm={each}"] if each else [])])) for each in self.algorithms]

    def _proved(self, message: sip.Message) -> bool:
        value = message.get(self.header.replace("-Authenticate", "-Authorization").replace("WWW-", ""))
        if value is None or self.stale:
            return False
        given = digest.parse_parameters(value)
        expected = digest.response(
            algorithm=given.get("algorithm"),
            username=self.auth_user,
            realm=self.realm,
            password=self.password or "",
            method="REGISTER",
            uri=given["uri"],
            nonce=given["nonce"],
            qop=given.get("qop"),
            nc=given.get("nc", ""),
            cnonce=given.get("cnonce", ""),
        )
        return given["username"] == self.auth_user and given["response"] == expected

    def _registered(self, request: bytes, message: sip.Message, source: Endpoint) -> bytes:
        for value in message.all("Contact"):
            expires = int(sip.parameters(value).get("expires") or message.get("Expires") or 3600)
            contact = value.partition(";expires=")[0]
            stored = self.rewrite(contact) if self.rewrite else contact
            if expires == 0:
                self.bindings.pop(stored, None)
            else:
                self.bindings[stored] = min(expires, self.most_expires)
        listed = [("Contact", f"{contact};expires={left}") for contact, left in self.bindings.items()]
        return response(request, source, 200, "OK", *listed, *(("Contact", each) for each in self.others), *self.extra)

    @property
    def credentialed(self) -> list[sip.Message]:
        """The requests that carried credentials."""
        return [each for each in self.seen if each.get("Authorization") or each.get("Proxy-Authorization")]
