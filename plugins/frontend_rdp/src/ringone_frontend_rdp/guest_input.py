"""One client's keyboard and mouse, given to the guest: as set-1 scan codes, and as the movements of a mouse that tells distances.

A key that went down on a client comes up when the client loses the focus or the connection. A guest that does not take its keys gets no more than
`MOST_PENDING` bytes of them; what is beyond is lost with its release, never a release alone.
"""

from __future__ import annotations

from ringone.api.errors import StateError
from ringone.api.frontends import VmSession

from ringone_frontend_rdp.input import InputEvent, KeyEvent, MouseEvent, SynchronizeEvent

MOST_PENDING = 256
BREAK, E0 = 0x80, 0xE0
PAUSE = bytes((0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5))
PAUSE_FIRST_CODE = 0x1D
LOCKS = {0: 0x46, 1: 0x45, 2: 0x3A}
"""Bit of the lock state to the lock's key"""

PTRFLAGS_WHEEL_NEGATIVE, PTRFLAGS_WHEEL, PTRFLAGS_HWHEEL, PTRFLAGS_MOVE = 0x0100, 0x0200, 0x0400, 0x0800
PTRFLAGS_BUTTONS = {0x1000: 1, 0x2000: 2, 0x4000: 4}
PTRFLAGS_DOWN = 0x8000
WHEEL_ROTATION_MASK, WHEEL_NOTCH = 0x01FF, 120


class GuestInput:
    """Called on the machine's thread."""

    def __init__(self, session: VmSession) -> None:
        self._session = session
        self._down: set[tuple[int, bool]] = set()
        self._place: tuple[int, int] | None = None
        self._buttons = 0

    def handle(self, events: list[InputEvent]) -> None:
        """What a machine that does not run cannot take is lost."""
        try:
            for event in events:
                self._handle(event)
        except StateError:
            self._down.clear()
            self._buttons = 0

    def release_all(self) -> None:
        try:
            self._release_keys()
            if self._buttons:
                self._buttons = 0
                self._session.move_mouse(0, 0, 0, 0)
        except StateError:
            self._down.clear()

    def _handle(self, event: InputEvent) -> None:
        match event:
            case KeyEvent():
                self._key(event)
            case MouseEvent():
                self._mouse(event)
            case SynchronizeEvent(locks):
                self._release_keys()
                differing = locks ^ self._session.keyboard_leds()
                for bit, code in LOCKS.items():
                    if differing >> bit & 1:
                        self._put(bytes((code, code | BREAK)))

    def _key(self, event: KeyEvent) -> None:
        if event.extended1:
            if not event.released and event.code == PAUSE_FIRST_CODE:
                self._put(PAUSE)
            return
        code = event.code & ~BREAK
        key = (code, event.extended)
        if not event.released:
            if self._put(_set1(code, event.extended)):
                self._down.add(key)
        elif key in self._down:
            self._down.remove(key)
            self._session.put_scancodes(_set1(code | BREAK, event.extended))

    def _put(self, codes: bytes) -> bool:
        if self._session.keyboard_pending() > MOST_PENDING:
            return False
        self._session.put_scancodes(codes)
        return True

    def _release_keys(self) -> None:
        codes = b"".join(_set1(code | BREAK, extended) for code, extended in sorted(self._down))
        self._down.clear()
        if codes:
            self._session.put_scancodes(codes)

    def _mouse(self, event: MouseEvent) -> None:
        if event.flags & PTRFLAGS_WHEEL:
            self._session.move_mouse(0, 0, _wheel(event.flags), self._buttons)
            return
        if event.flags & PTRFLAGS_HWHEEL:
            return
        for flag, button in PTRFLAGS_BUTTONS.items():
            if event.flags & flag:
                self._buttons = self._buttons | button if event.flags & PTRFLAGS_DOWN else self._buttons & ~button
        x, y = self._place or (event.x, event.y)
        self._place = (event.x, event.y)
        self._session.move_mouse(event.x - x, event.y - y, 0, self._buttons)


def _set1(code: int, extended: bool) -> bytes:
    return bytes((E0, code)) if extended else bytes((code,))


def _wheel(flags: int) -> int:
    """Notches, positive towards the user."""
    rotation = flags & WHEEL_ROTATION_MASK
    if flags & PTRFLAGS_WHEEL_NEGATIVE:
        rotation -= WHEEL_ROTATION_MASK + 1
    return -round(rotation / WHEEL_NOTCH) or (-1 if rotation > 0 else 1)
