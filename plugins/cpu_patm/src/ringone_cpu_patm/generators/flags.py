"""Replacements for CLI, STI, PUSHF, POPF and IRET: IF lives in the state page, every other flag in the processor. IOPL is 0: raw mode refuses others."""

from __future__ import annotations

from collections.abc import Callable

from iced_x86 import Code, Instruction, MemoryOperand, Register

from ringone_cpu_patm import state_page
from ringone_cpu_patm.generators.emitter import IMAGE, IMAGE_CS, IMAGE_EIP, SAVED, SAVED_ESP, SAVED_FLAGS, SAVED_VIRTUAL_IF, VALUE, Emitter
from ringone_cpu_patm.patch_code import VIRTUAL_IF_TARGET

TF = 1 << 8
IF = 1 << 9
IOPL = 3 << 12
NT = 1 << 14
RF = 1 << 16
VM = 1 << 17
VIF = 1 << 19
VIP = 1 << 20

BREAKPOINTS_ENABLED = 0xFF
"""L0 to G3 of DR7."""
RPL = 3
ESP = 4


def cli(emitter: Emitter, _: Instruction) -> None:
    emitter.count_quietly()
    emitter.asm.mem_imm(Code.MOV_RM32_IMM32, emitter.word(state_page.VIRTUAL_IF), 0)


def sti(emitter: Emitter, _: Instruction) -> None:
    """A waiting interrupt is noticed where the guest's own code goes on; `STI_RAN` puts it an instruction behind that where it would come too early."""
    emitter.count_quietly()
    if emitter.leads_to_patches:
        nothing_waits = f"nothing waits {len(emitter.asm)}"
        emitter.store(SAVED, Register.ECX)
        emitter.load(Register.ECX, state_page.PENDING)
        emitter.asm.branch(Code.JECXZ_REL8_32, nothing_waits)
        emitter.load(Register.ECX, SAVED)
        emitter.gate()
        emitter.asm.label(nothing_waits)
        emitter.load(Register.ECX, SAVED)
    for word, value in ((state_page.VIRTUAL_IF, IF), (state_page.STI_RAN, 1)):
        emitter.asm.mem_imm(Code.MOV_RM32_IMM32, emitter.word(word), value)


def pushf(emitter: Emitter, instruction: Instruction) -> None:
    """The real IF is 1, so one LEA makes the guest's image without touching a flag."""
    emitter.count_quietly()
    emitter.store(SAVED, Register.EAX)
    emitter.store(SAVED_ESP, Register.ESP)
    emitter.stack_at(VALUE + 4)
    emitter.asm.op(Code.PUSHFD)
    emitter.asm.reg(Code.POP_R32, Register.EAX)
    emitter.load(Register.ESP, state_page.VIRTUAL_IF)
    emitter.asm.reg_mem(Code.LEA_R32_M, Register.EAX, MemoryOperand(base=Register.ESP, index=Register.EAX, displ=-IF, displ_size=4))
    emitter.store(VALUE, Register.EAX)
    emitter.load(Register.ESP, SAVED_ESP)
    emitter.load(Register.EAX, SAVED)
    emitter.asm.mem(Code.PUSH_RM32 if instruction.code == Code.PUSHFD else Code.PUSH_RM16, emitter.word(VALUE))


def popf(emitter: Emitter, instruction: Instruction) -> None:
    """Pop once, into the state page; judge the image there; load the flags from there."""
    wide = instruction.code == Code.POPFD

    def undo() -> None:
        emitter.load(Register.EAX, SAVED_FLAGS)
        emitter.give_flags_back()
        emitter.add(Register.ESP, -4 if wide else -2)

    emitter.asm.mem(Code.POP_RM32 if wide else Code.POP_RM16, emitter.word(IMAGE))
    emitter.keep_flags()
    emitter.store(SAVED_FLAGS, Register.EAX)
    emitter.count()
    _gate_if_image_has(emitter, TF | IOPL, undo)
    _take_virtual_if(emitter)
    emitter.store(SAVED_ESP, Register.ESP)
    emitter.load(Register.EAX, SAVED)
    emitter.stack_at(IMAGE)
    emitter.asm.op(instruction.code)
    emitter.load(Register.ESP, SAVED_ESP)


def iret(emitter: Emitter, _: Instruction) -> None:
    """To ring 3 with IF set: the virtual IF changes, then the processor's own IRETD from the guest's stack. To the same code segment: flags and a jump. Else:
    a gate.

    RF means "no instruction breakpoint for one instruction". IRETD itself takes it to ring 3. In the same ring it is dropped, since nothing else can show
    it, unless DR7 has breakpoints: then it is a gate.
    """

    def undo() -> None:
        emitter.load(Register.EAX, SAVED_FLAGS)
        emitter.give_flags_back()
        emitter.load(Register.ESP, SAVED_ESP)

    _pop_frame(emitter)
    emitter.keep_flags()
    emitter.store(SAVED_FLAGS, Register.EAX)
    emitter.count()
    _gate_if_nested_task(emitter, undo)
    _gate_if_image_has(emitter, TF | NT | IOPL | VM | VIF | VIP, undo)
    emitter.asm.reg_mem(Code.MOVZX_R32_RM16, Register.EAX, emitter.word(IMAGE_CS))
    emitter.asm.reg_mem(Code.CMP_R32_RM32, Register.EAX, emitter.word(state_page.KERNEL_CS))
    same_ring, no_breakpoint = f"same ring {len(emitter.asm)}", f"no breakpoint {len(emitter.asm)}"
    emitter.asm.branch(Code.JE_REL32_32, same_ring)
    emitter.asm.reg(Code.NOT_RM32, Register.EAX)
    emitter.asm.reg_imm(Code.TEST_AL_IMM8, Register.AL, RPL)
    emitter.gate_if(Code.JNE_REL32_32, undo)
    emitter.asm.mem_imm(Code.TEST_RM8_IMM8, emitter.word(IMAGE + 1), IF >> 8)
    emitter.gate_if(Code.JE_REL32_32, undo)

    emitter.load(Register.EAX, state_page.VIRTUAL_IF)
    emitter.store(SAVED_VIRTUAL_IF, Register.EAX)
    _take_virtual_if(emitter)
    undo()
    emitter.mark(((VIRTUAL_IF_TARGET, SAVED_VIRTUAL_IF),))
    emitter.asm.op(Code.IRETD)

    emitter.asm.label(same_ring)
    emitter.mark()
    emitter.asm.mem_imm(Code.TEST_RM8_IMM8, emitter.word(IMAGE + 2), RF >> 16)
    emitter.asm.branch(Code.JE_REL32_32, no_breakpoint)
    emitter.asm.mem_imm(Code.TEST_RM8_IMM8, emitter.word(state_page.DR + 4 * 7), BREAKPOINTS_ENABLED)
    emitter.gate_if(Code.JNE_REL32_32, undo)
    emitter.asm.label(no_breakpoint)
    _take_virtual_if(emitter)
    emitter.load(Register.EAX, SAVED)
    emitter.stack_at(IMAGE)
    emitter.asm.op(Code.POPFD)
    emitter.load(Register.ESP, SAVED_ESP)
    emitter.add(Register.ESP, 12)
    emitter.asm.mem(Code.JMP_RM32, emitter.word(IMAGE_EIP))


def _pop_frame(emitter: Emitter) -> None:
    """The three words that every IRET reads, in the processor's order."""
    emitter.store(SAVED_ESP, Register.ESP)
    emitter.asm.mem(Code.POP_RM32, emitter.word(IMAGE_EIP))
    emitter.mark(((ESP, SAVED_ESP),))
    emitter.asm.mem(Code.POP_RM32, emitter.word(IMAGE_CS))
    emitter.asm.mem(Code.POP_RM32, emitter.word(IMAGE))


def _gate_if_nested_task(emitter: Emitter, undo: Callable[[], None]) -> None:
    """NT in the real flags: IRET would switch tasks. ESP is lost."""
    emitter.stack_at(VALUE + 4)
    emitter.asm.op(Code.PUSHFD)
    emitter.asm.mem_imm(Code.TEST_RM8_IMM8, emitter.word(VALUE + 1), NT >> 8)
    emitter.gate_if(Code.JNE_REL32_32, undo)


def _gate_if_image_has(emitter: Emitter, mask: int, undo: Callable[[], None]) -> None:
    """Any flag of `mask`, or, unless the patch ends here, IF while an interrupt waits. EAX is lost."""
    if not emitter.ends_here:
        emitter.load(Register.EAX, state_page.PENDING)
        emitter.asm.reg_imm(Code.OR_EAX_IMM32, Register.EAX, mask)
        emitter.asm.mem_reg(Code.TEST_RM32_R32, emitter.word(IMAGE), Register.EAX)
    else:
        emitter.asm.mem_imm(Code.TEST_RM32_IMM32, emitter.word(IMAGE), mask)
    emitter.gate_if(Code.JNE_REL32_32, undo)


def _take_virtual_if(emitter: Emitter) -> None:
    """From the image. EAX is lost."""
    emitter.load(Register.EAX, IMAGE)
    emitter.asm.reg_imm(Code.AND_EAX_IMM32, Register.EAX, IF)
    emitter.store(state_page.VIRTUAL_IF, Register.EAX)
