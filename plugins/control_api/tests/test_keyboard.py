from __future__ import annotations

import asyncio

import pytest
from ringone.api.errors import UnknownNameError, UnsupportedError, WaitTimeoutError
from ringone.keyboard import chord, strokes
from ringone_control_api import keyboard
from ringone_control_api.keyboard import Typist

from plugins.control_api.tests.fake_session import BiosTypewriter, Typewriter, as_session

TEXT = "The quick brown fox, 1234567890!\n" * 40


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyboard, "POLL_S", 0)


def make_codes(text: str) -> bytes:
    return bytes(code for code in b"".join(strokes(text)) if code < 0x80 and code != 0x2A)


def test_a_long_text_arrives_complete_and_in_order() -> None:
    guest = Typewriter(pace=25)
    assert asyncio.run(Typist(as_session(guest)).type(TEXT)) == len(TEXT)
    assert guest.taken == b"".join(strokes(TEXT))


def test_only_a_part_of_a_long_text_waits_at_the_keyboard() -> None:
    guest = Typewriter(pace=25)
    asyncio.run(Typist(as_session(guest)).type(TEXT))
    assert guest.longest_queue <= keyboard.LARGE_BATCH * 4


def test_a_bios_loses_nothing_however_slowly_a_program_reads() -> None:
    guest = BiosTypewriter(pace=25)
    asyncio.run(Typist(as_session(guest)).type(TEXT))
    assert guest.read == make_codes(TEXT)


def test_what_cannot_be_typed_is_refused_before_the_first_key() -> None:
    guest = Typewriter(pace=25)
    with pytest.raises(UnsupportedError, match="cannot type 'ß'"):
        asyncio.run(Typist(as_session(guest)).type("good until ß"))
    with pytest.raises(UnknownNameError, match="unknown key 'nothing'"):
        asyncio.run(Typist(as_session(guest)).press(["enter", "nothing"]))
    assert guest.longest_queue == 0


def test_key_combinations_are_pressed_one_after_the_other() -> None:
    guest = Typewriter(pace=25)
    asyncio.run(Typist(as_session(guest)).press(["ctrl-alt-f2", "enter"]))
    assert guest.taken == chord("ctrl-alt-f2") + chord("enter")


def test_two_texts_never_mix() -> None:
    guest = Typewriter(pace=3)

    async def both() -> None:
        typist = Typist(as_session(guest))
        await asyncio.gather(typist.type("a" * 200), typist.type("b" * 200))

    asyncio.run(both())
    assert guest.taken == b"".join(strokes("a" * 200 + "b" * 200))


def test_a_guest_that_takes_no_keys_is_given_up() -> None:
    guest = Typewriter(pace=0)
    with pytest.raises(WaitTimeoutError, match=r"has not taken a key for 0.01 s \(1 of 5 keystrokes were sent\); the machine is running"):
        asyncio.run(Typist(as_session(guest)).type("hello", patience_s=0.01))
