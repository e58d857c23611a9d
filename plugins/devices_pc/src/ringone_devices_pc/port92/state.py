"""State of port92."""

from __future__ import annotations

import attrs


@attrs.define(slots=True)
class Port92State:
    value: int = 0
