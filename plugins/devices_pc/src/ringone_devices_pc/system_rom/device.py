"""The ROMs of a PC: the system ROM, ending at 4 GiB with its last 128 KiB repeated below 1 MiB, and option ROMs where the firmware wants them.

Bytes come from slot ``firmware-rom``. ROM bytes that do not fill a page are padded with ones, as an erased chip reads. Flash programming is left out.
"""

from __future__ import annotations

from ringone.api.devices import DeviceContext
from ringone.api.errors import AssemblyError
from ringone.api.firmware import FirmwareImage
from ringone.api.memory import PAGE_SIZE, MemoryBlock

from ringone_devices_pc.system_rom.state import SystemRomState

FOUR_GIB = 1 << 32
ONE_MIB = 1 << 20
LOW_ROM_BYTES = 128 << 10
OPTION_ROM_BASE = 0xC0000
ROM_PRIORITY = 2
"""Above the host bridge's hole, below its RAM shadow."""


class SystemRom:
    """Provides ``rom``."""

    def __init__(self, context: DeviceContext, options: object) -> None:
        self._context = context
        self._low = bytearray(b"\xff" * (ONE_MIB - OPTION_ROM_BASE))
        image = context.driver("firmware-rom", FirmwareImage)
        if image is not None:
            if image.rom:
                self._map_system_rom(image.rom)
            for address, data in image.option_roms.items():
                self._map_option_rom(address, data)
        context.provide("rom", self)

    def _map_system_rom(self, rom: bytes) -> None:
        block = self._block("system", rom, at_end=True)
        low = min(block.size, LOW_ROM_BYTES)
        self._context.map_memory(block, FOUR_GIB - block.size, block.size, writable=False, name="system ROM", priority=ROM_PRIORITY)
        self._show_low(block, ONE_MIB - low, low, "system ROM below 1 MiB")

    def _map_option_rom(self, address: int, data: bytes) -> None:
        if address % PAGE_SIZE or address < OPTION_ROM_BASE or address + len(data) > ONE_MIB:
            raise AssemblyError(
                f"an option ROM of {len(data)} bytes at {address:#x} cannot be shown; accepted: page-aligned places from {OPTION_ROM_BASE:#x} to {ONE_MIB:#x}",
                component=self._context.id,
            )
        block = self._block(f"option-{address:05X}", data, at_end=False)
        self._show_low(block, address, block.size, f"option ROM {address:05X}")

    def _block(self, name: str, data: bytes, *, at_end: bool) -> MemoryBlock:
        size = -(-len(data) // PAGE_SIZE) * PAGE_SIZE
        block = self._context.memory_block(name, size)
        block.data[:] = data.rjust(size, b"\xff") if at_end else data.ljust(size, b"\xff")
        return block

    def _show_low(self, block: MemoryBlock, address: int, size: int, name: str) -> None:
        """The last `size` bytes of `block` at `address`."""
        skipped = block.size - size
        self._context.map_memory(block, address, size, block_offset=skipped, writable=False, name=name, priority=ROM_PRIORITY)
        start = address - OPTION_ROM_BASE
        self._low[start : start + size] = block.data[skipped:]

    def read_low(self, address: int, size: int) -> int:
        """What ROM holds at an address from C0000 to FFFFF; ones where there is none."""
        start = address - OPTION_ROM_BASE
        return int.from_bytes(self._low[start : start + size], "little")

    def reset(self) -> None:
        pass

    def save_state(self) -> SystemRomState:
        return SystemRomState()

    def load_state(self, state: SystemRomState) -> None:
        pass
