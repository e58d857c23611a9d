"""Shadows of the guest's GDT and LDT (VirtualBox's SELM): what the processor reads while the guest's ring 0 runs at ring 1.

A descriptor of DPL 0 becomes one of DPL 1. What the processor must not take as it is - system descriptors, descriptors of the guest's own DPL 1, of 64-bit
code, or of data without the accessed bit, which loading would have to set in the guest's table - is not present in the shadow: loading it faults, and the
recompiler does it as the guest's tables say. Code descriptors are always accessed here, and nothing is set in the guest's table, as the engine has it too.
The pages of the tables are watched, so the shadow follows at once.
"""

from __future__ import annotations

import struct

import attrs
from ringone.api.memory import PAGE_SIZE
from ringone_cpu_recompiler import layout
from ringone_cpu_recompiler.env import D_LIMIT, D_SELECTOR, DESC_A, DESC_C, DESC_CODE, DESC_DPL_SHIFT, DESC_P, DESC_S, GDT, LDT, Q_BASE, Q_CR3

from ringone_cpu_patm import state_page, vmm_memory
from ringone_cpu_patm.fast_return import sysexit_selector
from ringone_cpu_patm.vmm_memory import VmmMemory
from ringone_cpu_patm.world import Watch, World

DPL = 3 << DESC_DPL_SHIFT
RAISED = 1 << DESC_DPL_SHIFT
"""The DPL, in the high doubleword, that stands for the guest's 0."""
LONG = 1 << 21
"""The L bit, in the high doubleword."""
_W_SYSEXIT_CS = state_page.SYSEXIT_CS // 4
_W_KERNEL_CS = state_page.KERNEL_CS // 4
_W_FLAT_DATA = state_page.FLAT_DATA // 4
_NO_SELECTOR = 0x10000
"""Equal to no selector."""
_FLAT_KERNEL_CODE = ((0x0000FFFF, 0x00CF9B00 | RAISED), (0x0000FFFF, 0x00CF9900 | RAISED))
"""Base 0, 4 GiB, 32 bits, present, accessed: readable or not."""
_BASE_LOW, _BASE_HIGH = 0xFFFF0000, 0xFF0000FF
"""The bits of a descriptor's two words that hold the base."""
_D_SYSENTER_CS = layout.SYSENTER_CS // 4


def shadow_of(low: int, high: int) -> tuple[int, int]:
    """The shadow of one descriptor."""
    if not high & DESC_S or high & LONG or high & DPL == RAISED:
        return 0, 0
    if high & DESC_CODE:
        high |= DESC_A
    elif not high & DESC_A:
        high &= ~DESC_P
    if not high & DPL and high & (DESC_CODE | DESC_C) != DESC_CODE | DESC_C:
        high |= RAISED
    return low, high


@attrs.frozen(kw_only=True)
class _Place:
    """Part of a table: `start` and `length` in its page, `shadow` in the VMM's memory, `linear` as the guest addresses it."""

    start: int
    length: int
    shadow: int
    linear: int


class DescriptorShadow:
    """Shadow tables of one processor."""

    def __init__(self, world: World, memory: VmmMemory) -> None:
        self._world = world
        self._env = world.env
        self._bytes = memory.bytes
        self._state = memory.state
        self._gdt = memory.bytes[vmm_memory.GDT : vmm_memory.LDT]
        self._key: tuple[int, ...] = ()
        self._kernel_cs = 0
        self._places: dict[int, list[_Place]] = {}
        """By watched page."""
        self.limits = (-1, -1)
        """Of the shadow GDT and LDT; -1 for none."""
        self._taken: list[int] = []
        self._data = 0
        self._state[_W_FLAT_DATA] = _NO_SELECTOR
        self.rebuilds = 0
        self.writes = 0

    def sync(self) -> None:
        """Make the shadows those of the current tables."""
        q, d = self._env.q, self._env.d
        key = (q[Q_BASE[GDT]], d[D_LIMIT[GDT]], d[D_SELECTOR[LDT]] and q[Q_BASE[LDT]], d[D_SELECTOR[LDT]] and d[D_LIMIT[LDT]], q[Q_CR3])
        if key != self._key:
            self._rebuild(key)

    def forget(self) -> None:
        """Build the shadows anew at the next `sync`."""
        self._key = ()

    def abandon(self) -> None:
        """There are no shadows, and no page is watched for them, until the next `sync`."""
        for page in self._places:
            self._world.unwatch(page)
        self._places = {}
        self.limits = (-1, -1)
        self._taken.clear()
        self.forget()

    def taken(self) -> list[int]:
        """Pages that have become part of a table since the last call."""
        taken, self._taken = self._taken, []
        return taken

    def owns(self, page: int) -> bool:
        """Whether a table lies in this guest-physical page."""
        return page in self._places

    def _rebuild(self, key: tuple[int, ...]) -> None:
        q, d = self._env.q, self._env.d
        gdt_limit = d[D_LIMIT[GDT]] & 0xFFFF
        ldt_limit = d[D_LIMIT[LDT]] & 0xFFFF if d[D_SELECTOR[LDT]] & 0xFFFC else -1
        places: dict[int, list[_Place]] = {}
        self._place(places, q[Q_BASE[GDT]], gdt_limit, vmm_memory.GDT)
        self._place(places, q[Q_BASE[LDT]], ldt_limit, vmm_memory.LDT)
        self._key = key
        if places == self._places and self.limits == (gdt_limit, ldt_limit):
            return
        self.rebuilds += 1
        for page in self._places.keys() - places.keys():
            self._world.unwatch(page)
        for page in places.keys() - self._places.keys():
            self._world.watch(page, Watch.TELL)
            self._taken.append(page)
        self._world.flush_tlb()
        self._forget_data()
        self._places = places
        self.limits = (gdt_limit, ldt_limit)
        for size, shadow in ((gdt_limit + 1, vmm_memory.GDT), (ldt_limit + 1, vmm_memory.LDT)):
            self._bytes[shadow : shadow + size] = bytes(size)
        for page in places:
            self.written(page, 0, PAGE_SIZE)
        self.show_sysexit()

    def _place(self, places: dict[int, list[_Place]], base: int, limit: int, shadow: int) -> None:
        """Note where the bytes of a table lie. What is not in plain, present memory has no shadow, and loading from it faults."""
        size = limit + 1 & ~7
        done = 0
        while done < size:
            linear = base + done & 0xFFFFFFFF
            length = min(PAGE_SIZE - (linear & PAGE_SIZE - 1), size - done)
            page = self._world.locate(linear)
            if page >= 0:
                places.setdefault(page, []).append(_Place(start=linear & PAGE_SIZE - 1, length=length, shadow=shadow + done, linear=linear))
            done += length

    def written(self, page: int, offset: int, size: int) -> None:
        """Bytes of a page with part of a table have changed: follow."""
        self.writes += 1
        for place in self._places.get(page, ()):
            first = max(offset, place.start) - place.start
            end = min(offset + size, place.start + place.length) - place.start
            for shadow in range(place.shadow + first & ~7, place.shadow + end, 8):
                self._copy(shadow, place.linear + shadow - place.shadow & 0xFFFFFFFF)
                if shadow == vmm_memory.GDT + self._kernel_cs:
                    self._state[_W_KERNEL_CS] = _NO_SELECTOR
                if shadow == vmm_memory.GDT + (self._data & 0xFFF8):
                    self._forget_data()
        self.show_sysexit()

    def show_kernel_cs(self, selector: int) -> None:
        """Tell patches which selector stands for the code segment that is loaded: it, while its descriptor is still the flat one of ring 0, else none."""
        offset = selector & 0xFFF8
        known = not selector & 4 and offset + 7 <= self.limits[0] and struct.unpack_from("<II", self._gdt, offset) in _FLAT_KERNEL_CODE
        self._state[_W_KERNEL_CS] = selector if known else _NO_SELECTOR
        self._kernel_cs = offset

    def show_data(self, selector: int, base: int) -> None:
        """Tell patches for which selector in DS, which now holds this one with this base, the base is 0: it, while its descriptor says so too, else none."""
        if base:
            self._forget_data()
        elif selector != self._data:
            self._forget_data()
            offset = selector & 0xFFF8
            if offset and not selector & 4 and offset + 7 <= self.limits[0]:
                low, high = struct.unpack_from("<II", self._gdt, offset)
                if high & DESC_P and not low & _BASE_LOW and not high & _BASE_HIGH:
                    self._data = self._state[_W_FLAT_DATA] = selector

    def _forget_data(self) -> None:
        self._data = 0
        self._state[_W_FLAT_DATA] = _NO_SELECTOR

    def show_sysexit(self) -> None:
        """Tell patches whether IRETD may stand for SYSEXIT. The shadow does not differ from the guest's table in descriptors of which that is true."""
        self._state[_W_SYSEXIT_CS] = sysexit_selector(self._gdt, self.limits[0], self._env.d[_D_SYSENTER_CS])

    def _copy(self, shadow: int, linear: int) -> None:
        world, first = self._world, PAGE_SIZE - (linear & PAGE_SIZE - 1)
        data = b""
        for address, size in ((linear, min(first, 8)), (linear + first & 0xFFFFFFFF, 8 - first)):
            page = world.locate(address) if size > 0 else -1
            if page >= 0:
                start = address & PAGE_SIZE - 1
                data += bytes(world.content(page)[start : start + size])
        low, high = struct.unpack("<II", data) if len(data) == 8 else (0, 0)
        struct.pack_into("<II", self._bytes, shadow, *shadow_of(low, high))
