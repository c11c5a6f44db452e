"""What a TLS service's certificate says of it. The one reader for both ends; ``cryptography`` is imported only when there is one."""

from edgecheck.wire.control import Certificate, fingerprint
from edgecheck.wire.inquiry import printable


def read(der: bytes) -> Certificate:
    """Subject and issuer as RFC 4514 text, and the fingerprint. Never raises: what cannot be read is told as ``unreadable``."""
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(der)
        subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
    except (ValueError, TypeError, x509.InvalidVersion):
        subject = issuer = "unreadable"
    return Certificate(subject=printable(subject.encode()), issuer=printable(issuer.encode()), sha256=fingerprint(der))
