"""What an owner of the engine needs to run a guest's ring 0 at ring 1: memory of the VMM that only ring 0 to 2 see, through a window of linear addresses;
fetch views, which are copies of guest pages that instruction fetches at ring 1 see and data accesses do not; and watched pages, whose writes are noticed.

Nothing here has an effect until `enter`; `leave` gives the guest its own rings back. Both drop the TLB.
"""

from __future__ import annotations

import array
import ctypes
import enum

import attrs
from ringone.api.memory import PAGE_SHIFT, PAGE_SIZE

from ringone_cpu_recompiler import binding, stubs
from ringone_cpu_recompiler.binding import Unicorn
from ringone_cpu_recompiler.env import HF_CPL
from ringone_cpu_recompiler.pages import PAGES, Pages
from ringone_cpu_recompiler.paging import FETCH

VMM_BASE = 1 << 37
"""Where the VMM's memory lies in the engine's physical addresses."""
_VMM_FRAME = VMM_BASE >> PAGE_SHIFT


LONGEST_PATCH = 1 << 16
"""Progress units beyond the budget after which code in the window is stopped as well. Nothing that the VMM put there takes as much; a guest that jumps to the
middle of it may find an endless loop."""


class Watch(enum.Enum):
    """What happens at a guest write to a watched page."""

    STOP = "stop"
    """`Engine.run` returns `Stop.WATCHED` before the writing instruction has done anything."""
    TELL = "tell"
    """`EngineEvents.watched_write` does it."""


@attrs.frozen(kw_only=True)
class Window:
    """Linear addresses ``[base, base + size)`` show the VMM's memory from its start, the first `code` bytes of it for fetches only. Multiples of a page."""

    base: int
    size: int
    code: int


class Vmm:
    """The VMM's side of one engine's address translation."""

    def __init__(self, unicorn: Unicorn, words: memoryview, pages: Pages) -> None:
        self._unicorn = unicorn
        self._words = words
        self._halves = words.cast("B").cast("I")
        self._pages = pages
        self._views = array.array("Q")
        self._window = Window(base=0, size=0, code=0)
        self._memory = memoryview(b"")
        self.watched: dict[int, Watch] = pages.watched
        self.active = False

    def map(self, address: int, size: int) -> None:
        """Give the VMM `size` bytes of memory, which lie at this host address for as long as the engine lives. Once."""
        self._unicorn.map_memory(VMM_BASE, size, address)
        self._memory = memoryview((ctypes.c_uint8 * size).from_address(address)).cast("B")

    def place_window(self, window: Window) -> None:
        """Takes effect at the next `enter`."""
        self._window = window

    def _make_views(self) -> None:
        """8 MiB, which a guest that never comes so far need not have."""
        if not self._views:
            self._views = array.array("Q", bytes(8 * PAGES))
            self._anchor = ctypes.c_uint64.from_buffer(self._views)

    def enter(self) -> None:
        self._make_views()
        window, halves = self._window, self._halves
        halves[stubs.WINDOW_BASE // 4] = window.base
        halves[stubs.WINDOW_SIZE // 4] = window.size
        halves[stubs.WINDOW_CODE // 4] = window.code
        halves[stubs.WINDOW_FRAME // 4] = _VMM_FRAME
        self._words[stubs.VIEWS // 8] = ctypes.addressof(self._anchor)
        self.active = True
        self._unicorn.flush_tlb()

    def leave(self) -> None:
        self._halves[stubs.WINDOW_SIZE // 4] = 0
        self._words[stubs.VIEWS // 8] = 0
        self.active = False
        self._unicorn.flush_tlb()

    # --- Views and watches: the caller drops the TLB when it is done ----------------------------------------

    def show(self, page: int, linear_page: int, offset: int) -> None:
        """Have fetches at ring 1 from guest-physical `page` through `linear_page` see the VMM's memory at `offset`."""
        self._make_views()
        self._views[page] = linear_page << 32 | (VMM_BASE + offset) >> PAGE_SHIFT

    def hide(self, page: int) -> None:
        self._views[page] = 0

    def has_view(self, page: int) -> bool:
        """Whether some fetches from a guest-physical page see something else."""
        return self.active and self._views[page] != 0

    def watch(self, page: int, how: Watch) -> None:
        self._pages.watch(page, how)

    def unwatch(self, page: int) -> None:
        self._pages.unwatch(page)

    # --- Translation ----------------------------------------

    def answer(self, address: int, access: int, hflags: int, system_access: bool) -> tuple[int, int] | None:
        """``(the engine's address, PROT bits)`` where a linear page belongs to the window, for this access and ring."""
        offset = address - self._window.base & 0xFFFFFFFF
        if not self.active or offset >= self._window.size or (hflags & HF_CPL == 3 and not system_access):
            return None
        if offset < self._window.code:
            return (VMM_BASE + offset & -PAGE_SIZE, binding.PROT_EXEC) if access == FETCH else None
        return None if access == FETCH else (VMM_BASE + offset & -PAGE_SIZE, binding.PROT_READ | binding.PROT_WRITE)

    def contains(self, address: int) -> bool:
        """Whether a linear address lies in the window while there is one."""
        return self.active and (address - self._window.base & 0xFFFFFFFF) < self._window.size

    def window_address(self, address: int) -> int:
        """The engine's address of a linear one in the window."""
        return VMM_BASE + (address - self._window.base & 0xFFFFFFFF)

    def read(self, address: int, size: int) -> bytes:
        """The VMM's memory at one of the engine's addresses."""
        offset = address - VMM_BASE
        return bytes(self._memory[offset : offset + size])

    def view(self, page: int, address: int, hflags: int) -> int:
        """The engine's address of what a fetch at a linear address sees instead of a guest-physical page; 0 for the page itself."""
        if not self.active or hflags & HF_CPL != 1:
            return 0
        view = self._views[page]
        return (view & 0xFFFFFFFF) << PAGE_SHIFT if view and view >> 32 == address >> PAGE_SHIFT else 0
