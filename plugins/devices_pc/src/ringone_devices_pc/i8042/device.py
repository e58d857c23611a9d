"""Intel 8042 keyboard controller as in the IBM PS/2 (Hardware Interface Technical Reference), with a keyboard and a mouse plugged in.

Bytes come from the two at the pace of their cables, about one a millisecond, and the next one only after the guest has read the last; the controller's own
answers are there at once. Passwords, parity and time-out errors are left out, and so is the input buffer's delay: IBF is never set.
"""

from __future__ import annotations

from typing import Protocol

import attrs
from ringone.api.devices import DeviceContext

from ringone_devices_pc.i8042 import scancodes
from ringone_devices_pc.i8042.config import I8042Options
from ringone_devices_pc.i8042.keyboard import Keyboard
from ringone_devices_pc.i8042.mouse import Mouse
from ringone_devices_pc.i8042.state import RAM_BYTES, I8042State, KeyboardState, MouseState

READ_RAM = range(0x20, 0x40)
WRITE_RAM = range(0x60, 0x80)
TEST_PASSWORD = 0xA4
DISABLE_AUXILIARY = 0xA7
ENABLE_AUXILIARY = 0xA8
TEST_AUXILIARY = 0xA9
SELF_TEST = 0xAA
TEST_KEYBOARD = 0xAB
DISABLE_KEYBOARD = 0xAD
ENABLE_KEYBOARD = 0xAE
READ_INPUT_PORT = 0xC0
READ_OUTPUT_PORT = 0xD0
WRITE_OUTPUT_PORT = 0xD1
WRITE_KEYBOARD_OUTPUT = 0xD2
WRITE_AUXILIARY_OUTPUT = 0xD3
WRITE_AUXILIARY = 0xD4
CLOSE_A20 = 0xDD
OPEN_A20 = 0xDF
READ_TEST_INPUTS = 0xE0
PULSE_OUTPUT_PORT = range(0xF0, 0x100)
TAKES_PARAMETER = frozenset((WRITE_OUTPUT_PORT, WRITE_KEYBOARD_OUTPUT, WRITE_AUXILIARY_OUTPUT, WRITE_AUXILIARY, *WRITE_RAM))

COMMAND_BYTE = 0
CB_KEYBOARD_INTERRUPT = 1 << 0
CB_AUXILIARY_INTERRUPT = 1 << 1
CB_SYSTEM_FLAG = 1 << 2
CB_DISABLE_KEYBOARD = 1 << 4
CB_DISABLE_AUXILIARY = 1 << 5
CB_TRANSLATE = 1 << 6
STATUS_OBF = 1 << 0
STATUS_SYSTEM_FLAG = 1 << 2
STATUS_COMMAND = 1 << 3
STATUS_NOT_INHIBITED = 1 << 4
STATUS_AUXB = 1 << 5
P2_NOT_RESET = 1 << 0
P2_A20 = 1 << 1
P2_OBF = 1 << 4
P2_AUXB = 1 << 5
P2_UNUSED = 0xCC

SELF_TEST_PASSED = 0x55
INTERFACE_TEST_PASSED = 0x00
NO_PASSWORD = 0xF1
INPUT_PORT_NOT_INHIBITED = 0x80
FIXED_ANSWERS = {
    TEST_PASSWORD: NO_PASSWORD,
    TEST_AUXILIARY: INTERFACE_TEST_PASSED,
    TEST_KEYBOARD: INTERFACE_TEST_PASSED,
    READ_INPUT_PORT: INPUT_PORT_NOT_INHIBITED,
    READ_TEST_INPUTS: 0x00,
}
SWITCHES = {
    # command: (command byte bits set, bits cleared)
    DISABLE_AUXILIARY: (CB_DISABLE_AUXILIARY, 0),
    ENABLE_AUXILIARY: (0, CB_DISABLE_AUXILIARY),
    DISABLE_KEYBOARD: (CB_DISABLE_KEYBOARD, 0),
    ENABLE_KEYBOARD: (0, CB_DISABLE_KEYBOARD),
}

BYTE_NS = 1_000_000
"""Eleven bits at 10 to 16.7 kHz."""
FROM_AUXILIARY = 1 << 8
MAX_REPLIES = 16


class Cable(Protocol):
    """The far end of a PS/2 cable."""

    def has_data(self) -> bool: ...
    def next_byte(self) -> int: ...


class I8042:
    def __init__(self, context: DeviceContext, options: I8042Options) -> None:
        self._state = I8042State()
        self._irq1 = context.output("IRQ1")
        self._irq12 = context.output("IRQ12")
        self._a20 = context.output("A20")
        self._reset = context.output("RESET")
        self._clock = context.timer("cable", self._byte_arrives)
        self._keyboard = Keyboard(self._listen)
        self._mouse = Mouse(self._listen)
        context.map_ports(options.data_port, 1, read=self.read_data, write=self.write_data, name="data")
        context.map_ports(options.command_port, 1, read=self.read_status, write=self.write_command, name="command")
        context.provide("keyboard", self._keyboard)
        context.provide("mouse", self._mouse)

    def reset(self) -> None:
        """Ready for a guest that was started without a BIOS: translating, keyboard interrupt on, A20 open."""
        self._state = I8042State(output_port=P2_UNUSED | P2_A20 | P2_NOT_RESET)
        self._state.ram[COMMAND_BYTE] = CB_TRANSLATE | CB_KEYBOARD_INTERRUPT
        self._keyboard.reset()
        self._mouse.reset()
        self._clock.cancel()
        self._a20.set(True)
        self._reset.set(False)
        self._update_irqs()

    def save_state(self) -> I8042State:
        state = self._state
        return attrs.evolve(state, ram=list(state.ram), replies=list(state.replies), keyboard=self._keyboard.save(), mouse=self._mouse.save())

    def load_state(self, state: I8042State) -> None:
        self._keyboard.load(state.keyboard)
        self._mouse.load(state.mouse)
        ram = (state.ram + [0] * RAM_BYTES)[:RAM_BYTES]
        self._state = attrs.evolve(state, ram=ram, replies=list(state.replies), keyboard=KeyboardState(), mouse=MouseState())

    # --- Output buffer -------------------------------------------------------------------------------------------------------------------------------------

    def read_status(self, offset: int, size: int) -> int:
        state = self._state
        status = STATUS_NOT_INHIBITED
        if state.full:
            status |= STATUS_OBF
        if state.auxiliary:
            status |= STATUS_AUXB
        if state.last_was_command:
            status |= STATUS_COMMAND
        if state.ram[COMMAND_BYTE] & CB_SYSTEM_FLAG:
            status |= STATUS_SYSTEM_FLAG
        return status

    def read_data(self, offset: int, size: int) -> int:
        state = self._state
        byte = state.output
        if state.full:
            state.full = False
            state.auxiliary = False
            self._update_irqs()
            if state.replies:
                self._fill(state.replies.pop(0))
            else:
                self._listen()
        return byte

    def _fill(self, reply: int) -> None:
        state = self._state
        state.output = reply & 0xFF
        state.full = True
        state.auxiliary = bool(reply & FROM_AUXILIARY)
        self._clock.cancel()
        self._update_irqs()

    def _answer(self, reply: int) -> None:
        """The controller's own byte, which waits for nothing but the buffer."""
        state = self._state
        if not state.full:
            self._fill(reply)
        elif len(state.replies) < MAX_REPLIES:
            state.replies.append(reply)

    def _update_irqs(self) -> None:
        state = self._state
        command_byte = state.ram[COMMAND_BYTE]
        keyboard = state.full and not state.auxiliary
        self._irq1.set(keyboard and command_byte & (CB_KEYBOARD_INTERRUPT | CB_DISABLE_KEYBOARD) == CB_KEYBOARD_INTERRUPT)
        self._irq12.set(state.full and state.auxiliary and bool(command_byte & CB_AUXILIARY_INTERRUPT))

    # --- Cables --------------------------------------------------------------------------------------------------------------------------------------------

    def _ready(self) -> list[tuple[Cable, int]]:
        """Enabled devices that have something to say."""
        command_byte = self._state.ram[COMMAND_BYTE]
        ready: list[tuple[Cable, int]] = []
        if not command_byte & CB_DISABLE_KEYBOARD and self._keyboard.has_data():
            ready.append((self._keyboard, 0))
        if not command_byte & CB_DISABLE_AUXILIARY and self._mouse.has_data():
            ready.append((self._mouse, FROM_AUXILIARY))
        return ready

    def _listen(self) -> None:
        if not self._state.full and self._clock.deadline_ns is None and self._ready():
            self._clock.arm_after(BYTE_NS)

    def _byte_arrives(self) -> None:
        state = self._state
        ready = self._ready()
        if state.full or not ready:
            return
        cable, source = ready[-1 if state.keyboard_spoke_last else 0]
        state.keyboard_spoke_last = cable is self._keyboard
        byte = cable.next_byte()
        if source == 0 and state.ram[COMMAND_BYTE] & CB_TRANSLATE:
            if byte == scancodes.BREAK_PREFIX:
                state.break_prefix = True
                self._listen()
                return
            byte = scancodes.TRANSLATION[byte]
            if state.break_prefix:
                byte |= scancodes.BREAK
                state.break_prefix = False
        self._fill(byte | source)

    # --- Commands ------------------------------------------------------------------------------------------------------------------------------------------

    def write_command(self, offset: int, size: int, command: int) -> None:
        state = self._state
        state.last_was_command = True
        state.awaiting = command if command in TAKES_PARAMETER else 0
        if command in FIXED_ANSWERS:
            self._answer(FIXED_ANSWERS[command])
        elif command in SWITCHES:
            switch_on, switch_off = SWITCHES[command]
            self._write_ram(COMMAND_BYTE, state.ram[COMMAND_BYTE] & ~switch_off | switch_on)
        elif command in READ_RAM:
            self._answer(state.ram[command - READ_RAM.start])
        elif command in PULSE_OUTPUT_PORT:
            if not command & P2_NOT_RESET:
                self._reset_machine()
        else:
            self._other_command(command)

    def _other_command(self, command: int) -> None:
        state = self._state
        if command == SELF_TEST:
            state.ram[COMMAND_BYTE] |= CB_SYSTEM_FLAG
            self._answer(SELF_TEST_PASSED)
        elif command == READ_OUTPUT_PORT:
            self._answer(state.output_port & ~(P2_OBF | P2_AUXB) | (P2_OBF if state.full else 0) | (P2_AUXB if state.auxiliary else 0))
        elif command in (CLOSE_A20, OPEN_A20):
            self._write_output_port(state.output_port & ~P2_A20 | (P2_A20 if command == OPEN_A20 else 0))

    def write_data(self, offset: int, size: int, byte: int) -> None:
        """A command's parameter, or a byte for the keyboard; sending to a device enables its cable."""
        state = self._state
        command, state.awaiting = state.awaiting, 0
        state.last_was_command = False
        if command in WRITE_RAM:
            self._write_ram(command - WRITE_RAM.start, byte)
        elif command == WRITE_OUTPUT_PORT:
            self._write_output_port(byte)
        elif command == WRITE_KEYBOARD_OUTPUT:
            self._answer(byte)
        elif command == WRITE_AUXILIARY_OUTPUT:
            self._answer(byte | FROM_AUXILIARY)
        elif command == WRITE_AUXILIARY:
            self._mouse.write(byte)
            self._write_ram(COMMAND_BYTE, state.ram[COMMAND_BYTE] & ~CB_DISABLE_AUXILIARY)
        else:
            self._keyboard.write(byte)
            self._write_ram(COMMAND_BYTE, state.ram[COMMAND_BYTE] & ~CB_DISABLE_KEYBOARD)

    def _write_ram(self, index: int, value: int) -> None:
        self._state.ram[index] = value
        self._update_irqs()
        self._listen()

    def _write_output_port(self, value: int) -> None:
        self._state.output_port = value
        self._a20.set(bool(value & P2_A20))
        if not value & P2_NOT_RESET:
            self._reset_machine()

    def _reset_machine(self) -> None:
        self._reset.set(False)
        self._reset.set(True)
