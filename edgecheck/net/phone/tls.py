"""TLS over a stream of our own, so that everything a handshake shows can be kept: what was heard, alerts, the chain, what was asked of us.

The chain is judged by the system's store and the CA file; the name is not part of that: SIP has rules of its own for it (RFC 5922).
"""

import contextlib
import ssl
from typing import Any

from edgecheck.model.check import Delivery, Stream
from edgecheck.model.phone import Handshake
from edgecheck.net.sockets.bell import Bell

_HEARD = 64
_HANDSHAKE_RECORDS = (20, 21, 22, 23)
_ALERT = 21
"""The content type of RFC 8446 section 5.1."""
_FATAL = 2
_DER = 2
"""``_ssl.ENCODING_DER``."""


def context(ca: str | None, *, verify: bool, lenient: bool = False, oldest: bool = False) -> ssl.SSLContext:
    """A client's settings. ``lenient`` offers all of TLS 1.2 that OpenSSL takes by itself, as phones do (CBC with SHA-1, RSA key exchange);
    ``oldest`` what no phone of today should need any more. Raises ``OSError`` for an unreadable file."""
    made = ssl.create_default_context() if verify else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if verify:
        made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # what the CA file names is trusted, be it a root or not
        made.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if ca is not None:
            made.load_verify_locations(ca)
    else:
        made.verify_mode = ssl.CERT_NONE
    if lenient:
        made.set_ciphers("DEFAULT:!PSK:!SRP:@SECLEVEL=2")
    if oldest:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            made.minimum_version = ssl.TLSVersion.TLSv1
        with contextlib.suppress(ssl.SSLError):
            made.set_ciphers("ALL:@SECLEVEL=0")
    return made


class TlsStream:
    """A ``Stream`` in TLS over another one. It reads what has come whenever it is looked at."""

    def __init__(self, inner: Stream, settings: ssl.SSLContext, server_name: str | None) -> None:
        self._inner = inner
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._requested: bool | None = None
        self._alert: str | None = None
        self._seen_messages = _watch(settings, self._message)
        self._tls = settings.wrap_bio(self._in, self._out, server_hostname=server_name)
        self._server_name = server_name
        self._plain = bytearray()
        self._heard = bytearray()
        self._closed: str | None = None
        self.done = False
        self.error: ssl.SSLError | None = None
        self.local, self.remote = inner.local, inner.remote
        self.certificate: bytes | None = None
        self.pump()

    def _message(self, direction: str, kind: int, content: Any, data: bytes) -> None:
        if direction != "read":
            return
        name = getattr(content, "name", "")
        if kind == _ALERT and data[:1] == bytes((_FATAL,)):
            self._alert = name.lower().replace("_", " ") or "unknown"
        elif name == "CERTIFICATE_REQUEST":
            self._requested = True

    def pump(self) -> None:
        """Take in what has come, and send out what TLS wants to say."""
        came = bytes(self._inner.received)
        del self._inner.received[:]
        if came:
            self._heard += came[: _HEARD - len(self._heard)]
            self._in.write(came)
        try:
            if self.error is None and not self.done:
                self._tls.do_handshake()
                self.done = True
                self.certificate = self._tls.getpeercert(binary_form=True)
            while self.error is None and self.done and len(self._plain) < 1 << 20:
                piece = self._tls.read(65_536)
                if not piece:
                    self._closed = self._closed or "the other end closed it"
                    break
                self._plain += piece
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._closed = self._closed or "the other end closed it"
        except ssl.SSLError as error:
            self.error = error
        said = self._out.read()
        if said:
            self._inner.send(said)

    @property
    def received(self) -> bytearray:
        self.pump()
        return self._plain

    @property
    def closed(self) -> str | None:
        self.pump()
        if self.error is not None:
            return f"TLS alert: {self._alert}" if self._alert else f"TLS failed: {self.error.reason or self.error}"
        return self._closed or self._inner.closed

    @property
    def settled(self) -> bool:
        """Whether the handshake is over, one way or the other."""
        self.pump()
        return self.done or self.error is not None or self._inner.closed is not None

    def delivery(self) -> Delivery | None:
        return self._inner.delivery()

    def send(self, data: bytes) -> None:
        if self.done and self.error is None:
            with contextlib.suppress(ssl.SSLError):
                self._tls.write(data)
            self.pump()

    def close(self) -> None:
        with contextlib.suppress(ssl.SSLError, ValueError):
            self._tls.unwrap()
        said = self._out.read()
        if said:
            self._inner.send(said)
        self._inner.close()

    def facts(self) -> Handshake:
        """What the handshake showed so far."""
        heard = bytes(self._heard)
        cipher = self._tls.cipher() if self.done else None
        code = getattr(self.error, "verify_code", None) or None
        return Handshake(
            server_name=self._server_name,
            version=self._tls.version() if self.done else None,
            cipher=cipher[0] if cipher else None,
            chain=_chain(self._tls),
            trusted=self.done and self._tls.context.verify_mode is ssl.CERT_REQUIRED,
            verify_code=code,
            verify_words=str(getattr(self.error, "verify_message", "") or ""),
            client_certificate_requested=(self._requested or False) if self.done and self._seen_messages else self._requested,
            alert=self._alert,
            failure=None if self.done else self._failure(heard),
            words=str(self.error.reason or self.error) if self.error is not None else "",
            heard=b"" if heard[:1] and heard[0] in _HANDSHAKE_RECORDS else heard,
        )

    def _failure(self, heard: bytes) -> str:
        if heard and heard[0] not in _HANDSHAKE_RECORDS:
            return "not-tls"
        if self._alert is not None:
            return "alert"
        if self.error is not None and self.error.reason == "UNSUPPORTED_PROTOCOL":
            return "old-version"
        if isinstance(self.error, ssl.SSLCertVerificationError):
            return "untrusted"
        if self.error is not None and "EOF" not in str(self.error.reason or "EOF"):
            return "other"
        if self._inner.closed is not None:
            return "closed"
        return "timeout" if self.error is None else "closed"


def _watch(settings: ssl.SSLContext, tell: Any) -> bool:
    """Have every handshake message told, where this interpreter can; whether it can."""
    if not hasattr(settings, "_msg_callback"):
        return False

    def told(connection: object, direction: str, version: object, kind: int, content: object, data: bytes) -> None:
        tell(direction, int(kind), content, data)

    settings._msg_callback = told
    return True


def _chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """DER, as the server sent it. Before Python 3.13 the interpreter keeps this where it is not documented."""
    source: Any = tls if hasattr(tls, "get_unverified_chain") else getattr(tls, "_sslobj", None)
    with contextlib.suppress(AttributeError, ValueError, ssl.SSLError):
        chain = source.get_unverified_chain() or ()
        return tuple(each if isinstance(each, bytes) else each.public_bytes(_DER) for each in chain)
    with contextlib.suppress(ValueError):
        leaf = tls.getpeercert(binary_form=True)
        return (leaf,) if leaf else ()
    return ()


async def shake_hands(bell: Bell, inner: Stream, settings: ssl.SSLContext, server_name: str | None, timeout: float) -> TlsStream:
    """Open TLS over a connection; how it went is in ``facts``."""
    stream = TlsStream(inner, settings, server_name)
    await bell.until(lambda: stream.settled, timeout)
    return stream
