from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone_frontend_cli.input import CTRL_ALT_DELETE, Key, KeyDecoder, scancodes

SEQUENCES = {
    b"a": Key("a"),
    b"\r": Key("Enter"),
    b"\t": Key("Tab"),
    b"\x7f": Key("Backspace"),
    b"\x08": Key("Backspace"),
    b"\x03": Key("c", ctrl=True),
    b"\x00": Key(" ", ctrl=True),
    b"\x1d": Key("]", ctrl=True),
    b"\x1b[A": Key("Up"),
    b"\x1bOB": Key("Down"),
    b"\x1b[1;5C": Key("Right", ctrl=True),
    b"\x1b[1;2D": Key("Left", shift=True),
    b"\x1b[H": Key("Home"),
    b"\x1b[4~": Key("End"),
    b"\x1b[2~": Key("Insert"),
    b"\x1b[3;3~": Key("Delete", alt=True),
    b"\x1b[5~": Key("PageUp"),
    b"\x1b[6~": Key("PageDown"),
    b"\x1bOP": Key("F1"),
    b"\x1b[[B": Key("F2"),
    b"\x1b[15~": Key("F5"),
    b"\x1b[21~": Key("F10"),
    b"\x1b[24;8~": Key("F12", shift=True, alt=True, ctrl=True),
    b"\x1b[Z": Key("Tab", shift=True),
    b"\x1bx": Key("x", alt=True),
    b"\x1b\x1b[A": Key("Up", alt=True),
    "é".encode(): Key("é"),
}


@pytest.mark.parametrize(("data", "key"), SEQUENCES.items(), ids=[repr(data) for data in SEQUENCES])
def test_a_sequence_is_one_key_however_it_is_cut(data: bytes, key: Key) -> None:
    assert KeyDecoder().feed(data) == [key]
    decoder = KeyDecoder()
    assert [found for byte in data for found in decoder.feed(bytes((byte,)))] == [key]
    assert not decoder.waiting


def test_a_lone_escape_is_a_key_once_nothing_follows() -> None:
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b") == []
    assert decoder.waiting
    assert decoder.flush() == [Key("Escape")]
    assert not decoder.waiting


def test_an_unfinished_sequence_was_typed_by_hand() -> None:
    decoder = KeyDecoder()
    decoder.feed(b"\x1b[")
    assert decoder.flush() == [Key("[", alt=True)]
    decoder.feed(b"\x1b\x1b")
    assert decoder.flush() == [Key("Escape"), Key("Escape")]


def test_unknown_sequences_are_swallowed_whole() -> None:
    assert KeyDecoder().feed(b"\x1b[?62;1c\x1b[200~q") == [Key("q")]


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_random_bytes_never_stay_stuck_in_the_decoder(pieces: list[bytes]) -> None:
    decoder = KeyDecoder()
    for piece in pieces:
        for key in decoder.feed(piece):
            scancodes(key)
    decoder.flush()
    assert not decoder.waiting


@pytest.mark.parametrize(
    ("key", "codes"),
    [
        (Key("a"), "1e 9e"),
        (Key("A"), "2a 1e 9e aa"),
        (Key("!"), "2a 02 82 aa"),
        (Key("\\"), "2b ab"),
        (Key("|"), "2a 2b ab aa"),
        (Key("`"), "29 a9"),
        (Key("~"), "2a 29 a9 aa"),
        (Key("'"), "28 a8"),
        (Key("/"), "35 b5"),
        (Key(" "), "39 b9"),
        (Key("c", ctrl=True), "1d 2e ae 9d"),
        (Key("^", ctrl=True), "1d 2a 07 87 aa 9d"),
        (Key("Up"), "e0 48 e0 c8"),
        (Key("F11"), "57 d7"),
        (CTRL_ALT_DELETE, "1d 38 e0 53 e0 d3 b8 9d"),
        (Key("é"), ""),
    ],
)
def test_scan_codes_press_and_release(key: Key, codes: str) -> None:
    assert scancodes(key) == bytes.fromhex(codes)


def test_every_printable_character_has_its_own_scan_codes() -> None:
    characters = string.ascii_letters + string.digits + string.punctuation + " "
    codes = {scancodes(Key(character)) for character in characters}
    assert b"" not in codes
    assert len(codes) == len(characters)


@pytest.mark.parametrize("key", [key for key in SEQUENCES.values() if key.name != "é"], ids=str)
def test_whatever_a_terminal_names_is_on_the_keyboard(key: Key) -> None:
    assert scancodes(key)
