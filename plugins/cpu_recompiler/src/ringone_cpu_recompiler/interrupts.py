"""Delivery of interrupts and exceptions through the guest's IDT (SDM vol. 3, chapter 6), which Unicorn does not do.

Real-address mode, protected mode with 16- and 32-bit gates, privilege change through the TSS, virtual-8086 mode, task gates; faults during delivery,
double fault, shutdown.
Everything that can fault is checked before anything changes. Where the host runs machine code, that does the usual case (`delivery_source`); what is here is
the whole story.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable

from ringone_cpu_recompiler.descriptors import (
    TYPE_INTERRUPT_GATE16,
    TYPE_INTERRUPT_GATE32,
    TYPE_TASK_GATE,
    TYPE_TRAP_GATE16,
    TYPE_TRAP_GATE32,
    TYPE_TSS32,
    VECTOR_DF,
    VECTOR_GP,
    VECTOR_NP,
    VECTOR_SS,
    VECTOR_TS,
    Descriptors,
    dpl_of,
    limit_of,
    system_type,
    task_type,
)
from ringone_cpu_recompiler.env import (
    CR0_PE,
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
    FLAG_AC,
    FLAG_IF,
    FLAG_NT,
    FLAG_RF,
    FLAG_TF,
    FLAG_VM,
    FS,
    GS,
    IDT,
    Q_BASE,
    Q_CR0,
    Q_EFLAGS,
    Q_EIP,
    SS,
    TR,
    Env,
)
from ringone_cpu_recompiler.paging import VECTOR_PF, GuestFault, Paging
from ringone_cpu_recompiler.stubs import KIND_ERROR_CODE, KIND_RESUME_FLAG, KIND_SOFTWARE
from ringone_cpu_recompiler.tasks import TaskSwitcher

_WITH_ERROR_CODE = frozenset([8, 10, 11, 12, 13, 14, 17])
_CONTRIBUTORY = frozenset([0, 10, 11, 12, 13])
_FAULTS = frozenset([0, 5, 6, 7, 10, 11, 12, 13, 14, 16, 17, 19])
"""Exceptions that report the instruction itself: EFLAGS.RF is set in their frame."""
_EXCEPTION_KINDS = tuple((KIND_ERROR_CODE if vector in _WITH_ERROR_CODE else 0) | (KIND_RESUME_FLAG if vector in _FAULTS else 0) for vector in range(256))
_GATES = frozenset([TYPE_TASK_GATE, TYPE_INTERRUPT_GATE16, TYPE_TRAP_GATE16, TYPE_INTERRUPT_GATE32, TYPE_TRAP_GATE32])


class Source(enum.Enum):
    HARDWARE = "hardware"
    SOFTWARE = "software"
    """INT n, INT3, INTO: the gate's DPL is checked."""
    EXCEPTION = "exception"


class TripleFault(Exception):
    """The processor shuts down."""


ShortWay = Callable[[int, int, int], int]
"""``(vector, kind, error code)``, kind as in `stubs`: whether the event was delivered. Where not, nothing has changed."""


def no_short_way(vector: int, kind: int, error_code: int) -> int:
    """For hosts that do not run machine code."""
    return 0


class Interrupts:
    """Delivers into one processor. `short_way` is tried before everything else."""

    def __init__(self, env: Env, paging: Paging, descriptors: Descriptors, tasks: TaskSwitcher, short_way: ShortWay = no_short_way) -> None:
        self._env = env
        self._paging = paging
        self._descriptors = descriptors
        self._tasks = tasks
        self._short_way = short_way

    # Each of these enters the handler; faults on the way become exceptions of their own (SDM vol. 3, table 6-5). They raise `TripleFault`.

    def interrupt(self, vector: int) -> None:
        """From INTR or NMI."""
        if not self._short_way(vector, 0, 0):
            self._deliver(vector, Source.HARDWARE, None)

    def exception(self, vector: int, error_code: int) -> None:
        """A fault or trap; the error code counts where the vector has one."""
        if not self._short_way(vector, _EXCEPTION_KINDS[vector & 0xFF], error_code):
            self._deliver(vector, Source.EXCEPTION, error_code)

    def _deliver(self, vector: int, source: Source, error_code: int | None) -> None:
        while True:
            try:
                self._enter(vector, source, error_code)
                return
            except GuestFault as fault:
                if fault.vector == VECTOR_PF:
                    self._paging.set_cr2(fault.address)
                vector, error_code = self._escalate(vector, source, fault)
                source = Source.EXCEPTION

    def software_interrupt(self, vector: int) -> None:
        """INT n, INT3 or INTO, with EIP behind the instruction; a fault on the way reports the instruction itself."""
        if self._short_way(vector, KIND_SOFTWARE, 0):
            return
        q = self._env.q
        behind = q[Q_EIP]
        try:
            self._enter(vector, Source.SOFTWARE, None)
        except GuestFault as fault:
            q[Q_EIP] = behind - self._int_length(vector, behind) & 0xFFFFFFFF
            self.fault(fault)

    def _int_length(self, vector: int, behind: int) -> int:
        """Bytes of the INT before `behind`, prefixes aside: CD nn, or CC and CE."""
        if vector not in (3, 4):
            return 2
        opcode = self._paging.read(self._env.q[Q_BASE[CS]] + behind - 1, 1)[0]
        return 1 if opcode in (0xCC, 0xCE) else 2

    def fault(self, fault: GuestFault) -> None:
        """Deliver an exception that was found outside of delivery."""
        if fault.vector == VECTOR_PF:
            self._paging.set_cr2(fault.address)
        self.exception(fault.vector, fault.error_code or 0)

    def _escalate(self, vector: int, source: Source, fault: GuestFault) -> tuple[int, int | None]:
        if source is Source.EXCEPTION:
            if vector == VECTOR_DF:
                raise TripleFault
            second_is_contributory = fault.vector in _CONTRIBUTORY
            if (vector in _CONTRIBUTORY and second_is_contributory) or (vector == VECTOR_PF and (second_is_contributory or fault.vector == VECTOR_PF)):
                return VECTOR_DF, 0
        return fault.vector, fault.error_code

    def _enter(self, vector: int, source: Source, error_code: int | None) -> None:
        if self._env.q[Q_CR0] & CR0_PE:
            self._enter_protected(vector, source, error_code if vector in _WITH_ERROR_CODE and source is Source.EXCEPTION else None)
        else:
            self._enter_real(vector)

    # --- Real-address mode: SDM vol. 3, 21.1.4 ----------------------------------------

    def _enter_real(self, vector: int) -> None:
        env, paging = self._env, self._paging
        q, d = env.q, env.d
        if vector * 4 + 3 > d[D_LIMIT[IDT]]:
            raise GuestFault(VECTOR_GP, vector * 8 + 2)
        offset, selector = struct.unpack("<HH", paging.read(q[Q_BASE[IDT]] + vector * 4, 4))
        flags = env.eflags
        frame = struct.pack("<HHH", q[Q_EIP] & 0xFFFF, d[D_SELECTOR[CS]], flags & 0xFFFF)
        mask = 0xFFFFFFFF if d[D_FLAGS[SS]] & DESC_B else 0xFFFF
        sp = q[ESP] - 6 & mask
        base = q[Q_BASE[SS]]
        if sp + 5 <= mask:
            paging.write(base + sp, frame)
        else:
            for index in range(0, 6, 2):
                paging.write(base + (sp + index & mask), frame[index : index + 2])
        q[ESP] = q[ESP] & ~mask & 0xFFFFFFFF | sp
        env.eflags = flags & ~(FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF)
        env.set_real_mode_segment(CS, selector)
        q[Q_EIP] = offset
        env.update_hflags(0)

    # --- Protected mode: SDM vol. 3, 6.12 ----------------------------------------

    def _enter_protected(self, vector: int, source: Source, error_code: int | None) -> None:
        q, d = self._env.q, self._env.d
        external = 0 if source is Source.SOFTWARE else 1
        if vector * 8 + 7 > d[D_LIMIT[IDT]]:
            raise GuestFault(VECTOR_GP, vector * 8 + 2 | external)
        low, high = struct.unpack("<II", self._paging.read(q[Q_BASE[IDT]] + vector * 8, 8))
        gate = system_type(high)
        if gate not in _GATES:
            raise GuestFault(VECTOR_GP, vector * 8 + 2 | external)
        if source is Source.SOFTWARE and dpl_of(high) < self._env.cpl:
            raise GuestFault(VECTOR_GP, vector * 8 + 2)
        if not high & DESC_P:
            raise GuestFault(VECTOR_NP, vector * 8 + 2 | external)
        if gate == TYPE_TASK_GATE:
            self._tasks.switch(low >> 16, external)
            if error_code is not None:
                self._tasks.push_error_code(error_code)
            return
        self._enter_gate(vector, gate, low, high, source, external, error_code)

    def _enter_gate(self, vector: int, gate: int, low: int, high: int, source: Source, external: int, error_code: int | None) -> None:
        env, descriptors = self._env, self._descriptors
        q, d = env.q, env.d
        wide = gate in (TYPE_INTERRUPT_GATE32, TYPE_TRAP_GATE32)
        selector = low >> 16
        offset = high & 0xFFFF0000 | low & 0xFFFF if wide else low & 0xFFFF
        if not selector & 0xFFFC:
            raise GuestFault(VECTOR_GP, external)
        code_low, code_high, code_address = descriptors.find(selector, VECTOR_GP, external)
        cpl = env.cpl
        dpl = dpl_of(code_high)
        if not code_high & DESC_S or not code_high & DESC_CODE or dpl > cpl:
            raise GuestFault(VECTOR_GP, selector & 0xFFFC | external)
        if not code_high & DESC_P:
            raise GuestFault(VECTOR_NP, selector & 0xFFFC | external)
        flags = env.eflags
        v86 = bool(flags & FLAG_VM)
        conforming = bool(code_high & DESC_C)
        if v86 and (conforming or dpl != 0):
            raise GuestFault(VECTOR_GP, selector & 0xFFFC | external)
        if wide and offset > limit_of(code_low, code_high):
            raise GuestFault(VECTOR_GP, external)
        inner = not conforming and dpl < cpl
        new_cpl = dpl if inner else cpl
        saved_flags = flags | FLAG_RF if source is Source.EXCEPTION and vector in _FAULTS else flags
        values = [] if error_code is None else [error_code]
        values += [q[Q_EIP], d[D_SELECTOR[CS]], saved_flags]
        if inner:
            stack = self._inner_stack(dpl, external)
            values += [q[ESP], d[D_SELECTOR[SS]]]
            if v86:
                values += [d[D_SELECTOR[register]] for register in (ES, DS, FS, GS)]
            ss_selector, esp, ss_low, ss_high, ss_address = stack
            new_esp = self._push_all(values, wide, new_cpl, ss_selector, esp, ss_low, ss_high, external)
            ss_high = descriptors.set_accessed(ss_address, ss_high)
            code_high = descriptors.set_accessed(code_address, code_high)
            if v86:
                for register in (ES, DS, FS, GS):
                    descriptors.load_null(register, 0)
            descriptors.load(SS, ss_selector & 0xFFFC | dpl, ss_low, ss_high)
            q[ESP] = new_esp
        else:
            q[ESP] = self._push_same(values, wide, new_cpl, external)
            code_high = descriptors.set_accessed(code_address, code_high)
        descriptors.load(CS, selector & 0xFFFC | new_cpl, code_low, code_high)
        q[Q_EIP] = offset
        cleared = FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM
        if gate in (TYPE_INTERRUPT_GATE16, TYPE_INTERRUPT_GATE32):
            cleared |= FLAG_IF
        q[Q_EFLAGS] &= ~cleared
        env.update_hflags(new_cpl)

    def _inner_stack(self, dpl: int, external: int) -> tuple[int, int, int, int, int]:
        """``(SS, ESP, descriptor low, high, address)`` for an inner ring, from the TSS."""
        q, d = self._env.q, self._env.d
        wide = task_type(d[D_FLAGS[TR]]) == TYPE_TSS32
        offset = 4 + dpl * 8 if wide else 2 + dpl * 4
        size = 6 if wide else 4
        if not d[D_FLAGS[TR]] & DESC_P or offset + size - 1 > d[D_LIMIT[TR]]:
            raise GuestFault(VECTOR_TS, d[D_SELECTOR[TR]] & 0xFFFC | external)
        esp, selector = struct.unpack("<IH" if wide else "<HH", self._paging.read(q[Q_BASE[TR]] + offset, size))
        if not selector & 0xFFFC:
            raise GuestFault(VECTOR_TS, external)
        low, high, address = self._descriptors.find(selector, VECTOR_TS, external)
        if selector & 3 != dpl or dpl_of(high) != dpl or not high & DESC_S or high & DESC_CODE or not high & DESC_W:
            raise GuestFault(VECTOR_TS, selector & 0xFFFC | external)
        if not high & DESC_P:
            raise GuestFault(VECTOR_SS, selector & 0xFFFC | external)
        return selector, esp, low, high, address

    def _push_all(self, values: list[int], wide: bool, cpl: int, selector: int, esp: int, low: int, high: int, external: int) -> int:
        """Push onto a stack whose descriptor is not loaded yet; `values` lowest address first. Returns the new ESP."""
        base = low >> 16 | (high & 0xFF) << 16 | high & 0xFF000000
        return self._store(values, wide, cpl, base, limit_of(low, high), high, esp, selector & 0xFFFC | external)

    def _push_same(self, values: list[int], wide: bool, cpl: int, external: int) -> int:
        q, d = self._env.q, self._env.d
        return self._store(values, wide, cpl, q[Q_BASE[SS]], d[D_LIMIT[SS]], d[D_FLAGS[SS]], q[ESP], external)

    def _store(self, values: list[int], wide: bool, cpl: int, base: int, limit: int, flags: int, esp: int, error_code: int) -> int:
        size = 4 if wide else 2
        total = len(values) * size
        mask = 0xFFFFFFFF if flags & DESC_B else 0xFFFF
        sp = esp - total & mask
        if not _stack_fits(sp, total, limit, flags, mask):
            raise GuestFault(VECTOR_SS, error_code)
        if wide:
            frame = struct.pack(f"<{len(values)}I", *[value & 0xFFFFFFFF for value in values])
        else:
            frame = struct.pack(f"<{len(values)}H", *[value & 0xFFFF for value in values])
        self._paging.write(base + sp, frame, cpl == 3)
        return esp & ~mask & 0xFFFFFFFF | sp


def _stack_fits(sp: int, total: int, limit: int, flags: int, mask: int) -> bool:
    """Whether ``[sp, sp + total)`` lies in an expand-up or expand-down stack segment."""
    last = sp + total - 1
    if last > mask:
        return False
    if flags & DESC_C:  # expand-down, for data segments
        return sp > limit
    return last <= limit
