"""Replacement for INVLPG: nothing where the TLB holds nothing of the address's 4 MiB, as the table of filled regions says; the VMM's to do elsewhere.

Kernels that unmap memory execute INVLPG in long rows, of which the first few meet anything.
"""

from __future__ import annotations

from iced_x86 import Code, Instruction, MemoryOperand, Register

from ringone_cpu_patm import state_page
from ringone_cpu_patm.generators.emitter import SAVED, SAVED_FLAGS, VALUE, Emitter
from ringone_cpu_patm.generators.system import memory_operand

_REGION_SHIFT = 22


def has_known_base(instruction: Instruction) -> bool:
    """Whether a patch can know the base of the operand's segment: of SS always, of DS where FLAT_DATA says so."""
    return instruction.memory_segment in (Register.DS, Register.SS)


def invlpg(emitter: Emitter, instruction: Instruction) -> None:
    asm = emitter.asm

    def undo() -> None:
        emitter.load(Register.EAX, SAVED_FLAGS)
        emitter.give_flags_back()

    emitter.store(SAVED, Register.EAX)
    asm.reg_mem(Code.LEA_R32_M, Register.EAX, memory_operand(instruction))
    emitter.store(VALUE, Register.EAX)
    emitter.load(Register.EAX, SAVED)
    emitter.keep_flags()
    emitter.store(SAVED_FLAGS, Register.EAX)
    emitter.count()
    if instruction.memory_segment == Register.DS:
        asm.reg_reg(Code.MOV_R32M16_SREG, Register.EAX, Register.DS)
        asm.reg_mem(Code.CMP_R32_RM32, Register.EAX, emitter.word(state_page.FLAT_DATA))
        emitter.gate_if(Code.JNE_REL32_32, undo)
    emitter.load(Register.EAX, VALUE)
    asm.reg_imm(Code.SHR_RM32_IMM8, Register.EAX, _REGION_SHIFT)
    regions = MemoryOperand(index=Register.EAX, scale=4, displ=emitter.address_of(state_page.FILLED), displ_size=4, seg=Register.SS)
    asm.reg_mem(Code.MOV_R32_RM32, Register.EAX, regions)
    asm.reg_mem(Code.CMP_R32_RM32, Register.EAX, emitter.word(state_page.FLUSHES))
    emitter.gate_if(Code.JE_REL32_32, undo)
    emitter.load(Register.EAX, SAVED_FLAGS)
    emitter.give_flags_back()
