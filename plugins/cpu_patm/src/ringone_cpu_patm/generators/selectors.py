"""Replacements for what loads or tests a selector: MOV and POP to DS, ES, FS and GS, VERR, VERW.

The shadow tables make them right at ring 1, with one exception: DPL 0 has become 1, which lets a selector with RPL 1 pass that ring 0 would refuse. So the
selector's RPL is tested first, in ECX and without touching flags, and then the original instruction does the rest, its own faults included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iced_x86 import Code, Instruction, MemoryOperand, OpKind, Register, RegisterExt

from ringone_cpu_patm.generators.emitter import SAVED, Emitter
from ringone_cpu_patm.generators.system import memory_operand

if TYPE_CHECKING:
    from iced_x86._iced_x86_py import Register as RegisterNumber

_ECX = 1
_LOOP_ENDS = 1
_RPL_1_AT_BIT_6 = 1 << 6


def move_to_selector(emitter: Emitter, instruction: Instruction) -> None:
    _original_unless_rpl_is_1(emitter, instruction, operand=1)


def verify(emitter: Emitter, instruction: Instruction) -> None:
    """VERR and VERW. What has no shadow gives ZF 0, so that answer is the VMM's to find: it does the instruction again, which only changes ZF."""
    _original_unless_rpl_is_1(emitter, instruction, operand=0)
    verified = f"verified {len(emitter.asm)}"
    emitter.asm.branch(Code.JE_REL8_32, verified)
    emitter.gate()
    emitter.asm.label(verified)


def pop_selector(emitter: Emitter, instruction: Instruction) -> None:
    _save_ecx(emitter)
    emitter.asm.reg_mem(Code.MOVZX_R32_RM16, Register.ECX, MemoryOperand(base=Register.ESP))
    _gate_if_rpl_is_1(emitter, Register.ECX)
    emitter.asm.add(instruction.copy())


def _original_unless_rpl_is_1(emitter: Emitter, instruction: Instruction, operand: int) -> None:
    _save_ecx(emitter)
    in_memory = instruction.op_kind(operand) == OpKind.MEMORY
    source = Register.ECX if in_memory else RegisterExt.full_register32(instruction.op_register(operand))
    if Register.ECX in {source, *map(RegisterExt.full_register32, (instruction.memory_base, instruction.memory_index))}:
        emitter.load(Register.ECX, SAVED)
    if in_memory:
        emitter.asm.reg_mem(Code.MOVZX_R32_RM16, Register.ECX, memory_operand(instruction))
    elif source == Register.ESP:
        emitter.asm.reg_reg(Code.MOV_R32_RM32, Register.ECX, source)
        source = Register.ECX
    _gate_if_rpl_is_1(emitter, source)
    emitter.asm.add(instruction.copy())


def _save_ecx(emitter: Emitter) -> None:
    """And count."""
    emitter.store(SAVED, Register.ECX)
    emitter.count_with(Register.ECX)
    emitter.mark(((_ECX, SAVED),))


def _gate_if_rpl_is_1(emitter: Emitter, source: RegisterNumber) -> None:
    """`source` has the selector in its low word. Its low two bits, shifted to the top of a byte, become 1 exactly for RPL 1: where LOOP does not jump."""
    go_on = f"not RPL 1 {len(emitter.asm)}"
    emitter.asm.reg_mem(Code.LEA_R32_M, Register.ECX, MemoryOperand(index=source, scale=8, displ_size=4))
    emitter.asm.reg_mem(Code.LEA_R32_M, Register.ECX, MemoryOperand(index=Register.ECX, scale=8, displ=_LOOP_ENDS - _RPL_1_AT_BIT_6, displ_size=4))
    emitter.asm.reg_reg(Code.MOVZX_R32_RM8, Register.ECX, Register.CL)
    emitter.asm.branch(Code.LOOP_REL8_32_ECX, go_on)
    emitter.load(Register.ECX, SAVED)
    emitter.gate()
    emitter.asm.label(go_on)
    emitter.load(Register.ECX, SAVED)
    emitter.mark()
