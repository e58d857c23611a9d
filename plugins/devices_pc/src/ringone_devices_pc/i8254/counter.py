"""One counter of an i8254: arithmetic on ticks, with at most one timer armed for what its OUT pin does next.

| mode | OUT from a load or trigger at age 0                 | gate                     | a new count takes effect |
|------|-----------------------------------------------------|--------------------------|--------------------------|
| 0    | low, high from age N                                | low stops                | at once                  |
| 1    | low, high from age N                                | rising edge triggers     | with the next trigger    |
| 2    | low for the last tick of every N                    | low stops, rising reload | at the end of the period |
| 3    | high for (N+1)/2 ticks, low for the rest of every N | low stops, rising reload | at the end of the half   |
| 4    | low for one tick at age N                           | low stops                | at once                  |
| 5    | low for one tick at age N                           | rising edge triggers     | with the next trigger    |

The level is exact whenever somebody asks. The pin shows pulses of one tick as a fall and a rise at their end, so that a period costs one event; so does mode 3
where the pin is an interrupt.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import attrs
from ringone.api.devices import OutputPin, Timer

from ringone_devices_pc.i8254.state import CounterState

CLOCK_HZ = Fraction(14_318_180, 12)
TICKS, TICKS_NS = (CLOCK_HZ / 1_000_000_000).as_integer_ratio()
"""`TICKS` ticks take exactly `TICKS_NS` nanoseconds."""
MIN_EVENT_TICKS = 12
"""Events of a tiny count are at least about 10 us apart: no guest can do anything useful with more."""

CONTROL_BCD = 1 << 0
STATUS_NULL_COUNT = 1 << 6
STATUS_OUT = 1 << 7
RW_LOW = 1
RW_HIGH = 2
MODES = (0, 1, 2, 3, 4, 5, 2, 3)


def tick_at(now_ns: int) -> int:
    return now_ns * TICKS // TICKS_NS


def ns_at(tick: int) -> int:
    """The first nanosecond of a tick."""
    return -(-tick * TICKS_NS // TICKS)


def bcd_decode(raw: int) -> int:
    return (raw & 15) + 10 * (raw >> 4 & 15) + 100 * (raw >> 8 & 15) + 1000 * (raw >> 12)


def bcd_encode(value: int) -> int:
    return value % 10 | value // 10 % 10 << 4 | value // 100 % 10 << 8 | value // 1000 % 10 << 12


class Counter:
    def __init__(self, now_ns: Callable[[], int], pin: OutputPin, make_timer: Callable[[Callable[[], None]], Timer] | None, *, is_interrupt: bool) -> None:
        """Without `make_timer` the pin rests high. A pin that `is_interrupt` needs only its rising edges."""
        self._now_ns = now_ns
        self._pin = pin
        self._timer = make_timer(self._fire) if make_timer else None
        self._is_interrupt = is_interrupt
        self._decode(CounterState())

    def _decode(self, state: CounterState) -> None:
        self._state = state
        self._mode = MODES[state.control >> 1 & 7]
        self._access = state.control >> 4 & 3
        self._modulus = 10_000 if state.control & CONTROL_BCD else 0x10000

    def reset(self, gate: bool) -> None:
        self._decode(CounterState(gate=gate))
        self._settle_pin(0)

    def save(self) -> CounterState:
        return attrs.evolve(self._state)

    def load(self, state: CounterState) -> None:
        self._decode(attrs.evolve(state))

    def _tick(self) -> int:
        """Now, with a waiting count loaded if its time has come."""
        tick = tick_at(self._now_ns())
        state = self._state
        if 0 <= state.next_tick <= tick:
            at_half = (state.next_tick - state.start) % state.count != 0
            state.start = state.next_tick - ((state.next_count + 1) // 2 if at_half else 0)
            state.count = state.next_count
            state.next_count = 0
            state.next_tick = -1
        return tick

    # --- What the outside sees -----------------------------------------------------------------------------------------------------------------------------

    def level(self) -> bool:
        """OUT, exact to the tick."""
        return self._level(self._tick())

    def _level(self, tick: int) -> bool:
        state = self._state
        count = state.count
        mode = self._mode
        if not count:
            return mode != 0
        age = tick - state.start if state.held < 0 else state.held
        if mode == 0:
            return age >= count
        if mode == 1:
            return age < 0 or age >= count
        if mode >= 4:
            return age != count
        if age < 0 or state.held >= 0:
            return True
        if mode == 2:
            return count == 1 or age % count != count - 1
        return age % count < (count + 1) // 2

    def _value(self, tick: int) -> int:
        """The counting element as 16 bits."""
        state = self._state
        count = state.count
        if not count:
            value = state.idle_value
        else:
            age = max(tick - state.start, 0) if state.held < 0 else state.held
            if self._mode == 2:
                value = count - age % count
            elif self._mode == 3:
                position = age % count
                half = (count + 1) // 2
                value = (count & ~1) - 2 * (position if position < half else position - half)
            else:
                value = count - age
        value %= self._modulus
        return bcd_encode(value) if state.control & CONTROL_BCD else value

    # --- Registers -----------------------------------------------------------------------------------------------------------------------------------------

    def read(self) -> int:
        state = self._state
        if state.latched_status >= 0:
            status, state.latched_status = state.latched_status, -1
            return status
        if state.latched:
            byte = state.latched[0]
            state.latched = state.latched[1:]
            return byte
        value = self._value(self._tick())
        if self._access == RW_LOW:
            return value & 0xFF
        if self._access == RW_HIGH:
            return value >> 8
        state.read_high = not state.read_high
        return value & 0xFF if state.read_high else value >> 8

    def latch_count(self) -> None:
        state = self._state
        if state.latched:
            return
        raw = self._value(self._tick()).to_bytes(2, "little")
        state.latched = raw[:1] if self._access == RW_LOW else raw[1:] if self._access == RW_HIGH else raw

    def latch_status(self) -> None:
        state = self._state
        if state.latched_status >= 0:
            return
        tick = self._tick()
        status = state.control & 0x3F
        if self._level(tick):
            status |= STATUS_OUT
        if not state.count or state.next_count or tick < state.start:
            status |= STATUS_NULL_COUNT
        state.latched_status = status

    def write_control(self, control: int) -> None:
        tick = self._tick()
        value = self._value(tick)
        self._decode(CounterState(control=control & 0x3F, idle_value=bcd_decode(value) if self._state.control & CONTROL_BCD else value, gate=self._state.gate))
        self._settle_pin(tick)

    def write(self, value: int) -> None:
        state = self._state
        if self._access == RW_LOW:
            self._write_count(value)
        elif self._access == RW_HIGH:
            self._write_count(value << 8)
        elif state.written_low >= 0:
            raw = value << 8 | state.written_low
            state.written_low = -1
            self._write_count(raw)
        else:
            state.written_low = value
            if self._mode == 0:
                self._stop()

    def _stop(self) -> None:
        """Mode 0 stops with the first byte of a two-byte count."""
        tick = self._tick()
        value = self._value(tick)
        self._state.idle_value = bcd_decode(value) if self._state.control & CONTROL_BCD else value
        self._state.count = 0
        self._settle_pin(tick)

    def _write_count(self, raw: int) -> None:
        state = self._state
        tick = self._tick()
        count = (bcd_decode(raw) if state.control & CONTROL_BCD else raw) % self._modulus or self._modulus
        if self._mode in (1, 5):
            state.next_count = count
        elif self._mode in (2, 3) and state.count and tick >= state.start:
            state.next_count = count
            state.next_tick = self._next_boundary(tick) if state.held < 0 else -1
            self._arm(tick)
        else:
            self._load(tick, count)

    def _load(self, tick: int, count: int) -> None:
        state = self._state
        state.count = count
        state.next_count = 0
        state.next_tick = -1
        state.start = tick + 1
        state.held = 0 if not state.gate and self._mode not in (1, 5) else -1
        self._settle_pin(tick)

    def set_gate(self, gate: bool) -> None:
        state = self._state
        if gate == state.gate:
            return
        tick = self._tick()
        state.gate = gate
        mode = self._mode
        if mode in (1, 5):
            if gate and (state.next_count or state.count):
                self._load(tick, state.next_count or state.count)
        elif state.count:
            self._stop_or_go(tick)

    def _stop_or_go(self, tick: int) -> None:
        state = self._state
        if not state.gate:
            state.held = max(tick - state.start, 0)
            state.next_tick = -1
            self._settle_pin(tick)
        elif self._mode in (2, 3):
            self._load(tick, state.next_count or state.count)
        else:
            state.start = tick - state.held
            state.held = -1
            self._settle_pin(tick)

    # --- The pin's events ----------------------------------------------------------------------------------------------------------------------------------

    def _next_boundary(self, tick: int) -> int:
        """Modes 2 and 3: the tick at which the current period (mode 3: half) ends."""
        state = self._state
        position = (tick - state.start) % state.count
        half = (state.count + 1) // 2
        length = half if self._mode == 3 and position < half else state.count
        return tick - position + length

    def _next_rise(self, tick: int) -> int:
        """The tick of OUT's next rising edge, -1 where there is none."""
        state = self._state
        count = state.count
        if not count or state.held >= 0:
            return -1
        mode = self._mode
        if mode in (2, 3):
            earliest = tick + (1 if count >= MIN_EVENT_TICKS else MIN_EVENT_TICKS)
            return state.start + max(-(-(earliest - state.start) // count), 1) * count
        rise = state.start + count + (1 if mode >= 4 else 0)
        return rise if rise > tick else -1

    def _settle_pin(self, tick: int) -> None:
        """Show the level after the guest has changed something, as it is from the next tick on."""
        if self._timer is None:
            self._pin.set(True)
            return
        self._pin.set(self._level(tick + 1))
        self._arm(tick)

    def _arm(self, tick: int) -> None:
        timer = self._timer
        if timer is None:
            return
        state = self._state
        rise = state.edge = self._next_rise(tick)
        if rise < 0:
            timer.cancel()
            return
        deadline = rise
        if self._mode == 3 and not self._is_interrupt and state.count >= 2 * MIN_EVENT_TICKS:
            deadline = self._next_boundary(max(tick, state.start))
        if state.next_tick >= 0:
            deadline = min(deadline, state.next_tick)
        timer.arm_at(ns_at(deadline))

    def _fire(self) -> None:
        tick = self._tick()
        if 0 <= self._state.edge <= tick:
            self._pin.set(False)
            self._pin.set(True)
        elif not self._is_interrupt:
            self._pin.set(self._level(tick))
        self._arm(tick)
