"""The window at A0000-BFFFF, through which the processor sees the four planes: latches, write modes, odd/even and chain-4 addressing.

Plane bytes of one address are neighbours in video memory: plane p of address a is byte 4a + p. Odd/even addressing puts CPU bytes 2a and 2a + 1 into planes
0 and 1 of address a, and chain-4 puts CPU byte b into byte b, so both are compact where a real VGA leaves gaps; the CRTC counts such addresses in every mode.
The page bit of the miscellaneous output register is left out: it would choose between the gaps.

Plain text cells take a short way, and the window becomes ordinary memory where CPU bytes are video memory's bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

from ringone.api.memory import MemoryBlock, Region

from ringone_devices_pc.vga import registers as reg
from ringone_devices_pc.vga.state import VgaState

APERTURE_BASE = 0xA0000
APERTURE_BYTES = 0x20000
BANK_BYTES = 1 << 16

_WINDOWS = ((0x00000, 0x20000), (0x00000, 0x10000), (0x10000, 0x08000), (0x18000, 0x08000))
"""Offset and size for each memory map of the graphics controller's miscellaneous register."""
_VGA_ADDRESSES = 1 << 16
_PLANES = tuple(sum(0xFF << 8 * plane for plane in range(4) if bits >> plane & 1) for bits in range(16))
"""A bit a plane to a byte a plane."""
_EVEN, _ODD = _PLANES[0b0101], _PLANES[0b1010]
_ALL = 0xFFFF_FFFF
_ONES = {1: 0xFF, 2: 0xFFFF, 4: _ALL}
_SPREAD = 0x0101_0101
"""Times a byte: that byte in all four planes."""


class Aperture:
    def __init__(self, state: VgaState, vram: MemoryBlock, banks: Sequence[Region]) -> None:
        """`banks` are the 64 KiB pieces of `vram`, each a disabled mapping at A0000."""
        self._state = state
        self._banks = banks
        self._shown: Region | None = None
        self._bytes = vram.data
        self._cells = vram.data.cast("H")
        self._planes = vram.data.cast("I")
        self._vbe_mask = vram.size // 4 - 1
        self.update()

    def update(self) -> None:
        """Work out again what the registers make of an access; called after each write to one of them."""
        state = self._state
        sequencer, graphics, vbe = state.sequencer, state.graphics, state.vbe
        mode = graphics[reg.GC_MODE]
        memory_mode = sequencer[reg.SEQ_MEMORY_MODE]
        function = graphics[reg.GC_DATA_ROTATE] >> reg.ROTATE_FUNCTION_SHIFT & 3
        map_mask = sequencer[reg.SEQ_MAP_MASK]
        extended = vbe[reg.VBE_ENABLE] & reg.VBE_ENABLED
        memory_map = graphics[reg.GC_MISCELLANEOUS] >> reg.GC_MEMORY_MAP_SHIFT & 3

        self._start, self._length = _WINDOWS[memory_map]
        self._address_mask = self._vbe_mask if extended else _VGA_ADDRESSES - 1
        self._bank = vbe[reg.VBE_BANK] * BANK_BYTES if extended else 0
        self._chain_4 = bool(memory_mode & reg.MEMORY_CHAIN_4)
        self._odd_even_write = not memory_mode & reg.MEMORY_SEQUENTIAL
        self._odd_even_read = bool(mode & reg.MODE_ODD_EVEN)
        self._map_mask = _PLANES[map_mask]

        self._write_mode = mode & reg.MODE_WRITE_MASK
        self._rotate = graphics[reg.GC_DATA_ROTATE] & reg.ROTATE_COUNT_MASK
        self._function = function
        self._bit_mask = graphics[reg.GC_BIT_MASK] * _SPREAD
        self._set_reset = _PLANES[graphics[reg.GC_SET_RESET]]
        self._keep = _ALL ^ _PLANES[graphics[reg.GC_ENABLE_SET_RESET]]
        self._forced = self._set_reset & ~self._keep
        self._read_shift = 8 * graphics[reg.GC_READ_MAP]
        self._compares = bool(mode & reg.MODE_READ_COMPARE)
        self._colour_compare = _PLANES[graphics[reg.GC_COLOUR_COMPARE]]
        self._colour_care = _PLANES[graphics[reg.GC_COLOUR_DONT_CARE]]

        plain_write = not (self._write_mode or function or self._rotate or self._keep != _ALL) and self._bit_mask == _ALL
        plain_read = not self._compares
        self._text_write = plain_write and self._odd_even_write and not self._chain_4 and map_mask == 0b0011 and not extended
        self._text_read = plain_read and self._odd_even_read and not self._chain_4 and not graphics[reg.GC_READ_MAP] & 2 and not extended
        linear = plain_write and plain_read and self._chain_4 and map_mask == 0x0F and memory_map == 1
        self._show(self._banks[self._bank // BANK_BYTES] if linear else None)

    def _show(self, bank: Region | None) -> None:
        if bank is self._shown:
            return
        if self._shown is not None:
            self._shown.set_enabled(False)
        if bank is not None:
            bank.set_enabled(True)
        self._shown = bank

    # --- Reads ---------------------------------------------------------------------------------------------------------------------------------------------

    def read(self, offset: int, size: int) -> int:
        offset -= self._start
        if offset < 0 or offset + size > self._length:
            return _ONES[size]
        if self._text_read:
            even = offset & ~1
            self._state.latch = self._planes[offset + size - 1 >> 1]
            if size == 1:
                return self._bytes[even << 1 | offset & 1]
            if even == offset:
                return self._cells[offset] if size == 2 else self._cells[offset] | self._cells[offset + 2] << 16
        value = self._read_byte(offset)
        for at in range(1, size):
            value |= self._read_byte(offset + at) << 8 * at
        return value

    def _read_byte(self, offset: int) -> int:
        if self._chain_4:
            address, shift = offset + self._bank >> 2, (offset & 3) * 8
        elif self._odd_even_read:
            address, shift = offset >> 1, self._read_shift & 16 | (offset & 1) * 8
        else:
            address, shift = offset + self._bank, self._read_shift
        latch = self._state.latch = self._planes[address & self._address_mask]
        if not self._compares:
            return latch >> shift & 0xFF
        differs = (latch ^ self._colour_compare) & self._colour_care
        differs |= differs >> 16
        return ~(differs | differs >> 8) & 0xFF

    # --- Writes --------------------------------------------------------------------------------------------------------------------------------------------

    def write(self, offset: int, size: int, value: int) -> None:
        offset -= self._start
        if offset < 0 or offset + size > self._length:
            return
        if self._text_write:
            if size == 1:
                self._bytes[(offset & ~1) << 1 | offset & 1] = value
                return
            if not offset & 1:
                self._cells[offset] = value & 0xFFFF
                if size == 4:
                    self._cells[offset + 2] = value >> 16
                return
        self._write_byte(offset, value & 0xFF)
        for at in range(1, size):
            self._write_byte(offset + at, value >> 8 * at & 0xFF)

    def _write_byte(self, offset: int, value: int) -> None:
        if self._chain_4:
            address, mask = offset + self._bank >> 2, self._map_mask & 0xFF << (offset & 3) * 8
        elif self._odd_even_write:
            address, mask = offset >> 1, self._map_mask & (_ODD if offset & 1 else _EVEN)
        else:
            address, mask = offset + self._bank, self._map_mask
        address &= self._address_mask
        planes = self._planes
        planes[address] = planes[address] & ~mask | self._data(value) & mask

    def _data(self, value: int) -> int:
        """What the graphics controller makes of a byte from the processor, for all planes."""
        latch, mode, bit_mask = self._state.latch, self._write_mode, self._bit_mask
        if mode == 1:
            return latch
        if mode == 2:
            data = _PLANES[value & 0x0F]
        else:
            value = (value >> self._rotate | value << 8 - self._rotate) & 0xFF
            if mode == 3:
                data = self._set_reset
                bit_mask &= value * _SPREAD
            else:
                data = value * _SPREAD & self._keep | self._forced
        function = self._function
        if function == 1:
            data &= latch
        elif function == 2:
            data |= latch
        elif function == 3:
            data ^= latch
        return data & bit_mask | latch & ~bit_mask
