"""Replacements for what reads the machine's own tables and registers: selectors, descriptor tables, control and debug registers, CPUID."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from iced_x86 import Code, Instruction, MemoryOperand, OpKind, Register, RegisterExt

from ringone_cpu_patm import state_page
from ringone_cpu_patm.generators.emitter import SAVED, SAVED_FLAGS, VALUE, Emitter

if TYPE_CHECKING:
    from iced_x86._iced_x86_py import Register as RegisterNumber

ANY = -1
"""In a row of the CPUID table: any subleaf; as leaf: every leaf, and the table's end."""
ROW = 24
LEAF, SUBLEAF, RESULT_EAX, RESULT_EBX, RESULT_ECX, RESULT_EDX = range(0, ROW, 4)

_BORROWED = (Register.EAX, Register.ECX, Register.EDX)
"""One of three is free whatever two registers an operand's address is made of."""
_LOW_WORD = {getattr(Register, f"E{name}"): getattr(Register, name) for name in ("AX", "CX", "DX", "BX", "SP", "BP", "SI", "DI")}
_CONTROL_REGISTERS = {Register.CR0: state_page.CR0, Register.CR2: state_page.CR2, Register.CR3: state_page.CR3, Register.CR4: state_page.CR4}
_DEBUG_REGISTERS = {getattr(Register, f"DR{n}"): state_page.DR + 4 * n for n in (0, 1, 2, 3, 6, 7)}
"""DR4 and DR5 depend on CR4.DE."""
SPECIAL_REGISTERS = _CONTROL_REGISTERS | _DEBUG_REGISTERS

Produce = Callable[["RegisterNumber"], None]
"""Emits what puts the value into a general register, without touching flags or other registers."""


def memory_operand(instruction: Instruction, offset: int = 0) -> MemoryOperand:
    """The instruction's own memory operand, or what lies `offset` bytes behind it."""
    bits = 16 if instruction.memory_displ_size == 2 or RegisterExt.is_gpr16(instruction.memory_base or instruction.memory_index) else 32
    displacement = instruction.memory_displacement + offset & (1 << bits) - 1
    absolute = instruction.memory_base == Register.NONE
    return MemoryOperand(
        base=instruction.memory_base,
        index=instruction.memory_index,
        scale=instruction.memory_index_scale,
        displ=displacement if absolute or displacement < 1 << bits - 1 else displacement - (1 << bits),
        displ_size=bits // 8 if absolute else 1,
        seg=instruction.segment_prefix,
    )


def push_selector(emitter: Emitter, instruction: Instruction) -> None:
    source = Register.CS if instruction.code in (Code.PUSHD_CS, Code.PUSHW_CS) else Register.SS
    _value(emitter, _selector(emitter, source))
    emitter.asm.mem(Code.PUSH_RM32 if instruction.code in (Code.PUSHD_CS, Code.PUSHD_SS) else Code.PUSH_RM16, emitter.word(VALUE))


def move_from_selector(emitter: Emitter, instruction: Instruction) -> None:
    _deliver(emitter, instruction, _selector(emitter, instruction.op1_register))


def sldt(emitter: Emitter, instruction: Instruction) -> None:
    _deliver(emitter, instruction, _word(emitter, state_page.LDTR))


def str_(emitter: Emitter, instruction: Instruction) -> None:
    _deliver(emitter, instruction, _word(emitter, state_page.TR))


def smsw(emitter: Emitter, instruction: Instruction) -> None:
    """16 bits; the upper half of a 32-bit register is undefined in the manual and stays, as on the recompiler."""
    if instruction.op0_kind == OpKind.REGISTER:
        _deliver_low_word(emitter, _LOW_WORD.get(instruction.op0_register, instruction.op0_register), _word(emitter, state_page.CR0))
    else:
        _deliver(emitter, instruction, _word(emitter, state_page.CR0))


def move_from_special(emitter: Emitter, instruction: Instruction) -> None:
    """MOV from a control or debug register."""
    _deliver(emitter, instruction, _word(emitter, SPECIAL_REGISTERS[instruction.op1_register]))


def sgdt(emitter: Emitter, instruction: Instruction) -> None:
    _store_table_register(emitter, instruction, state_page.GDTR)


def sidt(emitter: Emitter, instruction: Instruction) -> None:
    _store_table_register(emitter, instruction, state_page.IDTR)


def cpuid(emitter: Emitter, _: Instruction) -> None:
    """Look the leaf up in the table. The search ends at the row for every leaf, or at the last one that the table has room for."""
    asm = emitter.asm
    first = emitter.address_of(state_page.CPUID)
    row, other, found = (f"{name} {len(asm)}" for name in ("row", "other", "found"))
    asm.reg_reg(Code.MOV_R32_RM32, Register.EDX, Register.EAX)
    emitter.keep_flags()
    emitter.store(SAVED_FLAGS, Register.EAX)
    emitter.count()
    asm.reg_imm(Code.MOV_R32_IMM32, Register.EBX, first)
    asm.label(row)
    asm.mem_reg(Code.CMP_RM32_R32, _cell(LEAF), Register.EDX)
    asm.branch(Code.JNE_REL8_32, other)
    asm.mem_reg(Code.CMP_RM32_R32, _cell(SUBLEAF), Register.ECX)
    asm.branch(Code.JE_REL8_32, found)
    asm.mem_imm(Code.CMP_RM32_IMM8, _cell(SUBLEAF), ANY)
    asm.branch(Code.JE_REL8_32, found)
    asm.label(other)
    asm.mem_imm(Code.CMP_RM32_IMM8, _cell(LEAF), ANY)
    asm.branch(Code.JE_REL8_32, found)
    asm.reg_imm(Code.ADD_RM32_IMM8, Register.EBX, ROW)
    asm.reg_imm(Code.CMP_RM32_IMM32, Register.EBX, first + ROW * (state_page.CPUID_ROWS - 1))
    asm.branch(Code.JB_REL8_32, row)
    asm.label(found)
    emitter.load(Register.EAX, SAVED_FLAGS)
    emitter.give_flags_back()
    for register, column in ((Register.EAX, RESULT_EAX), (Register.ECX, RESULT_ECX), (Register.EDX, RESULT_EDX), (Register.EBX, RESULT_EBX)):
        asm.reg_mem(Code.MOV_R32_RM32, register, _cell(column))


def _cell(column: int) -> MemoryOperand:
    return MemoryOperand(base=Register.EBX, displ=column, displ_size=1, seg=Register.SS)


def _selector(emitter: Emitter, source: RegisterNumber) -> Produce:
    """RPL 1, which deprivileging made of 0, back to 0."""

    def produce(register: RegisterNumber) -> None:
        emitter.asm.reg_reg(Code.MOV_R32M16_SREG, register, source)
        emitter.add(register, -1)

    return produce


def _word(emitter: Emitter, offset: int) -> Produce:
    return lambda register: emitter.load(register, offset)


def _deliver(emitter: Emitter, instruction: Instruction, produce: Produce) -> None:
    """The value to where the instruction wants it: all of a 32-bit register, the low word of one, or 16 bits of memory."""
    target = instruction.op0_register
    if instruction.op0_kind == OpKind.MEMORY:
        borrowed = _free_register(instruction)
        emitter.store(SAVED, borrowed)
        emitter.count_with(borrowed)
        produce(borrowed)
        emitter.mark(((RegisterExt.number(borrowed), SAVED),))
        emitter.asm.mem_reg(Code.MOV_RM16_R16, memory_operand(instruction), _LOW_WORD[borrowed])
        emitter.load(borrowed, SAVED)
    elif RegisterExt.is_gpr32(target):
        emitter.count_with(target)
        produce(target)
    else:
        _deliver_low_word(emitter, target, produce)


def _deliver_low_word(emitter: Emitter, target: RegisterNumber, produce: Produce) -> None:
    _value(emitter, produce)
    emitter.asm.reg_mem(Code.MOV_R16_RM16, target, emitter.word(VALUE))


def _value(emitter: Emitter, produce: Produce) -> None:
    """The value to VALUE, every register as it was."""
    emitter.store(SAVED, Register.EAX)
    emitter.count_with(Register.EAX)
    produce(Register.EAX)
    emitter.store(VALUE, Register.EAX)
    emitter.load(Register.EAX, SAVED)


def _store_table_register(emitter: Emitter, instruction: Instruction, source: int) -> None:
    """Limit, then base, as the processor does."""
    borrowed = _free_register(instruction)
    emitter.store(SAVED, borrowed)
    emitter.count_with(borrowed)
    emitter.load(borrowed, source)
    emitter.mark(((RegisterExt.number(borrowed), SAVED),))
    emitter.asm.mem_reg(Code.MOV_RM16_R16, memory_operand(instruction), _LOW_WORD[borrowed])
    emitter.load(borrowed, source + 2)
    emitter.asm.mem_reg(Code.MOV_RM32_R32, memory_operand(instruction, 2), borrowed)
    emitter.load(borrowed, SAVED)


def _free_register(instruction: Instruction) -> RegisterNumber:
    used = {RegisterExt.full_register32(register) for register in (instruction.memory_base, instruction.memory_index)}
    return next(register for register in _BORROWED if register not in used)
