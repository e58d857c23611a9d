"""Segment descriptors: reading them from the guest's tables and the hidden part of segment registers (SDM vol. 3, 3.4.5 and 3.5)."""

from __future__ import annotations

import struct

from ringone_cpu_recompiler.env import D_FLAGS, D_LIMIT, D_SELECTOR, DESC_A, DESC_G, DESC_S, GDT, LDT, Q_BASE, Env
from ringone_cpu_recompiler.paging import GuestFault, Paging

VECTOR_DF = 8
VECTOR_TS = 10
VECTOR_NP = 11
VECTOR_SS = 12
VECTOR_GP = 13

TYPE_TSS16 = 1
TYPE_LDT = 2
TYPE_TSS16_BUSY = 3
TYPE_TASK_GATE = 5
TYPE_INTERRUPT_GATE16 = 6
TYPE_TRAP_GATE16 = 7
TYPE_TSS32 = 9
TYPE_TSS32_BUSY = 11
TYPE_INTERRUPT_GATE32 = 14
TYPE_TRAP_GATE32 = 15
TYPE_BUSY = 2


def base_of(low: int, high: int) -> int:
    return low >> 16 | (high & 0xFF) << 16 | high & 0xFF000000


def limit_of(low: int, high: int) -> int:
    """In bytes."""
    limit = low & 0xFFFF | high & 0xF0000
    return limit << 12 | 0xFFF if high & DESC_G else limit


def dpl_of(high: int) -> int:
    return high >> 13 & 3


def system_type(high: int) -> int:
    """The type of a system descriptor (S = 0), -1 for code and data."""
    return -1 if high & DESC_S else high >> 8 & 0xF


def task_type(flags: int) -> int:
    """The type of the TSS in TR, never busy there, from its hidden flags."""
    return flags >> 8 & 0xF & ~TYPE_BUSY


class Descriptors:
    """The guest's GDT and LDT as the processor reads them."""

    def __init__(self, env: Env, paging: Paging) -> None:
        self._env = env
        self._paging = paging

    def find(self, selector: int, vector: int, external: int = 0) -> tuple[int, int, int]:
        """``(low, high, linear address)`` of a selector's descriptor. Beyond the table: `GuestFault` with `vector` and the selector."""
        d = self._env.d
        table = LDT if selector & 4 else GDT
        offset = selector & 0xFFF8
        if (table == LDT and not d[D_SELECTOR[LDT]] & 0xFFF8) or offset + 7 > d[D_LIMIT[table]]:
            raise GuestFault(vector, selector & 0xFFFC | external)
        address = self._env.q[Q_BASE[table]] + offset & 0xFFFFFFFF
        low, high = struct.unpack("<II", self._paging.read(address, 8))
        return low, high, address

    def set_accessed(self, address: int, high: int) -> int:
        """Set the accessed bit in memory where it is missing; returns the new high doubleword."""
        if not high & DESC_A:
            self._paging.write(address + 5, bytes([(high | DESC_A) >> 8 & 0xFF]))
        return high | DESC_A

    def load(self, register: int, selector: int, low: int, high: int) -> None:
        self._env.set_segment(register, selector, base_of(low, high), limit_of(low, high), high)

    def load_null(self, register: int, selector: int) -> None:
        """A null selector: not present, unusable."""
        flags = self._env.d[D_FLAGS[register]] & 0x6000
        self._env.set_segment(register, selector, 0, 0, flags)
