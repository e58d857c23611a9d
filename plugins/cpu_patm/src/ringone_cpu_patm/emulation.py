"""Privileged instructions that the VMM does itself, on the guest's true state; whatever is not here runs on the recompiler."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from iced_x86 import Code, Decoder, Instruction, Register
from ringone_cpu_recompiler import layout
from ringone_cpu_recompiler.env import (
    CR0_MP,
    CR0_TS,
    CS,
    D_HFLAGS,
    DS,
    ECX,
    EDX,
    ESP,
    FLAG_IF,
    FLAG_RF,
    FLAG_TF,
    FLAG_VM,
    HF_INHIBIT_IRQ,
    Q_BASE,
    Q_CR0,
    Q_CR2,
    Q_CR3,
    Q_CR4,
    Q_EFLAGS,
    Q_EIP,
    SS,
)

from ringone_cpu_patm.fast_return import FLAT_USER_CODE, FLAT_USER_DATA
from ringone_cpu_patm.world import World

_CACHED_INSTRUCTIONS = 8192
_CR0_LAZY_FPU = CR0_TS | CR0_MP
_VIF_VIP = 3 << 19
_Q_CR = {Register.CR0: Q_CR0, Register.CR2: Q_CR2, Register.CR3: Q_CR3, Register.CR4: Q_CR4}
_GENERAL = (Register.EAX, Register.ECX, Register.EDX, Register.EBX, Register.ESP, Register.EBP, Register.ESI, Register.EDI)
_NUMBER = {register: number for number, register in enumerate(_GENERAL)}


class Emulator:
    """One processor's. All on the true state, ring 0, flat 32-bit CS and SS."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._env = world.env
        self._paging = world.paging
        self._decoded: dict[bytes, Instruction] = {}
        self.halted = False
        """HLT was emulated; whoever takes notice sets it back."""
        self._handlers: Mapping[int, Callable[[Instruction], bool]] = {
            Code.CLI: self._cli,
            Code.STI: self._sti,
            Code.HLT: self._hlt,
            Code.PUSHFD: self._pushfd,
            Code.POPFD: self._popfd,
            Code.CLTS: self._clts,
            Code.MOV_R32_CR: self._move_from_cr,
            Code.MOV_CR_R32: self._move_to_cr,
            Code.SYSEXITD: self._sysexit,
            Code.INVLPG_M: self._invlpg,
        }

    def fetch(self) -> Instruction | None:
        """The instruction at EIP, from the guest's own memory; None where it cannot be read."""
        code = self._world.instruction.code()
        if not code:
            return None
        instruction = self._decoded.get(code)
        if instruction is None:
            if len(self._decoded) >= _CACHED_INSTRUCTIONS:
                self._decoded.clear()
            instruction = self._decoded[code] = Decoder(32, code).decode()
        return instruction

    def emulate(self, instruction: Instruction) -> bool:
        """Do the instruction at EIP; False where that is the recompiler's job. Raises the `GuestFault` that it ends in, with nothing changed."""
        handler = self._handlers.get(instruction.code)
        return handler is not None and handler(instruction)

    def _invlpg(self, instruction: Instruction) -> bool:
        q = self._env.q
        register = _NUMBER.get(instruction.memory_base)
        if register is None or instruction.memory_index or instruction.memory_displ_size or q[Q_BASE[DS]] or instruction.memory_segment != Register.DS:
            self._world.flush_tlb()
        else:
            self._world.invalidate_page(q[register] & 0xFFFFFFFF)
        return self._advance(instruction)

    def _advance(self, instruction: Instruction) -> bool:
        q = self._env.q
        q[Q_EIP] = q[Q_EIP] + instruction.len & 0xFFFFFFFF
        self._env.d[D_HFLAGS] &= ~HF_INHIBIT_IRQ
        return True

    def _cli(self, instruction: Instruction) -> bool:
        self._env.q[Q_EFLAGS] &= ~FLAG_IF
        return self._advance(instruction)

    def _sti(self, instruction: Instruction) -> bool:
        shadow = not self._env.q[Q_EFLAGS] & FLAG_IF
        self._env.q[Q_EFLAGS] |= FLAG_IF
        self._advance(instruction)
        if shadow:
            self._env.d[D_HFLAGS] |= HF_INHIBIT_IRQ
        return True

    def _hlt(self, instruction: Instruction) -> bool:
        self.halted = True
        return self._advance(instruction)

    def _pushfd(self, instruction: Instruction) -> bool:
        q = self._env.q
        esp = q[ESP] - 4 & 0xFFFFFFFF
        self._paging.write(esp, struct.pack("<I", self._env.eflags & ~(FLAG_RF | FLAG_VM)))
        q[ESP] = esp
        return self._advance(instruction)

    def _popfd(self, instruction: Instruction) -> bool:
        q = self._env.q
        image = self._paging.read_u32(q[ESP])
        if image & FLAG_TF:
            return False
        self._env.eflags = image & ~(FLAG_RF | FLAG_VM | _VIF_VIP) | self._env.eflags & _VIF_VIP
        q[ESP] = q[ESP] + 4 & 0xFFFFFFFF
        return self._advance(instruction)

    def _clts(self, instruction: Instruction) -> bool:
        self._set_cr0(self._env.q[Q_CR0] & ~CR0_TS)
        return self._advance(instruction)

    def _move_from_cr(self, instruction: Instruction) -> bool:
        source = _Q_CR.get(instruction.op1_register)
        if source is None:
            return False
        q = self._env.q
        q[_NUMBER[instruction.op0_register]] = q[source] & 0xFFFFFFFF
        return self._advance(instruction)

    def _move_to_cr(self, instruction: Instruction) -> bool:
        q = self._env.q
        value = q[_NUMBER[instruction.op1_register]] & 0xFFFFFFFF
        if instruction.op0_register == Register.CR3:
            q[Q_CR3] = value
            self._world.flush_tlb()
        elif instruction.op0_register == Register.CR2:
            q[Q_CR2] = value
        elif instruction.op0_register == Register.CR0 and not (value ^ q[Q_CR0]) & 0xFFFFFFFF & ~_CR0_LAZY_FPU:
            self._set_cr0(value)
        else:
            return False
        return self._advance(instruction)

    def _set_cr0(self, value: int) -> None:
        """Where only bits change that the ring and the translation do not depend on."""
        env = self._env
        inhibited = env.d[D_HFLAGS] & HF_INHIBIT_IRQ
        env.q[Q_CR0] = value
        env.update_hflags(env.cpl)
        env.d[D_HFLAGS] |= inhibited

    def _sysexit(self, instruction: Instruction) -> bool:
        env = self._env
        q = env.q
        selector = env.d[layout.SYSENTER_CS // 4] & 0xFFFC
        if not selector:
            return False
        q[Q_EIP] = q[EDX] & 0xFFFFFFFF
        q[ESP] = q[ECX] & 0xFFFFFFFF
        env.set_segment(CS, selector + 16 | 3, 0, 0xFFFFFFFF, FLAT_USER_CODE)
        env.set_segment(SS, selector + 24 | 3, 0, 0xFFFFFFFF, FLAT_USER_DATA)
        env.update_hflags(3)
        return True
