"""What the display adapter remembers, besides its video memory."""

from __future__ import annotations

import attrs
from ringone.api.errors import SnapshotError

from ringone_devices_pc.vga import registers as reg

_LISTS: dict[str, tuple[int, ...]] = {
    "sequencer": reg.SEQ_WRITABLE,
    "graphics": reg.GC_WRITABLE,
    "crtc": (0xFF,) * reg.CRTC_REGISTERS,
    "attribute": reg.ATTRIBUTE_WRITABLE,
    "dac": (0xFF,) * reg.DAC_BYTES,
    "vbe": (0xFFFF,) * reg.VBE_VIDEO_MEMORY_64K,
}
"""Bits that each register of a list can hold."""
_LIMITS = {
    "misc_output": 0xFF,
    "feature_control": 0xFF,
    "video_subsystem_enable": 0xFF,
    "sequencer_index": reg.SEQ_INDEX_MASK,
    "graphics_index": reg.GC_INDEX_MASK,
    "crtc_index": reg.CRTC_INDEX_MASK,
    "attribute_index": reg.ATTRIBUTE_INDEX_MASK | reg.ATTRIBUTE_VIDEO_ENABLE,
    "pel_mask": 0xFF,
    "dac_read_position": reg.DAC_BYTES - 1,
    "dac_write_position": reg.DAC_BYTES - 1,
    "dac_state": reg.DAC_STATE_READ,
    "latch": 0xFFFF_FFFF,
    "vbe_index": 0xFFFF,
}


@attrs.define(slots=True)
class VgaState:
    """Registers by their numbers. `latch` holds the four planes' latches, plane 0 in the low byte. The DAC's positions count bytes: three a colour."""

    misc_output: int = 0
    feature_control: int = 0
    video_subsystem_enable: int = 1
    sequencer_index: int = 0
    sequencer: list[int] = attrs.field(factory=lambda: [0] * len(reg.SEQ_WRITABLE))
    graphics_index: int = 0
    graphics: list[int] = attrs.field(factory=lambda: [0] * len(reg.GC_WRITABLE))
    crtc_index: int = 0
    crtc: list[int] = attrs.field(factory=lambda: [0] * reg.CRTC_REGISTERS)
    attribute_index: int = 0
    attribute_takes_data: bool = False
    """The flip-flop of port 3C0."""
    attribute: list[int] = attrs.field(factory=lambda: [0] * len(reg.ATTRIBUTE_WRITABLE))
    pel_mask: int = 0xFF
    dac_read_position: int = 0
    dac_write_position: int = 0
    dac_state: int = 0
    dac: list[int] = attrs.field(factory=lambda: [0] * reg.DAC_BYTES)
    latch: int = 0
    vbe_index: int = 0
    vbe: list[int] = attrs.field(factory=lambda: [reg.VBE_ID_LAST] + [0] * reg.VBE_Y_OFFSET)
    pci: bytes = b""

    def copy(self) -> VgaState:
        copy = VgaState()
        copy.assign(self)
        return copy

    def assign(self, other: VgaState) -> None:
        """Take over another state's values; lists keep their identity, since the adapter's parts hold them."""
        for field in attrs.fields(VgaState):
            value = getattr(other, field.name)
            if field.name in _LISTS:
                getattr(self, field.name)[:] = value
            else:
                setattr(self, field.name, value)

    def check(self) -> None:
        """Raise `SnapshotError` for what no adapter can have saved."""
        for name, masks in _LISTS.items():
            values = getattr(self, name)
            if len(values) != len(masks):
                raise SnapshotError(f"display adapter's {name} has {len(values)} registers; expected {len(masks)}")
            for index, (value, mask) in enumerate(zip(values, masks, strict=True)):
                if value & ~mask:
                    raise SnapshotError(f"display adapter's {name}[{index:#x}] is {value:#x}; accepted are bits of {mask:#x}")
        for name, limit in _LIMITS.items():
            if not 0 <= getattr(self, name) <= limit:
                raise SnapshotError(f"display adapter's {name} is {getattr(self, name)}; accepted: 0 to {limit:#x}")
