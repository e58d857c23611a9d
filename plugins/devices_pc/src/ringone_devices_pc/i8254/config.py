"""Options of the i8254."""

from __future__ import annotations

import attrs
from ringone.api.options import option


@attrs.frozen(kw_only=True)
class I8254Options:
    base: int = option(0x40, help="first of four I/O ports")
    tied_gates: int = option(0b011, help="mask of the GATE inputs tied to +5 V: on a PC those of counters 0 and 1")
    timed_outputs: int = option(0b101, help="mask of the OUT pins driven by timer events; the others rest high (counter 1 refreshes memory that needs none)")
