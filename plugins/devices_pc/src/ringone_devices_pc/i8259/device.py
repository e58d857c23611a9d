"""Intel 8259A programmable interrupt controller (datasheet 231468-003), with the edge/level control register of the PIIX3 (290550-002).

One component is one controller. A master is linked to its slave and asks it for the vector, as the cascade bus does; which inputs have slaves is what the
guest programs in ICW3. MCS-80 mode and the buffer pins are left out: a PC has neither. With an ELCR the LTIM bit of ICW1 has no effect, as in the PIIX3.
"""

from __future__ import annotations

from functools import partial

import attrs
from ringone.api.devices import DeviceContext, InterruptController

from ringone_devices_pc.i8259.config import I8259Options
from ringone_devices_pc.i8259.state import I8259State

ICW1_IC4 = 1 << 0
ICW1_SNGL = 1 << 1
ICW1_LTIM = 1 << 3
ICW1 = 1 << 4
ICW4_AEOI = 1 << 1
ICW4_SFNM = 1 << 4
OCW3 = 1 << 3
OCW3_RIS = 1 << 0
OCW3_RR = 1 << 1
OCW3_P = 1 << 2
OCW3_SMM = 1 << 5
OCW3_ESMM = 1 << 6
POLL_INTERRUPT = 1 << 7
SPURIOUS_INPUT = 7

OCW2_EOI = 1 << 0
OCW2_SL = 1 << 1
OCW2_R = 1 << 2
OCW2_ROTATE_AUTO_EOI_CLEAR = 0
OCW2_ROTATE_AUTO_EOI_SET = OCW2_R
OCW2_SET_PRIORITY = OCW2_R | OCW2_SL


class I8259:
    def __init__(self, context: DeviceContext, options: I8259Options) -> None:
        self._state = I8259State()
        self._has_elcr = options.elcr is not None
        self._elcr_mask = options.elcr_mask
        self._slave = context.link("slave", InterruptController)
        self._cascade = 1 << options.slave_input if self._slave else 0
        self._int = context.output("INT")
        self._inputs = [context.input(f"IR{n}", partial(self._line_changed, 1 << n)) for n in range(8)]
        context.map_ports(options.base, 2, read=self.read, write=self.write)
        if options.elcr is not None:
            context.map_ports(options.elcr, 1, read=self.read_elcr, write=self.write_elcr, name="elcr")
        context.provide("inta", self)

    def reset(self) -> None:
        levels = sum(pin.level << n for n, pin in enumerate(self._inputs))
        self._state = I8259State(lines=levels)
        self._int.set(False)

    def save_state(self) -> I8259State:
        return attrs.evolve(self._state)

    def load_state(self, state: I8259State) -> None:
        self._state = attrs.evolve(state, lowest_priority=state.lowest_priority & 7)

    # --- Requests and priority -----------------------------------------------------------------------------------------------------------------------------

    def _level_mask(self) -> int:
        if self._has_elcr:
            return self._state.elcr
        return 0xFF if self._state.level_triggered else 0

    def _line_changed(self, bit: int, level: bool) -> None:
        """An edge-triggered request lasts as long as its line is high and nobody took it; dropping it earlier gives a spurious interrupt."""
        state = self._state
        if level:
            state.lines |= bit
            requests = state.irr | bit
        else:
            state.lines &= ~bit
            requests = state.irr & ~bit
        if requests != state.irr:
            state.irr = requests
            if not state.imr & bit:
                self._update_int()

    def _highest(self, bits: int) -> int:
        """How far the highest-priority one of `bits` is from the top of the order: 0 is the top, 8 is nobody."""
        if not bits:
            return 8
        shift = (self._state.lowest_priority + 1) & 7
        if shift:
            bits = (bits >> shift | bits << 8 - shift) & 0xFF
        return (bits & -bits).bit_length() - 1

    def _winner(self) -> int:
        """The input whose request would be acknowledged now, -1 for none."""
        state = self._state
        requests = state.irr & ~state.imr
        if not requests:
            return -1
        in_service = state.isr
        if state.special_mask:
            in_service &= ~state.imr
        if state.special_fully_nested:
            in_service &= ~self._slave_inputs()
        priority = self._highest(requests)
        if in_service and priority >= self._highest(in_service):
            return -1
        return (priority + state.lowest_priority + 1) & 7

    def _slave_inputs(self) -> int:
        state = self._state
        return 0 if state.single else state.slave_inputs & self._cascade

    def _update_int(self) -> None:
        state = self._state
        self._int.set(state.irr & ~state.imr != 0 and (not state.isr or self._winner() >= 0))

    def _take(self, winner: int) -> None:
        """What an INTA cycle does to the registers; INT falls, and rises again where another request is next."""
        state = self._state
        bit = 1 << winner
        if not self._level_mask() & bit:
            state.irr &= ~bit
        if not state.auto_eoi:
            state.isr |= bit
        elif state.rotate_on_auto_eoi:
            state.lowest_priority = winner
        self._int.set(False)
        self._update_int()

    def acknowledge(self) -> int:
        state = self._state
        winner = self._winner()
        if winner < 0:
            return state.vector_base | SPURIOUS_INPUT
        self._take(winner)
        if self._slave is not None and self._cascade >> winner & 1 and self._slave_inputs():
            return self._slave.acknowledge()
        return state.vector_base | winner

    # --- Registers -----------------------------------------------------------------------------------------------------------------------------------------

    def read(self, offset: int, size: int) -> int:
        state = self._state
        if state.poll:
            return self._poll()
        if offset:
            return state.imr
        return state.isr if state.read_isr else state.irr

    def _poll(self) -> int:
        self._state.poll = False
        winner = self._winner()
        if winner < 0:
            return 0
        self._take(winner)
        return POLL_INTERRUPT | winner

    def write(self, offset: int, size: int, value: int) -> None:
        if offset:
            self._write_data(value)
        elif value & ICW1:
            self._write_icw1(value)
        elif value & OCW3:
            self._write_ocw3(value)
        else:
            self._write_ocw2(value)

    def _write_data(self, value: int) -> None:
        state = self._state
        if state.next_icw == 0:
            state.imr = value
            self._update_int()
        elif state.next_icw == 2:
            state.vector_base = value & 0xF8
            state.next_icw = 3 if not state.single else 4 if state.wants_icw4 else 0
        elif state.next_icw == 3:
            state.slave_inputs = value
            state.next_icw = 4 if state.wants_icw4 else 0
        else:
            state.auto_eoi = bool(value & ICW4_AEOI)
            state.special_fully_nested = bool(value & ICW4_SFNM)
            state.next_icw = 0
            self._update_int()

    def _write_icw1(self, value: int) -> None:
        """Initialization forgets every edge seen so far: such an input must rise again. What stays is the wiring, the ELCR and the vector base until ICW2."""
        old = self._state
        self._state = I8259State(
            lines=old.lines,
            elcr=old.elcr,
            vector_base=old.vector_base,
            level_triggered=bool(value & ICW1_LTIM),
            single=bool(value & ICW1_SNGL),
            wants_icw4=bool(value & ICW1_IC4),
            next_icw=2,
        )
        self._state.irr = old.lines & self._level_mask()
        self._update_int()

    def _write_ocw2(self, value: int) -> None:
        state = self._state
        command = value >> 5
        level = value & 7
        if command == OCW2_ROTATE_AUTO_EOI_SET:
            state.rotate_on_auto_eoi = True
        elif command == OCW2_ROTATE_AUTO_EOI_CLEAR:
            state.rotate_on_auto_eoi = False
        elif command == OCW2_SET_PRIORITY:
            state.lowest_priority = level
        elif command & OCW2_EOI:
            if not command & OCW2_SL:
                level = self._level_of_unspecific_eoi()
            state.isr &= ~(1 << level)
            if command & OCW2_R:
                state.lowest_priority = level
        self._update_int()

    def _level_of_unspecific_eoi(self) -> int:
        """The highest-priority level in service; with none, the lowest priority, which changes nothing."""
        state = self._state
        in_service = state.isr & ~state.imr if state.special_mask else state.isr
        return (min(self._highest(in_service), 7) + state.lowest_priority + 1) & 7

    def _write_ocw3(self, value: int) -> None:
        state = self._state
        if value & OCW3_RR:
            state.read_isr = bool(value & OCW3_RIS)
        if value & OCW3_ESMM:
            state.special_mask = bool(value & OCW3_SMM)
            self._update_int()
        state.poll = bool(value & OCW3_P)

    def read_elcr(self, offset: int, size: int) -> int:
        return self._state.elcr

    def write_elcr(self, offset: int, size: int, value: int) -> None:
        state = self._state
        state.elcr = value & self._elcr_mask
        state.irr = state.irr & ~state.elcr | state.lines & state.elcr
        self._update_int()
