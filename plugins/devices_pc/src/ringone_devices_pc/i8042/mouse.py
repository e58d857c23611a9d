"""A PS/2 mouse (IBM PS/2 Hardware Interface Technical Reference) that becomes a wheel mouse when sample rates 200, 100 and 80 are set in a row,
and one with five buttons (IntelliMouse Explorer) when 200, 200 and 80 are.

Clicks are reported one by one, movement between them is summed. The sample rate and the resolution are remembered and reported, but the host's movement is
passed on as it is and at the pace of the cable. The horizontal wheel of later models is left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs

from ringone_devices_pc.i8042.state import MouseState, Movement

ACK = 0xFA
RESEND = 0xFE
BAT_PASSED = 0xAA
STANDARD_ID = 0x00
WHEEL_ID = 0x03
EXPLORER_ID = 0x04

SCALING_1_1 = 0xE6
SCALING_2_1 = 0xE7
SET_RESOLUTION = 0xE8
STATUS_REQUEST = 0xE9
STREAM_MODE = 0xEA
READ_DATA = 0xEB
RESET_WRAP_MODE = 0xEC
WRAP_MODE = 0xEE
REMOTE_MODE = 0xF0
IDENTIFY = 0xF2
SET_RATE = 0xF3
ENABLE = 0xF4
DISABLE = 0xF5
DEFAULT = 0xF6
RESET = 0xFF

PACKET_ALWAYS_1 = 1 << 3
PACKET_X_SIGN = 1 << 4
PACKET_Y_SIGN = 1 << 5
STATUS_SCALING = 1 << 4
STATUS_ENABLED = 1 << 5
STATUS_REMOTE = 1 << 6
LEFT, RIGHT, MIDDLE = 1 << 0, 1 << 1, 1 << 2
STATUS_BUTTONS = ((LEFT, 1 << 2), (MIDDLE, 1 << 1), (RIGHT, 1 << 0))
BUTTONS = LEFT | RIGHT | MIDDLE
SIDE_BUTTONS = 1 << 3 | 1 << 4
SIDE_BUTTONS_SHIFT = 1
"""To their bits in the fourth byte, beside the wheel's four."""
WHEEL_MASK = 0x0F

WHEEL_KNOCK = bytes((200, 100, 80))
EXPLORER_KNOCK = bytes((200, 200, 80))
SCALED = (0, 1, 1, 3, 6, 9)
"""2:1 scaling of small movements; larger ones are doubled."""
MAX_DELTA = 255
MAX_SUM = 0x7FFF
MIN_WHEEL, MAX_WHEEL = -8, 7
MAX_MOVEMENTS = 32
MAX_REPLIES = 16


def _clamp(value: int, low: int, high: int) -> int:
    return low if value < low else high if value > high else value


def _scale(delta: int) -> int:
    size = abs(delta)
    scaled = SCALED[size] if size < len(SCALED) else 2 * size
    return _clamp(scaled if delta > 0 else -scaled, -MAX_DELTA, MAX_DELTA)


class Mouse:
    """Meets `ringone.api.console.Mouse`; a positive `dz` turns the wheel towards the user."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._movements: deque[Movement] = deque()
        self._sending: deque[int] = deque()
        self._replies: deque[int] = deque()
        self._state = MouseState()
        self._commands: dict[int, Callable[[], None]] = {
            SCALING_1_1: self._set_scaling_1_1,
            SCALING_2_1: self._set_scaling_2_1,
            STATUS_REQUEST: self._report_status,
            STREAM_MODE: self._enter_stream_mode,
            READ_DATA: self._report_movement,
            RESET_WRAP_MODE: self._leave_wrap_mode,
            WRAP_MODE: self._enter_wrap_mode,
            REMOTE_MODE: self._enter_remote_mode,
            IDENTIFY: self._identify,
            ENABLE: self._enable,
            DISABLE: self._disable,
            DEFAULT: self._set_defaults,
            RESET: self._power_on,
        }

    def reset(self) -> None:
        self.load(MouseState())

    def save(self) -> MouseState:
        movements = [attrs.evolve(movement) for movement in self._movements]
        return attrs.evolve(self._state, movements=movements, sending=bytes(self._sending), replies=bytes(self._replies))

    def load(self, state: MouseState) -> None:
        self._movements = deque(attrs.evolve(movement) for movement in state.movements)
        self._sending = deque(state.sending)
        self._replies = deque(state.replies)
        self._state = attrs.evolve(state, movements=[], sending=b"", replies=b"")

    # --- The host ------------------------------------------------------------------------------------------------------------------------------------------

    def move(self, dx: int, dy: int, dz: int, buttons: int) -> None:
        state = self._state
        movements = self._movements
        buttons &= BUTTONS | SIDE_BUTTONS if state.explorer else BUTTONS
        if not state.reporting and not state.remote:
            state.buttons = buttons
            return
        held = movements[-1].buttons if movements else state.buttons
        if not (dx or dy or dz) and buttons == held:
            return
        if not movements or (buttons != held and len(movements) < MAX_MOVEMENTS):
            movements.append(Movement(0, 0, 0, buttons))
        last = movements[-1]
        last.dx = _clamp(last.dx + dx, -MAX_SUM, MAX_SUM)
        last.dy = _clamp(last.dy + dy, -MAX_SUM, MAX_SUM)
        last.dz = _clamp(last.dz + dz, -MAX_SUM, MAX_SUM)
        last.buttons = buttons
        self._wake()

    # --- The cable -----------------------------------------------------------------------------------------------------------------------------------------

    def has_data(self) -> bool:
        if self._replies or self._sending:
            return True
        state = self._state
        return bool(self._movements) and state.reporting and not (state.remote or state.wrap or state.awaiting)

    def next_byte(self) -> int:
        """Only while `has_data`."""
        if self._replies:
            byte = self._replies.popleft()
        else:
            if not self._sending:
                self._sending.extend(self._packet(doubled=self._state.double_scaling))
            byte = self._sending.popleft()
        if byte != RESEND:
            self._state.last_sent = byte
        return byte

    def _packet(self, *, doubled: bool) -> list[int]:
        """The next report; what does not fit stays for the one after it."""
        state = self._state
        dx = dy = dz = 0
        if self._movements:
            movement = self._movements[0]
            dx = _clamp(movement.dx, -MAX_DELTA, MAX_DELTA)
            dy = _clamp(movement.dy, -MAX_DELTA, MAX_DELTA)
            dz = _clamp(movement.dz, MIN_WHEEL, MAX_WHEEL) if state.wheel else movement.dz
            movement.dx -= dx
            movement.dy -= dy
            movement.dz -= dz
            state.buttons = movement.buttons
            if not (movement.dx or movement.dy or movement.dz):
                self._movements.popleft()
        x, y = (_scale(dx), _scale(-dy)) if doubled else (dx, -dy)
        flags = PACKET_ALWAYS_1 | state.buttons & BUTTONS | (PACKET_X_SIGN if x < 0 else 0) | (PACKET_Y_SIGN if y < 0 else 0)
        packet = [flags, x & 0xFF, y & 0xFF]
        if state.explorer:
            packet.append(dz & WHEEL_MASK | (state.buttons & SIDE_BUTTONS) << SIDE_BUTTONS_SHIFT)
        elif state.wheel:
            packet.append(dz & 0xFF)
        return packet

    def write(self, byte: int) -> None:
        """A byte from the controller: a command, or the parameter of the last one. It cuts a packet short."""
        state = self._state
        self._sending.clear()
        if state.wrap and byte not in (RESET, RESET_WRAP_MODE):
            self._reply(byte)
            return
        command, state.awaiting = state.awaiting, 0
        if command == SET_RATE:
            self._set_rate(byte)
        elif command == SET_RESOLUTION:
            state.resolution = byte & 3
            self._reply(ACK)
        elif byte in (SET_RATE, SET_RESOLUTION):
            state.awaiting = byte
            self._reply(ACK)
        elif byte == RESEND:
            self._reply(state.last_sent)
        elif byte in self._commands:
            self._reply(ACK)
            self._commands[byte]()
        else:
            self._reply(RESEND)

    def _reply(self, *codes: int) -> None:
        if len(self._replies) < MAX_REPLIES:
            self._replies.extend(codes)

    # --- Commands ------------------------------------------------------------------------------------------------------------------------------------------

    def _set_rate(self, rate: int) -> None:
        state = self._state
        state.rate = rate
        state.rates = (state.rates + bytes((rate,)))[-len(WHEEL_KNOCK) :]
        if state.rates == WHEEL_KNOCK:
            state.wheel = True
        elif state.rates == EXPLORER_KNOCK:
            state.wheel = state.explorer = True
        self._reply(ACK)

    def _set_scaling_1_1(self) -> None:
        self._state.double_scaling = False

    def _set_scaling_2_1(self) -> None:
        self._state.double_scaling = True

    def _report_status(self) -> None:
        state = self._state
        status = sum(bit for button, bit in STATUS_BUTTONS if state.buttons & button)
        status |= STATUS_SCALING if state.double_scaling else 0
        status |= STATUS_ENABLED if state.reporting else 0
        status |= STATUS_REMOTE if state.remote else 0
        self._reply(status, state.resolution, state.rate)

    def _enter_stream_mode(self) -> None:
        self._state.remote = False

    def _enter_remote_mode(self) -> None:
        self._state.remote = True

    def _enter_wrap_mode(self) -> None:
        self._state.wrap = True

    def _leave_wrap_mode(self) -> None:
        self._state.wrap = False

    def _report_movement(self) -> None:
        self._reply(*self._packet(doubled=False))

    def _identify(self) -> None:
        state = self._state
        self._reply(EXPLORER_ID if state.explorer else WHEEL_ID if state.wheel else STANDARD_ID)

    def _enable(self) -> None:
        self._state.reporting = True

    def _disable(self) -> None:
        self._state.reporting = False
        self._movements.clear()

    def _set_defaults(self) -> None:
        """Everything but the wheel and the buttons, which are in somebody's hand."""
        old = self._state
        self._state = MouseState(wheel=old.wheel, explorer=old.explorer, buttons=old.buttons, last_sent=old.last_sent)
        self._movements.clear()

    def _power_on(self) -> None:
        self._set_defaults()
        self._state.wheel = self._state.explorer = False
        self._state.buttons &= BUTTONS
        self._reply(BAT_PASSED, STANDARD_ID)
