"""State of the ns16550."""

from __future__ import annotations

import attrs


@attrs.define(slots=True)
class Ns16550State:
    """Registers by their datasheet names; `dl` is the divisor latch. `overrun` is LSR's OE, `received` the receiver FIFO.
    `thre_interrupt` and `timeout_interrupt` are the interrupts that a level does not tell."""

    ier: int = 0
    lcr: int = 0
    mcr: int = 0
    scr: int = 0
    dl: int = 12
    fifo_enabled: bool = False
    trigger: int = 1
    overrun: bool = False
    msr: int = 0
    received: bytes = b""
    thre_interrupt: bool = False
    timeout_interrupt: bool = False
