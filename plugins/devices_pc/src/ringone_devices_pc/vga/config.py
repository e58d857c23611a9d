"""Options of the display adapter: its memory and its place on the PCI bus."""

from __future__ import annotations

from typing import Any

import attrs
from ringone.api.options import option

MIN_VRAM_BYTES = 8 << 20
MAX_VRAM_BYTES = 64 << 20


def _vram_bytes(_options: Any, attribute: attrs.Attribute[int], value: int) -> None:
    if not MIN_VRAM_BYTES <= value <= MAX_VRAM_BYTES or value & (value - 1):
        raise ValueError(f"{attribute.name}={value}: accepted are 8M, 16M, 32M and 64M")


@attrs.frozen(kw_only=True)
class VgaOptions:
    """Without PCI the frame buffer lies at `registers.ISA_FRAME_BUFFER` and the adapter has no memory-mapped registers."""

    vram_bytes: int = option(16 << 20, help="video memory, a power of two from 8M to 64M", unit="bytes", validator=_vram_bytes)
    pci: bool = option(True, help="appear as PCI device 1234:1111 with a linear frame buffer in BAR 0")
    device: int = option(2, help="PCI device number", validator=attrs.validators.and_(attrs.validators.ge(0), attrs.validators.le(31)))
