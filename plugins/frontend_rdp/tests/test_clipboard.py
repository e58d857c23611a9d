"""The client's clipboard: its text, when it is asked for, and nothing else."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone_frontend_rdp.clipboard import KEPT, MOST_TYPED, Clipboard, Message, PasteKey
from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.input import KeyEvent, SynchronizeEvent

CTRL, ALT, V = 0x1D, 0x38, 0x2F
HTML, UNICODE = 0xC0DE, 13


def message(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    return struct.pack("<HHI", kind, flags, len(body)) + body


def formats(*numbers: int) -> bytes:
    return message(2, b"".join(struct.pack("<I", number) + bytes(32) for number in numbers))


def text(content: str) -> bytes:
    return message(5, content.encode("utf-16-le", "surrogatepass") + b"\0\0", 1)


class Client:
    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.clipboard = Clipboard(self.heard.append)

    def kinds(self) -> list[Message]:
        return [Message(struct.unpack_from("<H", each)[0]) for each in self.heard]

    def copies(self, content: str) -> str | None:
        """Its user copies a text, which is asked for."""
        self.clipboard.receive(formats(HTML, UNICODE))
        self.clipboard.ask()
        return self.clipboard.receive(text(content))


@pytest.fixture
def client() -> Client:
    return Client()


def test_server_says_that_it_has_a_clipboard(client: Client) -> None:
    client.clipboard.start()
    assert client.kinds() == [Message.CLIP_CAPS, Message.MONITOR_READY]


def test_text_comes_when_it_is_asked_for(client: Client) -> None:
    assert client.copies("ls -l\r\n\tGrüße") == "ls -l\n\tGrüße"
    assert client.kinds() == [Message.FORMAT_LIST_RESPONSE, Message.FORMAT_DATA_REQUEST]
    assert client.heard[-1] == message(4, struct.pack("<I", UNICODE))


def test_text_that_nobody_asked_for_is_none(client: Client) -> None:
    assert client.clipboard.receive(text("rm -rf /\r")) is None


def test_what_is_no_text_is_not_asked_for(client: Client) -> None:
    client.clipboard.receive(formats(HTML))
    client.clipboard.ask()
    assert client.kinds() == [Message.FORMAT_LIST_RESPONSE]


def test_control_characters_are_not_typed(client: Client) -> None:
    assert client.copies("a\x03\x1b[A\x7fb\0c") == "a[Ab"


def test_longer_text_than_a_guest_would_take_is_not_typed(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    assert client.copies("x" * (MOST_TYPED + 1)) is None
    assert "x" * 10 not in caplog.text
    assert client.copies("y") == "y"


def test_text_whose_end_was_not_kept_is_not_typed(client: Client) -> None:
    client.clipboard.receive(formats(UNICODE))
    client.clipboard.ask()
    assert client.clipboard.receive(struct.pack("<HHI", 5, 1, 5 << 20) + bytes(KEPT - 8)) is None
    assert client.copies("y") == "y"


def test_other_messages_must_be_kept_as_a_whole(client: Client) -> None:
    with pytest.raises(ProtocolError, match="clipboard message 2 of 5242880 bytes"):
        client.clipboard.receive(struct.pack("<HHI", 2, 0, 5 << 20) + bytes(KEPT - 8))


def test_client_that_does_not_give_its_text_is_asked_again(client: Client) -> None:
    client.clipboard.receive(formats(UNICODE))
    client.clipboard.ask()
    assert client.clipboard.receive(message(5, flags=2)) is None
    assert client.copies("now") == "now"


def test_guest_has_neither_text_nor_files_to_give(client: Client) -> None:
    client.clipboard.receive(message(4, struct.pack("<I", UNICODE)))
    client.clipboard.receive(message(8, struct.pack("<I", 7) + bytes(20)))
    assert client.heard == [message(5, flags=2), message(9, struct.pack("<I", 7), 2)]


@pytest.mark.parametrize(
    "sent",
    [b"", message(2)[:7], message(2, bytes(35)), message(1), message(99), struct.pack("<HHI", 2, 0, 0xFFFFFFFF), message(8)],
    ids=["empty", "header", "half-a-format", "from-server", "unknown", "4-gigabytes", "no-stream"],
)
def test_malformed_messages_are_refused(client: Client, sent: bytes) -> None:
    with pytest.raises(ProtocolError):
        client.clipboard.receive(sent)


@given(kind=st.integers(0, 12), flags=st.integers(0, 3), body=st.binary(max_size=200), asked=st.booleans())
def test_nothing_but_protocol_errors_comes_of_anything(kind: int, flags: int, body: bytes, asked: bool) -> None:
    client = Client()
    client.clipboard.receive(formats(UNICODE))
    if asked:
        client.clipboard.ask()
    try:
        found = client.clipboard.receive(message(kind, body, flags))
    except ProtocolError:
        return
    assert found is None or asked


def keys(*strokes: tuple[int, bool]) -> list[KeyEvent]:
    return [KeyEvent(code, extended=False, extended1=False, released=released) for code, released in strokes]


def test_paste_key_is_struck_once_and_kept_from_the_guest() -> None:
    paste = PasteKey()
    held = keys((CTRL, False), (ALT, False))
    assert paste.take([*held, *keys((V, False), (V, False))]) == (held, True)
    up = keys((ALT, True), (CTRL, True))
    assert paste.take([*up, *keys((V, True))]) == (up, False)
    assert paste.take(keys((V, False), (V, True))) == (keys((V, False), (V, True)), False)


@pytest.mark.parametrize(
    "modifier", [KeyEvent(ALT, extended=True, extended1=False, released=False), *keys((CTRL, False), (ALT, False))], ids=["altgr", "ctrl", "alt"]
)
def test_other_strokes_are_the_guests(modifier: KeyEvent) -> None:
    strokes = [modifier, *keys((V, False), (V, True))]
    assert PasteKey().take(strokes) == (strokes, False)


def test_modifiers_that_went_down_before_the_focus_was_lost_do_not_count() -> None:
    paste = PasteKey()
    paste.take([*keys((CTRL, False), (ALT, False)), SynchronizeEvent(0)])
    assert paste.take(keys((V, False))) == (keys((V, False)), False)
