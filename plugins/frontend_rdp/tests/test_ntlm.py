"""NTLM's keys, signatures and seals against the examples of [MS-NLMP] 4.2.4, and SPNEGO around it as clients with other mechanisms speak it."""

from __future__ import annotations

import pytest
import spnego
from ringone_frontend_rdp import der
from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.negotiation import NTLM, SPNEGO, Negotiation
from ringone_frontend_rdp.ntlm import Account, Direction, LogonError, NtlmAcceptor, ntowf_v2, upper
from ringone_frontend_rdp.users import nt_hash

from plugins.frontend_rdp.tests.nla_client import PASSWORD, OneUser

KERBEROS = bytes.fromhex("2a864886f712010202")
SESSION_KEY = b"\x55" * 16
PLAINTEXT = "Plaintext".encode("utf-16-le")
SEALED = bytes.fromhex("010000007fb38ec5c55d497600000000" + "54e50165bf1936dc996020c1811b0f06fb5f")


def test_response_key_of_the_specification() -> None:
    assert ntowf_v2(nt_hash("Password"), "User", "Domain".encode("utf-16-le")).hex() == "0c868a403bfd7a93a3001ef22ef02e3f"


def test_seal_of_the_specification() -> None:
    assert Direction(SESSION_KEY, "client-to-server").seal(PLAINTEXT) == SEALED
    assert Direction(SESSION_KEY, "client-to-server").unseal(SEALED) == PLAINTEXT


def test_a_sealed_message_cannot_be_repeated_reordered_or_cut() -> None:
    repeated = Direction(SESSION_KEY, "client-to-server")
    repeated.unseal(SEALED)
    sender = Direction(SESSION_KEY, "client-to-server")
    second = [sender.seal(PLAINTEXT) for _ in range(2)][1]
    for receiver, message in (
        (repeated, SEALED),
        (Direction(SESSION_KEY, "client-to-server"), second),
        (Direction(SESSION_KEY, "server-to-client"), SEALED),
        (Direction(SESSION_KEY, "client-to-server"), SEALED[:-1]),
        (Direction(SESSION_KEY, "client-to-server"), SEALED[:15]),
        (Direction(SESSION_KEY, "client-to-server"), b""),
    ):
        with pytest.raises(ProtocolError, match="signature"):
            receiver.unseal(message)


def test_names_are_enlarged_letter_by_letter() -> None:
    assert upper("straße ǆ") == "STRAßE Ǆ"


def test_challenges_are_never_the_same() -> None:
    token = spnego.client("alice", PASSWORD, protocol="ntlm").step() or b""
    assert len({NtlmAcceptor(OneUser()).challenge(token)[24:32] for _ in range(20)}) == 20


def test_an_account_does_not_show_its_hash() -> None:
    assert repr(Account("alice", b"secret")) == "Account(name='alice')"


def answered(user: str = "alice") -> tuple[NtlmAcceptor, bytearray]:
    """An acceptor, and the client's answer to its challenge."""
    acceptor = NtlmAcceptor(OneUser())
    client = spnego.client(user, PASSWORD, protocol="ntlm")
    return acceptor, bytearray(client.step(acceptor.challenge(client.step() or b"")) or b"")


def test_an_answer_counts_once() -> None:
    acceptor, answer = answered()
    acceptor.authenticate(bytes(answer))
    with pytest.raises(ProtocolError, match="before it has begun"):
        acceptor.authenticate(bytes(answer))


@pytest.mark.parametrize("at", [20, 28, 36, 52], ids=["response", "domain", "user", "key"])
@pytest.mark.parametrize("field", [b"\xff\xff\xff\xff\x58\0\0\0", b"\x10\0\x10\0\xff\xff\xff\xff"], ids=["long", "far"])
def test_fields_behind_the_end_are_refused(at: int, field: bytes) -> None:
    acceptor, answer = answered()
    answer[at : at + 8] = field
    with pytest.raises(ProtocolError, match="behind its end"):
        acceptor.authenticate(bytes(answer))


def test_names_that_are_no_text_or_too_long_are_refused() -> None:
    acceptor, answer = answered()
    answer[answer.index("alice".encode("utf-16-le")) + 1] = 0xD8
    with pytest.raises(ProtocolError, match="no UTF-16"):
        acceptor.authenticate(bytes(answer))
    acceptor, answer = answered("a" * 300)
    with pytest.raises(ProtocolError, match="name of 600 bytes"):
        acceptor.authenticate(bytes(answer))


# --- SPNEGO with another mechanism first, as of a client in a domain


def wrapped(mechanisms: list[bytes], token: bytes | None) -> tuple[bytes, bytes]:
    """NegTokenInit, and the list in it that is signed."""
    listed = der.encode(der.SEQUENCE, *(der.encode(der.OBJECT_IDENTIFIER, each) for each in mechanisms))
    fields = [der.encode(der.context(0), listed)]
    if token is not None:
        fields.append(der.encode(der.context(2), der.encode(der.OCTET_STRING, token)))
    body = der.encode(der.context(0), der.encode(der.SEQUENCE, *fields))
    return der.encode(0x60, der.encode(der.OBJECT_IDENTIFIER, SPNEGO), body), listed


def response(token: bytes, signature: bytes | None = None) -> bytes:
    fields = [der.encode(der.context(2), der.encode(der.OCTET_STRING, token))]
    if signature is not None:
        fields.append(der.encode(der.context(3), der.encode(der.OCTET_STRING, signature)))
    return der.encode(der.context(1), der.encode(der.SEQUENCE, *fields))


def fields_of(answer: bytes) -> dict[int, bytes]:
    reader = der.DerReader(der.only(der.SEQUENCE, der.only(der.context(1), answer)))
    tags = ((0, der.ENUMERATED), (1, der.OBJECT_IDENTIFIER), (2, der.OCTET_STRING), (3, der.OCTET_STRING))
    found = {number: (tag, reader.read_optional(der.context(number))) for number, tag in tags}
    return {number: der.only(tag, content) for number, (tag, content) in found.items() if content is not None}


def up_to_the_challenge(negotiation: Negotiation) -> tuple[spnego.ContextProxy, bytes, bytes]:
    """The client, its AUTHENTICATE_MESSAGE, and the list of mechanisms."""
    initial, listed = wrapped([KERBEROS, NTLM], b"a ticket that nobody reads")
    assert fields_of(negotiation.receive(initial)) == {0: b"\x03", 1: NTLM}
    client = spnego.client("alice", PASSWORD, protocol="ntlm")
    challenge = fields_of(negotiation.receive(response(client.step() or b"")))
    assert challenge[0] == b"\x01"
    return client, client.step(challenge[2]) or b"", listed


def test_ntlm_as_second_choice_logs_on_with_a_signed_list() -> None:
    negotiation = Negotiation(NtlmAcceptor(OneUser()))
    client, token, listed = up_to_the_challenge(negotiation)
    answer = fields_of(negotiation.receive(response(token, client.sign(listed))))
    assert answer[0] == b"\x00"
    client.verify(listed, answer[3])
    assert negotiation.session is not None
    assert negotiation.session.user == "alice"


def test_ntlm_as_second_choice_without_a_signature_is_refused() -> None:
    negotiation = Negotiation(NtlmAcceptor(OneUser()))
    _, token, _ = up_to_the_challenge(negotiation)
    with pytest.raises(LogonError, match="not signed"):
        negotiation.receive(response(token))
    assert negotiation.session is None


def test_a_list_that_was_altered_on_the_way_is_refused() -> None:
    negotiation = Negotiation(NtlmAcceptor(OneUser()))
    client, token, _ = up_to_the_challenge(negotiation)
    with pytest.raises(ProtocolError, match="signature"):
        negotiation.receive(response(token, client.sign(wrapped([NTLM], None)[1])))
    assert negotiation.session is None


@pytest.mark.parametrize("mechanisms", [[], [KERBEROS], [KERBEROS] * 33], ids=["none", "kerberos", "too-many"])
def test_lists_without_ntlm_are_refused(mechanisms: list[bytes]) -> None:
    with pytest.raises(ProtocolError, match="SPNEGO with"):
        Negotiation(NtlmAcceptor(OneUser())).receive(wrapped(mechanisms, b"token")[0])
