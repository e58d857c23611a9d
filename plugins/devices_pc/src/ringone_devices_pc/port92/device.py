"""System control port A of the PS/2, port 0x92 (PIIX3 datasheet 290550-002, port 92 register).

A rising FAST_INIT resets the machine, FAST_A20 opens the A20 gate; the board ORs pin A20 with that of the keyboard controller, which opens it at reset.
The disk LEDs and the password lock of the PS/2 are left out.
"""

from __future__ import annotations

from ringone.api.devices import DeviceContext

from ringone_devices_pc.port92.config import Port92Options
from ringone_devices_pc.port92.state import Port92State

FAST_INIT = 1 << 0
FAST_A20 = 1 << 1
WRITABLE = FAST_INIT | FAST_A20


class Port92:
    def __init__(self, context: DeviceContext, options: Port92Options) -> None:
        self._state = Port92State()
        self._a20 = context.output("A20")
        self._reset = context.output("RESET")
        context.map_ports(options.port, 1, read=self.read, write=self.write)

    def reset(self) -> None:
        self.write(0, 1, 0)

    def save_state(self) -> Port92State:
        return Port92State(self._state.value)

    def load_state(self, state: Port92State) -> None:
        self._state = Port92State(state.value & WRITABLE)

    def read(self, offset: int, size: int) -> int:
        return self._state.value

    def write(self, offset: int, size: int, value: int) -> None:
        self._state.value = value & WRITABLE
        self._a20.set(bool(value & FAST_A20))
        self._reset.set(bool(value & FAST_INIT))
