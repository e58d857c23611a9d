"""One client's keyboard and mouse, given to the guest: as set-1 scan codes, and as the movements of a mouse that tells distances.

A key that went down on a client comes up when the client loses the focus or the connection. A guest that does not take its keys gets no more than
`MOST_PENDING` bytes of them; what is beyond is lost with its release, never a release alone.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from ringone.api.errors import StateError
from ringone.keyboard import LAYOUTS, Layout

from ringone_frontend_rdp.characters import Characters
from ringone_frontend_rdp.input import CharacterEvent, InputEvent, KeyEvent, MouseEvent, SideButtonEvent, SynchronizeEvent
from ringone_frontend_rdp.machine import Machine
from ringone_frontend_rdp.scancodes import CAPS_LOCK, LOCKS, Keys, LockKeys

MOST_PENDING = 256

PTRFLAGS_WHEEL_NEGATIVE, PTRFLAGS_WHEEL, PTRFLAGS_HWHEEL, PTRFLAGS_MOVE = 0x0100, 0x0200, 0x0400, 0x0800
PTRFLAGS_BUTTONS = {0x1000: 1, 0x2000: 2, 0x4000: 4}
PTRFLAGS_DOWN = 0x8000
PTRXFLAGS_BUTTONS = {0x0001: 8, 0x0002: 16}
DEFAULT_LAYOUT = LAYOUTS["us"]
TYPED_AT_ONCE = 4
"""Characters of a text, which fit the 15 keys of a BIOS's buffer even with dead keys."""
WHEEL_ROTATION_MASK, WHEEL_NOTCH = 0x01FF, 120


class GuestInput:
    """Called on the machine's thread."""

    def __init__(self, session: Machine, layout: Layout = DEFAULT_LAYOUT, now: Callable[[], float] = time.monotonic) -> None:
        self._session = session
        self._events: deque[InputEvent] = deque()
        self._keys = Keys()
        self._locks = LockKeys(now)
        self._characters = Characters(layout)
        self._place: tuple[int, int] | None = None
        self._buttons = 0

    @property
    def waits(self) -> bool:
        """For the guest's LEDs: call `go_on` in a while. In any thread."""
        return not self._locks.are_struck

    def handle(self, events: Sequence[InputEvent]) -> None:
        """What a machine that does not run cannot take is lost."""
        self._events.extend(events)
        self._locks.give_time()
        self.go_on()

    def go_on(self) -> None:
        try:
            while self._strike_locks() and self._events:
                self._handle(self._events.popleft())
        except StateError:
            self._forget()

    def type_some(self, text: str) -> int:
        """How many characters of `text` are done with: none while the guest has keys to read, all where it does not run."""
        try:
            if self.waits or self._session.keyboard_pending():
                return 0
            for character in text[:TYPED_AT_ONCE]:
                self._type(character)
        except StateError:
            return len(text)
        return min(len(text), TYPED_AT_ONCE)

    def release_all(self) -> None:
        self._events.clear()
        try:
            self._put(self._locks.release() + self._keys.release_all())
            if self._buttons:
                self._buttons = 0
                self._session.move_mouse(0, 0, 0, 0)
        except StateError:
            self._forget()

    def _forget(self) -> None:
        self._events.clear()
        self._locks.release()
        self._keys.release_all()
        self._buttons = 0

    def _strike_locks(self) -> bool:
        """Whether nothing is left to strike."""
        if self.waits:
            self._put(self._locks.next_codes(self._session.keyboard_leds()))
        return not self.waits

    def _handle(self, event: InputEvent) -> None:
        match event:
            case KeyEvent():
                self._key(event)
            case CharacterEvent(unit, released):
                if not released and not self._has_no_room():
                    self._type(chr(unit))
            case MouseEvent():
                self._mouse(event)
            case SideButtonEvent():
                self._press(event, PTRXFLAGS_BUTTONS)
            case SynchronizeEvent(locks):
                self._synchronize(locks)

    def _key(self, event: KeyEvent) -> None:
        self._keys.see(self._session.keyboard_leds())
        if not event.released and self._has_no_room():
            self._keys.lose(event)
        else:
            self._put(self._keys.codes(event))

    def _type(self, character: str) -> None:
        capitals = bool(self._session.keyboard_leds() & LOCKS[CAPS_LOCK])
        if codes := self._characters.codes(character, capitals=capitals):
            self._put(self._keys.around(codes))

    def _synchronize(self, locks: int) -> None:
        self._keys.see(self._session.keyboard_leds())
        self._put(self._keys.release_all())
        if not self._has_no_room():
            self._locks.strike(self._keys.locks_to_strike(locks))

    def _has_no_room(self) -> bool:
        return self._session.keyboard_pending() > MOST_PENDING

    def _put(self, codes: bytes) -> None:
        if codes:
            self._session.put_scancodes(codes)

    def _mouse(self, event: MouseEvent) -> None:
        if event.flags & PTRFLAGS_WHEEL:
            self._session.move_mouse(0, 0, _wheel(event.flags), self._buttons)
            return
        if event.flags & PTRFLAGS_HWHEEL:
            return
        self._press(event, PTRFLAGS_BUTTONS)

    def _press(self, event: MouseEvent | SideButtonEvent, buttons: Mapping[int, int]) -> None:
        """And move to where that was."""
        for flag, button in buttons.items():
            if event.flags & flag:
                self._buttons = self._buttons | button if event.flags & PTRFLAGS_DOWN else self._buttons & ~button
        x, y = self._place or (event.x, event.y)
        self._place = (event.x, event.y)
        self._session.move_mouse(event.x - x, event.y - y, 0, self._buttons)


def _wheel(flags: int) -> int:
    """Notches, positive towards the user."""
    rotation = flags & WHEEL_ROTATION_MASK
    if flags & PTRFLAGS_WHEEL_NEGATIVE:
        rotation -= WHEEL_ROTATION_MASK + 1
    return -round(rotation / WHEEL_NOTCH) or (-1 if rotation > 0 else 1)
