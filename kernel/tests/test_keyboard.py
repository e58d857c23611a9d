"""Names and text become scan codes. The expected codes are those that a keyboard of that country sends."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone.api.errors import ConfigError, UnknownNameError, UnsupportedError
from ringone.keyboard import KEYS, LAYOUTS, chord, pick, press, release, strokes

A, SHIFT_A, CTRL_A = "1e9e", "2a1e9eaa", "1d1e9e9d"
ENTER = "1c9c"

CHORDS = {
    "x": "2dad",
    "X": "2a2dadaa",
    "enter": ENTER,
    "Return": ENTER,
    "page_up": "e049e0c9",
    "ctrl-alt-delete": "1d38e053e0d3b89d",
    "ctrl-c": "1d2eae9d",
    "ctrl+alt+delete": "1d38e053e0d3b89d",
    "ctrl++": "1d2a0d8daa9d",
    "ctrl-plus": "1d2a0d8daa9d",
    "ctrl--": "1d0c8c9d",
    "-": "0c8c",
    "shift-f10": "2a44c4aa",
    "altgr-rightctrl": "e038e01de09de0b8",
    "printscreen": "e02ae037e0b7e0aa",
    "pause": "e11d45e19dc5",
    "ctrl-break": "1de046e0c69d",
}
TYPED = {
    ("us", "a"): A,
    ("us", "A"): SHIFT_A,
    ("us", "\n"): ENTER,
    ("us", "\r\n"): ENTER,
    ("us", "\x01"): CTRL_A,
    ("us", "~"): "2a29a9aa",
    ("uk", "#"): "2bab",
    ("uk", "\\"): "56d6",
    ("de", "z"): "1595",
    ("de", "@"): "e0381090e0b8",
    ("de", "ß"): "0c8c",
    ("de", "^"): "29a939b9",
    ("de", "â"): "29a9" + A,
    ("de", "È"): "2a0d8daa" + "2a1292aa",
    ("fr", "a"): "1090",
    ("fr", "1"): "2a0282aa",
    ("fr", "^"): "e0380a8ae0b8",
    ("fr", "ê"): "1a9a1292",
    ("es", "ñ"): "27a7",
    ("it", "{"): "2ae0381a9ae0b8aa",
    ("se", "å"): "1a9a",
    ("ch", "y"): "2cac",
    ("jp106", "\\"): "73f3",
    ("jp106", "@"): "1a9a",
}


@pytest.mark.parametrize(("text", "codes"), CHORDS.items(), ids=[*CHORDS])
def test_keys_of_a_chord_go_down_in_order_and_up_in_reverse(text: str, codes: str) -> None:
    assert chord(text).hex() == codes


@pytest.mark.parametrize(("typed", "codes"), TYPED.items(), ids=[f"{layout}-U+{ord(text[-1]):04X}-{len(text)}" for layout, text in TYPED])
def test_a_character_is_typed_as_its_country_types_it(typed: tuple[str, str], codes: str) -> None:
    layout, text = typed
    assert b"".join(strokes(text, layout)).hex() == codes


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_types_what_programs_are_made_of(layout: str) -> None:
    assert len(strokes(string.printable.replace("\x0b", "").replace("\x0c", ""), layout)) == len(string.printable) - 2


@given(text=st.text(st.sampled_from(string.printable[:-2] + "äöüßéèêñçå€")), layout=st.sampled_from([*LAYOUTS]))
def test_every_key_that_goes_down_comes_up(text: str, layout: str) -> None:
    try:
        typed = b"".join(strokes(text, layout))
    except UnsupportedError:
        return
    held: set[int] = set()
    for code in typed.replace(b"\xe0", b""):
        if code & 0x80:
            held.remove(code & 0x7F)
        else:
            held.add(code)
    assert not held


def test_what_a_layout_cannot_type_is_refused_by_name_and_place() -> None:
    with pytest.raises(UnsupportedError, match=r"layout us cannot type 'ß' \(U\+00DF LATIN SMALL LETTER SHARP S\), line 2, column 3; layouts that can: de$"):
        strokes("ok\nnoß", "us")


@pytest.mark.parametrize("name", ["", "entre", "ctrl-", "ctrl-nothing", "ß", "□"], ids=lambda name: f"U+{ord(name):04X}" if len(name) == 1 else name or "empty")
def test_an_unknown_key_is_named(name: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown key"):
        chord(name)


def test_a_hand_has_only_so_many_fingers() -> None:
    with pytest.raises(ConfigError, match="of 1001 keys; at most 8"):
        chord("a-" * 1000 + "a")


def test_an_unknown_layout_gets_the_list() -> None:
    with pytest.raises(UnknownNameError, match="unknown keyboard layout 'dvorak'; known: ch, de, es, fr, it, jp106, se, uk, us"):
        pick("dvorak")


@pytest.mark.parametrize("name", KEYS)
def test_press_and_release_make_a_stroke(name: str) -> None:
    assert press(name) + release(name) == chord(name)
