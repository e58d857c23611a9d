"""Typing at the guest's pace, so that no key is lost however long the text.

The keyboard controller loses nothing, and a kernel that takes bytes from it (Linux, Windows) buffers thousands of keys itself: it is given strokes in batches,
each when the last has been taken. A guest that reads keys through the BIOS has the BIOS's buffer of 15 keys, which beeps and forgets the rest: while keys come
by there, a batch is what fits, and the next one waits until the guest has read them all.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Sequence
from functools import partial

import attrs
from ringone.api.errors import WaitTimeoutError
from ringone.api.frontends import VmSession
from ringone.keyboard import Layout, chord, strokes

from ringone_control_api.machine_calls import on_machine

POLL_S = 0.01
PATIENCE_S = 30.0
"""Of wall time without any key being taken."""
MAX_TEXT_CHARACTERS = 1 << 20

BIOS_BUFFER = 0x41A
"""BIOS data area: offsets of the next key to read and of the next free place, 16 bits each (IBM PC AT Technical Reference)."""
BIOS_BATCH = 7
"""Strokes: an accented letter is two keys."""
LARGE_BATCH = 64
"""About a fifth of a second; a guest that turns to the BIOS in the middle of a text has lost no more than these."""


@attrs.frozen
class _Progress:
    """Bytes at the keyboard, and the two ends of the BIOS's buffer."""

    pending: int
    head: int
    tail: int


class Typist:
    """What is typed through one of these never mixes: one text ends before the next begins."""

    def __init__(self, session: VmSession) -> None:
        self._session = session
        self._turn: asyncio.Lock | None = None

    async def type(self, text: str, layout: Layout | str = "us", *, patience_s: float = PATIENCE_S) -> int:
        """Returns the number of characters when the guest has taken them all. Raises before the first one is sent where the layout lacks one."""
        typed = strokes(text, layout)
        await self._send(typed, patience_s)
        return len(typed)

    async def press(self, chords: Sequence[str], layout: Layout | str = "us", *, patience_s: float = PATIENCE_S) -> None:
        """Key combinations, one after the other, as `ringone.keyboard.chord` reads them."""
        await self._send([chord(text, layout) for text in chords], patience_s)

    async def _send(self, typed: Sequence[bytes], patience_s: float) -> None:
        if self._turn is None:
            self._turn = asyncio.Lock()
        async with self._turn:
            sent, batch = 0, 1
            while sent < len(typed):
                before = await self._progress()
                part = typed[sent : sent + batch]
                await on_machine(self._session, partial(self._session.put_scancodes, b"".join(part)))
                sent += len(part)
                in_bios = await self._taken(before, patience_s, f"{sent} of {len(typed)} keystrokes were sent")
                batch = BIOS_BATCH if in_bios else min(2 * batch, LARGE_BATCH)

    async def _taken(self, before: _Progress, patience_s: float, how_far: str) -> bool:
        """Wait for a batch to be taken; says whether its keys came by in the BIOS's buffer."""
        last, since, in_bios = before, time.monotonic(), False
        while True:
            now = await self._progress()
            in_bios |= now.tail != before.tail
            if not now.pending and (not in_bios or now.head == now.tail):
                return in_bios
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > patience_s:
                state = self._session.state.value
                raise WaitTimeoutError(f"the guest has not taken a key for {patience_s:g} s ({how_far}); the machine is {state}")
            await asyncio.sleep(POLL_S)

    async def _progress(self) -> _Progress:
        session = self._session
        pending, ends = await on_machine(session, lambda: (session.keyboard_pending(), session.read_memory(BIOS_BUFFER, 4)))
        return _Progress(pending, *struct.unpack("<HH", ends))
