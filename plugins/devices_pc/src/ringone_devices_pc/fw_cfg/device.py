"""QEMU's firmware configuration device (docs/specs/fw_cfg.rst): how a BIOS learns what machine it is on.

    510-511  selector  16 bits, write only: which item, from its start
    511      data      the item's next 1, 2 or 4 bytes, zeros behind its end
    514-51B  DMA       big endian; reads "QEMU CFG"; writing the lower half starts the descriptor at that address

A descriptor is three big-endian fields: control (error 0, read 1, skip 2, select 3, write 4, key 31:16), length, 64-bit address. Items are read only: writing
one is answered with the error bit.
"""

from __future__ import annotations

import struct

import attrs
from ringone.api.devices import DeviceContext
from ringone.api.drivers import FirmwareData

from ringone_devices_pc.fw_cfg.config import FwCfgOptions
from ringone_devices_pc.fw_cfg.items import make_items
from ringone_devices_pc.fw_cfg.state import FwCfgState

DMA_SIGNATURE = b"QEMU CFG"
KEY_WRITE_CHANNEL = 0x4000
"""Selects an item for writing, which only ancient firmware does; the item is the same."""

DMA_ERROR = 1 << 0
DMA_READ = 1 << 1
DMA_SKIP = 1 << 2
DMA_SELECT = 1 << 3
DMA_WRITE = 1 << 4
_DESCRIPTOR = struct.Struct(">IIQ")
_CONTROL = struct.Struct(">I")
MAX_ADDRESS = 0xFFFF_FFFF
MAX_OFFSET = 0xFFFF_FFFF
ZEROS = bytes(1 << 16)


class FwCfg:
    def __init__(self, context: DeviceContext, options: FwCfgOptions) -> None:
        source = context.driver("firmware", FirmwareData)
        self._items = make_items(source.files() if source is not None else {}, cpus=options.cpus)
        self._memory = context.memory
        self._state = FwCfgState()
        self._item = self._items[0]
        context.map_ports(options.base, 1, write=self._selector_write, widths=(1, 2), name="fw_cfg selector")
        context.map_ports(options.base + 1, 1, read=self._data_read, widths=(1, 2, 4), name="fw_cfg data")
        context.map_ports(options.base + 4, 8, read=self._dma_read, write=self._dma_write, widths=(4,), name="fw_cfg DMA")

    # --- Ports ---------------------------------------------------------------------------------------------------------------------------------------------

    def _select(self, key: int) -> None:
        self._state.selector = key
        self._state.offset = 0
        self._item = self._items.get(key & ~KEY_WRITE_CHANNEL, b"")

    def _data_read(self, offset: int, size: int) -> int:
        state = self._state
        start = state.offset
        if start >= len(self._item):
            return 0
        state.offset = start + size
        return int.from_bytes(self._item[start : start + size], "little")

    def _selector_write(self, offset: int, size: int, value: int) -> None:
        if size == 2:
            self._select(value)

    # --- DMA -----------------------------------------------------------------------------------------------------------------------------------------------

    def _dma_read(self, offset: int, size: int) -> int:
        return int.from_bytes(DMA_SIGNATURE[offset : offset + size], "little")

    def _dma_write(self, offset: int, size: int, value: int) -> None:
        half = int.from_bytes(value.to_bytes(size, "little"), "big")
        if offset == 0:
            self._state.dma_high = half
        elif offset == 4:
            address = self._state.dma_high << 32 | half
            self._state.dma_high = 0
            if address <= MAX_ADDRESS:
                self._run_descriptor(address)

    def _run_descriptor(self, descriptor: int) -> None:
        control, length, address = _DESCRIPTOR.unpack(self._memory.read(descriptor, _DESCRIPTOR.size))
        if control & DMA_SELECT:
            self._select(control >> 16)
        if control & DMA_READ:
            done = self._copy(address, length)
        else:
            done = not control & DMA_WRITE
        if control & (DMA_READ | DMA_SKIP):
            self._state.offset = min(self._state.offset + length, MAX_OFFSET)
        self._memory.write(descriptor, _CONTROL.pack(0 if done else DMA_ERROR))

    def _copy(self, address: int, length: int) -> bool:
        """The item's next bytes to memory, zeros behind its end as far as there is RAM to take them."""
        if address + length - 1 > MAX_ADDRESS:
            return False
        start = self._state.offset
        data = self._item[start : start + length]
        self._memory.write(address, data)
        at = address + len(data)
        end = min(address + length, self._memory.ram_size)
        while at < end:
            chunk = ZEROS[: end - at]
            self._memory.write(at, chunk)
            at += len(chunk)
        return True

    # --- Device --------------------------------------------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        self._state = FwCfgState()
        self._select(0)

    def save_state(self) -> FwCfgState:
        return attrs.evolve(self._state)

    def load_state(self, state: FwCfgState) -> None:
        self._select(state.selector & 0xFFFF)
        self._state.offset = max(0, min(state.offset, MAX_OFFSET))
        self._state.dma_high = state.dma_high & 0xFFFF_FFFF
