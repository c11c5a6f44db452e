"""The self-signed certificate, and what is kept of it."""

import hashlib
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from echo_server.settings.certificate import keep_certificate, load_context, make_certificate
from echo_server.settings.config import StartError

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def test_it_names_the_addresses() -> None:
    pem, key = make_certificate(["192.0.2.1", "2001:db8::1"], NOW)
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.IPAddress)
    assert [str(name) for name in names] == ["192.0.2.1", "2001:db8::1"]
    public = certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.curve.name == "secp256r1"
    assert certificate.not_valid_before_utc < NOW < NOW + timedelta(days=3000) < certificate.not_valid_after_utc
    assert b"PRIVATE KEY" in key
    assert b"PRIVATE KEY" not in pem


def test_it_is_made_once_and_the_key_is_secret(tmp_path: Path) -> None:
    certificate, key, made = keep_certificate(tmp_path, ["192.0.2.1"])
    assert made
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    first = certificate.read_bytes()
    key.chmod(0o644)
    assert keep_certificate(tmp_path, ["192.0.2.99"]) == (certificate, key, False)
    assert certificate.read_bytes() == first
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert {file.name for file in tmp_path.iterdir()} == {"certificate.pem", "key.pem"}


def test_its_fingerprint_is_that_of_the_first_certificate_in_the_file(tmp_path: Path) -> None:
    certificate, key, _ = keep_certificate(tmp_path, ["192.0.2.1"])
    own = certificate.read_bytes()
    issuer, _ = make_certificate(["192.0.2.2"], NOW)
    certificate.write_bytes(b"some words before\n" + own + issuer)
    _, fingerprint = load_context(certificate, key)
    der = x509.load_pem_x509_certificate(own).public_bytes(Encoding.DER)
    assert fingerprint == hashlib.sha256(der).hexdigest()


def test_a_key_of_another_certificate_is_refused_in_one_sentence(tmp_path: Path) -> None:
    certificate, _, _ = keep_certificate(tmp_path, ["192.0.2.1"])
    _, other = make_certificate(["192.0.2.1"], NOW)
    (tmp_path / "other.pem").write_bytes(other)
    with pytest.raises(StartError, match=r"cannot be used: .*\.$"):
        load_context(certificate, tmp_path / "other.pem")
    with pytest.raises(StartError, match=r"cannot be used: .*\.$"):
        load_context(tmp_path / "missing", tmp_path / "other.pem")
