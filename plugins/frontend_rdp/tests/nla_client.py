"""The client's side of NLA for tests: NTLM and SPNEGO by pyspnego, CredSSP's own steps by hand so that each can be bent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import attrs
import spnego
from ringone_frontend_rdp.credssp import Acceptor
from ringone_frontend_rdp.ntlm import Account
from ringone_frontend_rdp.users import nt_hash
from spnego._credssp_structures import NegoData, TSRequest
from spnego.channel_bindings import GssChannelBindings

PASSWORD = "Säcret-7"
KEY = bytes(range(7, 250))
NONCE = bytes(range(32))


def unchanged(data: bytes) -> bytes:
    return data


@attrs.frozen
class OneUser:
    name: str = "alice"
    password: str = PASSWORD

    def find(self, name: str) -> Account | None:
        return Account(self.name, nt_hash(self.password)) if name.lower() == self.name else None


@attrs.define(kw_only=True)
class Client:
    """`change` is done to each logon token on its way to the server; `sent` records the requests."""

    user: str = "alice"
    password: str = PASSWORD
    protocol: str = "ntlm"
    key: bytes = KEY
    version: int = 6
    nonce: bytes | None = NONCE
    end_point: bytes = b""
    change: Callable[[bytes], bytes] = unchanged
    change_answer: Callable[[bytes], bytes] = unchanged
    sent: list[bytes] = attrs.field(factory=list)
    context: spnego.ContextProxy = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        bindings = GssChannelBindings(application_data=b"tls-server-end-point:" + self.end_point) if self.end_point else None
        self.context = spnego.client(self.user, self.password, protocol=self.protocol, channel_bindings=bindings)

    def log_on(self, acceptor: Acceptor) -> None:
        """The whole exchange. Raises what the acceptor raises."""
        answer = self.prove(acceptor)
        if answer.nego_tokens:
            self.context.step(answer.nego_tokens[0].nego_token)
        assert self.context.unwrap(answer.pub_key_auth or b"").data == self.binding("Server-To-Client")
        self.delegate(acceptor)

    def prove(self, acceptor: Acceptor) -> TSRequest:
        """Up to the server's public key."""
        token = self.context.step()
        for _ in range(5):
            if self.context.complete or self._signs_with_the_last_token():
                break
            answer = self.send(acceptor, TSRequest(self.version, nego_tokens=NegoData(self.change(token or b""))))
            assert answer is not None and answer.nego_tokens is not None
            token = self.context.step(self.change_answer(answer.nego_tokens[0].nego_token))
        tokens = NegoData(self.change(token)) if token else None
        sealed = self.context.wrap(self.binding("Client-To-Server")).data
        answer = self.send(acceptor, TSRequest(self.version, nego_tokens=tokens, pub_key_auth=sealed, client_nonce=self.nonce))
        assert answer is not None
        return answer

    def delegate(self, acceptor: Acceptor) -> None:
        sealed = self.context.wrap(b"0\x03 delegated " + self.password.encode()).data
        assert self.send(acceptor, TSRequest(self.version, auth_info=sealed)) is None

    def binding(self, way: str) -> bytes:
        if self.version < 5:
            first = self.key[0] + (way == "Server-To-Client")
            return bytes((first,)) + self.key[1:]
        return hashlib.sha256(f"CredSSP {way} Binding Hash\0".encode() + (self.nonce or b"") + self.key).digest()

    def send(self, acceptor: Acceptor, request: TSRequest) -> TSRequest | None:
        data = request.pack()
        self.sent.append(data)
        answer = acceptor.receive(data)
        return TSRequest.unpack(answer) if answer else None

    def _signs_with_the_last_token(self) -> bool:
        """SPNEGO is not complete before the server's answer, but its keys are there, and Windows uses them at once."""
        return getattr(self.context, "_mic_sent", False)
