"""Intel 8254 programmable interval timer (datasheet 231164-005) at 14.31818 MHz / 12.

Three counters; a PC wires OUT0 to IRQ 0, OUT1 to memory refresh and OUT2, gated by port 0x61, to the speaker. All six modes, BCD, latches, read-back and
null count are modelled; setup and hold times are not. Interfaces ``out0`` to ``out2`` give a pin's exact level to a chip that polls it (`Counter.level`).
"""

from __future__ import annotations

from functools import partial

from ringone.api.devices import DeviceContext

from ringone_devices_pc.i8254.config import I8254Options
from ringone_devices_pc.i8254.counter import Counter
from ringone_devices_pc.i8254.state import I8254State

CONTROL_PORT = 3
READ_BACK = 3
READ_BACK_NO_COUNT = 1 << 5
READ_BACK_NO_STATUS = 1 << 4
RW_MASK = 3 << 4


class I8254:
    def __init__(self, context: DeviceContext, options: I8254Options) -> None:
        self._tied_gates = options.tied_gates
        self._counters = tuple(self._counter(context, n, options.timed_outputs >> n & 1) for n in range(3))
        self._gates = tuple(context.input(f"GATE{n}", partial(self._gate_changed, n)) for n in range(3))
        context.map_ports(options.base, 4, read=self.read, write=self.write)

    @staticmethod
    def _counter(context: DeviceContext, number: int, timed: int) -> Counter:
        make_timer = partial(context.timer, f"counter{number}", deferrable=number == 0) if timed else None
        counter = Counter(context.now_ns, context.output(f"OUT{number}"), make_timer, is_interrupt=number == 0)
        context.provide(f"out{number}", counter)
        return counter

    def reset(self) -> None:
        for number, counter in enumerate(self._counters):
            counter.reset(self._gate_level(number))

    def save_state(self) -> I8254State:
        return I8254State(*(counter.save() for counter in self._counters))

    def load_state(self, state: I8254State) -> None:
        for counter, saved in zip(self._counters, (state.counter0, state.counter1, state.counter2), strict=True):
            counter.load(saved)

    def _gate_level(self, number: int) -> bool:
        return bool(self._tied_gates >> number & 1) or self._gates[number].level

    def _gate_changed(self, number: int, level: bool) -> None:
        self._counters[number].set_gate(self._gate_level(number))

    def read(self, offset: int, size: int) -> int:
        if offset == CONTROL_PORT:
            return 0xFF
        return self._counters[offset].read()

    def write(self, offset: int, size: int, value: int) -> None:
        if offset != CONTROL_PORT:
            self._counters[offset].write(value)
            return
        select = value >> 6
        if select == READ_BACK:
            self._read_back(value)
        elif value & RW_MASK:
            self._counters[select].write_control(value)
        else:
            self._counters[select].latch_count()

    def _read_back(self, command: int) -> None:
        for number, counter in enumerate(self._counters):
            if command >> number + 1 & 1:
                if not command & READ_BACK_NO_COUNT:
                    counter.latch_count()
                if not command & READ_BACK_NO_STATUS:
                    counter.latch_status()
