"""State of post_port."""

from __future__ import annotations

import attrs


@attrs.define(slots=True)
class PostPortState:
    code: int = 0
