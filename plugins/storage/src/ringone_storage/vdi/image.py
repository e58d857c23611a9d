"""One VDI file: its header, its block map, and where its blocks lie.

Slots are the places for blocks in the file, in order. The map says which slot a block has, if any. Everything that the map on disk points to is on disk before:
changes of the map wait in memory until `commit`, which makes data and header durable, then writes the map's entries, then makes those durable. A slot that is
given up is used again only after that. So the file is a good image at any moment, and holds all that was committed. Reading and writing ranges of a disk is in
`ringone_storage.vdi.disk`.
"""

from __future__ import annotations

import sys
import uuid
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from ringone.api.errors import MediumError

from ringone_storage.hostfile import HostFile
from ringone_storage.vdi.header import ENTRY_BYTES, MAX_BLOCKS, SECTOR_BYTES, Header, parse

FREE = 0xFFFFFFFF
"""Not in this image: the parent's, or zeros."""
ZERO = 0xFFFFFFFE
"""Zeros, whatever the parent has. Smaller numbers are slots."""
PENDING_BLOCKS = 32
"""How many changes of the map may wait for a commit: what a killed process can lose of a guest that does not flush."""
ENTRIES_PER_SECTOR = SECTOR_BYTES // ENTRY_BYTES
STRETCH = 1024
FREE_STRETCH = array("I", [FREE]) * STRETCH
"""Most of a huge disk's map: looked at in one go."""

Data = bytes | bytearray | memoryview


class VdiImage:
    """`map` is indexed by block. Only this class writes to the file."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        self._file = HostFile(path, writable=writable)
        try:
            self.header = parse(path, self._file.read(0, min(self._file.size, SECTOR_BYTES)), self._file.size)
            self.map = _load_map(self._file, self.header)
            self._slots, self._free = _slots(path, self.map, self.header, self._file.size)
        except BaseException:
            self._file.close()
            raise
        self._given_up: list[int] = []
        """Slots to which the map on disk may still point."""
        self._changed: set[int] = set()
        """Blocks whose entries have to be written."""
        self._unsynced = False

    @property
    def pending(self) -> int:
        return len(self._changed)

    def ranges(self, position: int, size: int) -> Iterator[tuple[int, int, int]]:
        """(block, offset in it, length) for every block that the bytes touch."""
        end = position + size
        while position < end:
            index, offset = divmod(position, self.header.block_bytes)
            length = min(self.header.block_bytes - offset, end - position)
            yield index, offset, length
            position += length

    def length(self, index: int) -> int:
        """How many bytes of a block belong to the disk: the last one may be cut."""
        return min(self.header.block_bytes, self.header.capacity_bytes - index * self.header.block_bytes)

    def taken(self, index: int = 0) -> Iterator[int]:
        """The blocks from `index` on that are not `FREE`."""
        return _taken(self.map, index)

    def read(self, slot: int, offset: int, length: int) -> bytes:
        return self._file.read(self._position(slot) + offset, length)

    def overwrite(self, slot: int, offset: int, data: Data) -> None:
        self._unsynced = True
        self._file.write(self._position(slot) + offset, data)

    def start(self, index: int, offset: int, data: Data) -> None:
        """Give a block a slot that holds `data` at `offset` and zeros elsewhere."""
        slot = self._take_slot()
        end = self.header.slots_end(slot + 1)
        if self.header.slots_end(slot) >= self._file.size:
            try:
                self._file.truncate(end)
                self.overwrite(slot, offset, data)
            except MediumError:
                self._free.append(slot)
                raise
            self._point(index, slot)
        else:
            content = bytearray(self.header.block_bytes)
            content[offset : offset + len(data)] = data
            self._fill(index, slot, content)

    def place(self, index: int, content: Data) -> None:
        """Give a block a slot with that content; behind its end are zeros."""
        self._fill(index, self._take_slot(), content)

    def mark(self, index: int, entry: int) -> None:
        """Make a block `FREE` or `ZERO`."""
        slot = self.map[index]
        if slot != entry:
            if slot < ZERO:
                self._given_up.append(slot)
            self._point(index, entry)

    def commit(self) -> None:
        """Make everything durable that was written."""
        if self._changed:
            self._store(attrs.evolve(self.header, allocated=self._slots))
            self._file.flush()
            self._write_entries()
            self._file.flush()
            self._changed.clear()
            self._free += self._given_up
            self._given_up.clear()
        elif self._unsynced:
            self._file.flush()
        self._unsynced = False

    def set_header(self, **changes: Any) -> None:
        """Change fields of the header, durable at once and behind everything written before."""
        self.commit()
        self._store(attrs.evolve(self.header, **changes))
        self._file.flush()

    def renew_modification(self) -> None:
        """Say that the content differs from now on, before it does: children that do not expect it are then noticed."""
        self.set_header(modification_uuid=uuid.uuid4())

    def close_gaps(self) -> None:
        """Move the last blocks into slots that no block has, and give the room behind them back."""
        self.commit()
        gaps = sorted(self._free, reverse=True)
        if not gaps:
            return
        owners = {slot: index for index, slot in enumerate(self.map) if slot < ZERO}
        used = sorted(owners)
        while gaps and used and gaps[-1] < used[-1]:
            self._move(owners[used[-1]], used[-1], gaps[-1])
            del gaps[-1], used[-1]
            if self.pending >= PENDING_BLOCKS:
                self.commit()
        self.commit()
        self._slots, self._free = len(owners), []
        self.set_header(allocated=self._slots)
        self._file.truncate(self.header.slots_end(self._slots))

    def grow(self, capacity_bytes: int, block_count: int) -> None:
        """Make the disk bigger, for which the block map needs room; the last step is one write of the header."""
        self.commit()
        old = self.header
        added = block_count - old.block_count
        map_offset, map_bytes, moved = old.map_offset, block_count * ENTRY_BYTES, 0
        if map_offset + map_bytes > old.data_offset:
            map_offset, moved = old.data_offset, -(-map_bytes // old.stride)
            self._clear_front(moved)
        entries = array("I", [slot if slot >= ZERO else slot - moved for slot in self.map]) + array("I", [FREE]) * added
        unchanged = 0 if moved else old.block_count
        self._file.write(map_offset + unchanged * ENTRY_BYTES, to_bytes(entries[unchanged:]))
        self._file.flush()
        self.map = entries
        self._slots -= moved
        self._free = [slot - moved for slot in self._free]
        data_offset = old.data_offset + moved * old.stride
        self.set_header(capacity_bytes=capacity_bytes, block_count=block_count, map_offset=map_offset, data_offset=data_offset, allocated=self._slots)

    def close(self) -> None:
        """Without a commit: what was not committed is lost."""
        self._file.close()

    def _clear_front(self, count: int) -> None:
        """Move the blocks of the first slots to the end of the file; those slots are not used again."""
        owners = {slot: index for index, slot in enumerate(self.map) if slot < count}
        self._slots = max(self._slots, count)
        for slot, index in sorted(owners.items()):
            self._move(index, slot, self._slots)
            self._slots += 1
            if self.pending >= PENDING_BLOCKS:
                self.commit()
        self.commit()
        self._free = [slot for slot in self._free if slot >= count]

    def _move(self, index: int, slot: int, target: int) -> None:
        """Copy a block with its extra bytes."""
        data = self._file.read(self.header.slots_end(slot), self.header.stride)
        self._file.write(self.header.slots_end(target), data)
        self._given_up.append(slot)
        self._point(index, target)

    def _position(self, slot: int) -> int:
        return self.header.data_offset + slot * self.header.stride + self.header.extra_bytes

    def _take_slot(self) -> int:
        if not self._free and self._given_up and self._slots >= self.header.block_count:
            self.commit()
        if self._free:
            return self._free.pop()
        self._slots += 1
        return self._slots - 1

    def _fill(self, index: int, slot: int, content: Data) -> None:
        position, missing = self._position(slot), self.header.block_bytes - len(content)
        try:
            if self.header.extra_bytes:
                self._file.write(self.header.slots_end(slot), bytes(self.header.extra_bytes))
            self._file.write(position, content)
            if missing:
                self._file.write(position + len(content), bytes(missing))
        except MediumError:
            self._free.append(slot)
            raise
        self._point(index, slot)

    def _point(self, index: int, entry: int) -> None:
        self.map[index] = entry
        self._changed.add(index)

    def _store(self, header: Header) -> None:
        self._file.write(0, header.pack())
        self.header = header

    def _write_entries(self) -> None:
        """Sector by sector, from the first to the last changed entry in each."""
        sectors: dict[int, list[int]] = {}
        for index in sorted(self._changed):
            sectors.setdefault(index // ENTRIES_PER_SECTOR, []).append(index)
        for indexes in sectors.values():
            first, last = indexes[0], indexes[-1]
            self._file.write(self.header.map_offset + first * ENTRY_BYTES, to_bytes(self.map[first : last + 1]))


def to_bytes(entries: array[int]) -> bytes:
    if sys.byteorder == "big":
        entries = array("I", entries)
        entries.byteswap()
    return entries.tobytes()


def _load_map(file: HostFile, header: Header) -> array[int]:
    entries = array("I", file.read(header.map_offset, header.map_bytes))
    if sys.byteorder == "big":
        entries.byteswap()
    return entries


def _taken(entries: array[int], index: int = 0) -> Iterator[int]:
    """The blocks from `index` on that are not `FREE`."""
    while index < len(entries):
        end = (index // STRETCH + 1) * STRETCH
        part = entries[index:end]
        if part != FREE_STRETCH:
            yield from (index + number for number, entry in enumerate(part) if entry != FREE)
        index = end


def _used(entries: array[int]) -> Iterator[int]:
    """The slots of all blocks that have one."""
    return (slot for slot in (entries[index] for index in _taken(entries)) if slot < ZERO)


def _slots(path: Path, entries: array[int], header: Header, file_bytes: int) -> tuple[int, list[int]]:
    """Number of slots, and those among them that no block has."""
    count = max(_used(entries), default=-1) + 1
    if count > header.block_count + MAX_BLOCKS * ENTRY_BYTES // header.stride + 1:  # more only while the map is given room
        raise MediumError(f"{path}: the block map is damaged: it has the place {count - 1}, and the disk only {header.block_count} blocks")
    if count and header.slots_end(count) > file_bytes:
        raise MediumError(f"{path}: the file is cut short: it has {file_bytes} bytes, its blocks end at {header.slots_end(count)}")
    taken = bytearray(count)
    for slot in _used(entries):
        if taken[slot]:
            raise MediumError(f"{path}: the block map is damaged: two blocks share the place {slot}")
        taken[slot] = 1
    gaps = [slot for slot in range(count) if not taken[slot]] if 0 in taken else []
    return count, gaps
