"""The host's certificate, kept, and those that users bring."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from ringone.api.errors import DriverError
from ringone_frontend_rdp import certificates
from ringone_frontend_rdp.certificates import HostCertificate, host_certificate, own_certificate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a certificate in it: RSA keys take a while to be found."""
    folder = tmp_path_factory.mktemp("host") / "rdp"
    host_certificate(folder)
    return folder


def loaded(certificate: HostCertificate) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificate.certificate.read_bytes())


def test_it_is_made_once_and_kept(folder: Path) -> None:
    assert host_certificate(folder) == host_certificate(folder)


def test_it_is_the_owners_alone(folder: Path) -> None:
    assert [path.name for path in folder.iterdir()] == ["host.pem"]
    assert (folder / "host.pem").stat().st_mode & 0o777 == 0o600


def test_another_host_has_another_key(folder: Path, tmp_path: Path) -> None:
    assert host_certificate(folder).public_key != host_certificate(tmp_path).public_key


def test_it_serves_tls_and_is_what_clients_expect(folder: Path) -> None:
    host = host_certificate(folder)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(host.certificate, host.key)
    certificate = loaded(host)
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 2048
    assert host.public_key == key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    assert host.end_point == certificate.fingerprint(hashes.SHA256())
    assert host.fingerprint.replace(":", "") == host.end_point.hex()
    assert "localhost" in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    assert ExtendedKeyUsageOID.SERVER_AUTH in certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value


def test_one_that_ends_soon_is_made_anew_with_the_same_key(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "host.pem").write_bytes((folder / "host.pem").read_bytes())
    (tmp_path / "host.pem").chmod(0o600)
    old = host_certificate(tmp_path)
    later = loaded(old).not_valid_after_utc - datetime.timedelta(days=10)
    monkeypatch.setattr(certificates, "_now", lambda: later)
    new = host_certificate(tmp_path)
    assert new.public_key == old.public_key
    assert new.fingerprint != old.fingerprint
    assert loaded(new).not_valid_after_utc > later + datetime.timedelta(days=3000)


def test_one_that_others_can_read_is_refused(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "host.pem").write_bytes((folder / "host.pem").read_bytes())
    (tmp_path / "host.pem").chmod(0o644)
    with pytest.raises(DriverError, match="alone"):
        host_certificate(tmp_path)


def test_a_damaged_one_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "host.pem").write_bytes(b"damaged")
    (tmp_path / "host.pem").chmod(0o600)
    with pytest.raises(DriverError, match="no certificate"):
        host_certificate(tmp_path)
    assert (tmp_path / "host.pem").read_bytes() == b"damaged"


def written(folder: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, encryption: bytes = b"") -> Path:
    protection = serialization.BestAvailableEncryption(encryption) if encryption else serialization.NoEncryption()
    path = folder / "own.key"
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection))
    return path


def certificate_of(folder: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    path = folder / "own.pem"
    path.write_bytes(certificates._make(key).split(b"-----END PRIVATE KEY-----\n")[1])
    return path


def test_an_own_certificate_with_an_elliptic_curve(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    own = own_certificate(certificate_of(tmp_path, key), written(tmp_path, key))
    assert own.public_key == key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def test_own_keys_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = certificate_of(tmp_path, key)
    with pytest.raises(DriverError, match="is not the key"):
        own_certificate(certificate, written(tmp_path, ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(DriverError, match="encrypted"):
        own_certificate(certificate, written(tmp_path, key, encryption=b"password"))
    with pytest.raises(DriverError, match="RSA or an elliptic curve"):
        own_certificate(certificate, written(tmp_path, ed25519.Ed25519PrivateKey.generate()))
    with pytest.raises(DriverError, match="no such file"):
        own_certificate(certificate, tmp_path / "missing")
    with pytest.raises(DriverError, match="cannot be read"):
        own_certificate(tmp_path / "missing", written(tmp_path, key))
    written(tmp_path, key).chmod(0o644)
    with pytest.raises(DriverError, match="alone"):
        own_certificate(certificate, tmp_path / "own.key")


def test_an_own_certificate_that_has_ended_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate, key_path = certificate_of(tmp_path, key), written(tmp_path, key)
    later = certificates._now() + datetime.timedelta(days=4000)
    monkeypatch.setattr(certificates, "_now", lambda: later)
    with pytest.raises(DriverError, match="ended on"):
        own_certificate(certificate, key_path)
