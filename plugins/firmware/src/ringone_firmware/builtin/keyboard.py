"""Scan codes to the BIOS data area's key buffer (INT 09h), and INT 16h that reads it."""

from __future__ import annotations

from ringone_firmware.builtin import layout
from ringone_firmware.builtin.call import Call
from ringone_firmware.builtin.keys import EXTENDED, KEYPAD, KEYPAD_DIGITS, KEYS, Key
from ringone_firmware.builtin.machine import Bios
from ringone_firmware.builtin.operations import Outcome, Steps, outs
from ringone_firmware.chipset import Out

RIGHT_SHIFT, LEFT_SHIFT, CTRL, ALT, SCROLL_LOCK, NUM_LOCK, CAPS_LOCK, INSERT = (1 << bit for bit in range(8))
LOCKS_SHIFT = 4
LEFT_CTRL, LEFT_ALT, SYSREQ, PAUSED = 1 << 0, 1 << 1, 1 << 2, 1 << 3
LAST_WAS_E1, LAST_WAS_E0, RIGHT_CTRL, RIGHT_ALT, ENHANCED_KEYBOARD = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4
LED_UPDATE, LEDS = 1 << 6, 0x07

SCAN_CTRL, SCAN_LEFT_SHIFT, SCAN_RIGHT_SHIFT, SCAN_ALT = 0x1D, 0x2A, 0x36, 0x38
SCAN_CAPS, SCAN_NUM, SCAN_SCROLL, SCAN_INSERT, SCAN_DELETE = 0x3A, 0x45, 0x46, 0x52, 0x53
SHIFT_KEYS = {SCAN_CTRL: CTRL, SCAN_ALT: ALT, SCAN_LEFT_SHIFT: LEFT_SHIFT, SCAN_RIGHT_SHIFT: RIGHT_SHIFT}
LOCK_KEYS = {SCAN_CAPS: CAPS_LOCK, SCAN_NUM: NUM_LOCK, SCAN_SCROLL: SCROLL_LOCK}
BREAK_CODE = 0x80
PREFIX_E0, PREFIX_E1, ACKNOWLEDGE, RESEND = 0xE0, 0xE1, 0xFA, 0xFE
SET_LEDS = 0xED
KEYBOARD_DATA, KEYBOARD_COMMAND, PULSE_RESET = 0x60, 0x64, 0xFE
WARM_BOOT_MAGIC = 0x1234
HIGHEST_OLD_SCAN = 0x84
"""Calls that are older than the 101-key keyboard do not see later keys."""
KEYBOARD_ID = 0x41AB


class Buffer:
    """The ring of key codes in the BIOS data area; offsets are in segment 40h. One slot stays free."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.head = call.peek(layout.BDA + layout.KEYBOARD_HEAD, 2)
        self.tail = call.peek(layout.BDA + layout.KEYBOARD_TAIL, 2)

    @property
    def empty(self) -> bool:
        return self.head == self.tail

    def first(self) -> int:
        return self._call.peek(layout.BDA + self.head, 2)

    def drop(self) -> None:
        self.head = self._next(self.head)
        self._call.poke(layout.BDA + layout.KEYBOARD_HEAD, self.head, 2)

    def put(self, code: int) -> bool:
        following = self._next(self.tail)
        if following == self.head:
            return False
        self._call.poke(layout.BDA + self.tail, code, 2)
        self._call.poke(layout.BDA + layout.KEYBOARD_TAIL, following, 2)
        return True

    def clear(self) -> None:
        start = self._call.peek(layout.BDA + layout.KEYBOARD_START, 2)
        for offset, value in ((layout.KEYBOARD_HEAD, start), (layout.KEYBOARD_TAIL, start)):
            self._call.poke(layout.BDA + offset, value, 2)
        self._call.poke(layout.BDA + start, 0, 2)

    def _next(self, offset: int) -> int:
        following = offset + 2
        if following >= self._call.peek(layout.BDA + layout.KEYBOARD_END, 2):
            return self._call.peek(layout.BDA + layout.KEYBOARD_START, 2)
        return following


# --- INT 09h ------------------------------------------------------------------------------------------------------------------------------------------------


def scancode(bios: Bios, call: Call) -> Steps | None:
    """AL is what the keyboard sent. AH tells the stub about Ctrl-Break."""
    code = call.al
    flags = call.peek(layout.BDA + layout.KEYBOARD_FLAGS)
    flags3 = call.peek(layout.BDA + layout.KEYBOARD_FLAGS_3)
    call.ah = 0
    if code in (ACKNOWLEDGE, RESEND):
        return _acknowledged(call, flags) if code == ACKNOWLEDGE else None
    if code in (PREFIX_E0, PREFIX_E1):
        call.poke(layout.BDA + layout.KEYBOARD_FLAGS_3, flags3 | (LAST_WAS_E0 if code == PREFIX_E0 else LAST_WAS_E1))
        return None
    extended = bool(flags3 & LAST_WAS_E0)
    scan = code & ~BREAK_CODE
    if flags3 & LAST_WAS_E1 and scan == SCAN_CTRL:
        return None
    flags3_after = flags3 & ~(LAST_WAS_E0 | LAST_WAS_E1)
    if flags3 & LAST_WAS_E1:
        call.poke(layout.BDA + layout.KEYBOARD_FLAGS_3, flags3_after)
        return None
    if scan in SHIFT_KEYS:
        _shift_key(call, scan, extended, bool(code & BREAK_CODE), flags, flags3_after)
        return None
    call.poke(layout.BDA + layout.KEYBOARD_FLAGS_3, flags3_after)
    if code & BREAK_CODE:
        _lock_released(call, scan)
        return None
    return _pressed(call, scan, extended, flags)


def _shift_key(call: Call, scan: int, extended: bool, released: bool, flags: int, flags3: int) -> None:
    """Fake shifts that come with E0h are ignored. Ctrl and Alt count left and right apart; Alt's release ends a character typed by number."""
    flag = SHIFT_KEYS[scan]
    flags2 = call.peek(layout.BDA + layout.KEYBOARD_FLAGS_2)
    if scan in (SCAN_CTRL, SCAN_ALT):
        left, right = (LEFT_CTRL, RIGHT_CTRL) if scan == SCAN_CTRL else (LEFT_ALT, RIGHT_ALT)
        if extended:
            flags3 = flags3 & ~right if released else flags3 | right
        else:
            flags2 = flags2 & ~left if released else flags2 | left
        released = not (flags2 & left or flags3 & right)
    elif extended:
        call.poke(layout.BDA + layout.KEYBOARD_FLAGS_3, flags3)
        return
    flags = flags & ~flag if released else flags | flag
    if scan == SCAN_ALT and released:
        typed = call.peek(layout.BDA + layout.ALT_NUMPAD)
        if typed:
            call.poke(layout.BDA + layout.ALT_NUMPAD, 0)
            Buffer(call).put(typed)
    for offset, value in ((layout.KEYBOARD_FLAGS, flags), (layout.KEYBOARD_FLAGS_2, flags2), (layout.KEYBOARD_FLAGS_3, flags3)):
        call.poke(layout.BDA + offset, value)


def _lock_released(call: Call, scan: int) -> None:
    if scan in LOCK_KEYS:
        flags2 = call.peek(layout.BDA + layout.KEYBOARD_FLAGS_2)
        call.poke(layout.BDA + layout.KEYBOARD_FLAGS_2, flags2 & ~LOCK_KEYS[scan])


def _pressed(call: Call, scan: int, extended: bool, flags: int) -> Steps | None:
    if scan == SCAN_DELETE and flags & CTRL and flags & ALT:
        call.poke(layout.BDA + layout.WARM_BOOT, WARM_BOOT_MAGIC, 2)
        return outs(Out(KEYBOARD_COMMAND, PULSE_RESET))
    if scan == SCAN_SCROLL and flags & CTRL:
        Buffer(call).clear()
        call.poke(layout.BDA + layout.BREAK_FLAG, BREAK_CODE)
        call.ah = layout.KEY_BREAK
        return None
    if scan in LOCK_KEYS and not extended:
        return _lock_pressed(call, LOCK_KEYS[scan], flags)
    if scan == SCAN_INSERT and not flags & (CTRL | ALT) and (extended or not _wants_digit(flags)):
        call.poke(layout.BDA + layout.KEYBOARD_FLAGS, flags ^ INSERT)
    if not extended and flags & ALT and scan in KEYPAD_DIGITS:
        typed = call.peek(layout.BDA + layout.ALT_NUMPAD)
        call.poke(layout.BDA + layout.ALT_NUMPAD, typed * 10 + KEYPAD_DIGITS[scan])
        return None
    code = key_code(scan, extended, flags)
    if code:
        Buffer(call).put(code)
    return None


def _lock_pressed(call: Call, lock: int, flags: int) -> Steps | None:
    """Toggles once per press; the LEDs follow."""
    flags2 = call.peek(layout.BDA + layout.KEYBOARD_FLAGS_2)
    if flags2 & lock:
        return None
    call.poke(layout.BDA + layout.KEYBOARD_FLAGS_2, flags2 | lock)
    call.poke(layout.BDA + layout.KEYBOARD_FLAGS, flags ^ lock)
    leds = (flags ^ lock) >> LOCKS_SHIFT & LEDS
    call.poke(layout.BDA + layout.KEYBOARD_LEDS, leds | LED_UPDATE)
    return outs(Out(KEYBOARD_DATA, SET_LEDS))


def _acknowledged(call: Call, flags: int) -> Steps | None:
    """The keyboard has taken a SET_LEDS command and waits for the lights."""
    leds = call.peek(layout.BDA + layout.KEYBOARD_LEDS)
    if not leds & LED_UPDATE:
        return None
    call.poke(layout.BDA + layout.KEYBOARD_LEDS, leds & ~LED_UPDATE)
    return outs(Out(KEYBOARD_DATA, leds & LEDS))


def _wants_digit(flags: int) -> bool:
    return bool(flags & NUM_LOCK) != bool(flags & (LEFT_SHIFT | RIGHT_SHIFT))


def key_code(scan: int, extended: bool, flags: int) -> int:
    """The code that INT 16h AH=10h returns for a key, 0 for none."""
    if extended:
        key, shifted = EXTENDED.get(scan), False
    elif scan in KEYPAD:
        key, shifted = KEYPAD[scan], _wants_digit(flags)
    else:
        key = KEYS.get(scan)
        shifted = bool(flags & (LEFT_SHIFT | RIGHT_SHIFT)) != bool(key and key.letter and flags & CAPS_LOCK)
    return _by_shift_state(key, shifted, flags) if key else 0


def _by_shift_state(key: Key, shifted: bool, flags: int) -> int:
    if flags & ALT:
        return key.alt
    if flags & CTRL:
        return key.ctrl
    return key.shift if shifted else key.normal


# --- INT 16h ------------------------------------------------------------------------------------------------------------------------------------------------


def int16(bios: Bios, call: Call) -> Outcome | None:
    match call.ah:
        case 0x00 | 0x10:
            return _read_key(call, enhanced=call.ah == 0x10)
        case 0x01 | 0x11:
            _peek_key(call, enhanced=call.ah == 0x11)
        case 0x02:
            call.al = call.peek(layout.BDA + layout.KEYBOARD_FLAGS)
        case 0x05:
            call.al = 0 if Buffer(call).put(call.cx) else 1
        case 0x09:
            call.al = 0x30
        case 0x0A:
            call.bx = KEYBOARD_ID
        case 0x12:
            call.al = call.peek(layout.BDA + layout.KEYBOARD_FLAGS)
            call.ah = _extended_flags(call)
    return None


def _read_key(call: Call, *, enhanced: bool) -> Outcome | None:
    buffer = Buffer(call)
    while not buffer.empty:
        code = _presented(buffer.first(), enhanced)
        buffer.drop()
        if code is not None:
            call.ax = code
            return None
    return Outcome.HALT


def _peek_key(call: Call, *, enhanced: bool) -> None:
    """Keys that the caller cannot see are taken out."""
    buffer = Buffer(call)
    while not buffer.empty:
        code = _presented(buffer.first(), enhanced)
        if code is not None:
            call.ax = code
            call.set_zero(False)
            return
        buffer.drop()
    call.set_zero(True)


def _presented(code: int, enhanced: bool) -> int | None:
    """A buffered code as a caller of the old or enhanced functions gets it; None hides it."""
    scan, character = code >> 8, code & 0xFF
    if enhanced:
        return code & 0xFF00 if character == 0xF0 and scan else code
    if scan == 0xE0:
        return (0x35 if character == ord("/") else 0x1C) << 8 | character
    if scan > HIGHEST_OLD_SCAN:
        return None
    return code & 0xFF00 if character in (0xE0, 0xF0) and scan else code


def _extended_flags(call: Call) -> int:
    """Bits 0-3 left and right Ctrl and Alt, 4-6 lock keys held, 7 SysReq."""
    flags2 = call.peek(layout.BDA + layout.KEYBOARD_FLAGS_2)
    flags3 = call.peek(layout.BDA + layout.KEYBOARD_FLAGS_3)
    return flags2 & (LEFT_CTRL | LEFT_ALT | SCROLL_LOCK | NUM_LOCK | CAPS_LOCK) | flags3 & (RIGHT_CTRL | RIGHT_ALT) | (flags2 & SYSREQ) << 5
