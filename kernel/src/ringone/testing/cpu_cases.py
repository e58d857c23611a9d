"""Tables of the CPU conformance kit: what instructions compute, and what faults how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from ringone.testing.cpu_bench import DATA, KERNEL_STACK
from ringone.testing.cpu_bench import SELECTORS as SEL

CF, PF, AF, ZF, SF, OF = 1, 4, 0x10, 0x40, 0x80, 0x800
ARITHMETIC_FLAGS = CF | PF | AF | ZF | SF | OF


@attrs.frozen
class Semantics:
    """A program, the registers it must leave, and the arithmetic flags where they are defined (None: not looked at)."""

    name: str
    program: str
    registers: Mapping[str, int]
    flags: int | None = None


@attrs.frozen
class Fault:
    """What comes before, what faults, in what world (`CpuBench.run` arguments), with which vector and error code."""

    name: str
    before: str
    faulting: str
    vector: int
    error_code: int = 0
    world: Mapping[str, Any] = attrs.field(factory=dict)


SEMANTICS = [
    Semantics("add carries and overflows", "mov eax, 0x80000000; add eax, eax", {"eax": 0}, CF | ZF | PF | OF),
    Semantics("adc takes the carry", "stc; mov eax, 0x7FFFFFFF; adc eax, 0", {"eax": 0x80000000}, SF | OF | AF | PF),
    Semantics("inc keeps the carry", "stc; mov eax, 0xFFFFFFFF; inc eax", {"eax": 0}, CF | ZF | PF | AF),
    Semantics("neg of the smallest", "mov eax, 0x80000000; neg eax", {"eax": 0x80000000}, CF | SF | OF | PF),
    Semantics("sar keeps the sign", "mov eax, 0x80000001; sar eax, 31", {"eax": 0xFFFFFFFF}),
    Semantics("shift counts are masked", "mov eax, 5; mov ecx, 33; shl eax, cl", {"eax": 10}),
    Semantics("shift by zero keeps the flags", "mov eax, 1; mov ecx, 32; xor ebx, ebx; stc; shl eax, cl", {"eax": 1}, CF | ZF | PF),
    Semantics("shld fills from the right", "mov eax, 0x12345678; mov edx, 0x9ABCDEF0; shld eax, edx, 8", {"eax": 0x3456789A}),
    Semantics("rcl rotates through carry", "stc; mov al, 0x80; rcl al, 1", {"eax": 1}),
    Semantics("mul widens", "mov eax, 0xFFFFFFFF; mov ecx, 0xFFFFFFFF; mul ecx", {"eax": 1, "edx": 0xFFFFFFFE}),
    Semantics("imul sees signs", "mov eax, -3; imul eax, eax, 7", {"eax": 0xFFFFFFEB}),
    Semantics("idiv truncates towards zero", "mov eax, -7; cdq; mov ecx, 2; idiv ecx", {"eax": 0xFFFFFFFD, "edx": 0xFFFFFFFF}),
    Semantics("daa adjusts", "mov al, 0x15; add al, 0x27; daa", {"eax": 0x42}),
    Semantics("aam divides by ten", "mov eax, 63; aam", {"eax": 0x603}),
    Semantics("bswap swaps", "mov eax, 0x11223344; bswap eax", {"eax": 0x44332211}),
    Semantics("bsf finds the lowest bit", "mov ecx, 0x00500000; bsf eax, ecx", {"eax": 20}),
    Semantics("bts with a register reaches beyond the operand", f"mov ecx, 67; bts dword ptr [{DATA:#x}], ecx; mov eax, [{DATA + 8:#x}]", {"eax": 8}),
    Semantics(
        "cmpxchg stores on equality",
        f"mov dword ptr [{DATA:#x}], 5; mov eax, 5; mov ecx, 9; cmpxchg dword ptr [{DATA:#x}], ecx; mov eax, [{DATA:#x}]",
        {"eax": 9},
    ),
    Semantics(
        "cmpxchg8b loads on inequality",
        f"mov dword ptr [{DATA:#x}], 7; mov dword ptr [{DATA + 4:#x}], 8; cmpxchg8b qword ptr [{DATA:#x}]",
        {"eax": 7, "edx": 8},
    ),
    Semantics("xadd exchanges and adds", f"mov dword ptr [{DATA:#x}], 7; mov eax, 3; xadd dword ptr [{DATA:#x}], eax; add eax, [{DATA:#x}]", {"eax": 17}),
    Semantics("cmov moves on its condition only", "mov ecx, 1; mov edx, 2; cmp ecx, edx; cmovb eax, edx; cmova ebx, edx", {"eax": 2, "ebx": 0}),
    Semantics("push esp pushes the old value", "push esp; pop eax", {"eax": KERNEL_STACK}),
    Semantics("pop esp takes the popped value", "push 0x1234; pop esp; mov eax, esp", {"eax": 0x1234}),
    Semantics("lods goes down with DF", f"std; mov esi, {DATA + 4:#x}; mov dword ptr [esi], 77; lodsd; cld", {"eax": 77, "esi": DATA}),
    Semantics(
        "rep stos counts down",
        f"mov edi, {DATA:#x}; mov ecx, 3; mov eax, 6; .byte 0xF3, 0xAB; mov eax, [{DATA + 8:#x}]",
        {"eax": 6, "ecx": 0, "edi": DATA + 12},
    ),
    Semantics(
        "repe cmps stops at the difference",
        f"mov dword ptr [{DATA:#x}], 0x11223344; mov dword ptr [{DATA + 16:#x}], 0x11993344; "
        f"mov esi, {DATA:#x}; mov edi, {DATA + 16:#x}; mov ecx, 4; .byte 0xF3, 0xA6",
        {"ecx": 1},
    ),
    Semantics("popf cannot clear the fixed bit", "push 0; popfd; pushfd; pop eax", {"eax": 2}),
    Semantics("x87 computes", f"fld1; fld1; faddp; fistp dword ptr [{DATA:#x}]; mov eax, [{DATA:#x}]", {"eax": 2}),
    Semantics(
        "x87 rounds as the control word says",
        f"mov word ptr [{DATA:#x}], 0x0B7F; fldcw word ptr [{DATA:#x}]; fldpi; fistp dword ptr [{DATA:#x}]; mov eax, [{DATA:#x}]",
        {"eax": 4},
    ),
    Semantics("MMX saturates", "mov eax, 0xF0F0F0F0; movd mm0, eax; paddusb mm0, mm0; movd eax, mm0; emms", {"eax": 0xFFFFFFFF}),
    Semantics("SSE2 adds doubles", "mov eax, 21; cvtsi2sd xmm0, eax; addsd xmm0, xmm0; cvttsd2si eax, xmm0", {"eax": 42}),
]

_LOOPS = [
    ("loopne", "cmp eax, 14", CF | AF | SF),
    ("loopne", "test eax, eax", PF),
    ("loopne", "stc; mov edx, 2; inc edx", CF | PF),
    ("loopne", "mov edx, 0x80000000; sub edx, 1", OF | AF | PF),
    ("loopne", "mov edx, 0xC0000000; shl edx, 1", CF | SF | PF),
    ("loopne", "mov edx, 0x90000000; sar edx, 29", CF | SF | PF),
    ("loopne", "stc; mov edx, 1; adc edx, 7", PF),
    ("loopne", "mov bl, 5; neg bl", CF | AF | SF),
    ("loopne", "xor edx, edx; or edx, 7; rol dl, 1", 0),
    ("loopne", "mov ah, 0x81; sahf", CF | SF),
    ("loopne", "cmp eax, 14; mov edx, [esp]; jmp across; across: nop", CF | AF | SF),
    ("loope", "cmp eax, 5", ZF | PF),
    ("loope", "cmp eax, 5; stc", CF | ZF | PF),
    ("loope", "and edx, 0", ZF | PF),
    ("loope", "xor edx, edx", ZF | PF),
    ("loope", "mov edx, -1; add edx, 1", CF | AF | ZF | PF),
    ("loope", "mov edx, -1; inc edx", AF | ZF | PF),
]
SEMANTICS += [
    Semantics(f"{loop} after {before} ends by its count", f"mov eax, 5; mov ecx, 3; again: clc; {before}; {loop} again", {"ecx": 0}, flags)
    for loop, before, flags in _LOOPS
]
SEMANTICS += [
    Semantics(
        f"{loop} after {before} ends by the zero flag",
        f"mov eax, 5; mov ecx, 3; again: clc; {before}; {({'loope': 'loopne', 'loopne': 'loope'})[loop]} again",
        {"ecx": 2},
        flags,
    )
    for loop, before, flags in _LOOPS
]
SEMANTICS += [
    Semantics("loope with a 16-bit count", "mov ecx, 0x10001; add ecx, 0; mov eax, 5; cmp eax, 5; .byte 0x67, 0xE1, 1; nop; nop", {"ecx": 0x10000}, ZF | PF),
    Semantics("loopne with a 16-bit count", "mov ecx, 0x20001; mov eax, 5; cmp eax, 14; .byte 0x67, 0xE0, 1; nop; nop", {"ecx": 0x20000}, CF | AF | SF),
    Semantics("loope with a count of 0", "xor ecx, ecx; mov eax, 5; cmp eax, 5; loope past; nop; past: nop", {"ecx": 0xFFFFFFFF}, ZF | PF),
    Semantics("loopne, and the flags on the stack", "mov ecx, 1; mov eax, 5; cmp eax, 14; loopne past; past: pushfd; pop ebx", {"ebx": 2 | CF | AF | SF}),
    Semantics("loope, and a jump by its flags", "mov ecx, 1; cmp ecx, 1; loope past; past: jne wrong; mov ebx, 1; wrong: nop", {"ebx": 1}),
    Semantics("loopne where the block begins", "mov ecx, 2; mov eax, 5; cmp eax, 14; jmp again; nop; again: loopne again", {"ecx": 0}, CF | AF | SF),
]

_USER = {"user": True}
_PAGED = {"paging": "32bit"}
_USER_PAGED = {"user": True, "paging": "32bit"}
_PAE = {"paging": "pae"}

FAULTS = [
    Fault(
        "iret cannot enter virtual-8086 mode outside ring 0",
        "push 0; push 0; push 0; push 0; push 0; push 0x8000; push 0x20002; push 0x2000; push 0",
        "iretd",
        13,
        0x2000,
        {"user": True},
    ),
    Fault("division by zero", "xor ecx, ecx", "div ecx", 0),
    Fault("division overflow", "mov edx, 1; mov ecx, 1", "div ecx", 0),
    Fault("bound", f"mov dword ptr [{DATA:#x}], 1; mov dword ptr [{DATA + 4:#x}], 2; mov eax, 5", f".byte 0x62, 0x05; .long {DATA:#x}", 5),
    Fault("ud2", "nop", "ud2", 6),
    Fault("lock on a register operand", "nop", ".byte 0xF0, 0x01, 0xC0", 6),
    Fault("mov to CS", "mov eax, 8", ".byte 0x8E, 0xC8", 6),
    Fault("x87 while TS is set", "mov eax, cr0; or eax, 8; mov cr0, eax", "fld1", 7),
    Fault("segment not present", f"mov eax, {SEL['absent']}", "mov ds, ax", 11, SEL["absent"]),
    Fault("null stack segment", "xor eax, eax", "mov ss, ax", 13),
    Fault("stack segment not present", f"mov eax, {SEL['absent']}", "mov ss, ax", 12, SEL["absent"]),
    Fault("selector beyond the table", "mov eax, 0x7F8", "mov es, ax", 13, 0x7F8),
    Fault("execute-only segment in ES", f"mov eax, {SEL['execute_only']}", "mov es, ax", 13, SEL["execute_only"]),
    Fault("privileged instruction in ring 3", "nop", "hlt", 13, 0, _USER),
    Fault("cli in ring 3", "nop", "cli", 13, 0, _USER),
    Fault("port access in ring 3", "nop", "in al, 0x60", 13, 0, _USER),
    Fault("mov from CR0 in ring 3", "nop", "mov eax, cr0", 13, 0, _USER),
    Fault("INT n without the right", "nop", "int 0x30", 13, 0x30 * 8 + 2, _USER),
    Fault("kernel page from ring 3", "nop", "mov eax, [0x31000]", 14, 5, _USER_PAGED),
    Fault("page not present", "nop", "mov eax, [0x32000]", 14, 0, _PAGED),
    Fault("write to a read-only page", "nop", "mov dword ptr [0x33000], 1", 14, 3, _PAGED),
    Fault("user write to a read-only page", "nop", "mov dword ptr [0x33000], 1", 14, 7, _USER_PAGED),
    Fault("PAE page not present", "nop", "mov eax, [0x32000]", 14, 0, _PAE),
    Fault("write to a PAE read-only page", "nop", "mov dword ptr [0x33000], 1", 14, 3, _PAE),
]
