"""A PS/2 keyboard (IBM PS/2 Hardware Interface Technical Reference) with scan code sets 1 and 2.

Keys come from the host as a set-1 stream, as long as it likes, and wait while the guest is not taking them; no command throws them away. Typematic repeat is
the host's: the rate is only remembered. Set 3 is left out and refused, as many keyboards do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs

from ringone_devices_pc.i8042 import scancodes
from ringone_devices_pc.i8042.state import KeyboardState

ACK = 0xFA
RESEND = 0xFE
BAT_PASSED = 0xAA
ECHO = 0xEE
IDENTITY = (0xAB, 0x83)

SET_LEDS = 0xED
SCAN_CODE_SET = 0xF0
IDENTIFY = 0xF2
SET_RATE = 0xF3
ENABLE = 0xF4
DEFAULT_DISABLE = 0xF5
DEFAULT = 0xF6
SET_3_ALL_KEYS = range(0xF7, 0xFB)
SET_3_KEY = range(0xFB, 0xFE)
RESET = 0xFF

LEDS = 7
DEFAULT_RATE = 0x2B
MAX_REPLIES = 16


class Keyboard:
    """Meets `ringone.api.console.Keyboard`."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._keys: deque[int] = deque()
        self._sending: deque[int] = deque()
        self._replies: deque[int] = deque()
        self._state = KeyboardState()

    def reset(self) -> None:
        self.load(KeyboardState())

    def save(self) -> KeyboardState:
        return attrs.evolve(self._state, keys=bytes(self._keys), sending=bytes(self._sending), replies=bytes(self._replies))

    def load(self, state: KeyboardState) -> None:
        self._keys = deque(state.keys.translate(None, scancodes.NO_KEYS))
        self._sending = deque(state.sending)
        self._replies = deque(state.replies)
        self._state = attrs.evolve(state, keys=b"", sending=b"", replies=b"")

    # --- The host ------------------------------------------------------------------------------------------------------------------------------------------

    def put_scancodes(self, codes: bytes) -> None:
        self._keys.extend(codes.translate(None, scancodes.NO_KEYS))
        self._wake()

    @property
    def leds(self) -> int:
        return self._state.leds

    @property
    def pending(self) -> int:
        return len(self._keys) + bool(self._sending)

    # --- The cable -----------------------------------------------------------------------------------------------------------------------------------------

    def has_data(self) -> bool:
        if self._sending or self._replies:
            return True
        state = self._state
        return bool(self._keys) and state.scanning and not state.awaiting

    def next_byte(self) -> int:
        """Only while `has_data`. A break code that has begun comes before an answer."""
        if self._sending:
            byte = self._sending.popleft()
        elif self._replies:
            byte = self._replies.popleft()
        else:
            code = self._keys.popleft()
            self._sending.extend(scancodes.to_set2(code) if self._state.scan_set == 2 else (code,))
            byte = self._sending.popleft()
        if byte != RESEND:
            self._state.last_sent = byte
        return byte

    def write(self, byte: int) -> None:
        """A byte from the controller: a command, or the parameter of the last one."""
        state = self._state
        command, state.awaiting = state.awaiting, 0
        if command and byte < 0x80:
            self._parameter(command, byte)
        else:
            self._command(byte)

    def _reply(self, *codes: int) -> None:
        if len(self._replies) < MAX_REPLIES:
            self._replies.extend(codes)

    def _set_defaults(self) -> None:
        state = self._state
        state.scan_set = 2
        state.rate = DEFAULT_RATE

    def _command(self, byte: int) -> None:
        state = self._state
        if byte in (SET_LEDS, SCAN_CODE_SET, SET_RATE) or byte in SET_3_KEY:
            state.awaiting = byte
            self._reply(ACK)
        elif byte == ECHO:
            self._reply(ECHO)
        elif byte == IDENTIFY:
            self._reply(ACK, *IDENTITY)
        elif byte == ENABLE:
            state.scanning = True
            self._reply(ACK)
        elif byte == DEFAULT_DISABLE:
            self._set_defaults()
            state.scanning = False
            self._reply(ACK)
        elif byte == DEFAULT:
            self._set_defaults()
            self._reply(ACK)
        elif byte in SET_3_ALL_KEYS:
            self._reply(ACK)
        elif byte == RESET:
            self._set_defaults()
            state.scanning = True
            state.leds = 0
            self._reply(ACK, BAT_PASSED)
        elif byte == RESEND:
            self._reply(state.last_sent)
        else:
            self._reply(RESEND)

    def _parameter(self, command: int, byte: int) -> None:
        state = self._state
        if command == SCAN_CODE_SET and byte > 2:
            self._reply(RESEND)
            return
        self._reply(ACK)
        if command == SET_LEDS:
            state.leds = byte & LEDS
        elif command == SET_RATE:
            state.rate = byte
        elif command == SCAN_CODE_SET:
            if byte == 0:
                self._reply(state.scan_set)
            else:
                state.scan_set = byte
