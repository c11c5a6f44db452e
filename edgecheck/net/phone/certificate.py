"""What stands in an X.509 certificate, as plain facts. A stranger wrote it: whatever cannot be read is left out."""

import contextlib
from typing import TYPE_CHECKING, Any

from edgecheck.model.phone import Certificate
from edgecheck.net.quoting import tame

if TYPE_CHECKING:
    from cryptography import x509

_MOST_NAMES = 100


def read(data: bytes) -> Certificate | None:
    """Read DER; None when it is no certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    try:
        found = x509.load_der_x509_certificate(data)
        subject, issuer = found.subject, found.issuer
        names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        alternative = _alternative(found)
        dns_names, uris, addresses = alternative or ((), (), ())
        return Certificate(
            subject=tame(subject.rfc4514_string()),
            issuer=tame(issuer.rfc4514_string()),
            common_name=tame(str(names[0].value)) if names else None,
            dns_names=dns_names,
            uris=uris,
            addresses=addresses,
            has_alternative_names=alternative is not None,
            not_before=_day(found.not_valid_before_utc),
            not_after=_day(found.not_valid_after_utc),
            self_issued=subject == issuer,
            issuer_published=_published(found),
            logged=_logged(found),
            key=_key(found),
            signature=_signature(found),
            fingerprint=found.fingerprint(hashes.SHA256()).hex(),
        )
    except (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension):
        return None


def _day(moment: Any) -> str:
    return str(moment.strftime("%Y-%m-%dT%H:%M:%SZ"))


def _alternative(found: "x509.Certificate") -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]] | None:
    from cryptography import x509

    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None

    def of(kind: Any) -> tuple[str, ...]:
        return tuple(tame(str(name)) for name in names.get_values_for_type(kind)[:_MOST_NAMES])

    return of(x509.DNSName), of(x509.UniformResourceIdentifier), of(x509.IPAddress)


def _published(found: "x509.Certificate") -> bool:
    from cryptography import x509
    from cryptography.x509.oid import AuthorityInformationAccessOID

    with contextlib.suppress(x509.ExtensionNotFound):
        access = found.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        return any(each.access_method == AuthorityInformationAccessOID.CA_ISSUERS for each in access)
    return False


def _logged(found: "x509.Certificate") -> bool:
    from cryptography import x509

    with contextlib.suppress(x509.ExtensionNotFound):
        return len(found.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value) > 0
    return False


def _key(found: "x509.Certificate") -> str:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        key: Any = found.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "unknown"
    kind = type(key).__name__.strip("_").removesuffix("PublicKey")
    curve = getattr(key, "curve", None)
    return f"EC {curve.name}" if curve is not None else f"{kind} {getattr(key, 'key_size', '')}".strip()


def _signature(found: "x509.Certificate") -> str:
    from cryptography.exceptions import UnsupportedAlgorithm

    with contextlib.suppress(UnsupportedAlgorithm):
        algorithm = found.signature_hash_algorithm
        return algorithm.name if algorithm is not None else ""
    return ""
