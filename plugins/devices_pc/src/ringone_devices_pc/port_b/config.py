"""Options of port_b."""

from __future__ import annotations

import attrs
from ringone.api.options import option


@attrs.frozen(kw_only=True)
class PortBOptions:
    port: int = option(0x61, help="I/O port")
