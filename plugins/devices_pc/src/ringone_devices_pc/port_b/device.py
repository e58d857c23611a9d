"""System control port B of the PC/AT, port 0x61 (PIIX3 datasheet 290550-002, NMI status and control register).

Gates counter 2 and the speaker, and shows OUT2 and the refresh toggle, with which firmware and operating systems measure time. The parity and channel-check
bits can be written but never report an error: there is nothing that fails. With a link ``out2`` the level of OUT2 is exact at every read; without one it is
that of the pin.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol

from ringone.api.devices import DeviceContext

from ringone_devices_pc.port_b.config import PortBOptions
from ringone_devices_pc.port_b.state import PortBState

GATE2 = 1 << 0
SPEAKER_ENABLE = 1 << 1
PARITY_CHECK_DISABLE = 1 << 2
CHANNEL_CHECK_DISABLE = 1 << 3
REFRESH_TOGGLE = 1 << 4
OUT2 = 1 << 5
WRITABLE = GATE2 | SPEAKER_ENABLE | PARITY_CHECK_DISABLE | CHANNEL_CHECK_DISABLE

REFRESH_NS = Fraction(18 * 12 * 1_000_000_000, 14_318_180)
"""Counter 1 asks for a refresh every 18 ticks."""
REFRESHES, REFRESHES_NS = (1 / REFRESH_NS).as_integer_ratio()


class Level(Protocol):
    def level(self) -> bool: ...


class PortB:
    def __init__(self, context: DeviceContext, options: PortBOptions) -> None:
        self._state = PortBState()
        self._now_ns = context.now_ns
        self._gate2 = context.output("GATE2")
        self._speaker = context.output("SPEAKER")
        self._out2 = context.input("OUT2", self._out2_changed)
        exact = context.link("out2", Level)
        self._out2_level = exact.level if exact is not None else self._pin_level
        context.map_ports(options.port, 1, read=self.read, write=self.write)

    def reset(self) -> None:
        self.write(0, 1, 0)

    def save_state(self) -> PortBState:
        return PortBState(self._state.control)

    def load_state(self, state: PortBState) -> None:
        self._state = PortBState(state.control & WRITABLE)

    def _pin_level(self) -> bool:
        return self._out2.level

    def _out2_changed(self, level: bool) -> None:
        self._speaker.set(level and bool(self._state.control & SPEAKER_ENABLE))

    def read(self, offset: int, size: int) -> int:
        value = self._state.control
        if self._now_ns() * REFRESHES // REFRESHES_NS & 1:
            value |= REFRESH_TOGGLE
        if self._out2_level():
            value |= OUT2
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        self._state.control = value & WRITABLE
        self._gate2.set(bool(value & GATE2))
        self._speaker.set(bool(value & SPEAKER_ENABLE) and self._out2.level)
