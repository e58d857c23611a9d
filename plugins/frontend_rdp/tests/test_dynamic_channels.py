"""Dynamic channels: opened by the server, messages of any size in both directions, and nothing but ProtocolErrors for what does not fit."""

from __future__ import annotations

import contextlib
import struct

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.graphics.dynamic import LARGEST_MESSAGE, LARGEST_PDU, DynamicChannels

CAPABILITIES = bytes.fromhex("50000100")
CREATED = bytes.fromhex("100100000000")
REFUSED = bytes.fromhex("1001010000c0")
CLOSED = bytes.fromhex("4001")
DATA, DATA_FIRST = b"\x30\x01", b"\x24\x01"
"""On channel 1; the length is in two bytes."""


@attrs.define
class Listener:
    heard: list[str | bytes] = attrs.field(factory=list)

    def opened(self) -> None:
        self.heard.append("opened")

    def received(self, message: bytes) -> None:
        self.heard.append(message)

    def closed(self) -> None:
        self.heard.append("closed")


@attrs.define
class Ends:
    sent: list[bytes] = attrs.field(factory=list)
    listener: Listener = attrs.field(factory=Listener)
    channels: DynamicChannels = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.channels = DynamicChannels(self.sent.append)
        self.channels.start()
        self.channels.create("a::b", self.listener)

    def open(self) -> Ends:
        self.channels.receive(CAPABILITIES)
        self.channels.receive(CREATED)
        self.sent.clear()
        self.listener.heard.clear()
        return self


def test_channel_is_created_once_the_client_has_said_what_it_can() -> None:
    ends = Ends()
    assert ends.sent == [CAPABILITIES]
    ends.channels.receive(CAPABILITIES)
    assert ends.sent[1:] == [b"\x10\x01a::b\0"]
    ends.channels.receive(CREATED)
    assert ends.listener.heard == ["opened"]


def test_client_that_does_not_want_the_channel_closes_it() -> None:
    ends = Ends()
    ends.channels.receive(CAPABILITIES)
    ends.channels.receive(REFUSED)
    ends.channels.send(1, b"nobody hears it")
    assert ends.listener.heard == ["closed"]
    assert len(ends.sent) == 2


def test_closed_channel_takes_nothing_more() -> None:
    ends = Ends().open()
    ends.channels.receive(DATA_FIRST + struct.pack("<H", 9) + b"half")
    ends.channels.receive(CLOSED)
    ends.channels.send(1, b"nobody hears it")
    assert ends.listener.heard == ["closed"]
    assert ends.sent == []
    with pytest.raises(ProtocolError):
        ends.channels.receive(DATA + b"x")


def test_large_message_of_the_client_is_put_together() -> None:
    ends = Ends().open()
    ends.channels.receive(DATA_FIRST + struct.pack("<H", 7) + b"one")
    ends.channels.receive(DATA + b" two")
    ends.channels.receive(DATA + b"small")
    assert ends.listener.heard == [b"one two", b"small"]


@given(st.binary(max_size=5 * LARGEST_PDU))
def test_large_message_for_the_client_is_cut_into_pieces_that_fit(message: bytes) -> None:
    ends = Ends().open()
    ends.channels.send(1, message)
    first, *others = ends.sent
    assert all(len(pdu) <= LARGEST_PDU for pdu in ends.sent)
    assert all(pdu[:2] == DATA for pdu in others)
    if first[:2] == DATA:
        assert first[2:] == message
    else:
        assert first[:6] == b"\x28\x01" + struct.pack("<I", len(message))
        assert first[6:] + b"".join(pdu[2:] for pdu in others) == message


@pytest.mark.parametrize(
    "sent",
    [
        [b""],
        [CAPABILITIES],
        [CREATED],
        [b"\x30\x02x"],
        [b"\x33\x01\0\0\0x"],
        [b"\x28\x01" + struct.pack("<I", LARGEST_MESSAGE + 1)],
        [DATA_FIRST + b"\0\0"],
        [DATA_FIRST + b"\4\0", DATA_FIRST + b"\4\0"],
        [DATA_FIRST + b"\4\0ab", DATA + b"cde"],
        [b"\x90\x01"],
    ],
    ids=["empty", "capabilities-twice", "opened-twice", "no-channel", "field-size", "too-large", "of-nothing", "begun-twice", "more", "soft-sync"],
)
def test_what_does_not_fit_is_refused(sent: list[bytes]) -> None:
    ends = Ends().open()
    with pytest.raises(ProtocolError):
        for pdu in sent:
            ends.channels.receive(pdu)


@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([CREATED, CLOSED, REFUSED]), st.builds(lambda rest: DATA + rest, st.binary(max_size=9)))))
def test_nothing_but_protocol_errors_comes_of_anything(sent: list[bytes]) -> None:
    ends = Ends().open()
    with contextlib.suppress(ProtocolError):
        for pdu in sent:
            ends.channels.receive(pdu)
