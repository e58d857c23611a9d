"""Options of port92."""

from __future__ import annotations

import attrs
from ringone.api.options import option


@attrs.frozen(kw_only=True)
class Port92Options:
    port: int = option(0x92, help="I/O port")
