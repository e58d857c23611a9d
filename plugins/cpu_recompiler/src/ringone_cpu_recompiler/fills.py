"""What a TLB miss of the engine is answered, in full: the guest's page tables, device pages, code pages, the VMM's window, views and watches (`vmm`).

Plain memory is answered by machine code (`stubs`) with the same result; whatever that leaves comes here.
"""

from __future__ import annotations

import array
from collections.abc import Callable

from ringone.api.memory import PAGE_SHIFT, PAGE_SIZE, PhysicalMemory

from ringone_cpu_recompiler import binding
from ringone_cpu_recompiler.binding import Unicorn
from ringone_cpu_recompiler.env import CS, D_HFLAGS, D_LIMIT, GDT, LDT, Q_BASE, Q_EIP, TR, Env
from ringone_cpu_recompiler.instructions import CurrentInstruction
from ringone_cpu_recompiler.pages import CLASS_DIRECT, CLASS_FETCHED, CLASS_WRITABLE, PAGES, Pages
from ringone_cpu_recompiler.paging import FETCH, PTE_NX, PTE_W, READ, WRITE, GuestFault, Paging
from ringone_cpu_recompiler.vmm import Vmm, Watch

MMIO_BASE = 1 << 36
OPEN_BUS = MMIO_BASE + (PAGES + 1 << PAGE_SHIFT)
"""A page of ones: what a fetch finds where there is no memory. Code cannot run from MMIO."""

_DATA_AGAIN_AFTER = 4
"""A code page's patience: write misses after which it counts as data. Each time that was wrong, because code is fetched from it again, it gets eight times as
much, in the end an endless one (0)."""
_LONGEST_PATIENCE = 0xFFFF


class WatchedWrite(Exception):
    """A write to a page under `Watch.STOP`, whose guest-physical number is `page`."""

    def __init__(self, page: int) -> None:
        super().__init__(page)
        self.page = page


class TlbFills:
    """Answers for one engine. `drop_translations` forgets the code of a guest-physical page."""

    def __init__(
        self,
        unicorn: Unicorn,
        env: Env,
        memory: PhysicalMemory,
        pages: Pages,
        paging: Paging,
        instruction: CurrentInstruction,
        vmm: Vmm,
        drop_translations: Callable[[int], None],
    ) -> None:
        self._unicorn = unicorn
        self._env = env
        self._memory = memory
        self._classes = pages.classes
        self._frames = pages.frames
        self._paging = paging
        self._instruction = instruction
        self._vmm = vmm
        self._drop_translations = drop_translations
        self.patience = array.array("H", bytes(2 * PAGES))
        """By frame; machine code counts it down."""
        self._next_patience: dict[int, int] = {}

    def forget_patience(self) -> None:
        self.patience[:] = array.array("H", bytes(2 * PAGES))
        self._next_patience.clear()

    def answer(self, address: int, access: int) -> tuple[int, int]:
        """``(Unicorn's address, PROT bits)`` for one page. Raises `GuestFault`, and `WatchedWrite` where a write must not happen yet."""
        user = self._env.cpl == 3
        if self._vmm.contains(address):
            answer = self._vmm.answer(address, access, self._env.d[D_HFLAGS], user and access != FETCH and self._is_system_access(address))
            if answer is not None:
                return answer
        try:
            physical, rights = self._paging.translate(address, access, user)
        except GuestFault:
            if not user or access == FETCH or not self._is_system_access(address):
                raise
            physical, rights = self._paging.translate(address, access, False)
        page = (physical & (self._memory.a20_mask if physical < 1 << 32 else -1)) >> PAGE_SHIFT
        page_class = self._classes[page] if page < PAGES else 0
        if not page_class & CLASS_DIRECT:
            if access == FETCH:
                return OPEN_BUS, binding.PROT_EXEC
            writable = access == WRITE or rights & PTE_W
            return MMIO_BASE + (min(page, PAGES) << PAGE_SHIFT), binding.PROT_READ | binding.PROT_WRITE if writable else binding.PROT_READ
        frame = self._frames[page]
        paddr = frame << PAGE_SHIFT
        if access == FETCH:
            view = self._vmm.view(page, address, self._env.d[D_HFLAGS])
            if view:
                return view, binding.PROT_EXEC
            if not page_class & CLASS_FETCHED:
                self._classes[page] |= CLASS_FETCHED
                self.patience[frame] = self._next_patience.get(frame, _DATA_AGAIN_AFTER)
                self._unicorn.flush_tlb()
            return paddr, binding.PROT_READ | binding.PROT_EXEC
        if access == WRITE and not page_class & CLASS_WRITABLE:
            if self._vmm.watched.get(page) is Watch.STOP:
                raise WatchedWrite(page)
            return MMIO_BASE + (page << PAGE_SHIFT), binding.PROT_WRITE
        if page_class & CLASS_FETCHED:
            return paddr, self._rights_to_code_page(page, frame, access, rights)
        if access == WRITE or (rights & PTE_W and page_class & CLASS_WRITABLE):
            return paddr, binding.PROT_READ | binding.PROT_WRITE
        return paddr, binding.PROT_READ

    def _rights_to_code_page(self, page: int, frame: int, access: int, rights: int) -> int:
        """PROT bits for a data access. Where it is mapped no-execute, has a view, which fetches must not get around, or its patience is over, the page becomes
        data on a write. Where only its patience is over and the block that writes may lie in it, it stays code with more patience: the block would not notice
        without X that it changes what it runs next."""
        if access == READ:
            return binding.PROT_READ if rights & PTE_NX or self._vmm.active else binding.PROT_READ | binding.PROT_EXEC
        if not self._vmm.has_view(page):
            patience = self.patience[frame]
            if patience != 1 and not rights & PTE_NX:
                self.patience[frame] = patience - 1 if patience else 0
                return binding.UC_PROT_ALL
            longer = self._next_patience.get(frame, _DATA_AGAIN_AFTER) * 8
            self._next_patience[frame] = longer if longer <= _LONGEST_PATIENCE else 0
            if not rights & PTE_NX and self._may_be_running(page):
                self.patience[frame] = self._next_patience[frame]
                return binding.UC_PROT_ALL
        self._drop_translations(page)
        self._classes[page] &= ~CLASS_FETCHED
        return binding.PROT_READ | binding.PROT_WRITE

    def _may_be_running(self, page: int) -> bool:
        """Whether what is left of the block that runs may lie in a guest-physical page. EIP is in that block, which may reach into a second page."""
        address = self._env.q[Q_BASE[CS]] + self._env.q[Q_EIP] & 0xFFFFFFFF
        if self._vmm.contains(address):
            return False
        found = self._paging.locate(address)
        return found < 0 or page in (found, self._paging.locate(address + PAGE_SIZE & 0xFFFFFFFF))

    def _is_system_access(self, address: int) -> bool:
        """Whether a user-mode access that the page tables forbid is really the processor reading a descriptor table or the TSS, which it does
        as a supervisor.

        Unicorn tells only the page, so both must fit: the page holds part of a table, and the instruction is one that uses tables."""
        q, d = self._env.q, self._env.d
        for table in (GDT, LDT, TR):
            if q[Q_BASE[table]] & 0xFFFFF000 <= address <= q[Q_BASE[table]] + d[D_LIMIT[table]]:
                break
        else:
            return False
        return self._instruction.uses_tables()
