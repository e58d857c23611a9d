"""Messages of static channels survive being cut into chunks; whatever else comes is refused."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.static_channels import CHUNK_SIZE, PACKET_COMPRESSED, Assembler, chunks

LIMIT = 4 * CHUNK_SIZE


@given(st.lists(st.binary(min_size=1, max_size=LIMIT), max_size=4))
def test_messages_come_out_as_they_went_in(messages: list[bytes]) -> None:
    assembler = Assembler("test", LIMIT, LIMIT)
    arrived = [assembler.receive(chunk) for message in messages for chunk in chunks(message)]
    assert [message for message in arrived if message is not None] == messages


@given(message=st.binary(min_size=1, max_size=LIMIT), kept=st.integers(0, LIMIT))
def test_only_the_beginning_of_a_long_message_is_kept(message: bytes, kept: int) -> None:
    assembler = Assembler("test", LIMIT, kept)
    *rest, whole = [assembler.receive(chunk) for chunk in chunks(message)]
    assert whole == message[:kept]
    assert not any(rest)


@pytest.mark.parametrize(
    "sent",
    [
        [struct.pack("<II", LIMIT + 1, 3)],
        [struct.pack("<II", 4, 3) + b"12345"],
        [struct.pack("<II", 4, 3) + b"123"],
        [struct.pack("<II", 4, 2) + b"1234"],
        [struct.pack("<II", 8, 1) + b"1234", struct.pack("<II", 9, 2) + b"56789"],
        [struct.pack("<II", 4, 3 | PACKET_COMPRESSED) + b"1234"],
        [b"1234"],
    ],
    ids=["too-large", "more", "less", "no-first", "other-length", "compressed", "no-header"],
)
def test_chunks_that_do_not_fit_are_refused(sent: list[bytes]) -> None:
    assembler = Assembler("test", LIMIT, LIMIT)
    with pytest.raises(ProtocolError):
        for chunk in sent:
            assembler.receive(chunk)


@given(st.lists(st.builds(lambda total, flags, data: struct.pack("<II", total, flags) + data, st.integers(0, 40), st.integers(0, 3), st.binary(max_size=40))))
def test_no_chunks_do_anything_but_make_messages_or_be_refused(sent: list[bytes]) -> None:
    assembler = Assembler("test", 32, 24)
    with contextlib.suppress(ProtocolError):
        for chunk in sent:
            assert len(assembler.receive(chunk) or b"") <= 24
