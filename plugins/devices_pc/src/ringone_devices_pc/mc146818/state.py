"""State of the mc146818."""

from __future__ import annotations

import attrs

BANK_BYTES = 128


@attrs.define(slots=True)
class Mc146818State:
    """`cells` are the 128 bytes behind index and data (registers A to D apart), `extended` those of the second bank.

    Clock time in nanoseconds since 1970 is virtual time plus `offset_ns`; flags are up to date to clock time `checked_ns`. `weekday_shift` is how far the
    guest's day of the week is from the calendar's.
    """

    cells: bytes = bytes(BANK_BYTES)
    extended: bytes = bytes(BANK_BYTES)
    index: int = 0
    extended_index: int = 0
    nmi_masked: bool = False
    register_a: int = 0x26
    register_b: int = 0x02
    register_c: int = 0
    offset_ns: int = 0
    checked_ns: int = 0
    weekday_shift: int = 0
