"""Typing into whole guests: however long the text, it arrives complete and in order, in a kernel that takes keys itself and in a program that asks the BIOS."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import string

import pytest
from ringone.api.errors import WaitTimeoutError
from ringone_control_api.keyboard import Typist
from ringone_control_api.waiting import Clock, IdleScreen, ScreenText, wait_for

from tests.conftest import BootGuest

pytestmark = pytest.mark.guest

BOOT_S = 180
ANSWER_S = 60
CHARACTERS = 10_000
LINE_CHARACTERS = 72
LETTERS = string.ascii_letters + string.digits + " .,;:-_#+!$%&/()=?"


def long_text() -> str:
    source = random.Random(10_000)
    return "".join("\n" if index % LINE_CHARACTERS == 0 else source.choice(LETTERS) for index in range(1, CHARACTERS)) + "\n"


def test_linux_gets_ten_thousand_characters(boot_guest: BootGuest) -> None:
    session = boot_guest("linux-686", append="console=tty0 guest=shell").session
    typist, text = Typist(session), long_text()

    async def main() -> str | None:
        await wait_for(session, ScreenText.string("/ #"), timeout_s=BOOT_S, clock=Clock.WALL)
        await typist.type("stty -echo; sha256sum\n")
        assert await typist.type(text) == CHARACTERS
        await typist.type("\x04")
        match = await wait_for(session, ScreenText(re.compile("([0-9a-f]{64})  -\n")), timeout_s=ANSWER_S, clock=Clock.WALL)
        return match.groups[0]

    assert asyncio.run(main()) == hashlib.sha256(text.encode()).hexdigest()


def test_grub_gets_a_line_that_the_bios_has_no_room_for(boot_guest: BootGuest) -> None:
    session = boot_guest("grub-floppy").session
    typist, line = Typist(session), "echo " + string.ascii_lowercase * 12

    async def main() -> str:
        await wait_for(session, ScreenText.string("GNU GRUB"), timeout_s=BOOT_S, clock=Clock.WALL)
        await typist.type("c")
        await wait_for(session, ScreenText.string("grub>"), timeout_s=ANSWER_S, clock=Clock.WALL)
        await typist.type(f"{line}\n")
        await wait_for(session, ScreenText(re.compile(r"grub>(?s:.*)grub>")), timeout_s=ANSWER_S, clock=Clock.WALL)
        await wait_for(session, IdleScreen(200_000_000), timeout_s=ANSWER_S, clock=Clock.WALL)
        screen = session.text_screen()
        return "" if screen is None else screen.text().replace("\n", "")

    assert asyncio.run(main()).count(string.ascii_lowercase * 12) == 2


def test_a_wait_in_vain_tells_what_the_guest_shows(boot_guest: BootGuest) -> None:
    session = boot_guest("grub-floppy").session

    async def main() -> None:
        await wait_for(session, ScreenText.string("GNU GRUB"), timeout_s=BOOT_S, clock=Clock.WALL)
        await wait_for(session, ScreenText.string("login:"), timeout_s=0.5)

    with pytest.raises(WaitTimeoutError, match=r"'login:' was not on the screen within 0.5 s of guest time") as caught:
        asyncio.run(main())
    assert "GNU GRUB" in caught.value.screen
