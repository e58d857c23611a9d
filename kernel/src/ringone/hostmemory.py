"""Host memory behind RAM, ROMs and frame buffers: one anonymous, page-aligned mapping that is handed out in blocks.

Its address must not change while blocks are still being asked for, so address space for them is reserved behind RAM from the start; the host commits pages when
they are first touched.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Mapping

from ringone.api.errors import AssemblyError, ConfigError
from ringone.api.memory import PAGE_SIZE

BLOCK_RESERVE = 320 << 20
"""Address space for everything but RAM: the largest frame buffer (256 MiB) and ROMs."""


class StoredBlock:
    """A `ringone.api.memory.MemoryBlock`."""

    __slots__ = ("backing_offset", "data", "name", "size")

    def __init__(self, name: str, backing_offset: int, data: memoryview) -> None:
        self.name = name
        self.size = len(data)
        self.backing_offset = backing_offset
        self.data = data


class BlockStore:
    """RAM and the blocks behind it. `used` is the size of what is handed out."""

    def __init__(self, ram_bytes: int) -> None:
        total = ram_bytes + BLOCK_RESERVE
        try:
            self._mapping = reserve(total)
        except (OSError, ValueError, OverflowError) as error:
            raise ConfigError(f"the host cannot provide {ram_bytes >> 20} MiB of guest memory: {error}") from error
        self.view = memoryview(self._mapping)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._mapping))
        self.used = ram_bytes
        self.ram = StoredBlock("ram", 0, self.view[:ram_bytes])
        self._blocks = {"ram": self.ram}
        self._frozen = False

    @property
    def blocks(self) -> Mapping[str, StoredBlock]:
        return self._blocks

    def add(self, owner: str, name: str, size: int) -> StoredBlock:
        key = f"{owner}.{name}"
        size = (size + PAGE_SIZE - 1) // PAGE_SIZE * PAGE_SIZE
        if self._frozen:
            raise AssemblyError(f"memory block {name!r} was asked for after assembly", component=owner)
        if key in self._blocks:
            raise AssemblyError(f"memory block {name!r} exists already", component=owner)
        if size <= 0 or self.used + size > len(self.view):
            raise AssemblyError(f"memory block {name!r} of {size:#x} bytes does not fit; {len(self.view) - self.used:#x} are left", component=owner)
        block = self._blocks[key] = StoredBlock(name, self.used, self.view[self.used : self.used + size])
        self.used += size
        return block

    def freeze(self) -> None:
        self._frozen = True

    def release(self) -> None:
        """Give the host its pages back, where it lets us; the blocks read zeros then. The mapping itself goes when the last view of it does."""
        advice = getattr(mmap, "MADV_DONTNEED", None)
        if advice is not None:
            self._mapping.madvise(advice)


def reserve(size: int) -> mmap.mmap:
    """Zeroed, page-aligned memory that the host commits page by page as it is touched, where it can."""
    flags = getattr(mmap, "MAP_PRIVATE", None)
    if flags is None:
        return mmap.mmap(-1, size)
    return mmap.mmap(-1, size, flags | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0))
