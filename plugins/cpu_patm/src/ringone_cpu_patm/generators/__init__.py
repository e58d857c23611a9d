"""Patch code from guest instructions: a pure function over a region of 32-bit kernel code.

Each instruction is either replaced (the tables below), carried over (`relocate`), or, at the region's end only, left to the VMM behind a gate.
What patch code may rely on: it runs at CPL 1 with IF 1 and IOPL 0, CS and SS are flat and 32 bits wide with RPL 1, and nothing interrupts it but a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from iced_x86 import Code, Decoder, Instruction, Register

from ringone_cpu_patm.generators import flags, invlpg, selectors, sysexit, system
from ringone_cpu_patm.generators.emitter import Emitter
from ringone_cpu_patm.generators.relocate import branch_inside, carry_over, is_branch_inside, refusal, refused_target, transfers_control
from ringone_cpu_patm.patch_code import CannotPatch, Kind, PatchCode

if TYPE_CHECKING:
    from iced_x86._iced_x86_py import Code as CodeNumber

Generator = Callable[[Emitter, Instruction], None]

_KINDS: Mapping[CodeNumber, Kind] = {
    Code.CLI: Kind.CLI,
    Code.STI: Kind.STI,
    Code.PUSHFD: Kind.PUSHF,
    Code.PUSHFW: Kind.PUSHF,
    Code.POPFD: Kind.POPF,
    Code.POPFW: Kind.POPF,
    Code.IRETD: Kind.IRET,
    Code.PUSHD_CS: Kind.PUSH_CS,
    Code.PUSHW_CS: Kind.PUSH_CS,
    Code.PUSHD_SS: Kind.PUSH_SS,
    Code.PUSHW_SS: Kind.PUSH_SS,
    Code.CPUID: Kind.CPUID,
    Code.SGDT_M1632: Kind.SGDT,
    Code.SIDT_M1632: Kind.SIDT,
    Code.SLDT_RM16: Kind.SLDT,
    Code.SLDT_R32M16: Kind.SLDT,
    Code.STR_RM16: Kind.STR,
    Code.STR_R32M16: Kind.STR,
    Code.SMSW_RM16: Kind.SMSW,
    Code.SMSW_R32M16: Kind.SMSW,
    Code.VERR_RM16: Kind.VERR,
    Code.VERR_R32M16: Kind.VERR,
    Code.VERW_RM16: Kind.VERW,
    Code.VERW_R32M16: Kind.VERW,
    Code.SYSEXITD: Kind.SYSEXIT,
    Code.POPD_DS: Kind.POP_SELECTOR,
    Code.POPW_DS: Kind.POP_SELECTOR,
    Code.POPD_ES: Kind.POP_SELECTOR,
    Code.POPW_ES: Kind.POP_SELECTOR,
    Code.POPD_FS: Kind.POP_SELECTOR,
    Code.POPW_FS: Kind.POP_SELECTOR,
    Code.POPD_GS: Kind.POP_SELECTOR,
    Code.POPW_GS: Kind.POP_SELECTOR,
}
_KINDS_BY_SOURCE = {
    Code.MOV_RM16_SREG: {Register.CS: Kind.MOV_FROM_CS, Register.SS: Kind.MOV_FROM_SS},
    Code.MOV_R32M16_SREG: {Register.CS: Kind.MOV_FROM_CS, Register.SS: Kind.MOV_FROM_SS},
    Code.MOV_R32_CR: dict.fromkeys(system.SPECIAL_REGISTERS, Kind.MOV_FROM_CR),
    Code.MOV_R32_DR: dict.fromkeys(system.SPECIAL_REGISTERS, Kind.MOV_FROM_DR),
}
_MOVES_TO_SELECTOR = (Code.MOV_SREG_RM16, Code.MOV_SREG_R32M16)
_DATA_SEGMENTS = (Register.DS, Register.ES, Register.FS, Register.GS)
_GENERATORS: Mapping[Kind, Generator] = {
    Kind.CLI: flags.cli,
    Kind.STI: flags.sti,
    Kind.PUSHF: flags.pushf,
    Kind.POPF: flags.popf,
    Kind.IRET: flags.iret,
    Kind.PUSH_CS: system.push_selector,
    Kind.PUSH_SS: system.push_selector,
    Kind.MOV_FROM_CS: system.move_from_selector,
    Kind.MOV_FROM_SS: system.move_from_selector,
    Kind.CPUID: system.cpuid,
    Kind.SGDT: system.sgdt,
    Kind.SIDT: system.sidt,
    Kind.SLDT: system.sldt,
    Kind.STR: system.str_,
    Kind.SMSW: system.smsw,
    Kind.MOV_FROM_CR: system.move_from_special,
    Kind.MOV_FROM_DR: system.move_from_special,
    Kind.VERR: selectors.verify,
    Kind.VERW: selectors.verify,
    Kind.SYSEXIT: sysexit.sysexit,
    Kind.MOV_TO_SELECTOR: selectors.move_to_selector,
    Kind.POP_SELECTOR: selectors.pop_selector,
    Kind.INVLPG: invlpg.invlpg,
}


_NOWHERE: Mapping[int, int] = {}


def generate(code: bytes, guest_eip: int, *, address: int, state: int, redirect: Mapping[int, int] = _NOWHERE, count_hits: bool = True) -> PatchCode:
    """The patch for the region of whole instructions `code` at linear address `guest_eip`.

    `address` is where the patch will lie and `state` where the state page does, both linear. `redirect` has guest addresses for which there is patch code,
    and where: branches go there at once. Raises CannotPatch.
    """
    region = _decode(code, guest_eip)
    last = region[-1]
    emitter = Emitter(address, state, redirect, count_hits=count_hits)
    for instruction in region:
        emitter.at(instruction.ip32)
        kind = kind_of(instruction)
        reason = None if kind is not None else refusal(instruction)
        if instruction.ip != last.ip and is_branch_inside(instruction):
            emitter.begin_carried_over(instruction.ip32)
            branch_inside(emitter, instruction, last.ip32)
            continue
        if instruction.ip != last.ip and (reason or transfers_control(instruction)):
            raise CannotPatch(f"{instruction} at {instruction.ip:#x} {reason or 'transfers control'} and is not the region's last instruction")
        if reason:
            _gate(emitter, instruction)
        elif kind is not None:
            emitter.begin(kind, instruction.ip32)
            emitter.ends_here = instruction.ip == last.ip and instruction.next_ip32 not in redirect
            emitter.leads_to_patches = _leads_to_patches(region, instruction, redirect)
            _GENERATORS[kind](emitter, instruction)
        else:
            emitter.begin_carried_over(instruction.ip32)
            carry_over(emitter, instruction, code[instruction.ip32 - guest_eip :][: instruction.len])
    if not transfers_control(last) and not reason:
        emitter.arrive(last.next_ip32)
    return emitter.finish()


def _leads_to_patches(region: Sequence[Instruction], behind: Instruction, redirect: Mapping[int, int]) -> bool:
    """Whether something else is replaced between an instruction and the guest's own code."""
    following = [instruction for instruction in region if instruction.ip > behind.ip]
    targets = {instruction.near_branch32 for instruction in following} | {region[-1].next_ip32}
    return any(kind_of(instruction) is not None for instruction in following) or not targets.isdisjoint(redirect)


def kind_of(instruction: Instruction) -> Kind | None:
    """What the instruction would be replaced as; None if nothing replaces it, sensitive or not."""
    if instruction.code in _MOVES_TO_SELECTOR:
        return Kind.MOV_TO_SELECTOR if instruction.op0_register in _DATA_SEGMENTS else None
    if instruction.code == Code.INVLPG_M:
        return Kind.INVLPG if invlpg.has_known_base(instruction) else None
    by_source = _KINDS_BY_SOURCE.get(instruction.code)
    return by_source.get(instruction.op1_register) if by_source is not None else _KINDS.get(instruction.code)


def is_left_to_the_vmm(instruction: Instruction) -> bool:
    """Whether a patch can only have a gate for the instruction."""
    return kind_of(instruction) is None and refusal(instruction) is not None


def is_sensitive(instruction: Instruction) -> bool:
    """Whether the instruction must not run as it is, in a patch."""
    return kind_of(instruction) is not None or refusal(instruction) is not None


def _decode(code: bytes, guest_eip: int) -> list[Instruction]:
    if not code or guest_eip + len(code) > 1 << 32:
        raise CannotPatch(f"no region: {len(code)} bytes at {guest_eip:#x}")
    region = list(Decoder(32, code, ip=guest_eip))
    for instruction in region:
        if instruction.is_invalid:
            raise CannotPatch(f"the bytes at {instruction.ip:#x} are no instruction")
        reason = refused_target(instruction, guest_eip, len(code), {other.ip32 for other in region})
        if reason:
            raise CannotPatch(f"{instruction} at {instruction.ip:#x} {reason}")
    return region


def _gate(emitter: Emitter, instruction: Instruction) -> None:
    """The instruction is the VMM's to do."""
    emitter.begin(Kind.GATE, instruction.ip32)
    emitter.count_quietly()
    emitter.gate()
