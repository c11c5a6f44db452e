"""The certificate of the control channel and of SIP over TLS: one's own, or self-signed and kept."""

import hashlib
import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from echo_server.settings.config import StartError
from echo_server.settings.tokens import write_secret

_LIFE = timedelta(days=3650)
"""Long, because nothing but the token's proof vouches for it: its age says nothing."""


def keep_certificate(directory: Path, hosts: Sequence[str]) -> tuple[Path, Path, bool]:
    """Certificate and key kept in the state directory, and whether they were made just now."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    if certificate.exists() and key.exists():
        key.chmod(0o600)
        return certificate, key, False
    made_certificate, made_key = make_certificate(hosts, datetime.now(UTC))
    write_secret(key, made_key)
    certificate.write_bytes(made_certificate)
    return certificate, key, True


def make_certificate(hosts: Sequence[str], now: datetime) -> tuple[bytes, bytes]:
    """A self-signed certificate (EC P-256) for these addresses, and its key; both PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edgecheck echo server")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host)) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_context(certificate: Path, key: Path) -> tuple[ssl.SSLContext, str]:
    """The TLS context, and the certificate's fingerprint (SHA-256 of its DER, hexadecimal). Raises ``StartError``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
        begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
        pem = certificate.read_text()
        first = pem[pem.index(begin) : pem.index(end) + len(end)]
        return context, hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise StartError(f"The certificate {certificate} and key {key} cannot be used: {error}.") from error
