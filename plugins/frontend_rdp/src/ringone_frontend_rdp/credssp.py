"""The server's side of CredSSP ([MS-CSSP]), network level authentication: who the client is, before anything else of RDP is spoken.

Bytes in, bytes out, inside the TLS connection. The logon's keys seal the public key of the certificate that the client saw, so that a logon cannot be relayed
through somebody else's connection. The credentials that a client delegates at the end are unsealed, which proves that nobody altered them, and dropped.
"""

from __future__ import annotations

import enum
import hashlib
import hmac

import attrs

from ringone_frontend_rdp import der
from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.negotiation import Negotiation
from ringone_frontend_rdp.ntlm import LogonError, NtlmAcceptor, Users

VERSION = 6
OLDEST_VERSION = 2
NONCE_VERSION = 5
"""From here on the public key is bound by a hash with a nonce (CVE-2018-0886)."""
ERROR_CODE_VERSIONS = (3, 4, 6)
STATUS_LOGON_FAILURE = 0xC000006D - (1 << 32)
"""Signed, in four bytes: with a fifth one FreeRDP takes the connection for broken."""

MAX_REQUEST_BYTES = 64 << 10
NONCE_BYTES = 32
CLIENT_TO_SERVER = b"CredSSP Client-To-Server Binding Hash\0"
SERVER_TO_CLIENT = b"CredSSP Server-To-Client Binding Hash\0"


@attrs.frozen(kw_only=True)
class TsRequest:
    """[MS-CSSP] 2.2.1."""

    version: int
    token: bytes | None = attrs.field(default=None, repr=False)
    credentials: bytes | None = attrs.field(default=None, repr=False)
    public_key: bytes | None = attrs.field(default=None, repr=False)
    error_code: int | None = None
    nonce: bytes | None = attrs.field(default=None, repr=False)


def parse_request(data: bytes) -> TsRequest:
    """Raises `ProtocolError`."""
    fields = der.DerReader(der.only(der.SEQUENCE, data))
    version = der.integer(fields.read(der.context(0)))
    tokens = fields.read_optional(der.context(1))
    credentials, public_key = (_octets(fields.read_optional(der.context(number))) for number in (2, 3))
    error_code = fields.read_optional(der.context(4))
    nonce = _octets(fields.read_optional(der.context(5)))
    fields.finish()
    return TsRequest(
        version=version,
        token=None if tokens is None else _first_token(tokens),
        credentials=credentials,
        public_key=public_key,
        error_code=None if error_code is None else der.integer(error_code),
        nonce=nonce,
    )


def encode_request(request: TsRequest) -> bytes:
    fields = [der.encode(der.context(0), der.encode_integer(request.version))]
    if request.token is not None:
        token = der.encode(der.context(0), der.encode(der.OCTET_STRING, request.token))
        fields.append(der.encode(der.context(1), der.encode(der.SEQUENCE, der.encode(der.SEQUENCE, token))))
    fields += [
        der.encode(der.context(number), der.encode(der.OCTET_STRING, value))
        for number, value in ((2, request.credentials), (3, request.public_key))
        if value is not None
    ]
    if request.error_code is not None:
        fields.append(der.encode(der.context(4), der.encode_integer(request.error_code)))
    if request.nonce is not None:
        fields.append(der.encode(der.context(5), der.encode(der.OCTET_STRING, request.nonce)))
    return der.encode(der.SEQUENCE, *fields)


class Stage(enum.Enum):
    LOGON = enum.auto()
    CREDENTIALS = enum.auto()
    COMPLETE = enum.auto()
    FAILED = enum.auto()


class Acceptor:
    """One client's logon.

    `public_key` is the content of the certificate's subjectPublicKey and `end_point` its hash (both: `certificates.HostCertificate`). Clients older than
    `oldest_version` are refused; without the nonce of version 5 a client can be made to sign a text of an attacker's choice.
    """

    def __init__(self, users: Users, public_key: bytes, *, end_point: bytes = b"", oldest_version: int = NONCE_VERSION) -> None:
        self._negotiation = Negotiation(NtlmAcceptor(users, end_point))
        self._public_key = public_key
        self._oldest_version = max(oldest_version, OLDEST_VERSION)
        self._stage = Stage.LOGON
        self._buffer = bytearray()
        self._client_version: int | None = None
        self._nonce: bytes | None = None
        self._user = ""

    @property
    def complete(self) -> bool:
        return self._stage is Stage.COMPLETE

    @property
    def user(self) -> str:
        """Who has logged on; empty until then."""
        return self._user if self.complete else ""

    @property
    def unread(self) -> bytes:
        """What the client sent behind its last request: the beginning of what comes after the logon."""
        return bytes(self._buffer) if self.complete else b""

    def receive(self, data: bytes) -> bytes:
        """Take bytes, in whatever pieces they come; return what to answer.

        Raises `LogonError`, whose `reply` is to be sent, or another `ProtocolError`; the connection is to be closed then. A user database that cannot be read
        raises `ringone.api.errors.DriverError`.
        """
        if self._stage is Stage.FAILED:
            raise ProtocolError("a logon that has failed goes on")
        self._buffer += data
        stage: Stage = self._stage
        self._stage = Stage.FAILED
        replies = b""
        while stage is not Stage.COMPLETE and (message := self._next_message()) is not None:
            request = parse_request(message)
            self._check_constant(request)
            if stage is Stage.CREDENTIALS:
                stage = self._drop_credentials(request)
            else:
                reply, stage = self._log_on(request)
                replies += reply
        self._stage = stage
        return replies

    def _next_message(self) -> bytes | None:
        if self._buffer and self._buffer[0] != der.SEQUENCE:
            raise ProtocolError(f"no CredSSP request: it begins with {self._buffer[0]:#04x}")
        span = der.header(self._buffer)
        if span is None:
            return None
        if span[1] > MAX_REQUEST_BYTES:
            raise ProtocolError(f"a CredSSP request of {span[1]} bytes; accepted are up to {MAX_REQUEST_BYTES}")
        if len(self._buffer) < span[1]:
            return None
        message = bytes(self._buffer[: span[1]])
        del self._buffer[: span[1]]
        return message

    def _check_constant(self, request: TsRequest) -> None:
        """Version and nonce are said once: one that changes was changed by somebody else."""
        if request.error_code is not None:
            raise ProtocolError(f"the client ends the logon with error {request.error_code & 0xFFFFFFFF:#010x}")
        if self._client_version is None:
            if request.version < self._oldest_version:
                raise ProtocolError(f"CredSSP version {request.version}; accepted is {self._oldest_version} or newer")
            self._client_version = request.version
        if request.version != self._client_version:
            raise ProtocolError(f"CredSSP version {request.version} after version {self._client_version} in the same logon")
        if request.nonce is not None and self._nonce not in (None, request.nonce):
            raise ProtocolError("a second CredSSP nonce in the same logon")
        self._nonce = request.nonce or self._nonce

    def _log_on(self, request: TsRequest) -> tuple[bytes, Stage]:
        answer: bytes | None = None
        if request.token is not None:
            try:
                answer = self._negotiation.receive(request.token)
            except LogonError as error:
                error.reply = self._refusal()
                raise
        if request.public_key is None:
            if request.token is None:
                raise ProtocolError("a CredSSP request with neither a token nor a public key")
            return (encode_request(TsRequest(version=VERSION, token=answer)) if answer else b""), Stage.LOGON
        sealed = self._bind_public_key(request.public_key)
        token = answer if self._negotiation.signed and answer else None
        return encode_request(TsRequest(version=VERSION, token=token, public_key=sealed)), Stage.CREDENTIALS

    def _refusal(self) -> bytes:
        if self._client_version is None or min(self._client_version, VERSION) not in ERROR_CODE_VERSIONS:
            return b""
        return encode_request(TsRequest(version=VERSION, error_code=STATUS_LOGON_FAILURE))

    def _bind_public_key(self, sealed: bytes) -> bytes:
        """Check that the client saw our certificate, and show it that we know which one it saw."""
        session = self._negotiation.session
        if session is None:
            raise ProtocolError("a public key before the logon is done")
        ours, answer = self._binding()
        if not hmac.compare_digest(session.incoming.unseal(sealed), ours):
            raise ProtocolError("the client saw another certificate: the connection is relayed")
        return session.outgoing.seal(answer)

    def _binding(self) -> tuple[bytes, bytes]:
        """What the client seals of the public key, and what the server does."""
        key = self._public_key
        if self._client_version is not None and self._client_version < NONCE_VERSION:
            return key, bytes(((key[0] + 1) & 0xFF,)) + key[1:]
        if self._nonce is None or len(self._nonce) != NONCE_BYTES:
            raise ProtocolError(f"CredSSP without a nonce of {NONCE_BYTES} bytes, which version {NONCE_VERSION} and newer have")
        return hashlib.sha256(CLIENT_TO_SERVER + self._nonce + key).digest(), hashlib.sha256(SERVER_TO_CLIENT + self._nonce + key).digest()

    def _drop_credentials(self, request: TsRequest) -> Stage:
        session = self._negotiation.session
        if session is None or request.credentials is None:
            raise ProtocolError("a CredSSP logon that ends without credentials")
        session.incoming.unseal(request.credentials)
        self._user = session.user
        return Stage.COMPLETE


def _octets(data: bytes | None) -> bytes | None:
    return None if data is None else der.only(der.OCTET_STRING, data)


def _first_token(data: bytes) -> bytes:
    """Of a list that has one."""
    item = der.only(der.SEQUENCE, der.only(der.SEQUENCE, data))
    return der.only(der.OCTET_STRING, der.only(der.context(0), item))
