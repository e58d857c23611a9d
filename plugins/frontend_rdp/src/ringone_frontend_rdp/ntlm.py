"""The server's side of NTLM ([MS-NLMP]), as little of it as is safe: NTLMv2 with extended session security, a MIC, a key exchange and 128 bits.

What is older or weaker (LM, NTLMv1, anonymous, 56 bits, no signing, no MIC) is refused, so that nobody in between can negotiate it. Proof and MIC are computed
over the bytes as received: clients differ in what stands behind the last attribute. The domain that a client names is part of the proof and of nothing else,
since users here belong to the host. A name that nobody has goes through the same steps with a hash that nobody knows.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import secrets
import struct
import time
from typing import Protocol

import attrs
from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
from cryptography.hazmat.primitives.ciphers import Cipher
from ringone.api.errors import DriverError

from ringone_frontend_rdp.errors import AuthenticationError, ProtocolError

SIGNATURE = b"NTLMSSP\0"
TARGET = "RINGONE"
"""What the server calls itself before anybody has proved anything; the host's name is nobody's business by then."""

HASH_BYTES = 16
PROOF_BYTES = 16
CHALLENGE_BYTES = 8
KEY_BYTES = 16
MAX_NAME_BYTES = 512
BLOB_VERSION = b"\x01\x01"
BLOB_PAIRS = 28
"""Where the attributes begin in what an NTLMv2 client signs."""

AUTHENTICATE_MIC = 72
AUTHENTICATE_PAYLOAD = 88
WINDOWS_EPOCH = 116444736000000000
"""1970 in units of 100 ns since 1601."""


class Message(enum.IntEnum):
    NEGOTIATE = 1
    CHALLENGE = 2
    AUTHENTICATE = 3


class Flag(enum.IntFlag):
    """NTLMSSP_..., [MS-NLMP] 2.2.2.5."""

    UNICODE = 1 << 0
    REQUEST_TARGET = 1 << 2
    SIGN = 1 << 4
    SEAL = 1 << 5
    NTLM = 1 << 9
    ANONYMOUS = 1 << 11
    ALWAYS_SIGN = 1 << 15
    TARGET_TYPE_SERVER = 1 << 17
    EXTENDED_SESSION_SECURITY = 1 << 19
    TARGET_INFO = 1 << 23
    VERSION = 1 << 25
    KEY_128 = 1 << 29
    KEY_EXCHANGE = 1 << 30


REQUIRED = Flag.UNICODE | Flag.SIGN | Flag.SEAL | Flag.NTLM | Flag.EXTENDED_SESSION_SECURITY | Flag.KEY_128 | Flag.KEY_EXCHANGE
OFFERED = REQUIRED | Flag.REQUEST_TARGET | Flag.ALWAYS_SIGN | Flag.TARGET_TYPE_SERVER | Flag.TARGET_INFO | Flag.VERSION
VERSION = struct.pack("<BBHxxxB", 10, 0, 19041, 15)
"""That of a current Windows; clients look at the last byte, the revision of NTLM."""


class Pair(enum.IntEnum):
    """MsvAv..., [MS-NLMP] 2.2.2.1."""

    EOL = 0
    NETBIOS_COMPUTER = 1
    NETBIOS_DOMAIN = 2
    DNS_COMPUTER = 3
    DNS_DOMAIN = 4
    FLAGS = 6
    TIMESTAMP = 7
    CHANNEL_BINDINGS = 10


PAIR_FLAG_MIC = 2


class LogonError(AuthenticationError):
    """The client did not prove who it is, or in a way that is not accepted. `reply` is what it is told before the connection is closed."""

    reply = b""


@attrs.frozen
class Account:
    """A user: the name as it was given, and the hash, which is worth as much as the password."""

    name: str
    nt_hash: bytes = attrs.field(repr=False)


class Users(Protocol):
    """Who may log on. Names are found however their letters are cased."""

    def find(self, name: str) -> Account | None: ...


class Direction:
    """Signing and sealing one way, [MS-NLMP] 3.4: a running RC4 stream and a count of messages."""

    def __init__(self, session_key: bytes, way: str) -> None:
        self._signing_key = _md5(session_key + f"session key to {way} signing key magic constant\0".encode())
        self._sealing_key = _md5(session_key + f"session key to {way} sealing key magic constant\0".encode())
        self._count = 0
        self.restart()

    def restart(self) -> None:
        """Begin the RC4 stream again, as both sides do after SPNEGO's own signature; the count goes on."""
        self._stream = Cipher(ARC4(self._sealing_key), mode=None).encryptor()

    def sign(self, data: bytes) -> bytes:
        count = struct.pack("<I", self._count)
        self._count += 1
        checksum = _hmac(self._signing_key, count, data)[:8]
        return struct.pack("<I", 1) + self._stream.update(checksum) + count

    def verify(self, data: bytes, signature: bytes) -> None:
        if not hmac.compare_digest(self.sign(data), signature):
            raise ProtocolError("a signature is wrong: the message was altered, repeated or reordered")

    def seal(self, data: bytes) -> bytes:
        sealed = self._stream.update(data)
        return self.sign(data) + sealed

    def unseal(self, message: bytes) -> bytes:
        data = self._stream.update(message[PROOF_BYTES:])
        self.verify(data, message[:PROOF_BYTES])
        return data


class Session:
    """A user who has proved it, and both directions of the protection."""

    def __init__(self, user: str, session_key: bytes) -> None:
        self.user = user
        self.incoming = Direction(session_key, "client-to-server")
        self.outgoing = Direction(session_key, "server-to-client")


class NtlmAcceptor:
    """One logon. `end_point` is the hash of the certificate as in ``tls-server-end-point`` (RFC 5929); empty where there is none to compare."""

    def __init__(self, users: Users, end_point: bytes = b"") -> None:
        _check_algorithms()
        self._users = users
        self._bindings = channel_bindings(end_point)
        self._server_challenge = secrets.token_bytes(CHALLENGE_BYTES)
        self._negotiate = b""
        self._challenge = b""

    def challenge(self, negotiate: bytes) -> bytes:
        """Answer to the client's NEGOTIATE_MESSAGE."""
        if self._negotiate:
            raise ProtocolError("NTLM begins a second time")
        _check_header(negotiate, Message.NEGOTIATE, 16)
        _check_flags(*struct.unpack_from("<I", negotiate, 12))
        self._negotiate = negotiate
        name = TARGET.encode("utf-16-le")
        information = _target_information()
        fields = struct.pack("<HHI", len(name), len(name), 56), struct.pack("<HHI", len(information), len(information), 56 + len(name))
        head = SIGNATURE + struct.pack("<I", Message.CHALLENGE) + fields[0] + struct.pack("<I", OFFERED) + self._server_challenge + bytes(8) + fields[1]
        self._challenge = head + VERSION + name + information
        return self._challenge

    def authenticate(self, message: bytes) -> Session:
        """What the client's AUTHENTICATE_MESSAGE proves. Raises `LogonError` where it does not, and `ProtocolError` where it is none."""
        if not self._challenge:
            raise ProtocolError("NTLM ends before it has begun")
        challenge, self._challenge = self._challenge, b""
        _check_header(message, Message.AUTHENTICATE, AUTHENTICATE_PAYLOAD)
        response, domain, user, encrypted_key = (_field(message, at) for at in (20, 28, 36, 52))
        (flags,) = struct.unpack_from("<I", message, 60)
        _check_flags(flags)
        if not user or flags & Flag.ANONYMOUS:
            raise LogonError("an anonymous logon; accepted are those of users")
        if len(response) < PROOF_BYTES + BLOB_PAIRS:
            raise LogonError(f"an NTLM response of {len(response)} bytes, older than NTLMv2; accepted is NTLMv2")
        if len(encrypted_key) != KEY_BYTES:
            raise ProtocolError(f"an NTLM session key of {len(encrypted_key)} bytes; accepted are {KEY_BYTES}")
        proof, blob = response[:PROOF_BYTES], response[PROOF_BYTES:]
        pairs = _pairs_of_blob(blob)

        account = self._users.find(_text(user))
        nt_hash = account.nt_hash if account else secrets.token_bytes(HASH_BYTES)
        response_key = ntowf_v2(nt_hash, _text(user), domain)
        expected = _hmac(response_key, self._server_challenge, blob)
        if not hmac.compare_digest(expected, proof) or account is None:
            raise LogonError("wrong password" + (f" for {account.name!r}" if account else ", or nobody has this name"))
        session_key = _rc4(_hmac(response_key, proof), encrypted_key)
        self._check_untouched(session_key, challenge, message, pairs)
        return Session(account.name, session_key)

    def _check_untouched(self, session_key: bytes, challenge: bytes, message: bytes, pairs: dict[int, bytes]) -> None:
        """That all three messages are what both sides saw, and that they saw the same certificate where the client says which."""
        if not int.from_bytes(pairs.get(Pair.FLAGS, b""), "little") & PAIR_FLAG_MIC:
            raise LogonError("an NTLM logon without a MIC; accepted are those with one")
        end = AUTHENTICATE_MIC + PROOF_BYTES
        blank = message[:AUTHENTICATE_MIC] + bytes(PROOF_BYTES) + message[end:]
        if not hmac.compare_digest(_hmac(session_key, self._negotiate, challenge, blank), message[AUTHENTICATE_MIC:end]):
            raise LogonError("the MIC of an NTLM logon is wrong: its messages were altered on the way")
        named = pairs.get(Pair.CHANNEL_BINDINGS, b"")
        if any(named) and self._bindings and not hmac.compare_digest(named, self._bindings):
            raise LogonError("the client saw another certificate: the logon is relayed")


def ntowf_v2(nt_hash: bytes, user: str, domain: bytes) -> bytes:
    """The key of a user's responses; `domain` is as sent, in UTF-16."""
    return _hmac(nt_hash, upper(user).encode("utf-16-le"), domain)


def upper(name: str) -> str:
    """As Windows does it: letter by letter, never one letter to several."""
    return "".join(large if len(large := letter.upper()) == 1 else letter for letter in name)


def channel_bindings(end_point: bytes) -> bytes:
    """MsvAvChannelBindings of a certificate: no addresses, and the application's data of RFC 5929."""
    if not end_point:
        return b""
    data = b"tls-server-end-point:" + end_point
    return _md5(bytes(16) + struct.pack("<I", len(data)) + data)


def _target_information() -> bytes:
    """With a time stamp, which is what makes clients send a MIC."""
    name = TARGET.encode("utf-16-le")
    dns = TARGET.lower().encode("utf-16-le")
    now = struct.pack("<Q", WINDOWS_EPOCH + time.time_ns() // 100)
    pairs = (
        (Pair.NETBIOS_DOMAIN, name),
        (Pair.NETBIOS_COMPUTER, name),
        (Pair.DNS_DOMAIN, dns),
        (Pair.DNS_COMPUTER, dns),
        (Pair.TIMESTAMP, now),
        (Pair.EOL, b""),
    )
    return b"".join(struct.pack("<HH", pair, len(value)) + value for pair, value in pairs)


def _pairs_of_blob(blob: bytes) -> dict[int, bytes]:
    if not blob.startswith(BLOB_VERSION):
        raise ProtocolError(f"an NTLMv2 response of version {blob[:2].hex()}; accepted is {BLOB_VERSION.hex()}")
    pairs: dict[int, bytes] = {}
    position = BLOB_PAIRS
    while True:
        if len(blob) < position + 4:
            raise ProtocolError("an NTLMv2 response whose attributes have no end")
        pair, size = struct.unpack_from("<HH", blob, position)
        position += 4
        if pair == Pair.EOL:
            return pairs
        if len(blob) < position + size or pair in pairs:
            raise ProtocolError(f"attribute {pair} of an NTLMv2 response is cut off or there twice")
        pairs[pair] = blob[position : position + size]
        position += size


def _check_header(message: bytes, kind: Message, size: int) -> None:
    if len(message) < size or not message.startswith(SIGNATURE):
        raise ProtocolError(f"an NTLM message of {len(message)} bytes is none, or too short for a {kind.name}")
    (found,) = struct.unpack_from("<I", message, len(SIGNATURE))
    if found != kind:
        raise ProtocolError(f"an NTLM message of type {found}; expected is {int(kind)}")


def _check_flags(flags: int) -> None:
    missing = Flag(REQUIRED & ~flags)
    if missing:
        raise LogonError(f"NTLM without {missing!r}; accepted are logons that have it")


def _field(message: bytes, at: int) -> bytes:
    size, _, offset = struct.unpack_from("<HHI", message, at)
    if offset + size > len(message):
        raise ProtocolError(f"a field of an NTLM message has {size} bytes at {offset}, behind its end at {len(message)}")
    return message[offset : offset + size]


def _text(data: bytes) -> str:
    if len(data) > MAX_NAME_BYTES:
        raise ProtocolError(f"a user's name of {len(data)} bytes; accepted are up to {MAX_NAME_BYTES}")
    try:
        return data.decode("utf-16-le")
    except UnicodeDecodeError as error:
        raise ProtocolError("a user's name that is no UTF-16") from error


def _check_algorithms() -> None:
    try:
        _md5(b"")
        _hmac(b"")
        _rc4(bytes(KEY_BYTES), b"")
    except Exception as error:
        raise DriverError(f"NLA needs MD5 and RC4, which this host's OpenSSL does not do (FIPS mode?): {error}") from error


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data).digest()


def _hmac(key: bytes, *parts: bytes) -> bytes:
    return hmac.digest(key, b"".join(parts), "md5")


def _rc4(key: bytes, data: bytes) -> bytes:
    return Cipher(ARC4(key), mode=None).encryptor().update(data)
