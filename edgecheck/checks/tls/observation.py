"""Facts of ``tls``."""

import msgspec

from edgecheck.checks.tls.between import Nowhere
from edgecheck.model.check import Observation
from edgecheck.model.phone import Certificate


class TlsServer(msgspec.Struct, frozen=True, kw_only=True):
    """One TLS port and what it showed."""

    target: str
    """``TLS 203.0.113.5:5061``."""
    host: str
    """The name that led there: the SIP domain, or the target of an SRV record."""
    failure: str | None
    """Why the handshake was not finished, as in ``Handshake.failure``; None: it was."""
    words: str = ""
    alert: str | None = None
    version: str | None = None
    cipher: str | None = None
    weak: bool = False
    """No cipher was to be had but one that current libraries leave out by themselves (RFC 9325 section 4.2)."""
    below_floor: bool = False
    """Only versions or ciphers below TLS 1.2 were to be had: ``version`` and ``cipher`` are those."""
    chain: tuple[Certificate, ...] = ()
    """As sent, the server's own first."""
    trusted: bool = False
    """The chain leads to an authority in this machine's store or the CA file."""
    verify_code: int | None = None
    """OpenSSL's verification error; None: none, or it never got so far."""
    verify_words: str = ""
    client_certificate_requested: bool | None = None
    without_name: str | None = None
    """Without SNI: ``same``, ``other`` (another certificate), or why TLS was not opened; None: not tried, or not answered."""
    minted: bool | None = None
    """Whether a certificate for a made-up name was shown when that name was asked for by SNI; None: not tried, or not answered."""
    minted_by: str | None = None
    """Its issuer."""
    nowhere: Nowhere | None = None
    """What an address that nobody has (192.0.2.233) did at the same port: ``nothing``, ``connected``, ``tls`` (an alert), ``certificate``;
    None: not asked, for the certificate is beyond doubt."""
    nowhere_issuer: str | None = None
    """Of the certificate shown there."""
    near: bool | None = None
    """Whether something within the first hop takes the connection, while other ports of the address are farther away; None: not asked, or
    it cannot be told."""
    heard: str = ""
    """The beginning of an answer that was no TLS."""


class TlsObservation(Observation, frozen=True, kw_only=True):
    """Facts of ``tls``; ``None`` = could not tell. The first fields are those of the first server that showed a certificate."""

    domain: str
    """The name that the certificate must bear (RFC 5922): the SIP domain, or the proxy's host."""
    names: tuple[str, ...] | None = None
    """subjectAltName: DNS names, then URIs, then addresses; the common name where there is none of those."""
    issuer: str | None = None
    not_after: str | None = None
    days_left: int | None = None
    """Whole days until ``not_after``; negative: expired."""
    version: str | None = None
    chain_complete: bool | None = None
    """Whether what was sent leads to an authority: a trusted one, or a self-signed root at its end."""
    seen_at: str = ""
    """This machine's clock, by which validity is judged."""
    decisive: bool = True
    """Whether a phone with this account uses TLS: False where another transport answered first."""
    servers: tuple[TlsServer, ...] = ()
