"""State of the i8254. Ticks are periods of the 1.193 MHz clock since virtual time 0."""

from __future__ import annotations

import attrs


@attrs.define(slots=True)
class CounterState:
    """`control` is the last control word. `count` is the initial count in effect (1 to 65536, 0 while none is loaded), which enters the counting element
    at tick `start`. `held` is the counting element's age in ticks while the gate stops it (-1: it counts). `next_count` waits for tick `next_tick`, or for
    a trigger where that is -1 (0: nothing waits). `idle_value` is what reads show while `count` is 0. `edge` is the tick of the rising edge that the timer
    of OUT is armed for, -1 for none. `written_low` is the first byte of a two-byte count (-1: none). `latched` are latched bytes still to read,
    `latched_status` is -1 where there is none.
    """

    control: int = 0x30
    count: int = 0
    start: int = 0
    held: int = -1
    next_count: int = 0
    next_tick: int = -1
    idle_value: int = 0
    edge: int = -1
    gate: bool = False
    written_low: int = -1
    read_high: bool = False
    latched: bytes = b""
    latched_status: int = -1


@attrs.define(slots=True)
class I8254State:
    counter0: CounterState = attrs.field(factory=CounterState)
    counter1: CounterState = attrs.field(factory=CounterState)
    counter2: CounterState = attrs.field(factory=CounterState)
