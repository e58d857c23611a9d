"""CALL and JMP to another task. Unicorn does not write out how the flags were computed before it switches, and saves those of an earlier computation in the
task that is left, unless a TLB miss makes it look. The run stops in front of the instruction, so that they are finished, and begins there again.

Few systems switch tasks so, and far transfers are many, so a hook is set only where a task is what an instruction leads to when it is translated, or where that
is not known: 32-bit code that goes through a far pointer in memory.
"""

from __future__ import annotations

from collections.abc import Callable

from ringone_cpu_recompiler.descriptors import (
    TYPE_TASK_GATE,
    TYPE_TSS16,
    TYPE_TSS16_BUSY,
    TYPE_TSS32,
    TYPE_TSS32_BUSY,
    VECTOR_GP,
    Descriptors,
    system_type,
)
from ringone_cpu_recompiler.env import CR0_PE, D_HFLAGS, FLAG_VM, HF_CS32, Q_CR0, Q_EFLAGS, Env
from ringone_cpu_recompiler.paging import GuestFault

IMMEDIATE = frozenset([0x9A, 0xEA])
IMMEDIATE_SIZES = (5, 7)
"""With a pointer of 16 and of 32 bits."""
INDIRECT = 0xFF
INDIRECT_SIZES = (2, 3, 4, 6, 7)
"""Without prefixes; with every kind of memory operand."""
LONGEST_TAIL = 7
FAR = frozenset([3, 5])
"""CALL and JMP of `INDIRECT`, in the field of the ModR/M byte."""
MODRM_FIELD, MODRM_REGISTER = 0x38, 0xC0
_TASKS = frozenset([TYPE_TSS16, TYPE_TSS16_BUSY, TYPE_TSS32, TYPE_TSS32_BUSY, TYPE_TASK_GATE])


class TaskSwitches:
    """Finds the instructions in what the processor fetches, which `read` reads."""

    def __init__(self, env: Env, descriptors: Descriptors, read: Callable[[int, int], bytes]) -> None:
        self._env = env
        self._descriptors = descriptors
        self._read = read

    def at_end(self, address: int, size: int, tail: bytes) -> int:
        """Linear address of the instruction that ends the block at `address` and may switch tasks; -1 where it is another one. `tail` are its last bytes."""
        if not _may_be_far(tail) or not self._env.q[Q_CR0] & CR0_PE or self._env.q[Q_EFLAGS] & FLAG_VM:
            return -1
        from iced_x86 import Decoder, OpKind  # Costs a tenth of a second.

        wide = bool(self._env.d[D_HFLAGS] & HF_CS32)
        instructions = list(Decoder(32 if wide else 16, self._read(address, size), ip=address))
        if not instructions:
            return -1
        last = instructions[-1]
        if last.op0_kind in (OpKind.FAR_BRANCH16, OpKind.FAR_BRANCH32):
            return last.ip if self._is_task(last.far_branch_selector) else -1
        return last.ip if wide and (last.is_call_far_indirect or last.is_jmp_far_indirect) else -1

    def _is_task(self, selector: int) -> bool:
        try:
            return system_type(self._descriptors.find(selector, VECTOR_GP)[1]) in _TASKS
        except GuestFault:
            return False


def _may_be_far(tail: bytes) -> bool:
    if any(len(tail) >= size and tail[-size] in IMMEDIATE for size in IMMEDIATE_SIZES):
        return True
    ends = [tail[-size:] for size in INDIRECT_SIZES if len(tail) >= size]
    return any(end[0] == INDIRECT and end[1] < MODRM_REGISTER and end[1] >> 3 & 7 in FAR for end in ends)
