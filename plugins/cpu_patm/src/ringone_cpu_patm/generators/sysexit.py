"""Replacement for SYSEXIT: an IRETD to ring 3, from a frame in the state page.

It is right only where both do the same. The VMM sees to CS and SS: SYSEXIT_CS is 0 unless what the guest's GDT holds is what SYSEXIT sets. DS, ES, FS and GS
are tested here: IRETD clears those that ring 3 could not have loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iced_x86 import Code, Instruction, Register

from ringone_cpu_patm import state_page
from ringone_cpu_patm.generators.emitter import SAVED_ESP, SAVED_FLAGS, Emitter
from ringone_cpu_patm.generators.flags import ESP, IF, NT

if TYPE_CHECKING:
    from iced_x86._iced_x86_py import Register as RegisterNumber

FRAME_EIP, FRAME_CS, FRAME_FLAGS, FRAME_ESP, FRAME_SS = range(state_page.SCRATCH + 12, state_page.SCRATCH + 32, 4)

_DATA_SEGMENTS = (Register.DS, Register.ES, Register.FS, Register.GS)
_RPL_BITS = 2
_RPL_3_AT_THE_TOP = 0xC0000000


def sysexit(emitter: Emitter, _: Instruction) -> None:
    asm = emitter.asm

    def undo() -> None:
        emitter.load(Register.EAX, SAVED_FLAGS)
        emitter.give_flags_back()
        emitter.load(Register.ESP, SAVED_ESP)

    emitter.store(SAVED_ESP, Register.ESP)
    emitter.stack_at(FRAME_FLAGS + 4)
    asm.op(Code.PUSHFD)
    emitter.keep_flags()
    emitter.store(SAVED_FLAGS, Register.EAX)
    emitter.count()
    asm.mem_imm(Code.TEST_RM8_IMM8, emitter.word(FRAME_FLAGS + 1), NT >> 8)
    emitter.gate_if(Code.JNE_REL32_32, undo)
    for segment in _DATA_SEGMENTS:
        _compare_with_ring_3(emitter, segment)
        emitter.gate_if(Code.JB_REL32_32, undo)
    asm.mem_imm(Code.TEST_RM8_IMM8, emitter.word(state_page.VIRTUAL_IF + 1), IF >> 8)
    emitter.gate_if(Code.JE_REL32_32, undo)
    emitter.load(Register.EAX, state_page.SYSEXIT_CS)
    asm.reg_reg(Code.TEST_RM32_R32, Register.EAX, Register.EAX)
    emitter.gate_if(Code.JE_REL32_32, undo)
    emitter.store(FRAME_EIP, Register.EDX)
    emitter.store(FRAME_CS, Register.EAX)
    emitter.store(FRAME_ESP, Register.ECX)
    emitter.add(Register.EAX, 8)
    emitter.store(FRAME_SS, Register.EAX)
    emitter.load(Register.EAX, SAVED_FLAGS)
    emitter.give_flags_back()
    emitter.stack_at(FRAME_EIP)
    emitter.mark(((ESP, SAVED_ESP),))
    asm.op(Code.IRETD)


def _compare_with_ring_3(emitter: Emitter, segment: RegisterNumber) -> None:
    """CF unless IRETD leaves the segment register alone for sure: it holds 0, or a descriptor's selector with RPL 3, which needs DPL 3. EAX is lost.

    With the RPL rotated to the top and 1 subtracted, those are the highest numbers.
    """
    emitter.asm.reg_reg(Code.MOV_R32M16_SREG, Register.EAX, segment)
    emitter.asm.reg_imm(Code.ROR_RM32_IMM8, Register.EAX, _RPL_BITS)
    emitter.asm.reg(Code.DEC_R32, Register.EAX)
    emitter.asm.reg_imm(Code.CMP_EAX_IMM32, Register.EAX, _RPL_3_AT_THE_TOP)
