"""State of debug_port."""

from __future__ import annotations

import attrs


@attrs.define(slots=True)
class DebugPortState:
    """The ports keep nothing: what was written has left the machine."""
