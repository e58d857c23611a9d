"""What the two DMA controllers remember."""

from __future__ import annotations

import attrs
from ringone.api.errors import SnapshotError


@attrs.define(slots=True)
class ChannelState:
    """`reached` is the status register's TC bit, `terminal_count` what the last service told the device."""

    base_address: int = 0
    base_count: int = 0
    address: int = 0
    count: int = 0
    mode: int = 0
    masked: bool = True
    requested: bool = False
    reached: bool = False
    terminal_count: bool = False

    def check(self) -> None:
        for name in ("base_address", "base_count", "address", "count"):
            value = getattr(self, name)
            if not 0 <= value <= 0xFFFF:
                raise SnapshotError(f"DMA {name} {value}; accepted: 0 to 0xFFFF")


@attrs.define(slots=True)
class ControllerState:
    """`high_byte` is the first/last flip-flop: the next address or count access means bits 15:8."""

    command: int = 0
    high_byte: bool = False
    channels: list[ChannelState] = attrs.field(factory=lambda: [ChannelState() for _ in range(4)])


@attrs.define(slots=True)
class I8237State:
    """`pages` are ports 0x80 to 0x8F (0x80 itself is another chip's)."""

    pages: bytes = bytes(16)
    controllers: list[ControllerState] = attrs.field(factory=lambda: [ControllerState(), ControllerState()])
