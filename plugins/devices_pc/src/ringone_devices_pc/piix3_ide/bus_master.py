"""One channel of the bus-master IDE function (SFF-8038i revision 1.0): command, status and descriptor table registers, and the walk through the PRDs.

The direction bit is kept but not obeyed: the drive's command says which way data goes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from ringone_devices_pc.piix3_ide.state import BusMasterState

if TYPE_CHECKING:
    from ringone.api.memory import PhysicalMemory

COMMAND = 0
STATUS = 2
PRD_TABLE = 4

SSBM = 1 << 0
RWCON = 1 << 3

BMIDEA = 1 << 0
IDEDMA_ERROR = 1 << 1
IDEINTS = 1 << 2
DRIVES_DMA_CAPABLE = 0x60

PRD_END_OF_TABLE = 1 << 31
PRD_BYTES = 8
TABLE_LIMIT = 0x10000
"""A table must not cross a 64 KiB boundary."""


class BusMaster:
    """`started()` is called when the host sets the start bit."""

    def __init__(self, memory: PhysicalMemory, started: Callable[[], None]) -> None:
        self._memory = memory
        self._started = started
        self.state = BusMasterState()

    @property
    def active(self) -> bool:
        return bool(self.state.status & BMIDEA)

    # --- Registers -----------------------------------------------------------------------------------------------------------------------------------------

    def read(self, offset: int, size: int) -> int:
        s = self.state
        registers = s.command | s.status << 16 | s.table << 32
        return registers >> 8 * offset & (1 << 8 * size) - 1

    def write(self, offset: int, size: int, value: int) -> None:
        for at in range(offset, offset + size):
            self._write_byte(at, value & 0xFF)
            value >>= 8

    def _write_byte(self, offset: int, value: int) -> None:
        s = self.state
        if offset == COMMAND:
            self._write_command(value)
        elif offset == STATUS:
            kept = s.status & (BMIDEA | (IDEDMA_ERROR | IDEINTS) & ~value)
            s.status = kept | value & DRIVES_DMA_CAPABLE
        elif offset >= PRD_TABLE:
            shift = 8 * (offset - PRD_TABLE)
            s.table = (s.table & ~(0xFF << shift) | value << shift) & 0xFFFF_FFFC

    def _write_command(self, value: int) -> None:
        s = self.state
        starting = value & SSBM and not s.command & SSBM
        s.command = value & (SSBM | RWCON)
        if not value & SSBM:
            s.status &= ~BMIDEA
        elif starting:
            s.status |= BMIDEA
            s.descriptor = s.table
            s.bytes_left = 0
            s.last = False
            self._started()

    # --- For the channel -----------------------------------------------------------------------------------------------------------------------------------

    def interrupted(self) -> None:
        """The drive's INTRQ rose."""
        self.state.status |= IDEINTS

    def to_memory(self, data: bytes | memoryview) -> int:
        """Scatter `data` along the table; returns how much the table had room for."""
        done = 0
        total = len(data)
        s = self.state
        while done < total and self._next_region():
            size = min(s.bytes_left, total - done)
            self._memory.write(s.address, data[done : done + size])
            self._advance(size)
            done += size
        return done

    def from_memory(self, size: int) -> bytes:
        """Gather up to `size` bytes along the table."""
        data = bytearray()
        s = self.state
        while len(data) < size and self._next_region():
            part = min(s.bytes_left, size - len(data))
            data += self._memory.read(s.address, part)
            self._advance(part)
        return bytes(data)

    def _next_region(self) -> bool:
        """Make `bytes_left` positive, or clear the active bit and say that the table has ended."""
        s = self.state
        if not s.bytes_left and not s.last:
            self._fetch()
        if s.bytes_left:
            return True
        s.status &= ~BMIDEA
        return False

    def _fetch(self) -> None:
        s = self.state
        if (s.descriptor - s.table) & 0xFFFF_FFFF >= TABLE_LIMIT:
            s.status |= IDEDMA_ERROR
            s.last = True
            return
        entry = self._memory.read(s.descriptor, PRD_BYTES)
        control = int.from_bytes(entry[4:], "little")
        s.descriptor = (s.descriptor + PRD_BYTES) & 0xFFFF_FFFF
        s.address = int.from_bytes(entry[:4], "little") & ~1
        s.bytes_left = control & 0xFFFE or 0x10000
        s.last = bool(control & PRD_END_OF_TABLE)

    def _advance(self, size: int) -> None:
        s = self.state
        s.address = (s.address + size) & 0xFFFF_FFFF
        s.bytes_left -= size
        if not s.bytes_left and s.last:
            s.status &= ~BMIDEA

    # --- Life ----------------------------------------------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        self.state = BusMasterState()

    def save(self) -> BusMasterState:
        return attrs.evolve(self.state)

    def load(self, state: BusMasterState) -> None:
        state.check()
        self.state = attrs.evolve(state)
