"""Instructions that a patch carries over: as they are, or, where they name an address, rewritten for their new place. And those that it cannot."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

from iced_x86 import Code, CpuidFeature, FlowControl, Instruction, OpKind, Register

from ringone_cpu_patm.generators.emitter import SAVED, VALUE, Emitter, label_of
from ringone_cpu_patm.generators.system import memory_operand

if TYPE_CHECKING:
    from iced_x86._iced_x86_py import Code as CodeNumber


def _codes(*prefixes: str) -> frozenset[CodeNumber]:
    return frozenset(getattr(Code, name) for name in dir(Code) if name.startswith(prefixes))


_PORT_ACCESS = _codes("IN_", "OUT_", "INSB_", "INSW_", "INSD_", "OUTSB_", "OUTSW_", "OUTSD_")
"""Privileged, but they fault by themselves and at the right place."""
_LOADS_SS = _codes("LSS_", "POPW_SS", "POPD_SS")
_MOVES_TO_SELECTOR = _codes("MOV_SREG_")
_DIFFERS = _codes("LAR_", "LSL_", "VERR_", "VERW_", "PUSHD_CS", "PUSHW_CS", "SGDT_", "SIDT_", "MOV_R32_DR", "MOV_R32_CR")
"""Would show the VMM's tables instead of the guest's. Those of them with a replacement do not come here."""
_VERBATIM_TRANSFERS = frozenset((Code.JMP_RM32, Code.RETND, Code.RETND_IMM16))
_X87 = frozenset((CpuidFeature.FPU, CpuidFeature.FPU287, CpuidFeature.FPU387))

_BRANCHES = (FlowControl.UNCONDITIONAL_BRANCH, FlowControl.CONDITIONAL_BRANCH, FlowControl.CALL)

FIRST_PAGE = 0x1000


def transfers_control(instruction: Instruction) -> bool:
    return instruction.flow_control != FlowControl.NEXT


def refusal(instruction: Instruction) -> str | None:
    """Why the instruction cannot be carried over."""
    if instruction.is_privileged and instruction.code not in _PORT_ACCESS:
        return "is privileged"
    if instruction.code in _DIFFERS:
        return "would show the VMM's tables"
    if instruction.code in _LOADS_SS or (instruction.code in _MOVES_TO_SELECTOR and instruction.op0_register == Register.SS):
        return "loads SS"
    if not _X87.isdisjoint(instruction.cpuid_features()):
        return "leaves its own address in the x87 state"
    if transfers_control(instruction) and not _can_follow(instruction):
        return "transfers control in a way that only the VMM can"
    return None


def refused_target(instruction: Instruction, guest_eip: int, length: int, starts: Set[int]) -> str | None:
    """Why the branch must not be taken out of a patch for `length` bytes at `guest_eip`, wherever in the patch it stands; `starts` are the region's
    instructions. Forward branches inside the region stay inside; a patch has no loops, so that it can run to its end uninterrupted."""
    if not _is_near_branch(instruction):
        return None
    target = instruction.near_branch32
    if target < FIRST_PAGE:
        return "leads into the first page"
    if not 0 < target - guest_eip < length:
        return None
    if target <= instruction.ip32 or target not in starts or not instruction.is_jcc_short_or_near:
        return "leads into the region"
    return None


def is_branch_inside(instruction: Instruction) -> bool:
    """Whether a branch may stand before the last instruction of a region."""
    return instruction.is_jcc_short_or_near and _is_near_branch(instruction)


def branch_inside(emitter: Emitter, instruction: Instruction, last: int) -> None:
    """A conditional jump before the region's last instruction, which is at `last`: to its place in the patch, or out of it."""
    near = _near(emitter, instruction)
    if instruction.ip32 < instruction.near_branch32 <= last:
        emitter.asm.branch(near.code, label_of(instruction.near_branch32))
    else:
        emitter.asm.add(near)


def carry_over(emitter: Emitter, instruction: Instruction, code: bytes) -> None:
    """Emit what does the same from its new place; `code` is the instruction's own. Branches go on to wherever they lead, other instructions to the next."""
    if instruction.is_call_near:
        _call(emitter, instruction)
        emitter.arrive(instruction.near_branch32)
    elif instruction.is_jmp_short_or_near:
        emitter.arrive(instruction.near_branch32)
    elif instruction.is_jcc_short_or_near:
        emitter.asm.add(_near(emitter, instruction))
        emitter.arrive(instruction.next_ip32)
    elif _is_near_branch(instruction):
        _loop(emitter, instruction)
    elif instruction.is_call_near_indirect:
        _call_indirect(emitter, instruction)
    else:
        emitter.asm.add(Instruction.create_declare_byte(code))


def _near(emitter: Emitter, instruction: Instruction) -> Instruction:
    """A conditional jump in its long form."""
    near = instruction.copy()
    near.as_near_branch()
    near.near_branch32 = emitter.redirect.get(near.near_branch32, near.near_branch32)
    return near


def _is_near_branch(instruction: Instruction) -> bool:
    return instruction.flow_control in _BRANCHES and instruction.op0_kind == OpKind.NEAR_BRANCH32


def _can_follow(instruction: Instruction) -> bool:
    return instruction.code in _VERBATIM_TRANSFERS or instruction.code == Code.CALL_RM32 or _is_near_branch(instruction)


def _loop(emitter: Emitter, instruction: Instruction) -> None:
    """JECXZ, LOOP, LOOPE, LOOPNE exist with a short displacement only."""
    taken = f"taken {len(emitter.asm)}"
    emitter.asm.branch(instruction.code, taken)
    emitter.arrive(instruction.next_ip32)
    emitter.asm.label(taken)
    emitter.arrive(instruction.near_branch32)


def _call(emitter: Emitter, instruction: Instruction) -> None:
    """The guest finds its own return address on the stack."""
    emitter.asm.imm(Code.PUSHD_IMM32, instruction.next_ip32)


def _call_indirect(emitter: Emitter, instruction: Instruction) -> None:
    """The target is read before the push, which may change what ESP, or the word on the stack, means."""
    if instruction.op0_kind == OpKind.MEMORY:
        emitter.store(SAVED, Register.EAX)
        emitter.asm.reg_mem(Code.MOV_R32_RM32, Register.EAX, memory_operand(instruction))
        emitter.store(VALUE, Register.EAX)
        emitter.load(Register.EAX, SAVED)
    else:
        emitter.store(VALUE, instruction.op0_register)
    _call(emitter, instruction)
    emitter.asm.mem(Code.JMP_RM32, emitter.word(VALUE))
