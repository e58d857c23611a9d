"""State of the i8259."""

from __future__ import annotations

import attrs


@attrs.define(slots=True)
class I8259State:
    """Registers by their datasheet names. `lines` are the input levels, `lowest_priority` the input at the bottom of the rotating order,
    `next_icw` the initialization word expected at A0=1 (0: none, OCW1 is there)."""

    irr: int = 0
    isr: int = 0
    imr: int = 0
    lines: int = 0
    elcr: int = 0
    level_triggered: bool = False
    single: bool = False
    wants_icw4: bool = False
    next_icw: int = 0
    vector_base: int = 0
    slave_inputs: int = 0
    auto_eoi: bool = False
    rotate_on_auto_eoi: bool = False
    special_fully_nested: bool = False
    special_mask: bool = False
    poll: bool = False
    read_isr: bool = False
    lowest_priority: int = 7
