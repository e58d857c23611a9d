"""SPNEGO (RFC 4178, [MS-SPNG]) around NTLM, or NTLM as it is: clients do either.

Only one mechanism is known, so that there is nothing to negotiate down to. Where the client's first choice was another one, its signature of the list of
mechanisms is required, as the RFC says; where it sends one anyway, that is verified and answered.
"""

from __future__ import annotations

from ringone_frontend_rdp import der
from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.ntlm import SIGNATURE, LogonError, NtlmAcceptor, Session

INITIAL_TOKEN = 0x60
NEG_TOKEN_INIT = der.context(0)
NEG_TOKEN_RESP = der.context(1)
SPNEGO = bytes.fromhex("2b0601050502")
NTLM = bytes.fromhex("2b06010401823702020a")
MAX_MECHANISMS = 32

ACCEPT_COMPLETED = b"\x00"
ACCEPT_INCOMPLETE = b"\x01"
REQUEST_MIC = b"\x03"


class Negotiation:
    """`session` is there when the client has proved who it is; `signed` tells that it waits for a signature in the last answer."""

    def __init__(self, ntlm: NtlmAcceptor) -> None:
        self._ntlm = ntlm
        self._step = self._first
        self._mechanisms = b""
        self._signature_required = False
        self.session: Session | None = None
        self.signed = False

    def receive(self, token: bytes) -> bytes:
        """The answer to the client's next token; empty where it expects none. Raises `LogonError` or `ProtocolError`."""
        return self._step(token)

    def _first(self, token: bytes) -> bytes:
        if token.startswith(SIGNATURE):
            self._step = self._bare_authenticate
            return self._ntlm.challenge(token)
        return self._init(token)

    def _bare_authenticate(self, token: bytes) -> bytes:
        self._step = self._over
        self.session = self._ntlm.authenticate(token)
        return b""

    def _init(self, token: bytes) -> bytes:
        initial = der.DerReader(der.only(INITIAL_TOKEN, token))
        if initial.read(der.OBJECT_IDENTIFIER) != SPNEGO:
            raise ProtocolError("a logon by neither NTLM nor SPNEGO")
        fields = der.DerReader(der.only(der.SEQUENCE, initial.read(NEG_TOKEN_INIT)))
        self._mechanisms = fields.read(der.context(0))
        fields.read_optional(der.context(1))
        preferred = fields.read_optional(der.context(2))
        mechanisms = _mechanisms(self._mechanisms)
        if NTLM not in mechanisms:
            raise ProtocolError("a logon by SPNEGO without NTLM; accepted is NTLM")
        if mechanisms[0] == NTLM and preferred is not None:
            self._step = self._authenticate
            return _response(ACCEPT_INCOMPLETE, mechanism=NTLM, token=self._ntlm.challenge(der.only(der.OCTET_STRING, preferred)))
        self._signature_required = mechanisms[0] != NTLM
        self._step = self._negotiate
        return _response(REQUEST_MIC if self._signature_required else ACCEPT_INCOMPLETE, mechanism=NTLM)

    def _negotiate(self, token: bytes) -> bytes:
        self._step = self._authenticate
        return _response(ACCEPT_INCOMPLETE, token=self._ntlm.challenge(_token_of(token)[0]))

    def _authenticate(self, token: bytes) -> bytes:
        self._step = self._over
        message, signature = _token_of(token)
        session = self._ntlm.authenticate(message)
        if signature is None:
            if self._signature_required:
                raise LogonError("a logon by SPNEGO whose list of mechanisms is not signed; its first one was not NTLM")
            self.session = session
            return _response(ACCEPT_COMPLETED)
        session.incoming.verify(self._mechanisms, signature)
        session.incoming.restart()
        own = session.outgoing.sign(self._mechanisms)
        session.outgoing.restart()
        self.session = session
        self.signed = True
        return _response(ACCEPT_COMPLETED, signature=own)

    def _over(self, token: bytes) -> bytes:
        raise ProtocolError("a logon token after the last one")


def _mechanisms(data: bytes) -> list[bytes]:
    reader = der.DerReader(der.only(der.SEQUENCE, data))
    mechanisms: list[bytes] = []
    while not reader.at_end:
        if len(mechanisms) == MAX_MECHANISMS:
            raise ProtocolError(f"SPNEGO with more than {MAX_MECHANISMS} mechanisms")
        mechanisms.append(reader.read(der.OBJECT_IDENTIFIER))
    if not mechanisms:
        raise ProtocolError("SPNEGO without mechanisms")
    return mechanisms


def _token_of(data: bytes) -> tuple[bytes, bytes | None]:
    """The mechanism's token in a NegTokenResp, and the signature of the mechanisms."""
    fields = der.DerReader(der.only(der.SEQUENCE, der.only(NEG_TOKEN_RESP, data)))
    fields.read_optional(der.context(0))
    fields.read_optional(der.context(1))
    token = der.only(der.OCTET_STRING, fields.read(der.context(2)))
    signature = fields.read_optional(der.context(3))
    fields.finish()
    return token, None if signature is None else der.only(der.OCTET_STRING, signature)


def _response(state: bytes, *, mechanism: bytes = b"", token: bytes = b"", signature: bytes = b"") -> bytes:
    fields = [der.encode(der.context(0), der.encode(der.ENUMERATED, state))]
    if mechanism:
        fields.append(der.encode(der.context(1), der.encode(der.OBJECT_IDENTIFIER, mechanism)))
    if token:
        fields.append(der.encode(der.context(2), der.encode(der.OCTET_STRING, token)))
    if signature:
        fields.append(der.encode(der.context(3), der.encode(der.OCTET_STRING, signature)))
    return der.encode(NEG_TOKEN_RESP, der.encode(der.SEQUENCE, *fields))
