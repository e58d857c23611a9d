"""Key events of RDP clients ([MS-RDPBCGR] 2.2.8.1.1.3.1.1.1 and 2.2.8.1.2.2.1) as scan codes of set 1.

A release is passed on only for a key that is down: clients send Tab's when they get the focus, and a release of a key that another window has seen going down.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable

import attrs

from ringone_frontend_rdp.input import KeyEvent

BREAK, E0, E1 = 0x80, 0xE0, 0xE1
NO_KEYS = frozenset((0x00, E0 & ~BREAK, E1 & ~BREAK))
"""Their break codes would be a keyboard's error code and prefixes."""

PAUSE = bytes((E1, 0x1D, 0x45, E1, 0x9D, 0xC5))
"""The key that has no release. Clients send it as Ctrl with the flag EXTENDED1 and a plain Num Lock, down, and both again, up."""
CTRL, NUM_LOCK, CAPS_LOCK, SCROLL_LOCK = 0x1D, 0x45, 0x3A, 0x46

LEVEL_KEYS = frozenset({(0x2A, False), (0x36, False), (0x38, True)})
"""Both Shifts and AltGr: the keys that choose which of its characters a key gives."""

LOCKS = {SCROLL_LOCK: 1 << 0, NUM_LOCK: 1 << 1, CAPS_LOCK: 1 << 2}
"""Their bits in a Synchronize event and in a keyboard's LEDs"""

LONGEST_WAIT_S, LONGEST_WAITS_S = 0.3, 1.0


@attrs.define
class Keys:
    """One client's keyboard.

    A guest sets its LEDs some time after a lock key was struck, or never. Until they change, its locks are taken to be what the strokes made of them: clients
    tell theirs right after each stroke.
    """

    _down: dict[tuple[int, bool], None] = attrs.field(factory=dict, init=False)
    """Code and whether it is extended, in the order in which they went down."""
    _in_pause: bool = attrs.field(default=False, init=False)
    _leds: int = attrs.field(default=0, init=False)
    _struck: int = attrs.field(default=0, init=False)
    """Locks that were turned since the LEDs changed."""

    def see(self, leds: int) -> None:
        """The guest's LEDs, before each event."""
        if leds != self._leds:
            self._leds, self._struck = leds, 0

    def codes(self, event: KeyEvent) -> bytes:
        """What the guest's keyboard sends for it: nothing for what is no key or is up already."""
        if event.extended1:
            return self._pause(event)
        key = (event.code, event.extended)
        if event.released:
            if key not in self._down:
                return b""
            del self._down[key]
            return _set1(*key, BREAK)
        if self._in_pause and key == (NUM_LOCK, False):
            self._in_pause = False
            return b""
        self._in_pause = False
        if event.code in NO_KEYS or event.code & BREAK:
            return b""
        if key not in self._down and not event.extended:
            self._struck ^= LOCKS.get(event.code, 0)
        self._down[key] = None
        return _set1(*key)

    def lose(self, event: KeyEvent) -> None:
        """A press that the guest has no room for: it gets no release either, but that of a key that was down already."""
        key = (event.code, event.extended)
        was_down, struck = key in self._down, self._struck
        self.codes(event)
        self._struck = struck
        if not was_down:
            self._down.pop(key, None)

    def around(self, codes: bytes) -> bytes:
        """`codes` with the keys up that would make other characters of them."""
        held = [key for key in self._down if key in LEVEL_KEYS]
        return b"".join(_set1(*key, BREAK) for key in held) + codes + b"".join(_set1(*key) for key in held)

    def release_all(self) -> bytes:
        """The last key that went down comes up first."""
        codes = b"".join(_set1(*key, BREAK) for key in reversed(self._down))
        self._down.clear()
        self._in_pause = False
        return codes

    def locks_to_strike(self, locks: int) -> list[int]:
        """The lock keys that bring the guest's locks to the client's. They are taken to be struck."""
        differing = locks ^ self._leds ^ self._struck
        self._struck ^= differing
        return [code for code, bit in LOCKS.items() if differing & bit]

    def _pause(self, event: KeyEvent) -> bytes:
        if event.released or event.code != CTRL:
            return b""
        self._in_pause = True
        return PAUSE


def _set1(code: int, extended: bool, direction: int = 0) -> bytes:
    return bytes((E0, code | direction)) if extended else bytes((code | direction,))


@attrs.define
class LockKeys:
    """Lock keys that are struck one after the other, each held until the guest has set its LEDs: Linux 6.1 loses what a keyboard sends meanwhile.

    A guest that sets none is waited for no longer than `LONGEST_WAIT_S` for each, and `LONGEST_WAITS_S` for all since `give_time`.
    """

    _now: Callable[[], float] = time.monotonic
    _waiting: deque[int] = attrs.field(factory=deque, init=False)
    _held: int | None = attrs.field(default=None, init=False)
    _leds: int = attrs.field(default=0, init=False)
    _until: float = attrs.field(default=0.0, init=False)
    _time_ends: float = attrs.field(default=0.0, init=False)

    @property
    def are_struck(self) -> bool:
        return self._held is None and not self._waiting

    def give_time(self) -> None:
        self._time_ends = self._now() + LONGEST_WAITS_S

    def strike(self, codes: Iterable[int]) -> None:
        self._waiting.extend(codes)

    def next_codes(self, leds: int) -> bytes:
        """What the keyboard sends now; nothing while the guest's LEDs are waited for."""
        codes = b""
        while not self.are_struck:
            if self._held is not None:
                if leds == self._leds and self._now() < self._until:
                    return codes
                codes += bytes((self._held | BREAK,))
                self._held = None
            if self._waiting:
                self._held, self._leds = self._waiting.popleft(), leds
                self._until = min(self._now() + LONGEST_WAIT_S, self._time_ends)
                codes += bytes((self._held,))
        return codes

    def release(self) -> bytes:
        """And strike no more."""
        codes = b"" if self._held is None else bytes((self._held | BREAK,))
        self._held = None
        self._waiting.clear()
        return codes
