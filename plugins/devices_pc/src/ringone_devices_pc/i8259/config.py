"""Options of the i8259."""

from __future__ import annotations

import attrs
from ringone.api.options import option


@attrs.frozen(kw_only=True)
class I8259Options:
    base: int = option(0x20, help="first of two I/O ports: 0x20 for the PC's master, 0xA0 for its slave")
    elcr: int | None = option(0x4D0, help="port of the edge/level control register: 0x4D0 for the master, 0x4D1 for the slave, none for a plain 8259A")
    elcr_mask: int = option(0xF8, help="inputs that the edge/level control register can make level-triggered: 0xF8 for the master, 0xDE for the slave")
    slave_input: int = option(2, help="input to which the INT of the linked slave is wired")
