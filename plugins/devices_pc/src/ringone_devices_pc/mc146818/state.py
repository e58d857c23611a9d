"""State of the mc146818."""

from __future__ import annotations

import attrs

BANK_BYTES = 128


@attrs.frozen
class ClockTime:
    """A guest can set any year that two bytes hold, and nanoseconds of such a time do not fit 64 bits."""

    seconds: int = 0
    ns: int = 0


@attrs.define(slots=True)
class Mc146818State:
    """`cells` are the 128 bytes behind index and data (registers A to D apart), `extended` those of the second bank.

    Clock time since 1970 is virtual time plus `offset`; flags are up to date to clock time `checked`. `weekday_shift` is how far the guest's day of the week
    is from the calendar's. Cells, offset and check are brought up to date when the state is saved.
    """

    cells: bytes = bytes(BANK_BYTES)
    extended: bytes = bytes(BANK_BYTES)
    index: int = 0
    extended_index: int = 0
    nmi_masked: bool = False
    register_a: int = 0x26
    register_b: int = 0x02
    register_c: int = 0
    offset: ClockTime = ClockTime()
    checked: ClockTime = ClockTime()
    weekday_shift: int = 0
