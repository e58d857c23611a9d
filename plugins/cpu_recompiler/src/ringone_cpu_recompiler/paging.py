"""Guest page-table walks (SDM vol. 3, 4.3 and 4.4): none, 32-bit with 4 MiB pages, PAE with 2 MiB pages and execute-disable.

The slow path of the TLB-fill hook and every access that the VMM itself makes for the processor (descriptor tables, interrupt frames, task segments).
Accessed and dirty bits are
set as the processor would. Reserved bits are checked where 32-bit guests can see them: PAE directory pointers and entries beyond 4 GiB read as
unmapped memory, not as faults.
"""

from __future__ import annotations

import struct

from ringone.api.errors import BackendError

from ringone_cpu_recompiler.env import CR0_PG, CR0_WP, CR4_PAE, CR4_PSE, EFER_LMA, EFER_NXE, Q_CR0, Q_CR2, Q_CR3, Q_CR4, Q_EFER, Env
from ringone_cpu_recompiler.pages import CLASS_DIRECT, CLASS_FETCHED, CLASS_WRITABLE, PAGES, Pages

PTE_P = 1 << 0
PTE_W = 1 << 1
PTE_U = 1 << 2
PTE_A = 1 << 5
PTE_D = 1 << 6
PTE_PS = 1 << 7
PTE_NX = 1 << 63

_READABLE = PTE_P | PTE_A
_WRITABLE = PTE_P | PTE_W | PTE_A | PTE_D

PF_PRESENT = 1 << 0
PF_WRITE = 1 << 1
PF_USER = 1 << 2
PF_FETCH = 1 << 4

VECTOR_PF = 14

_ADDRESS_MASK = 0x000F_FFFF_FFFF_F000

READ, WRITE, FETCH = 0, 1, 2


class GuestFault(Exception):
    """An exception that the guest must see. `address` is CR2 for page faults."""

    def __init__(self, vector: int, error_code: int | None = None, address: int = 0) -> None:
        super().__init__(vector, error_code)
        self.vector = vector
        self.error_code = error_code
        self.address = address


class Paging:
    """Translation and linear memory access for one processor."""

    def __init__(self, env: Env, pages: Pages) -> None:
        self._q = env.q
        self._pages = pages
        self._classes = pages.classes
        self._frames = pages.frames
        self._backing = pages.backing
        self._words = pages.backing.cast("I")
        self._quads = pages.backing.cast("Q")

    def _direct(self, address: int, leaf_bits: int) -> int:
        """Where in the backing a supervisor access goes, in the usual case: plain memory, `leaf_bits` (accessed, dirty, writable) set already, A20 open. -1 in
        every other case, for which there is the long way."""
        q = self._q
        if not q[Q_CR0] & CR0_PG:
            page = address >> 12
        elif q[Q_CR4] & CR4_PAE:
            page = self._direct_pae(address, leaf_bits)
        else:
            page = self._direct_32bit(address, leaf_bits)
        wanted = CLASS_DIRECT | CLASS_WRITABLE if leaf_bits & PTE_W else CLASS_DIRECT
        if page < 0 or self._classes[page] & (wanted | CLASS_FETCHED) != wanted or not self._pages.a20_open:
            return -1
        return self._frames[page] << 12 | address & 0xFFF

    def locate(self, address: int) -> int:
        """The guest-physical page of plain memory behind a linear address, with no effect on the guest's tables; -1 where there is none, or where the walk
        would set an accessed bit."""
        q = self._q
        if not q[Q_CR0] & CR0_PG:
            page = address >> 12
        elif q[Q_CR4] & CR4_PAE:
            page = self._direct_pae(address, _READABLE)
        else:
            page = self._direct_32bit(address, _READABLE)
        return page if page >= 0 and self._classes[page] & CLASS_DIRECT and self._pages.a20_open else -1

    def region_is_mapped(self, address: int) -> bool:
        """Whether any of the page-directory entries for the 4 MiB at a linear address, a multiple of that, is present. Paging is on."""
        q, read = self._q, self._pages.read_u32
        if not q[Q_CR4] & CR4_PAE:
            return bool(read((q[Q_CR3] & 0xFFFFF000) + (address >> 20)) & PTE_P)
        pointer = read((q[Q_CR3] & 0xFFFFFFE0) + (address >> 30) * 8)
        if not pointer & PTE_P:
            return False
        entry = (pointer & 0xFFFFF000) + (address >> 21 & 0x1FF) * 8
        return bool((read(entry) | read(entry + 8)) & PTE_P)

    def _direct_32bit(self, address: int, leaf_bits: int) -> int:
        """The page of `_direct`, or -1."""
        q, classes, frames, words = self._q, self._classes, self._frames, self._words
        page = q[Q_CR3] >> 12
        if page >= PAGES or not classes[page] & CLASS_DIRECT:
            return -1
        entry = words[frames[page] << 10 | address >> 22]
        if entry & _READABLE != _READABLE:
            return -1
        if entry & PTE_PS and q[Q_CR4] & CR4_PSE:
            return entry >> 22 << 10 | address >> 12 & 0x3FF if entry & leaf_bits == leaf_bits else -1
        table = entry >> 12
        if leaf_bits & PTE_W & ~entry or not classes[table] & CLASS_DIRECT:
            return -1
        entry = words[frames[table] << 10 | address >> 12 & 0x3FF]
        return entry >> 12 if entry & leaf_bits == leaf_bits else -1

    def _direct_pae(self, address: int, leaf_bits: int) -> int:
        """The page of `_direct`, or -1; entries beyond 4 GiB take the long way."""
        q, classes, frames, quads = self._q, self._classes, self._frames, self._quads
        page = q[Q_CR3] >> 12
        if page >= PAGES or not classes[page] & CLASS_DIRECT:
            return -1
        entry = quads[frames[page] << 9 | (q[Q_CR3] >> 3 & 0x1FC) + (address >> 30)]
        table = entry >> 12
        if not entry & PTE_P or table >= PAGES or not classes[table] & CLASS_DIRECT:
            return -1
        entry = quads[frames[table] << 9 | address >> 21 & 0x1FF]
        table = (entry & ~PTE_NX) >> 12
        if entry & _READABLE != _READABLE or table >= PAGES:
            return -1
        if entry & PTE_PS:
            return table & ~0x1FF | address >> 12 & 0x1FF if entry & leaf_bits == leaf_bits else -1
        if leaf_bits & PTE_W & ~entry or not classes[table] & CLASS_DIRECT:
            return -1
        entry = quads[frames[table] << 9 | address >> 12 & 0x1FF]
        page = (entry & ~PTE_NX) >> 12
        return page if entry & leaf_bits == leaf_bits and page < PAGES else -1

    def _set_bits(self, address: int, entry: int, bits: int) -> None:
        self._pages.write(address, bytes([(entry | bits) & 0xFF]))

    def translate(self, address: int, access: int, user: bool) -> tuple[int, int]:
        """``(guest-physical address before A20, rights)`` of a linear address; rights has PTE_W where a store would succeed without another
        walk, and PTE_NX where a fetch would fault. Raises `GuestFault` with #PF."""
        q = self._q
        if not q[Q_CR0] & CR0_PG:
            return address, PTE_W
        if q[Q_CR4] & CR4_PAE:
            return self._translate_pae(address, access, user)
        return self._translate_32bit(address, access, user)

    def _fault(self, address: int, access: int, user: bool, present: int) -> GuestFault:
        code = present
        if access == WRITE:
            code |= PF_WRITE
        elif access == FETCH and self._nx_enabled():
            code |= PF_FETCH
        if user:
            code |= PF_USER
        return GuestFault(VECTOR_PF, code, address)

    def _nx_enabled(self) -> bool:
        return bool(self._q[Q_CR4] & CR4_PAE and self._q[Q_EFER] & EFER_NXE)

    def _translate_32bit(self, address: int, access: int, user: bool) -> tuple[int, int]:
        pde_address = (self._q[Q_CR3] & 0xFFFFF000) + (address >> 22) * 4
        pde = self._pages.read_u32(pde_address)
        if not pde & PTE_P:
            raise self._fault(address, access, user, 0)
        if pde & PTE_PS and self._q[Q_CR4] & CR4_PSE:
            rights = self._leaf(address, access, user, pde_address, pde, pde)
            return pde & 0xFFC00000 | address & 0x3FFFFF, rights
        if not pde & PTE_A:
            self._set_bits(pde_address, pde, PTE_A)
        pte_address = (pde & 0xFFFFF000) + (address >> 12 & 0x3FF) * 4
        pte = self._pages.read_u32(pte_address)
        if not pte & PTE_P:
            raise self._fault(address, access, user, 0)
        rights = self._leaf(address, access, user, pte_address, pte, pde & pte)
        return pte & 0xFFFFF000 | address & 0xFFF, rights

    def _translate_pae(self, address: int, access: int, user: bool) -> tuple[int, int]:
        if self._q[Q_EFER] & EFER_LMA:
            raise BackendError("recompiler", "the guest switched to long mode (EFER.LME, then CR0.PG), which this processor does not have: use a 32-bit system")
        pdpte = self._pages.read_u64((self._q[Q_CR3] & 0xFFFFFFE0) + (address >> 30) * 8)
        if not pdpte & PTE_P:
            raise self._fault(address, access, user, 0)
        pde_address = (pdpte & _ADDRESS_MASK) + (address >> 21 & 0x1FF) * 8
        pde = self._pages.read_u64(pde_address)
        if not pde & PTE_P:
            raise self._fault(address, access, user, 0)
        if pde & PTE_PS:
            if pde & PTE_NX and access == FETCH and self._nx_enabled():
                raise self._fault(address, access, user, PF_PRESENT)
            rights = self._leaf(address, access, user, pde_address, pde, pde)
            return pde & 0x000F_FFFF_FFE0_0000 | address & 0x1FFFFF, rights
        if not pde & PTE_A:
            self._set_bits(pde_address, pde, PTE_A)
        pte_address = (pde & _ADDRESS_MASK) + (address >> 12 & 0x1FF) * 8
        pte = self._pages.read_u64(pte_address)
        if not pte & PTE_P:
            raise self._fault(address, access, user, 0)
        if (pde | pte) & PTE_NX and access == FETCH and self._nx_enabled():
            raise self._fault(address, access, user, PF_PRESENT)
        rights = self._leaf(address, access, user, pte_address, pte, pde & pte | (pde | pte) & PTE_NX)
        return pte & _ADDRESS_MASK | address & 0xFFF, rights

    def _leaf(self, address: int, access: int, user: bool, entry_address: int, entry: int, combined: int) -> int:
        """Check the rights that both levels grant, set A and D, and say whether a store may follow."""
        if user and not combined & PTE_U:
            raise self._fault(address, access, user, PF_PRESENT)
        writable = bool(combined & PTE_W) or (not user and not self._q[Q_CR0] & CR0_WP)
        if access == WRITE and not writable:
            raise self._fault(address, access, user, PF_PRESENT)
        bits = PTE_A | PTE_D if access == WRITE else PTE_A
        if entry & bits != bits:
            self._set_bits(entry_address, entry, bits)
        rights = PTE_W if writable and (entry | bits) & PTE_D else 0
        return rights | PTE_NX if combined & PTE_NX and self._nx_enabled() else rights

    def set_cr2(self, address: int) -> None:
        self._q[Q_CR2] = address & 0xFFFFFFFF

    # Linear accesses of the VMM. They may cross a page.

    def read(self, address: int, size: int, user: bool = False) -> bytes:
        """Bytes at a linear address, with the rights of a supervisor unless `user`. Raises `GuestFault`."""
        address &= 0xFFFFFFFF
        if (address & 0xFFF) + size <= 0x1000:
            offset = -1 if user else self._direct(address, _READABLE)
            if offset >= 0:
                return bytes(self._backing[offset : offset + size])
            return self._pages.read(self.translate(address, READ, user)[0], size)
        first = 0x1000 - (address & 0xFFF)
        return self.read(address, first, user) + self.read(address + first, size - first, user)

    def check_write(self, address: int, size: int, user: bool = False) -> None:
        """Raise the `GuestFault` that a store would raise, before anything is stored."""
        address &= 0xFFFFFFFF
        self.translate(address, WRITE, user)
        if (address & 0xFFF) + size > 0x1000:
            self.translate((address + size - 1) & 0xFFFFF000, WRITE, user)

    def write(self, address: int, data: bytes, user: bool = False) -> None:
        address &= 0xFFFFFFFF
        if (address & 0xFFF) + len(data) <= 0x1000:
            offset = -1 if user else self._direct(address, _WRITABLE)
            if offset >= 0:
                self._backing[offset : offset + len(data)] = data
                return
            self._pages.write(self.translate(address, WRITE, user)[0], data)
            return
        self.check_write(address, len(data), user)
        first = 0x1000 - (address & 0xFFF)
        self.write(address, data[:first], user)
        self.write(address + first, data[first:], user)

    def read_u16(self, address: int, user: bool = False) -> int:
        return int(struct.unpack("<H", self.read(address, 2, user))[0])

    def read_u32(self, address: int, user: bool = False) -> int:
        return int(struct.unpack("<I", self.read(address, 4, user))[0])
