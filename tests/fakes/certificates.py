"""Certificates as they are seen in the field: good ones, and each of the bad ones."""

import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

_TIMESTAMPS = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_TIMESTAMP = bytes(33) + bytes.fromhex("0000018bcfe56800 0000 0403 0008 3006020101020101")
"""Version, log, time, no extensions, ECDSA with SHA-256, a signature."""
_NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)


class Identity(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def issue(
    name: str,
    issuer: Identity | None = None,
    *,
    names: tuple[str, ...] | None = (),
    authority: bool = False,
    begins: float = -10,
    ends: float = 300,
    issuer_at: str | None = None,
    logged: bool = False,
) -> Identity:
    """``names``: DNS names, ``sip:`` URIs and addresses; None: no subjectAltName. ``begins`` and ``ends`` in days from now. ``logged``: with
    a log's timestamp (RFC 6962), as public authorities put one in; nobody verifies it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW + datetime.timedelta(days=begins))
        .not_valid_after(_NOW + datetime.timedelta(days=ends))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(each) for each in names]), critical=False)
    if issuer_at:
        access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(issuer_at))
        builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
    if logged:
        builder = builder.add_extension(x509.UnrecognizedExtension(_TIMESTAMPS, _octets(_sized(_sized(_TIMESTAMP)))), critical=False)
    return Identity(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _octets(data: bytes) -> bytes:
    """DER's OCTET STRING, shorter than 128 bytes."""
    return bytes((4, len(data))) + data


def _general(name: str) -> x509.GeneralName:
    if name.startswith("sip"):
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def settings(folder: Path, *shown: Identity, maximum: ssl.TLSVersion | None = None, ask: Identity | None = None, demand: bool = False) -> ssl.SSLContext:
    """A server's: its certificate first, then what it sends beside. ``ask``: for certificates of this authority; ``demand``: or else."""
    file = folder / f"{shown[0].certificate.serial_number:x}.pem"
    file.write_bytes(shown[0].key_pem + b"".join(each.pem for each in shown))
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if maximum is not None:
        made.minimum_version = ssl.TLSVersion.TLSv1
        made.maximum_version = maximum
        made.set_ciphers("ALL:@SECLEVEL=0")
    made.load_cert_chain(file)
    if ask is not None:
        made.verify_mode = ssl.CERT_REQUIRED if demand else ssl.CERT_OPTIONAL
        made.load_verify_locations(cadata=ask.pem.decode())
    return made
