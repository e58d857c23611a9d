"""Options of the i8042."""

from __future__ import annotations

import attrs
from ringone.api.options import option


@attrs.frozen(kw_only=True)
class I8042Options:
    data_port: int = option(0x60, help="I/O port of the data register")
    command_port: int = option(0x64, help="I/O port of the status and command register")
