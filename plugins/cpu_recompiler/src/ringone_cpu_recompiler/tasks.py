"""Hardware task switches that start in the VMM: interrupts through task gates (SDM vol. 3, chapter 7).

16- and 32-bit TSS; the outgoing task is saved, the incoming loaded, links and busy bits kept. JMP, CALL and IRET to tasks are done by the engine, which then
goes on in the wrong place: `repair` puts that right.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from ringone_cpu_recompiler.descriptors import (
    TYPE_BUSY,
    TYPE_LDT,
    TYPE_TSS16,
    TYPE_TSS32,
    VECTOR_GP,
    VECTOR_NP,
    VECTOR_SS,
    VECTOR_TS,
    Descriptors,
    base_of,
    dpl_of,
    limit_of,
    system_type,
    task_type,
)
from ringone_cpu_recompiler.env import (
    ARITHMETIC_FLAGS,
    CR0_PG,
    CR0_TS,
    CS,
    D_FLAGS,
    D_LIMIT,
    D_SELECTOR,
    DESC_B,
    DESC_C,
    DESC_CODE,
    DESC_P,
    DESC_S,
    DESC_W,
    DS,
    ES,
    ESP,
    FLAG_DF,
    FLAG_NT,
    FLAG_VM,
    FS,
    GS,
    LDT,
    LOADED_BY_US,
    Q_BASE,
    Q_CR0,
    Q_CR3,
    Q_EFLAGS,
    Q_EIP,
    SS,
    TR,
    Env,
)
from ringone_cpu_recompiler.paging import GuestFault, Paging

_TSS32_SIZE = 104
_TSS16_SIZE = 44
_TSS32_CR3 = 28
_TSS32_STATE = 32
_TSS16_STATE = 14
_SEGMENTS = (ES, CS, SS, DS, FS, GS)


def repair(env: Env, paging: Paging) -> bool:
    """After TR was loaded inside the engine: where that was a task switch, EIP and the arithmetic flags of the new task.

    A TLB miss makes the engine recompute both from the place in its translation, and behind the load of CR3 the switch has misses: EIP is that of the switching
    instruction again. No instruction of the new task has run yet, so everything else is as in its TSS, which an LTR does not bring about. Whether it was a task
    switch."""
    q, d = env.q, env.d
    wide = task_type(d[D_FLAGS[TR]]) == TYPE_TSS32
    size, offset = (_TSS32_SIZE, _TSS32_STATE) if wide else (_TSS16_SIZE, _TSS16_STATE)
    if not q[Q_CR0] & CR0_TS or d[D_LIMIT[TR]] < size - 1:
        return False
    try:
        image = paging.read(q[Q_BASE[TR]], size)
    except GuestFault:
        return False
    eip, flags, *registers = struct.unpack_from("<10I" if wide else "<10H", image, offset)
    mask = 0xFFFFFFFF if wide else 0xFFFF
    if registers != [q[index] & mask for index in range(8)]:
        return False
    if wide:
        selectors = [value & 0xFFFF for value in struct.unpack_from("<6I", image, _TSS32_STATE + 40)]
        if selectors != [d[D_SELECTOR[register]] & 0xFFFF for register in _SEGMENTS]:
            return False
        if q[Q_CR0] & CR0_PG and q[Q_CR3] & 0xFFFFFFFF != struct.unpack_from("<I", image, _TSS32_CR3)[0]:
            return False
    q[Q_EIP] = eip
    env.eflags = q[Q_EFLAGS] & ~(ARITHMETIC_FLAGS | FLAG_DF) | flags & (ARITHMETIC_FLAGS | FLAG_DF)
    return True


class TaskSwitcher:
    """Task switches of one processor. `flush_tlb` is called when CR3 changes."""

    def __init__(self, env: Env, paging: Paging, descriptors: Descriptors, flush_tlb: Callable[[], None]) -> None:
        self._env = env
        self._paging = paging
        self._descriptors = descriptors
        self._flush_tlb = flush_tlb

    def switch(self, selector: int, external: int) -> None:
        """Switch to the task of a TSS selector, nested under the current one. Raises `GuestFault` in the old task's context until the switch
        is committed, in the new one's after."""
        env, paging = self._env, self._paging
        q, d = env.q, env.d
        if selector & 4 or not selector & 0xFFFC:
            raise GuestFault(VECTOR_TS, selector & 0xFFFC | external)
        low, high, address = self._descriptors.find(selector, VECTOR_GP, external)
        tss_type = system_type(high)
        if tss_type not in (TYPE_TSS16, TYPE_TSS32):
            raise GuestFault(VECTOR_TS, selector & 0xFFFC | external)
        if not high & DESC_P:
            raise GuestFault(VECTOR_NP, selector & 0xFFFC | external)
        wide = tss_type == TYPE_TSS32
        size = _TSS32_SIZE if wide else _TSS16_SIZE
        if limit_of(low, high) < size - 1:
            raise GuestFault(VECTOR_TS, selector & 0xFFFC | external)
        new_base = base_of(low, high)
        image = paging.read(new_base, size)
        old_wide = task_type(d[D_FLAGS[TR]]) == TYPE_TSS32
        self._save_outgoing(old_wide)
        paging.write(new_base, struct.pack("<H", d[D_SELECTOR[TR]]))
        paging.write(address + 5, bytes([(high >> 8 | TYPE_BUSY) & 0xFF]))
        env.set_segment(TR, selector, new_base, limit_of(low, high), high | LOADED_BY_US)
        q[Q_CR0] |= CR0_TS
        self._load_incoming(image, wide)

    def _save_outgoing(self, wide: bool) -> None:
        env = self._env
        q, d = env.q, env.d
        registers = [q[Q_EIP], env.eflags, *(q[index] & 0xFFFFFFFF for index in range(8))]
        selectors = [d[D_SELECTOR[register]] for register in _SEGMENTS]
        if wide:
            data = struct.pack("<10I", *registers) + b"".join(struct.pack("<I", selector) for selector in selectors)
            offset = _TSS32_STATE
        else:
            data = struct.pack("<10H", *(value & 0xFFFF for value in registers)) + struct.pack("<4H", *selectors[:4])
            offset = _TSS16_STATE
        self._paging.write(q[Q_BASE[TR]] + offset, data)

    def _load_incoming(self, image: bytes, wide: bool) -> None:
        env = self._env
        q = env.q
        if wide:
            eip, flags, *registers = struct.unpack_from("<10I", image, _TSS32_STATE)
            selectors = [value & 0xFFFF for value in struct.unpack_from("<7I", image, _TSS32_STATE + 40)]
            ldt = selectors.pop()
            if q[Q_CR0] & CR0_PG:
                q[Q_CR3] = struct.unpack_from("<I", image, _TSS32_CR3)[0]
                self._flush_tlb()
        else:
            eip, flags, *registers = struct.unpack_from("<10H", image, _TSS16_STATE)
            registers = [value | 0xFFFF0000 for value in registers]
            selectors = [*struct.unpack_from("<4H", image, _TSS16_STATE + 20), 0, 0]
            (ldt,) = struct.unpack_from("<H", image, _TSS16_STATE + 28)
        for index, value in enumerate(registers):
            q[index] = value
        q[Q_EIP] = eip
        env.eflags = flags | FLAG_NT
        self._load_ldt(ldt)
        if flags & FLAG_VM:
            for register, selector in zip(_SEGMENTS, selectors, strict=True):
                env.set_v86_segment(register, selector)
            env.update_hflags(3)
        else:
            self._load_segments(selectors)

    def _load_ldt(self, selector: int) -> None:
        self._env.set_segment(LDT, selector, 0, 0, 0)
        if not selector & 0xFFFC:
            return
        if selector & 4:
            raise GuestFault(VECTOR_TS, selector & 0xFFFC)
        low, high, _ = self._descriptors.find(selector, VECTOR_TS)
        if system_type(high) != TYPE_LDT or not high & DESC_P:
            raise GuestFault(VECTOR_TS, selector & 0xFFFC)
        self._descriptors.load(LDT, selector, low, high)

    def _load_segments(self, selectors: list[int]) -> None:
        descriptors = self._descriptors
        es, cs, ss, ds, fs, gs = selectors
        cpl = cs & 3
        for register, selector in zip(_SEGMENTS, selectors, strict=True):
            descriptors.load_null(register, selector)
        self._env.update_hflags(cpl)
        low, high, address = self._find_code(cs, cpl)
        descriptors.load(CS, cs, low, descriptors.set_accessed(address, high))
        self._env.update_hflags(cpl)
        low, high, address = self._find_stack(ss, cpl)
        descriptors.load(SS, ss, low, descriptors.set_accessed(address, high))
        self._env.update_hflags(cpl)
        for register, selector in ((ES, es), (DS, ds), (FS, fs), (GS, gs)):
            if selector & 0xFFFC:
                low, high, address = self._find_data(selector, cpl)
                descriptors.load(register, selector, low, descriptors.set_accessed(address, high))
        self._env.update_hflags(cpl)

    def _find_code(self, selector: int, cpl: int) -> tuple[int, int, int]:
        if not selector & 0xFFFC:
            raise GuestFault(VECTOR_TS, 0)
        low, high, address = self._descriptors.find(selector, VECTOR_TS)
        dpl = dpl_of(high)
        if not high & DESC_S or not high & DESC_CODE or (dpl > cpl if high & DESC_C else dpl != cpl):
            raise GuestFault(VECTOR_TS, selector & 0xFFFC)
        if not high & DESC_P:
            raise GuestFault(VECTOR_NP, selector & 0xFFFC)
        return low, high, address

    def _find_stack(self, selector: int, cpl: int) -> tuple[int, int, int]:
        if not selector & 0xFFFC:
            raise GuestFault(VECTOR_TS, 0)
        low, high, address = self._descriptors.find(selector, VECTOR_TS)
        if not high & DESC_S or high & DESC_CODE or not high & DESC_W or dpl_of(high) != cpl or selector & 3 != cpl:
            raise GuestFault(VECTOR_TS, selector & 0xFFFC)
        if not high & DESC_P:
            raise GuestFault(VECTOR_SS, selector & 0xFFFC)
        return low, high, address

    def _find_data(self, selector: int, cpl: int) -> tuple[int, int, int]:
        low, high, address = self._descriptors.find(selector, VECTOR_TS)
        readable = not high & DESC_CODE or high & DESC_W
        conforming = high & DESC_CODE and high & DESC_C
        if not high & DESC_S or not readable or (not conforming and dpl_of(high) < max(cpl, selector & 3)):
            raise GuestFault(VECTOR_TS, selector & 0xFFFC)
        if not high & DESC_P:
            raise GuestFault(VECTOR_NP, selector & 0xFFFC)
        return low, high, address

    def push_error_code(self, error_code: int) -> None:
        """On the new task's stack, as wide as its TSS."""
        env = self._env
        q, d = env.q, env.d
        wide = task_type(d[D_FLAGS[TR]]) == TYPE_TSS32
        size = 4 if wide else 2
        mask = 0xFFFFFFFF if d[D_FLAGS[SS]] & DESC_B else 0xFFFF
        sp = q[ESP] - size & mask
        if sp + size - 1 > d[D_LIMIT[SS]] and not d[D_FLAGS[SS]] & DESC_C:
            raise GuestFault(VECTOR_SS, 0)
        self._paging.write(q[Q_BASE[SS]] + sp, error_code.to_bytes(size, "little"), env.cpl == 3)
        q[ESP] = q[ESP] & ~mask & 0xFFFFFFFF | sp
