"""Options of debug_port."""

from __future__ import annotations

import attrs
from ringone.api.options import option


@attrs.frozen(kw_only=True)
class DebugPortOptions:
    seabios_port: int = option(0x402, help="I/O port to which SeaBIOS writes its log")
    bochs_port: int = option(0xE9, help="I/O port of Bochs' console")
