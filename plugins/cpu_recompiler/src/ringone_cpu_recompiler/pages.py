"""What the engine knows about each guest-physical page: its class and where it lies in the machine's memory.

The TLB-fill stub and the VMM's own accesses share these tables; plain memory is reached through them without asking the kernel.
"""

from __future__ import annotations

import array
import re
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from ringone.api.memory import PAGE_SHIFT, PAGE_SIZE, MapChange, PageKind, PhysicalMemory

PAGES = 1 << 20

CLASS_DIRECT = 1 << 0
"""Reads go straight to memory."""
CLASS_WRITABLE = 1 << 1
CLASS_FETCHED = 1 << 2
"""Code was fetched from it: every writable TLB entry for it must be executable too."""

_CLASS_OF_KIND = bytes([0, CLASS_DIRECT | CLASS_WRITABLE, CLASS_DIRECT, 0]).ljust(256, b"\0")
"""By `PageKind`: unmapped, RAM, ROM, MMIO."""
_DIRECT_KINDS = re.compile(rb"[%c%c]+" % (PageKind.RAM, PageKind.ROM))
_NOT_FETCHED = bytes(value & ~CLASS_FETCHED for value in range(256))
_FETCHED = re.compile(rb"[%c-%c]" % (CLASS_FETCHED, 2 * CLASS_FETCHED - 1))
_OFFSET_MASK = PAGE_SIZE - 1
_ALL_ADDRESSES = 0xFFFFFFFF
_PLAIN = CLASS_DIRECT | CLASS_WRITABLE


def by_page(start: int, size: int) -> Iterator[tuple[int, int, int]]:
    """``(page, offset in it, length)`` of each page's part of ``[start, start + size)``."""
    end = start + size
    while start < end:
        offset = start & _OFFSET_MASK
        length = min(PAGE_SIZE - offset, end - start)
        yield start >> PAGE_SHIFT, offset, length
        start += length


class Pages:
    """Classes and frames of all pages below 4 GiB. Addresses given to the accessors are guest-physical, before the A20 gate."""

    def __init__(self, memory: PhysicalMemory) -> None:
        self._memory = memory
        self.backing = memory.backing
        self.classes = bytearray(PAGES)
        self.frames = array.array("I", bytes(4 * PAGES))
        self.watched: dict[int, Any] = {}
        """Pages whose writes somebody looks at, and how: not writable here."""
        self._a20_mask = memory.a20_mask
        self.a20_open = True

    def changed(self, changes: Sequence[MapChange]) -> list[int]:
        """Take over the flat map of these pages. A page that still shows the same memory stays marked as fetched; the frames of those that do not any more
        are returned."""
        memory, classes, frames = self._memory, self.classes, self.frames
        left: list[int] = []
        for change in changes:
            first, end = change.first_page, change.first_page + change.page_count
            kinds = memory.kinds[first:end]
            former = bytes(classes[first:end])
            fetched = [(page, frames[page]) for page in (first + found.start() for found in _FETCHED.finditer(former))]
            classes[first:end] = kinds.translate(_CLASS_OF_KIND)
            for run in _DIRECT_KINDS.finditer(kinds):
                for index in range(*run.span()):
                    page = first + index
                    frame = memory.backing_offset(page) >> PAGE_SHIFT
                    if frame == frames[page]:
                        classes[page] |= former[index] & CLASS_FETCHED
                    frames[page] = frame
            left += [frame for page, frame in fetched if not classes[page] & CLASS_FETCHED]
        for page in self.watched:
            classes[page] &= ~CLASS_WRITABLE
        self._a20_mask = memory.a20_mask
        self.a20_open = memory.a20_mask == _ALL_ADDRESSES
        return left

    def forget_fetches(self) -> None:
        """No page counts as fetched; the caller has dropped all translations and the TLB."""
        self.classes[:] = self.classes.translate(_NOT_FETCHED)

    def content(self, page: int) -> memoryview:
        """The bytes of a page of plain memory, in place."""
        offset = self.frames[page] << PAGE_SHIFT
        return self.backing[offset : offset + PAGE_SIZE]

    def behind_gate(self, address: int) -> int:
        """What the A20 gate makes of a guest-physical address."""
        return address & self._a20_mask if address <= _ALL_ADDRESSES else address

    def watch(self, page: int, how: Any) -> None:
        self.watched[page] = how
        self.classes[page] &= ~CLASS_WRITABLE

    def unwatch(self, page: int) -> None:
        if self.watched.pop(page, None) is not None and self._memory.kinds[page] == PageKind.RAM:
            self.classes[page] |= CLASS_WRITABLE

    def read(self, address: int, size: int) -> bytes:
        """Bytes that do not cross a page. MMIO and unmapped memory read all ones."""
        address &= self._a20_mask
        page = address >> PAGE_SHIFT
        if page < PAGES and self.classes[page] & CLASS_DIRECT:
            offset = self.frames[page] << PAGE_SHIFT | address & _OFFSET_MASK
            return bytes(self.backing[offset : offset + size])
        return self._memory.read(address, size)

    def read_u32(self, address: int) -> int:
        address &= self._a20_mask
        page = address >> PAGE_SHIFT
        if page < PAGES and self.classes[page] & CLASS_DIRECT:
            value: int = struct.unpack_from("<I", self.backing, self.frames[page] << PAGE_SHIFT | address & _OFFSET_MASK)[0]
            return value
        return int.from_bytes(self._memory.read(address, 4), "little")

    def read_u64(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), "little")

    def write(self, address: int, data: bytes) -> None:
        """Bytes that do not cross a page; code in it is invalidated, anything but RAM drops them."""
        address &= self._a20_mask
        page = address >> PAGE_SHIFT
        if page < PAGES and self.classes[page] == _PLAIN:
            offset = self.frames[page] << PAGE_SHIFT | address & _OFFSET_MASK
            self.backing[offset : offset + len(data)] = data
        else:
            self._memory.write(address, data)
