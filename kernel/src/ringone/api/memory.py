"""Guest-physical memory: what devices map, what a CPU backend sees of it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Protocol

import attrs

PAGE_SIZE = 4096
PAGE_SHIFT = 12

MmioRead = Callable[[int, int], int]
"""``(offset, size) -> value``, size 1, 2 or 4."""
MmioWrite = Callable[[int, int, int], None]
"""``(offset, size, value)``."""


class MemoryBlock(Protocol):
    """Host memory that backs RAM, a ROM or a frame buffer; it exists whether or not it is mapped.

    All blocks of a machine lie in one contiguous host mapping (`PhysicalMemory.backing`), this one at `backing_offset`, page aligned.
    """

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def backing_offset(self) -> int: ...
    @property
    def data(self) -> memoryview:
        """The bytes, writable. A writer of executable guest memory uses `PhysicalMemory.write` instead, which tells the CPU."""
        ...


class PageKind(enum.IntEnum):
    """What one 4 KiB page of the flat guest-physical map is."""

    UNMAPPED = 0
    """Reads all ones, drops writes, counted."""
    RAM = 1
    ROM = 2
    """Reads memory, drops writes."""
    MMIO = 3


@attrs.frozen
class MapChange:
    """Guest-physical pages ``[first_page, first_page + page_count)`` mean something else now."""

    first_page: int
    page_count: int


class Region(Protocol):
    """A mapping made by a device. All three may be called at any time on the machine's thread; moving by a PCI BAR write is the usual case."""

    def set_enabled(self, enabled: bool) -> None: ...
    def move(self, base: int) -> None: ...
    @property
    def base(self) -> int: ...


class PhysicalMemory(Protocol):
    """The guest-physical address space, flattened to pages.

    Device access (DMA) goes through `read` and `write`: RAM and ROM are copied, MMIO is not reached (reads all ones, writes dropped, counted), nothing ever
    raises for a guest's address. The A20 mask applies to the CPU only.
    """

    @property
    def ram_size(self) -> int:
        """RAM from address 0, in bytes."""
        ...

    @property
    def backing(self) -> memoryview:
        """All memory blocks, in one page-aligned host mapping. Its size never changes after assembly."""
        ...

    @property
    def backing_address(self) -> int:
        """Host virtual address of `backing`."""
        ...

    @property
    def kinds(self) -> bytearray:
        """A `PageKind` per guest-physical page, for all 2**20 pages of 4 GiB. Read only; changes are announced by `MapChange`."""
        ...

    def backing_offset(self, page: int) -> int:
        """Offset in `backing` of a RAM or ROM page, -1 for other kinds."""
        ...

    def mmio_read(self, address: int, size: int) -> int:
        """A CPU read from an MMIO or unmapped address, size 1, 2, 4 or 8 (split to what the handler declares)."""
        ...

    def mmio_write(self, address: int, size: int, value: int) -> None: ...
    def read(self, address: int, size: int) -> bytes: ...
    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Write RAM and tell the CPU backend that code may have changed."""
        ...

    @property
    def a20_mask(self) -> int:
        """``0xFFFFFFFF``, or ``0xFFEFFFFF`` while the A20 gate is closed; a change is announced to the backend as a change of every page."""
        ...


MemoryListener = Callable[[Sequence[MapChange]], None]
