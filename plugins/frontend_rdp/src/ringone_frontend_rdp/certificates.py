"""The certificate that clients see: one of this host's own, made once and kept, or one that the user brings.

Certificate and key of the host are one file, so that they always belong together. It is RSA with 2048 bits, which old clients have too.
"""

from __future__ import annotations

import datetime
import ipaddress
import socket
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from ringone.api.errors import DriverError

from ringone_frontend_rdp import der
from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.files import locked, read_private, write_private

FILE = "host.pem"
KEY_BITS = 2048
VALID = datetime.timedelta(days=3650)
RENEW = datetime.timedelta(days=30)
CLOCK_SKEW = datetime.timedelta(days=1)
MAX_COMMON_NAME = 64
MAX_CHAIN_BYTES = 1 << 20
OLD_HASHES = ("md5", "sha1")
"""RFC 5929 puts SHA-256 in their place."""


@attrs.frozen(kw_only=True)
class HostCertificate:
    """`certificate` and `key` are PEM files, perhaps the same one. `public_key` is the content of subjectPublicKey, which CredSSP binds a logon to; `end_point`
    the hash of ``tls-server-end-point``; `fingerprint` the SHA-256 of the certificate, as clients show it."""

    certificate: Path
    key: Path
    public_key: bytes = attrs.field(repr=False)
    end_point: bytes = attrs.field(repr=False)
    fingerprint: str


def host_certificate(folder: Path) -> HostCertificate:
    """The one in `folder`; made where there is none, and made anew, with the same key, before it ends. Raises `DriverError`."""
    path = folder / FILE
    with locked(folder):
        data = read_private(path)
        if data is None:
            data = _make(rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS))
            write_private(path, data)
        elif _certificate(path, data).not_valid_after_utc - RENEW < _now():
            data = _make(_key(path, data))
            write_private(path, data)
    return _described(path, data, path, data)


def own_certificate(certificate: Path, key: Path) -> HostCertificate:
    """The user's: a chain in PEM, the server's certificate first, and its key. Raises `DriverError`."""
    try:
        with certificate.open("rb") as file:
            chain = file.read(MAX_CHAIN_BYTES)
    except OSError as error:
        raise DriverError(f"{certificate}: cannot be read: {error.strerror or error}") from error
    key_data = read_private(key)
    if key_data is None:
        raise DriverError(f"{key}: there is no such file")
    return _described(certificate, chain, key, key_data)


def _described(path: Path, chain: bytes, key_path: Path, key_data: bytes) -> HostCertificate:
    certificate = _certificate(path, chain)
    key = _key(key_path, key_data)
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if certificate.public_key() != key.public_key():
        raise DriverError(f"{key_path}: is not the key of the certificate in {path}")
    if certificate.not_valid_after_utc < _now():
        raise DriverError(f"{path}: the certificate ended on {certificate.not_valid_after_utc:%Y-%m-%d}")
    return HostCertificate(
        certificate=path,
        key=key_path,
        public_key=_subject_public_key(spki),
        end_point=_end_point(certificate),
        fingerprint=":".join(f"{byte:02x}" for byte in certificate.fingerprint(hashes.SHA256())),
    )


def _subject_public_key(spki: bytes) -> bytes:
    """What stands in the BIT STRING, without its count of unused bits."""
    try:
        fields = der.DerReader(der.only(der.SEQUENCE, spki))
        fields.read(der.SEQUENCE)
        return fields.read(der.BIT_STRING)[1:]
    except ProtocolError as error:
        raise DriverError(f"the certificate's public key: {error}") from error


def _end_point(certificate: x509.Certificate) -> bytes:
    """Empty where the signature names no hash: RFC 5929 has no binding for those."""
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return b""
    if algorithm is None:
        return b""
    return certificate.fingerprint(hashes.SHA256() if algorithm.name in OLD_HASHES else algorithm)


def _certificate(path: Path, data: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(data)
    except ValueError as error:
        raise DriverError(f"{path}: has no certificate in PEM: {error}") from error


def _key(path: Path, data: bytes) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except TypeError as error:
        raise DriverError(f"{path}: the key is encrypted; accepted is one that is not") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise DriverError(f"{path}: has no private key in PEM") from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise DriverError(f"{path}: a key of RDP clients' kinds is needed: RSA or an elliptic curve")
    return key


def _make(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    host = socket.gethostname() or "localhost"
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:MAX_COMMON_NAME])])
    names: list[x509.GeneralName] = [x509.DNSName(each) for each in dict.fromkeys((host, "localhost")) if each.isascii()]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
    usage = dict.fromkeys(("content_commitment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - CLOCK_SKEW)
        .not_valid_after(_now() + VALID)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_encipherment=True, **usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private + certificate.public_bytes(serialization.Encoding.PEM)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
