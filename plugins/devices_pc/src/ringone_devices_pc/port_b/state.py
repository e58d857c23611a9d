"""State of port_b."""

from __future__ import annotations

import attrs


@attrs.define(slots=True)
class PortBState:
    """`control` are the four bits that the guest can write."""

    control: int = 0
