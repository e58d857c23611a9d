"""The instructions that matter to a VMM that runs guest ring 0 at ring 1 with IOPL 0, one row for each form (Intel SDM volume 2).

Rows name instructions as Capstone writes them. What has no row is harmless: it does the same at ring 1 as at ring 0, which includes the invalid-opcode fault
of instructions that the processor does not have.
"""

from __future__ import annotations

import enum
import re

import attrs
from ringone.api.scan import InstructionClass, Trapping

PRIVILEGED, SENSITIVE = InstructionClass.PRIVILEGED, InstructionClass.SENSITIVE
CONTROL_FLOW, SHADOW, PORT_IO = InstructionClass.CONTROL_FLOW, InstructionClass.INTERRUPT_SHADOW, InstructionClass.PORT_IO
SHADOWING, FLOWING = frozenset((SHADOW,)), frozenset((CONTROL_FLOW,))
ALWAYS, SOMETIMES, NEVER = Trapping.ALWAYS, Trapping.SOMETIMES, Trapping.NEVER


class Flow(enum.Enum):
    """Where the processor goes after an instruction."""

    NEXT = enum.auto()
    JUMP = enum.auto()
    BRANCH = enum.auto()
    """To the target and on: conditional jumps, and calls, which come back."""
    END = enum.auto()


@attrs.frozen
class Row:
    """`mnemonics` are separated by spaces, `operands` is a regular expression that the operand text begins with.

    Where `near` is set, the instruction stays in its segment: such branches are followed and are no findings.
    """

    form: str
    mnemonics: str
    kind: InstructionClass
    traps: Trapping
    reference: str
    operands: str = attrs.field(default="", kw_only=True)
    also: frozenset[InstructionClass] = attrs.field(default=frozenset(), kw_only=True)
    flow: Flow = attrs.field(default=Flow.NEXT, kw_only=True)
    near: bool = attrs.field(default=False, kw_only=True)


JCC = "jo jno jb jae je jne jbe ja js jns jp jnp jl jge jle jg jcxz jecxz"
FAR = r"ptr |\w+[,:]|\["
"""Operands of far branches: ``ptr [eax]``, ``[bx]``, ``es:[bx]``, ``0x10, 0x1234``, ``0x10:0x1234``; near ones have a size or are one word."""

TABLE: tuple[Row, ...] = (
    Row("HLT", "hlt", PRIVILEGED, ALWAYS, "vol. 2A, HLT"),
    Row("CLI", "cli", PRIVILEGED, ALWAYS, "vol. 2A, CLI"),
    Row("STI", "sti", PRIVILEGED, ALWAYS, "vol. 2B, STI", also=SHADOWING),
    Row("CLTS", "clts", PRIVILEGED, ALWAYS, "vol. 2A, CLTS"),
    Row("CLAC, STAC", "clac stac", PRIVILEGED, ALWAYS, "vol. 2A, CLAC; vol. 2B, STAC"),
    Row("LGDT, LIDT", "lgdt lidt", PRIVILEGED, ALWAYS, "vol. 2A, LGDT/LIDT"),
    Row("LLDT", "lldt", PRIVILEGED, ALWAYS, "vol. 2A, LLDT"),
    Row("LTR", "ltr", PRIVILEGED, ALWAYS, "vol. 2A, LTR"),
    Row("LMSW", "lmsw", PRIVILEGED, ALWAYS, "vol. 2A, LMSW"),
    Row("MOV CRn, r32", "mov", PRIVILEGED, ALWAYS, "vol. 2B, MOV: control registers", operands=r"cr\d"),
    Row("MOV r32, CRn", "mov", PRIVILEGED, ALWAYS, "vol. 2B, MOV: control registers", operands=r"e\w\w, cr\d"),
    Row("MOV DRn, r32", "mov", PRIVILEGED, ALWAYS, "vol. 2B, MOV: debug registers", operands=r"dr\d"),
    Row("MOV r32, DRn", "mov", PRIVILEGED, ALWAYS, "vol. 2B, MOV: debug registers", operands=r"e\w\w, dr\d"),
    Row("INVLPG", "invlpg", PRIVILEGED, ALWAYS, "vol. 2A, INVLPG"),
    Row("INVPCID", "invpcid", PRIVILEGED, ALWAYS, "vol. 2A, INVPCID"),
    Row("INVD", "invd", PRIVILEGED, ALWAYS, "vol. 2A, INVD"),
    Row("WBINVD, WBNOINVD", "wbinvd wbnoinvd", PRIVILEGED, ALWAYS, "vol. 2D, WBINVD, WBNOINVD"),
    Row("RDMSR", "rdmsr", PRIVILEGED, ALWAYS, "vol. 2B, RDMSR"),
    Row("WRMSR", "wrmsr", PRIVILEGED, ALWAYS, "vol. 2D, WRMSR"),
    Row("RDPMC", "rdpmc", PRIVILEGED, SOMETIMES, "vol. 2B, RDPMC: CR4.PCE"),
    Row("RDTSC, RDTSCP", "rdtsc rdtscp", PRIVILEGED, SOMETIMES, "vol. 2B, RDTSC, RDTSCP: CR4.TSD"),
    Row("XSETBV", "xsetbv", PRIVILEGED, ALWAYS, "vol. 2D, XSETBV"),
    Row("XSAVES, XRSTORS", "xsaves xrstors", PRIVILEGED, ALWAYS, "vol. 2D, XSAVES, XRSTORS"),
    Row("MONITOR, MWAIT", "monitor mwait", PRIVILEGED, ALWAYS, "vol. 2B, MONITOR, MWAIT"),
    Row("SYSEXIT", "sysexit", PRIVILEGED, ALWAYS, "vol. 2B, SYSEXIT", also=FLOWING, flow=Flow.END),
    Row("SYSRET", "sysret", PRIVILEGED, ALWAYS, "vol. 2B, SYSRET", also=FLOWING, flow=Flow.END),
    Row("PUSHF, PUSHFD", "pushf pushfd", SENSITIVE, NEVER, "vol. 2B, PUSHF/PUSHFD"),
    Row("POPF, POPFD", "popf popfd", SENSITIVE, NEVER, "vol. 2B, POPF/POPFD"),
    Row("IRET, IRETD", "iret iretd", SENSITIVE, SOMETIMES, "vol. 2A, IRET/IRETD: not to outer rings", also=FLOWING, flow=Flow.END),
    Row("PUSH CS", "push", SENSITIVE, NEVER, "vol. 2B, PUSH", operands="cs$"),
    Row("PUSH SS", "push", SENSITIVE, NEVER, "vol. 2B, PUSH", operands="ss$"),
    Row("MOV r/m16, CS", "mov", SENSITIVE, NEVER, "vol. 2B, MOV", operands="[^,]+, cs$"),
    Row("MOV r/m16, SS", "mov", SENSITIVE, NEVER, "vol. 2B, MOV", operands="[^,]+, ss$"),
    Row("SGDT", "sgdt", SENSITIVE, NEVER, "vol. 2B, SGDT"),
    Row("SIDT", "sidt", SENSITIVE, NEVER, "vol. 2B, SIDT"),
    Row("SLDT", "sldt", SENSITIVE, NEVER, "vol. 2B, SLDT"),
    Row("STR", "str", SENSITIVE, NEVER, "vol. 2B, STR"),
    Row("SMSW", "smsw", SENSITIVE, NEVER, "vol. 2B, SMSW"),
    Row("LAR", "lar", SENSITIVE, NEVER, "vol. 2A, LAR"),
    Row("LSL", "lsl", SENSITIVE, NEVER, "vol. 2A, LSL"),
    Row("VERR, VERW", "verr verw", SENSITIVE, NEVER, "vol. 2C, VERR/VERW"),
    Row("CPUID", "cpuid", SENSITIVE, NEVER, "vol. 2A, CPUID"),
    Row("CALL far", "lcall call", SENSITIVE, SOMETIMES, "vol. 2A, CALL: pushes CS", operands=FAR, also=FLOWING, flow=Flow.BRANCH),
    Row("JMP far", "ljmp jmp", SENSITIVE, SOMETIMES, "vol. 2A, JMP: loads CS", operands=FAR, also=FLOWING, flow=Flow.JUMP),
    Row("RETF", "retf", SENSITIVE, SOMETIMES, "vol. 2B, RET: loads CS; not to outer rings", also=FLOWING, flow=Flow.END),
    Row("MOV SS, r/m16", "mov", SENSITIVE, SOMETIMES, "vol. 2B, MOV: RPL must be CPL", operands="ss, ", also=SHADOWING),
    Row("POP SS", "pop", SENSITIVE, SOMETIMES, "vol. 2B, POP: RPL must be CPL", operands="ss$", also=SHADOWING),
    Row("LSS", "lss", SENSITIVE, SOMETIMES, "vol. 2A, LDS/LES/LFS/LGS/LSS: RPL must be CPL; a shadow on some processors", also=SHADOWING),
    Row("MOV DS, ES, FS or GS, r/m16", "mov", SENSITIVE, SOMETIMES, "vol. 2B, MOV: RPL must not exceed DPL", operands="[defg]s, "),
    Row("POP DS, ES, FS or GS", "pop", SENSITIVE, SOMETIMES, "vol. 2B, POP: RPL must not exceed DPL", operands="[defg]s$"),
    Row("LDS, LES, LFS, LGS", "lds les lfs lgs", SENSITIVE, SOMETIMES, "vol. 2A, LDS/LES/LFS/LGS/LSS: RPL must not exceed DPL"),
    Row("IN", "in", PORT_IO, ALWAYS, "vol. 2A, IN"),
    Row("OUT", "out", PORT_IO, ALWAYS, "vol. 2B, OUT"),
    Row("INS", "insb insw insd", PORT_IO, ALWAYS, "vol. 2A, INS/INSB/INSW/INSD"),
    Row("OUTS", "outsb outsw outsd", PORT_IO, ALWAYS, "vol. 2B, OUTS/OUTSB/OUTSW/OUTSD"),
    Row("INT n", "int", CONTROL_FLOW, ALWAYS, "vol. 2A, INT n"),
    Row("INT3", "int3", CONTROL_FLOW, ALWAYS, "vol. 2A, INT n", flow=Flow.END),
    Row("INT1", "int1", CONTROL_FLOW, ALWAYS, "vol. 2A, INT n", flow=Flow.END),
    Row("INTO", "into", CONTROL_FLOW, SOMETIMES, "vol. 2A, INT n: OF"),
    Row("UD0, UD1, UD2", "ud0 ud1 ud2", CONTROL_FLOW, ALWAYS, "vol. 2B, UD", flow=Flow.END),
    Row("SYSENTER", "sysenter", CONTROL_FLOW, SOMETIMES, "vol. 2B, SYSENTER: IA32_SYSENTER_CS", flow=Flow.END),
    Row("SYSCALL", "syscall", CONTROL_FLOW, SOMETIMES, "vol. 2B, SYSCALL: EFER.SCE", flow=Flow.END),
    Row("RET", "ret", CONTROL_FLOW, NEVER, "vol. 2B, RET", flow=Flow.END, near=True),
    Row("JMP near", "jmp", CONTROL_FLOW, NEVER, "vol. 2A, JMP", flow=Flow.JUMP, near=True),
    Row("CALL near", "call", CONTROL_FLOW, NEVER, "vol. 2A, CALL", flow=Flow.BRANCH, near=True),
    Row("Jcc", JCC, CONTROL_FLOW, NEVER, "vol. 2A, Jcc", flow=Flow.BRANCH, near=True),
    Row("LOOP, LOOPcc", "loop loope loopne", CONTROL_FLOW, NEVER, "vol. 2A, LOOP/LOOPcc", flow=Flow.BRANCH, near=True),
)
"""Of rows with the same mnemonic the first one whose operands match counts."""


class Forms:
    """The rows of one mnemonic, as one regular expression that tells which of them an operand text belongs to."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows
        self._match = re.compile("|".join(f"({row.operands})" for row in rows)).match

    def row(self, operands: str) -> Row | None:
        found = self._match(operands)
        return None if found is None or found.lastindex is None else self._rows[found.lastindex - 1]


class Mnemonics(dict[str, Forms | None]):
    """Mnemonic, with or without prefix words (``rep insb``), to forms; None where all forms are harmless. Filled as they are met."""

    def __missing__(self, mnemonic: str) -> Forms | None:
        last = mnemonic.rpartition(" ")[2]
        rows = [row for row in TABLE if last in row.mnemonics.split()]
        forms = self[mnemonic] = Forms(rows) if rows else None
        return forms


MNEMONICS = Mnemonics()


def classify(mnemonic: str, operands: str) -> Row | None:
    """The row of an instruction as Capstone writes it; None: harmless."""
    forms = MNEMONICS[mnemonic]
    return None if forms is None else forms.row(operands)
