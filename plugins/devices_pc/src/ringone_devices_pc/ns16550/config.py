"""Options of the ns16550."""

from __future__ import annotations

import attrs
from ringone.api.options import option


@attrs.frozen(kw_only=True)
class Ns16550Options:
    base: int = option(0x3F8, help="first of eight I/O ports: 0x3F8, 0x2F8, 0x3E8 and 0x2E8 on a PC")
