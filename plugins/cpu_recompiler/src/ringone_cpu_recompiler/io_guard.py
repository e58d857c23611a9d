"""Checks of privilege that Unicorn leaves out. IN and OUT beyond IOPL must find their bit in the TSS's map clear, or fault before the port is touched (SDM
vol. 1, 19.5). IRET outside ring 0 must not enter virtual-8086 mode: there the VM bit of the flags on the stack says nothing (SDM vol. 2, IRET), and what is
taken for a real-mode segment is a selector.

And where a VMM lets ring 3 run on descriptor tables of its own (`vmm`), what shows them to ring 3: SGDT, LAR and LSL.

New translations of ring-3 and virtual-8086 code are searched for these instructions once, before they run. A block that has one is translated again with a
code hook at the instruction and, for this one translation, with exit tests, so that a forbidden one stops right in front of it.
"""

from __future__ import annotations

import re
import struct

from ringone_cpu_recompiler.descriptors import TYPE_TSS32, task_type
from ringone_cpu_recompiler.env import (
    D_FLAGS,
    D_HFLAGS,
    D_LIMIT,
    DESC_P,
    EDX,
    ESP,
    FLAG_IOPL,
    FLAG_VM,
    HF_CPL,
    HF_CS32,
    HF_SS32,
    Q_BASE,
    Q_EFLAGS,
    SS,
    TR,
    Env,
)
from ringone_cpu_recompiler.instructions import PREFIXES
from ringone_cpu_recompiler.paging import GuestFault, Paging

_OPCODES = re.compile(rb"[\x6c-\x6f\xcf\xe4-\xe7\xec-\xef]")
_OPCODES_OF_TABLES = re.compile(rb"[\x6c-\x6f\xcf\xe4-\xe7\xec-\xef]|\x0f[\x01-\x03]")
_IRET = 0xCF
_TWO_BYTES, _GROUP_7, _LAR, _LSL = 0x0F, 0x01, 0x02, 0x03
_SGDT_FIELD, _REGISTER_OPERAND = 0x38, 0xC0
_OPERAND_SIZE = 0x66
_MAP_BASE = 0x66
_TSS32_LIMIT = 103
_IMMEDIATE_PORT = range(0xE4, 0xE8)
_IOPL_SHIFT = 12


class IoGuard:
    """Decides for one processor which instructions to watch and which accesses to allow."""

    def __init__(self, env: Env, paging: Paging) -> None:
        self._env = env
        self._paging = paging
        self.hides_tables = False
        """Whether there is a VMM that may put other descriptor tables under ring 3."""

    def instructions(self, address: int, size: int) -> list[int]:
        """Linear addresses of the instructions to hook in a block that is about to run, where the current mode needs the check at all.

        Where a hook follows another one, Unicorn writes out how the flags were computed only if that is another way than at the one before. Between a port
        instruction and a conditional loop (`loop_flags`) comes one in front of which no flags change, and behind it they are finished.
        """
        if not self._restricted():
            return []
        try:
            code = self._read(address, size)
        except GuestFault:
            return []
        if not (_OPCODES_OF_TABLES if self.hides_tables else _OPCODES).search(code):
            return []
        from iced_x86 import Decoder, Mnemonic  # Costs a tenth of a second, and few guests have such instructions in ring 3.

        ports = (Mnemonic.IN, Mnemonic.OUT, Mnemonic.INSB, Mnemonic.INSW, Mnemonic.INSD, Mnemonic.OUTSB, Mnemonic.OUTSW, Mnemonic.OUTSD)
        mnemonics = ports if self._env.q[Q_EFLAGS] & FLAG_VM else (*ports, Mnemonic.IRETD)
        if self.hides_tables:
            mnemonics = (*mnemonics, Mnemonic.SGDT, Mnemonic.LAR, Mnemonic.LSL)
        instructions = list(Decoder(self._bits(), code, ip=address))
        checked = [instruction for instruction in instructions if instruction.mnemonic in mnemonics]
        behind = [instruction.next_ip for instruction in checked if instructions[-1].mnemonic in (Mnemonic.LOOPE, Mnemonic.LOOPNE)]
        return [instruction.ip for instruction in checked] + behind

    def _restricted(self) -> bool:
        eflags = self._env.q[Q_EFLAGS]
        if eflags & FLAG_VM:
            return True
        return self._env.d[D_HFLAGS] & HF_CPL > (eflags & FLAG_IOPL) >> _IOPL_SHIFT

    def _bits(self) -> int:
        return 32 if self._env.d[D_HFLAGS] & HF_CS32 else 16

    def shows_tables(self, address: int) -> bool:
        """Whether the instruction at a linear address is SGDT, LAR or LSL, or cannot be read any more, which whoever runs it finds out."""
        try:
            opcode, _, second = self._fetch(address)
            if opcode != _TWO_BYTES:
                return False
            kind = self._read(second, 1)[0]
            if kind != _GROUP_7:
                return kind in (_LAR, _LSL)
            operand = self._read(second + 1, 1)[0]
        except GuestFault:
            return True
        return not operand & _SGDT_FIELD and operand & _REGISTER_OPERAND != _REGISTER_OPERAND

    def loses_flags(self, address: int) -> bool:
        """Whether the instruction at a linear address is LAR or LSL. Where it has a hook and flags were computed before it in its block, Unicorn does not write
        out that they are its own now."""
        if not self.hides_tables:
            return False
        try:
            opcode, _, second = self._fetch(address)
            return opcode == _TWO_BYTES and self._read(second, 1)[0] in (_LAR, _LSL)
        except GuestFault:
            return False

    def fault(self, address: int) -> GuestFault | None:
        """What keeps the instruction at a linear address, of whatever kind, from running now."""
        try:
            return None if self._allows(address) else GuestFault(13, 0)
        except GuestFault as fault:
            return fault

    def _allows(self, address: int) -> bool:
        """Raises the fault where it is another than #GP(0)."""
        if not self._restricted():
            return True
        opcode, wide, operand = self._fetch(address)
        if opcode == _IRET:
            self._check_return()
            return True
        if not _OPCODES.match(bytes([opcode])):
            return True
        port = self._read(operand, 1)[0] if opcode in _IMMEDIATE_PORT else self._env.q[EDX] & 0xFFFF
        return self._map_allows(port, (4 if wide else 2) if opcode & 1 else 1)

    def _fetch(self, address: int) -> tuple[int, bool, int]:
        """Opcode, whether its operand has 32 bits, and the address behind it."""
        code, wide = self._read(address, 1), self._bits() == 32
        while code[0] in PREFIXES:
            if code[0] == _OPERAND_SIZE:
                wide = not wide
            address += 1
            code = self._read(address, 1)
        return code[0], wide, address + 1

    def _check_return(self) -> None:
        q, d = self._env.q, self._env.d
        if q[Q_EFLAGS] & FLAG_VM:
            return
        stack = q[ESP] & (0xFFFFFFFF if d[D_HFLAGS] & HF_SS32 else 0xFFFF)
        try:
            selector, flags = struct.unpack("<II", self._read(q[Q_BASE[SS]] + stack + 4, 8))
        except GuestFault:  # The instruction meets it too.
            return
        if flags & FLAG_VM:
            raise GuestFault(13, selector & 0xFFFC)

    def _read(self, address: int, size: int) -> bytes:
        return self._paging.read(address, size, self._env.cpl == 3)

    def _map_allows(self, port: int, size: int) -> bool:
        q, d = self._env.q, self._env.d
        flags, limit = d[D_FLAGS[TR]], d[D_LIMIT[TR]]
        if not flags & DESC_P or task_type(flags) != TYPE_TSS32 or limit < _TSS32_LIMIT:
            return False
        offset = self._paging.read_u16(q[Q_BASE[TR]] + _MAP_BASE) + (port >> 3)
        if offset + 1 > limit:
            return False
        (bits,) = struct.unpack("<H", self._paging.read(q[Q_BASE[TR]] + offset, 2))
        return not bits >> (port & 7) & (1 << size) - 1
