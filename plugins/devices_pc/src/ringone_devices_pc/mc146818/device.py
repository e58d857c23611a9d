"""Motorola MC146818 real-time clock (datasheet ADI-856R2) with the CMOS memory of a PC, and the second bank of the PIIX3 at ports 0x72 and 0x73.

The battery outlives every reset: only interrupt enables and flags are cleared by one. Time follows virtual time from the wall clock's base; its cells are
computed when somebody looks, and timers run only for interrupts that are enabled and not yet pending. Daylight saving and the square-wave pin are left out.
"""

from __future__ import annotations

import attrs
from ringone.api.devices import DeviceContext
from ringone.api.drivers import WallClock

from ringone_devices_pc.mc146818 import calendar, cmos
from ringone_devices_pc.mc146818.config import Mc146818Options
from ringone_devices_pc.mc146818.state import BANK_BYTES, ClockTime, Mc146818State

REGISTER_A, REGISTER_B, REGISTER_C, REGISTER_D = 0x0A, 0x0B, 0x0C, 0x0D

A_RATE = 0x0F
A_DIVIDER_RESET = 0x60
A_UIP = 1 << 7
B_SQWE = 1 << 3
B_UIE = 1 << 4
B_AIE = 1 << 5
B_PIE = 1 << 6
B_SET = 1 << 7
C_UF = 1 << 4
C_AF = 1 << 5
C_PF = 1 << 6
C_IRQF = 1 << 7
D_VRT = 1 << 7
INDEX = 0x7F
INDEX_NMI_MASK = 1 << 7

SECOND_NS = 1_000_000_000
UPDATE_NS = 244_000 + 1_984_000
"""UIP rises 244 us before an update cycle of 1984 us (datasheet table 6); the cells show the new second at its end."""
RELEASE_PHASE_NS = SECOND_NS // 2
"""The first update follows half a second after the divider is released."""
CLOCKS, CLOCKS_NS = 64, 1_953_125
"""64 periods of 32.768 kHz take exactly 1,953,125 ns."""


class Mc146818:
    def __init__(self, context: DeviceContext, options: Mc146818Options) -> None:
        self._now_ns = context.now_ns
        self._irq = context.output("IRQ")
        self._nmi_mask = context.output("NMI_MASK")
        self._timer = context.timer("interrupt", self._fire)
        clock = context.driver("wall-clock", WallClock)
        base_ns = clock.base_ns() if clock is not None else 0
        self._offset_ns = base_ns
        self._checked_ns = base_ns
        self._state = Mc146818State()
        self._cells = bytearray(BANK_BYTES)
        self._extended = bytearray(BANK_BYTES)
        self._shown_second: int | None = None
        cmos.fill(self._cells, options)
        context.map_ports(options.base, 4, read=self.read, write=self.write)

    def reset(self) -> None:
        state = self._state
        state.register_b &= ~(B_PIE | B_AIE | B_UIE | B_SQWE)
        state.register_c = 0
        state.index = 0
        state.extended_index = 0
        state.nmi_masked = False
        self._nmi_mask.set(False)
        self._settle()

    def save_state(self) -> Mc146818State:
        return attrs.evolve(
            self._state,
            cells=bytes(self._cells),
            extended=bytes(self._extended),
            offset=ClockTime(*divmod(self._offset_ns, SECOND_NS)),
            checked=ClockTime(*divmod(self._checked_ns, SECOND_NS)),
        )

    def load_state(self, state: Mc146818State) -> None:
        self._cells = bytearray(state.cells[:BANK_BYTES].ljust(BANK_BYTES, b"\0"))
        self._extended = bytearray(state.extended[:BANK_BYTES].ljust(BANK_BYTES, b"\0"))
        self._offset_ns = state.offset.seconds * SECOND_NS + state.offset.ns
        self._checked_ns = state.checked.seconds * SECOND_NS + state.checked.ns
        self._state = attrs.evolve(state, index=state.index & INDEX, extended_index=state.extended_index & INDEX)
        self._shown_second = None

    # --- Ports ---------------------------------------------------------------------------------------------------------------------------------------------

    def read(self, offset: int, size: int) -> int:
        if offset == 1:
            return self._read_cell(self._state.index)
        if offset == 3:
            return self._extended[self._state.extended_index]
        return 0xFF

    def write(self, offset: int, size: int, value: int) -> None:
        state = self._state
        if offset == 0:
            state.index = value & INDEX
            state.nmi_masked = bool(value & INDEX_NMI_MASK)
            self._nmi_mask.set(state.nmi_masked)
        elif offset == 1:
            self._write_cell(state.index, value)
        elif offset == 2:
            state.extended_index = value & INDEX
        else:
            self._extended[state.extended_index] = value

    def _read_cell(self, index: int) -> int:
        state = self._state
        if index == REGISTER_A:
            return state.register_a | (A_UIP if self._updating() else 0)
        if index == REGISTER_B:
            return state.register_b
        if index == REGISTER_C:
            return self._read_flags()
        if index == REGISTER_D:
            return D_VRT
        if index in calendar.TIME_CELLS:
            self._show()
        return self._cells[index]

    def _write_cell(self, index: int, value: int) -> None:
        if index in (REGISTER_C, REGISTER_D):
            return
        if index in (REGISTER_A, REGISTER_B):
            self._write_control(index, value)
        elif index in calendar.TIME_CELLS:
            self._show()
            self._cells[index] = value
            if not self._stopped():
                self._set_clock((self._now_ns() + self._offset_ns) % SECOND_NS)
                self._settle()
        elif index in calendar.ALARM_CELLS:
            self._check_flags()
            self._cells[index] = value
            self._settle()
        else:
            self._cells[index] = value

    def _write_control(self, index: int, value: int) -> None:
        state = self._state
        self._check_flags()
        self._show()
        was_stopped = self._stopped()
        was_held = self._divider_held()
        if index == REGISTER_A:
            state.register_a = value & ~A_UIP
        else:
            state.register_b = value
        if was_stopped and not self._stopped():
            self._set_clock(RELEASE_PHASE_NS if was_held else (self._now_ns() + self._offset_ns) % SECOND_NS)
        self._shown_second = None
        self._settle()

    # --- Time ----------------------------------------------------------------------------------------------------------------------------------------------

    def _divider_held(self) -> bool:
        return self._state.register_a & A_DIVIDER_RESET == A_DIVIDER_RESET

    def _stopped(self) -> bool:
        """No updates: the cells are the guest's."""
        return bool(self._state.register_b & B_SET) or self._divider_held()

    def _updating(self) -> bool:
        return not self._stopped() and (self._now_ns() + self._offset_ns) % SECOND_NS >= SECOND_NS - UPDATE_NS

    def _show(self) -> None:
        """Bring the time cells up to date."""
        if self._stopped():
            return
        state = self._state
        second = (self._now_ns() + self._offset_ns) // SECOND_NS
        if second != self._shown_second:
            calendar.show(self._cells, second, calendar.cell_format(state.register_b), state.weekday_shift)
            self._shown_second = second

    def _set_clock(self, phase_ns: int) -> None:
        """Go on from the time in the cells, `phase_ns` into the second."""
        state = self._state
        self._check_flags()
        second = calendar.parse(self._cells, calendar.cell_format(state.register_b))
        state.weekday_shift = (self._cells[calendar.WEEKDAY] - 1 - calendar.weekday(second // calendar.SECONDS_PER_DAY)) % 7
        self._checked_ns = second * SECOND_NS + phase_ns
        self._offset_ns = self._checked_ns - self._now_ns()
        self._shown_second = None

    # --- Interrupts ----------------------------------------------------------------------------------------------------------------------------------------

    def _period_shift(self) -> int | None:
        """The periodic rate as a power of two of 32.768 kHz clocks (datasheet table 5); None while off."""
        rate = self._state.register_a & A_RATE
        if rate == 0 or self._divider_held():
            return None
        return rate - 1 if rate > 2 else rate + 6

    def _check_flags(self) -> None:
        """Set the flags of what happened since the last check."""
        state = self._state
        now = self._now_ns() + self._offset_ns
        last = self._checked_ns
        self._checked_ns = now
        shift = self._period_shift()
        if shift is not None and now * CLOCKS // CLOCKS_NS >> shift != last * CLOCKS // CLOCKS_NS >> shift:
            state.register_c |= C_PF
        second = now // SECOND_NS
        last_second = last // SECOND_NS
        if second == last_second or self._stopped():
            return
        state.register_c |= C_UF
        alarm = calendar.next_alarm(self._cells, calendar.cell_format(state.register_b), last_second)
        if alarm is not None and alarm <= second:
            state.register_c |= C_AF

    def _read_flags(self) -> int:
        self._check_flags()
        state = self._state
        flags = state.register_c
        if flags & state.register_b & (C_PF | C_AF | C_UF):
            flags |= C_IRQF
        state.register_c = 0
        self._settle()
        return flags

    def _settle(self) -> None:
        """Drive IRQ, and arm the timer for the next enabled interrupt that is not pending."""
        state = self._state
        self._irq.set(bool(state.register_c & state.register_b & (C_PF | C_AF | C_UF)))
        next_ns = self._next_interrupt(state.register_b & ~state.register_c)
        if next_ns is None:
            self._timer.cancel()
        else:
            self._timer.arm_at(next_ns - self._offset_ns)

    def _next_interrupt(self, wanted: int) -> int | None:
        """Clock time of the first of the `wanted` interrupts."""
        state = self._state
        now = self._now_ns() + self._offset_ns
        times = []
        shift = self._period_shift()
        if wanted & B_PIE and shift is not None:
            clock = ((now * CLOCKS // CLOCKS_NS >> shift) + 1) << shift
            times.append(-(-clock * CLOCKS_NS // CLOCKS))
        if not self._stopped():
            second = now // SECOND_NS
            if wanted & B_UIE:
                times.append((second + 1) * SECOND_NS)
            if wanted & B_AIE:
                alarm = calendar.next_alarm(self._cells, calendar.cell_format(state.register_b), second)
                if alarm is not None:
                    times.append(alarm * SECOND_NS)
        return min(times, default=None)

    def _fire(self) -> None:
        self._check_flags()
        self._settle()
