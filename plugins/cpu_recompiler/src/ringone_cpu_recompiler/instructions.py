"""A look at the instruction at EIP, where Unicorn tells less than the processor knows about it."""

from __future__ import annotations

from ringone_cpu_recompiler.env import CS, Q_BASE, Q_EIP, Env
from ringone_cpu_recompiler.paging import GuestFault, Paging

PREFIXES = frozenset([0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3])
LONGEST_INSTRUCTION = 15

_INT1 = 0xF1
_TWO_BYTES = 0x0F
_GROUP_5 = 0xFF
_FAR_CALL_AND_JUMP = (3, 5)
_TABLE_USERS = frozenset(
    [0x07, 0x17, 0x1F, 0x8E, 0x9A, 0xC4, 0xC5, 0xCA, 0xCB, 0xCF, 0xE4, 0xE5, 0xE6, 0xE7, 0xEA, 0xEC, 0xED, 0xEE, 0xEF, 0x6C, 0x6D, 0x6E, 0x6F]
)
"""Opcodes that make the processor itself read a descriptor table (segment loads, far transfers) or the TSS (port instructions)."""
_TWO_BYTE_TABLE_USERS = frozenset([0x00, 0x02, 0x03, 0xA1, 0xA9, 0xB2, 0xB4, 0xB5])
"""Behind 0F: VERR and VERW, LAR, LSL, POP FS and GS, LSS, LFS, LGS."""


class CurrentInstruction:
    """The instruction at CS:EIP of one processor."""

    def __init__(self, env: Env, paging: Paging) -> None:
        self._env = env
        self._paging = paging

    def code(self) -> bytes:
        """At most the longest instruction's, fewer where memory ends; read as a supervisor, because it has been fetched already."""
        address = self._env.q[Q_BASE[CS]] + self._env.q[Q_EIP]
        try:
            return self._paging.read(address, LONGEST_INSTRUCTION)
        except GuestFault:
            pass
        try:
            return self._paging.read(address, 0x1000 - (address & 0xFFF))
        except GuestFault:
            return b""

    def _opcode(self) -> tuple[int, bytes]:
        """``(prefixes, what follows them)``."""
        code = self.code()
        count = next((index for index, byte in enumerate(code) if byte not in PREFIXES), len(code))
        return count, code[count:]

    def uses_tables(self) -> bool:
        """Whether it makes the processor read a descriptor table or the TSS, as a supervisor whatever the ring."""
        _, code = self._opcode()
        if len(code) < 2:
            return bool(code) and code[0] in _TABLE_USERS
        if code[0] == _TWO_BYTES:
            return code[1] in _TWO_BYTE_TABLE_USERS
        if code[0] == _GROUP_5:
            return code[1] >> 3 & 7 in _FAR_CALL_AND_JUMP
        return code[0] in _TABLE_USERS

    def icebp_length(self) -> int:
        """Of an INT1 (opcode F1, a #DB that no gate's DPL forbids), which the engine takes for an invalid opcode; 0 for anything else."""
        prefixes, code = self._opcode()
        return prefixes + 1 if code and code[0] == _INT1 else 0
