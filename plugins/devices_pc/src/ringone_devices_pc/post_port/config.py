"""Options of post_port."""

from __future__ import annotations

import attrs
from ringone.api.options import option


@attrs.frozen(kw_only=True)
class PostPortOptions:
    port: int = option(0x80, help="I/O port")
