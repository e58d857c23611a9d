"""Bochs VBE extensions ("VBE_DISPI", as SeaVGABIOS and Linux's bochs-drm use them): high-resolution modes behind an index and a data register.

A mode is taken when ENABLE's bit 0 rises. What a guest writes is kept as written while disabled and trimmed to what the memory holds while enabled.
"""

from __future__ import annotations

from collections.abc import Callable

from ringone.api.memory import MemoryBlock

from ringone_devices_pc.vga import registers as reg
from ringone_devices_pc.vga.state import VgaState

_CAPABILITIES = {reg.VBE_XRES: reg.VBE_MAX_XRES, reg.VBE_YRES: reg.VBE_MAX_YRES, reg.VBE_BPP: reg.VBE_MAX_BPP}
_GEOMETRY = (reg.VBE_XRES, reg.VBE_YRES, reg.VBE_BPP, reg.VBE_VIRT_WIDTH)
_PLAIN_GRAPHICS = (0, 0, 0, 0, 0, 0, reg.GC_GRAPHICS | reg.GC_MEMORY_MAP_A0000_64K, 0x0F, 0xFF)
_BANK_BYTES = 1 << 16


def bytes_for(pixels: int, bpp: int) -> int:
    """Bytes of a row of `pixels`; 4 bits a pixel are four planes of one."""
    return pixels >> 1 if bpp == 4 else pixels * (bpp + 1 >> 3)


class BochsVbe:
    def __init__(self, state: VgaState, vram: MemoryBlock, changed: Callable[[], None]) -> None:
        """`changed()` is called when the memory window at A0000 may mean something else."""
        self._state = state
        self._vbe = state.vbe
        self._vram = vram
        self._changed = changed

    def read(self, index: int) -> int:
        if index == reg.VBE_VIDEO_MEMORY_64K:
            return self._vram.size >> 16
        if index > reg.VBE_Y_OFFSET:
            return 0
        if self._vbe[reg.VBE_ENABLE] & reg.VBE_GETCAPS and index in _CAPABILITIES:
            return _CAPABILITIES[index]
        return self._vbe[index]

    def write(self, index: int, value: int) -> None:
        vbe = self._vbe
        if index == reg.VBE_ID:
            if reg.VBE_ID_FIRST <= value <= reg.VBE_ID_LAST:
                vbe[index] = value
        elif index == reg.VBE_ENABLE:
            self._write_enable(value)
        elif index == reg.VBE_BANK:
            vbe[index] = min(value, self._vram.size // _BANK_BYTES - 1)
            self._changed()
        elif index in (reg.VBE_X_OFFSET, reg.VBE_Y_OFFSET):
            vbe[index] = value
        elif index in _GEOMETRY:
            vbe[index] = value
            if vbe[reg.VBE_ENABLE] & reg.VBE_ENABLED:
                self._trim()
                self._changed()

    def settle(self) -> None:
        """Trim loaded registers to this adapter's memory."""
        self._vbe[reg.VBE_BANK] = min(self._vbe[reg.VBE_BANK], self._vram.size // _BANK_BYTES - 1)
        if self._vbe[reg.VBE_ENABLE] & reg.VBE_ENABLED:
            self._trim()

    def _write_enable(self, value: int) -> None:
        vbe = self._vbe
        starts = value & reg.VBE_ENABLED and not vbe[reg.VBE_ENABLE] & reg.VBE_ENABLED
        vbe[reg.VBE_ENABLE] = value
        if starts:
            vbe[reg.VBE_VIRT_WIDTH] = vbe[reg.VBE_X_OFFSET] = vbe[reg.VBE_Y_OFFSET] = 0
            self._trim()
            self._set_window_registers()
            if not value & reg.VBE_NOCLEARMEM:
                size = vbe[reg.VBE_YRES] * bytes_for(vbe[reg.VBE_VIRT_WIDTH], vbe[reg.VBE_BPP])
                self._vram.data[:size] = bytes(size)
        elif not value & reg.VBE_ENABLED:
            vbe[reg.VBE_BANK] = 0
        self._changed()

    def _trim(self) -> None:
        """Make the geometry one that the memory holds. The virtual height follows from memory and virtual width."""
        vbe, size = self._vbe, self._vram.size
        if vbe[reg.VBE_BPP] not in reg.VBE_DEPTHS:
            vbe[reg.VBE_BPP] = 8
        width = vbe[reg.VBE_XRES] = max(8, min(vbe[reg.VBE_XRES], reg.VBE_MAX_XRES) & ~7)
        virtual_width = vbe[reg.VBE_VIRT_WIDTH] = max(width, vbe[reg.VBE_VIRT_WIDTH] & ~7)
        rows = size // bytes_for(virtual_width, vbe[reg.VBE_BPP])
        vbe[reg.VBE_YRES] = max(1, min(vbe[reg.VBE_YRES], reg.VBE_MAX_YRES, rows))
        vbe[reg.VBE_VIRT_HEIGHT] = min(rows, 0xFFFF)

    def _set_window_registers(self) -> None:
        """Software that draws through A0000 finds a plain window there: chain-4 with all planes, or for 4 bits a pixel the planes themselves."""
        state = self._state
        planar = self._vbe[reg.VBE_BPP] == 4
        state.sequencer[reg.SEQ_MAP_MASK] = 0x0F
        state.sequencer[reg.SEQ_MEMORY_MODE] = reg.MEMORY_EXTENDED | reg.MEMORY_SEQUENTIAL | (0 if planar else reg.MEMORY_CHAIN_4)
        state.graphics[:] = _PLAIN_GRAPHICS
        state.graphics[reg.GC_MODE] = 0 if planar else reg.MODE_SHIFT_256
