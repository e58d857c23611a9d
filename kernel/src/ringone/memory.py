"""The guest-physical address space: RAM, ROMs, frame buffers and MMIO, flattened to a table of 4 GiB / 4 KiB pages.

Regions have priorities; where enabled regions overlap, the highest priority shows, and among equals the one that was mapped, moved or enabled last. All memory
that pages show lies in one anonymous host mapping, RAM first, so that a CPU backend needs one base address. Pages above 4 GiB do not exist.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable, Iterable, Mapping

from ringone.api.errors import AddressOverlapError, AssemblyError, BackendError, ConfigError, DeviceError
from ringone.api.memory import PAGE_SHIFT, PAGE_SIZE, MapChange, MemoryBlock, MemoryListener, MmioRead, MmioWrite, PageKind
from ringone.hostmemory import BlockStore, StoredBlock, reserve
from ringone.keptmemory import KeptMemory, Run, keep_memory
from ringone.shadowing import ShadowingLog
from ringone.widths import ALL_ONES, WIDEST, width_mask

PAGE_COUNT = 1 << 20
RAM_LIMIT = 0xE000_0000
"""RAM ends below the PCI window."""
MMIO_WIDTHS = (1, 2, 4, 8)
A20 = 1 << 20

_UNMAPPED, _RAM, _ROM, _MMIO = (int(kind) for kind in PageKind)
_OFFSET_IN_PAGE = PAGE_SIZE - 1
_CHUNK = 256
"""Pages compared at a time when a change is looked for."""

_MmioSlot = tuple[MmioRead, MmioWrite, int, int, int]
"""Handlers, base, the declared widths (or-ed), the smallest of them."""
CodeListener = Callable[[int, int], None]
"""``(start, size)``: guest-physical bytes were written by somebody other than the processor."""


class MappedRegion:
    """A mapping of a component; see `ringone.api.memory.Region`."""

    __slots__ = ("base", "enabled", "first_offset", "handlers", "kind", "name", "owner", "priority", "size", "space")

    def __init__(self, space: AddressSpace, owner: str, name: str, base: int, size: int, priority: int) -> None:
        self.space = space
        self.owner = owner
        self.name = name
        self.base = base
        self.size = size
        self.priority = priority
        self.enabled = False
        self.kind = _UNMAPPED
        self.first_offset = -1
        """Where in the backing a RAM or ROM region begins."""
        self.handlers: tuple[MmioRead, MmioWrite, int, int] | None = None
        """Read, write, declared widths, the smallest of them."""

    def __str__(self) -> str:
        label = f" {self.name}" if self.name else ""
        return f"{self.owner}{label} (addresses {self.base:#010x}-{self.base + self.size - 1:#010x}, priority {self.priority})"

    def set_enabled(self, enabled: bool) -> None:
        if enabled == self.enabled:
            return
        self.enabled = enabled
        self.space.changed(self, self.base)

    def move(self, base: int) -> None:
        """To `base`, rounded down to a page."""
        base &= ~_OFFSET_IN_PAGE
        if base == self.base:
            return
        former, self.base = self.base, base
        if self.enabled:
            self.space.changed(self, former)


class AddressSpace:
    """All guest-physical addresses of a machine; implements `ringone.api.memory.PhysicalMemory`."""

    def __init__(self, ram_bytes: int, log: logging.Logger | None = None) -> None:
        if not 0 < ram_bytes <= RAM_LIMIT or ram_bytes % PAGE_SIZE:
            raise ConfigError(f"{ram_bytes} bytes of RAM are not possible; accepted: a multiple of {PAGE_SIZE} up to {RAM_LIMIT} (3.5 GiB)")
        self._log = log or logging.getLogger("ringone.memory")
        self._store = BlockStore(ram_bytes)
        self._view = self._store.view
        self._kept: KeptMemory | None = None
        self.ram_size = ram_bytes
        self.kinds = bytearray(PAGE_COUNT)
        self._places = memoryview(reserve(PAGE_COUNT * 8)).cast("q")
        """Backing offset plus one by page, 0 for none: the host need not commit what was never mapped."""
        self._mmio: dict[int, _MmioSlot] = {}
        self._regions: list[MappedRegion] = []
        self._cpu_mask = -1
        self._memory_changed: MemoryListener | None = None
        self._code_changed: CodeListener | None = None
        self._reported: set[int] = set()
        self.unmapped_reads = 0
        self.unmapped_writes = 0
        self.dropped_dma = 0
        self._shadowing = ShadowingLog(self._log)
        self.map_memory("ram", self._store.ram, 0, ram_bytes)

    # --- Host memory ------------------------------------------------------------------------------------------------------------------------------------------

    @property
    def ram(self) -> StoredBlock:
        return self._store.ram

    @property
    def blocks(self) -> Mapping[str, StoredBlock]:
        """Every block by ``owner.name``; RAM is ``ram``."""
        return self._store.blocks

    @property
    def backing(self) -> memoryview:
        return self._view[: self._store.used]

    @property
    def backing_address(self) -> int:
        return self._store.address

    @property
    def kept(self) -> KeptMemory:
        """What the backing was when it was kept last; after assembly only."""
        if self._kept is None:
            self._kept = keep_memory(self.backing, self.backing_address)
        return self._kept

    def replaced(self, runs: Iterable[Run]) -> None:
        """Pages of the backing were given another content behind everybody's back: tell the processor, wherever it sees them."""
        if self._code_changed is None:
            return
        shown = [(region.first_offset, region.first_offset + region.size, region.base) for region in self._regions if region.enabled and not region.handlers]
        for first, end in runs:
            for start, stop, base in shown:
                low, high = max(first << PAGE_SHIFT, start), min(end << PAGE_SHIFT, stop)
                if low < high:
                    self._code_changed(base + low - start, high - low)

    def block(self, owner: str, name: str, size: int) -> StoredBlock:
        """Zeroed host memory, rounded up to pages; at assembly only."""
        return self._store.add(owner, name, size)

    def freeze(self) -> None:
        """Assembly is over: no further blocks, so `backing` keeps its size."""
        self._store.freeze()

    # --- Regions ----------------------------------------------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """The machine is gone: do not wait for the garbage collector to return its memory to the host."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None
        self._store.release()

    def map_memory(
        self,
        owner: str,
        block: MemoryBlock,
        base: int,
        size: int,
        *,
        block_offset: int = 0,
        writable: bool = True,
        name: str = "",
        priority: int = 0,
        enabled: bool = True,
    ) -> MappedRegion:
        if block_offset % PAGE_SIZE or block_offset < 0 or block_offset + size > block.size:
            message = f"{size:#x} bytes at {block_offset:#x} of block {block.name!r} are not whole pages within its {block.size:#x} bytes"
            raise AssemblyError(message, component=owner)
        region = MappedRegion(self, owner, name or block.name, base, size, priority)
        region.kind = _RAM if writable else _ROM
        region.first_offset = block.backing_offset + block_offset
        return self._add(region, enabled)

    def map_mmio(
        self,
        owner: str,
        base: int,
        size: int,
        *,
        read: MmioRead,
        write: MmioWrite,
        widths: tuple[int, ...] = (1, 2, 4),
        name: str = "",
        priority: int = 0,
        enabled: bool = True,
    ) -> MappedRegion:
        mask = width_mask(widths, MMIO_WIDTHS, owner)
        region = MappedRegion(self, owner, name, base, size, priority)
        region.kind = _MMIO
        region.handlers = (read, write, mask, mask & -mask)
        return self._add(region, enabled)

    def _add(self, region: MappedRegion, enabled: bool) -> MappedRegion:
        base, size = region.base, region.size
        if base % PAGE_SIZE or size % PAGE_SIZE or base < 0 or size <= 0 or base + size > PAGE_COUNT * PAGE_SIZE:
            raise AssemblyError(f"addresses {base:#x} to {base + size:#x} are not whole pages below 4 GiB", component=region.owner)
        if enabled and (rival := self._rival(region)):
            raise AddressOverlapError(f"{region} overlaps {rival}; a higher priority would cover it", component=region.owner)
        self._regions.append(region)
        region.set_enabled(enabled)
        return region

    @property
    def regions(self) -> tuple[MappedRegion, ...]:
        return tuple(self._regions)

    @property
    def shadowings(self) -> int:
        """How often a region came to cover another of its priority."""
        return self._shadowing.count

    def changed(self, region: MappedRegion, former_base: int) -> None:
        """`region` was moved from `former_base`, enabled or disabled."""
        if region.enabled:
            self._regions.remove(region)
            self._regions.append(region)
            self._shadowing.note(region, self._rival(region))
        page_count = region.size >> PAGE_SHIFT
        changes = self._repaint(former_base >> PAGE_SHIFT, page_count)
        if region.base != former_base:
            changes += self._repaint(region.base >> PAGE_SHIFT, page_count)
        if changes and self._memory_changed is not None:
            self._memory_changed(changes)

    def _rival(self, region: MappedRegion) -> MappedRegion | None:
        end = region.base + region.size
        for other in self._regions:
            if other is not region and other.enabled and other.priority == region.priority and other.base < end and region.base < other.base + other.size:
                return other
        return None

    def _repaint(self, first: int, count: int) -> list[MapChange]:
        """Flatten the pages anew and say which of them changed."""
        first, end = max(first, 0), min(first + count, PAGE_COUNT)
        if first >= end:
            return []
        kinds, places, mmio = self.kinds, self._places, self._mmio
        old_kinds, old_places = kinds[first:end], array("q", places[first:end].tobytes())
        old_mmio = {page: slot for page in range(first, end) if (slot := mmio.pop(page, None))} if _MMIO in old_kinds else {}
        kinds[first:end] = bytes(end - first)
        places[first:end] = array("q", bytes(8 * (end - first)))
        for region in sorted(self._regions, key=lambda region: region.priority):
            low, high = max(first, region.base >> PAGE_SHIFT), min(end, region.base + region.size >> PAGE_SHIFT)
            if region.enabled and low < high:
                self._paint(region, low, high)
        return self._differences(first, end, old_kinds, old_places, old_mmio)

    def _paint(self, region: MappedRegion, low: int, high: int) -> None:
        mmio = self._mmio
        if mmio:
            for page in range(low, high):
                mmio.pop(page, None)
        self.kinds[low:high] = bytes((region.kind,)) * (high - low)
        if region.handlers is not None:
            read, write, mask, smallest = region.handlers
            self._places[low:high] = array("q", bytes(8 * (high - low)))
            mmio.update(dict.fromkeys(range(low, high), (read, write, region.base, mask, smallest)))
        else:
            place = region.first_offset + (low << PAGE_SHIFT) - region.base + 1
            self._places[low:high] = array("q", range(place, place + (high - low << PAGE_SHIFT), PAGE_SIZE))

    def _differences(self, first: int, end: int, old_kinds: bytearray, old_places: array[int], old_mmio: Mapping[int, _MmioSlot]) -> list[MapChange]:
        kinds, places, mmio = self.kinds[first:end], array("q", self._places[first:end].tobytes()), self._mmio
        changes: list[MapChange] = []
        run_start = -1
        for start in range(0, end - first, _CHUNK):
            here = slice(start, start + _CHUNK)
            same = kinds[here] == old_kinds[here] and places[here] == old_places[here] and _MMIO not in old_kinds[here]
            for index in (start,) if same else range(start, min(start + _CHUNK, end - first)):
                page = first + index
                differs = not same and (kinds[index] != old_kinds[index] or places[index] != old_places[index] or mmio.get(page) != old_mmio.get(page))
                if differs and run_start < 0:
                    run_start = page
                elif not differs and run_start >= 0:
                    changes.append(MapChange(run_start, page - run_start))
                    run_start = -1
        if run_start >= 0:
            changes.append(MapChange(run_start, end - run_start))
        return changes

    # --- The processor's view ---------------------------------------------------------------------------------------------------------------------------------

    def listen(self, memory_changed: MemoryListener | None, code_changed: CodeListener | None) -> None:
        """Whom to tell of map changes and of memory written by others: the CPU backend."""
        self._memory_changed = memory_changed
        self._code_changed = code_changed

    def backing_offset(self, page: int) -> int:
        return self._places[page] - 1

    @property
    def a20_mask(self) -> int:
        return 0xFFFF_FFFF & self._cpu_mask

    def set_a20(self, open_gate: bool) -> None:
        mask = -1 if open_gate else ~A20
        if mask == self._cpu_mask:
            return
        self._cpu_mask = mask
        if self._memory_changed is not None:
            self._memory_changed([MapChange(0, PAGE_COUNT)])

    def mmio_read(self, address: int, size: int) -> int:
        address &= self._cpu_mask
        slot = self._mmio.get(address >> PAGE_SHIFT)
        if slot is not None and size & slot[3] and not address & (size - 1):
            try:
                return slot[0](address - slot[2], size)
            except Exception as error:
                raise self._failure(error, address, "read", size) from error
        return self._read_parts(address, size)

    def mmio_write(self, address: int, size: int, value: int) -> None:
        address &= self._cpu_mask
        slot = self._mmio.get(address >> PAGE_SHIFT)
        if slot is not None and size & slot[3] and not address & (size - 1):
            try:
                slot[1](address - slot[2], size, value)
            except Exception as error:
                raise self._failure(error, address, "write", size) from error
            return
        self._write_parts(address, size, value)

    def _read_parts(self, address: int, size: int) -> int:
        """An access that is misaligned, of a width that the handler does not take, over several pages, or not to MMIO at all."""
        value = done = 0
        while done < size:
            here = address + done
            room = min(size - done, PAGE_SIZE - (here & _OFFSET_IN_PAGE))
            slot = self._mmio.get(here >> PAGE_SHIFT)
            if slot is None:
                width = room
                part = self._read_plain(here, room)
            else:
                width, part = self._read_mmio_part(slot, here, room)
            value |= part << 8 * done
            done += width
        return value

    def _write_parts(self, address: int, size: int, value: int) -> None:
        done = 0
        while done < size:
            here = address + done
            room = min(size - done, PAGE_SIZE - (here & _OFFSET_IN_PAGE))
            part = value >> 8 * done & ALL_ONES[room]
            slot = self._mmio.get(here >> PAGE_SHIFT)
            if slot is None:
                self._write_plain(here, room, part)
                done += room
            else:
                done += self._write_mmio_part(slot, here, room, part)

    def _read_mmio_part(self, slot: _MmioSlot, address: int, room: int) -> tuple[int, int]:
        read, _, base, mask, smallest = slot
        offset = address - base
        width = WIDEST[mask][room]
        try:
            if width:
                return width, read(offset, width) & ALL_ONES[width]
            skew = offset % smallest
            width = min(room, smallest - skew)
            return width, read(offset - skew, smallest) >> 8 * skew & ALL_ONES[width]
        except Exception as error:
            raise self._failure(error, address, "read", room) from error

    def _write_mmio_part(self, slot: _MmioSlot, address: int, room: int, value: int) -> int:
        _, write, base, mask, smallest = slot
        offset = address - base
        width = WIDEST[mask][room]
        try:
            if width:
                write(offset, width, value & ALL_ONES[width])
                return width
            skew = offset % smallest
            width = min(room, smallest - skew)
            write(offset - skew, smallest, (value & ALL_ONES[width]) << 8 * skew)
            return width
        except Exception as error:
            raise self._failure(error, address, "write", room) from error

    def _read_plain(self, address: int, size: int) -> int:
        _, offset = self._run(address, size)
        if offset < 0:
            self.unmapped_reads += 1
            self._report("read from", address >> PAGE_SHIFT)
            return ALL_ONES[size]
        return int.from_bytes(self._view[offset : offset + size], "little")

    def _write_plain(self, address: int, size: int, value: int) -> None:
        page = address >> PAGE_SHIFT
        if 0 <= page < PAGE_COUNT and self.kinds[page] in (_RAM, _ROM):
            self.write(address, value.to_bytes(size, "little"))
            return
        self.unmapped_writes += 1
        self._report("write to", page)

    def _report(self, verb: str, page: int) -> None:
        if page not in self._reported and len(self._reported) < 1024:
            self._reported.add(page)
            self._log.debug("%s page %#x, where nothing is (reported once a page)", verb, page << PAGE_SHIFT)

    def _failure(self, error: Exception, address: int, verb: str, size: int) -> Exception:
        if isinstance(error, (DeviceError, BackendError)):
            return error
        slot = self._mmio.get(address >> PAGE_SHIFT)
        owners = (region.owner for region in self._regions if slot and region.handlers and region.handlers[:2] == slot[:2])
        return DeviceError(next(owners, "memory"), f"{verb} of {size} bytes at address {address:#010x}")

    # --- Bus masters ------------------------------------------------------------------------------------------------------------------------------------------

    def read(self, address: int, size: int) -> bytes:
        """What a bus master reads: RAM and ROM, all ones elsewhere."""
        room, offset = self._run(address, size)
        if room == size and offset >= 0:
            return bytes(self._view[offset : offset + size])
        parts = []
        while size > 0:
            room, offset = self._run(address, size)
            if offset >= 0:
                parts.append(bytes(self._view[offset : offset + room]))
            else:
                self.dropped_dma += 1
                parts.append(b"\xff" * room)
            address += room
            size -= room
        return b"".join(parts)

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """What a bus master writes: RAM only; the processor is told."""
        size = len(data)
        done = 0
        while done < size:
            here = address + done
            room, offset = self._run(here, size - done)
            if offset >= 0 and self.kinds[here >> PAGE_SHIFT] == _RAM:
                self._view[offset : offset + room] = data[done : done + room]
                if self._code_changed is not None:
                    self._code_changed(here, room)
            else:
                self.dropped_dma += 1
            done += room

    def _run(self, address: int, limit: int) -> tuple[int, int]:
        """How many bytes from `address` on, up to `limit`, are of one kind and lie side by side in the backing, and where; -1 for a page that does not."""
        page = address >> PAGE_SHIFT
        skipped = address & _OFFSET_IN_PAGE
        room = PAGE_SIZE - skipped
        if not 0 <= page < PAGE_COUNT or not self._places[page]:
            return min(room, limit), -1
        places, kinds = self._places, self.kinds
        place, kind = places[page], kinds[page]
        while room < limit and page + 1 < PAGE_COUNT and places[page + 1] == places[page] + PAGE_SIZE and kinds[page + 1] == kind:
            page += 1
            room += PAGE_SIZE
        return min(room, limit), place - 1 + skipped

    def statistics(self) -> Mapping[str, int]:
        return {
            "UnmappedReads": self.unmapped_reads,
            "UnmappedWrites": self.unmapped_writes,
            "DroppedDma": self.dropped_dma,
            "ShadowedRegions": self._shadowing.count,
        }
