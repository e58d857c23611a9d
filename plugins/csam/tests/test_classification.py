"""Every row of the table, assembled and decoded."""

from __future__ import annotations

import pytest
from capstone import CS_ARCH_X86, CS_MODE_16, CS_MODE_32, Cs
from ringone.api.scan import InstructionClass, Trapping
from ringone.testing.cpu_bench import assemble
from ringone_csam.classification import TABLE, Flow, Row, classify
from ringone_csam.prefilter import may_matter

MATTERING = (InstructionClass.PRIVILEGED, InstructionClass.SENSITIVE)

EXAMPLES = {
    "HLT": "hlt",
    "CLI": "cli",
    "STI": "sti",
    "CLTS": "clts",
    "CLAC, STAC": "clac; stac",
    "LGDT, LIDT": "lgdt [ebp-16]; lidt [0x1234]",
    "LLDT": "lldt ax; lldt [ebx]",
    "LTR": "ltr cx; ltr [esp+4]",
    "LMSW": "lmsw ax; lmsw [esi]",
    "MOV CRn, r32": "mov cr0, eax; mov cr3, esi; mov cr4, edi",
    "MOV r32, CRn": "mov eax, cr0; mov edx, cr2; mov ebp, cr4",
    "MOV DRn, r32": "mov dr7, eax; mov dr0, ecx",
    "MOV r32, DRn": "mov eax, dr6; mov ebx, dr3",
    "INVLPG": "invlpg [eax]",
    "INVPCID": "66 0f 38 82 00",
    "INVD": "invd",
    "WBINVD, WBNOINVD": "0f 09 f3 0f 09",
    "RDMSR": "rdmsr",
    "WRMSR": "wrmsr",
    "RDPMC": "rdpmc",
    "RDTSC, RDTSCP": "rdtsc; rdtscp",
    "XSETBV": "xsetbv",
    "XSAVES, XRSTORS": "0f c7 28 0f c7 5d 08",
    "MONITOR, MWAIT": "0f 01 c8 0f 01 c9",
    "SYSEXIT": "sysexit",
    "SYSRET": "0f 07",
    "MOV SS, r/m16": "mov ss, ax; mov ss, [ebp+8]; mov ss, gs:[eax]",
    "POP SS": "pop ss",
    "MOV DS, ES, FS or GS, r/m16": "mov ds, eax; mov es, dx; mov fs, [ebp+8]; mov gs, ss:[eax]",
    "POP DS, ES, FS or GS": "pop ds; pop es; pop fs; pop gs",
    "LDS, LES, LFS, LGS": "lds eax, [ebx]; les ecx, [esp+4]; lfs edx, [esi]; lgs bx, [edi]",
    "LSS": "lss esp, [ebx]",
    "PUSHF, PUSHFD": "pushfd; pushf",
    "POPF, POPFD": "popfd; popf",
    "IRET, IRETD": "iretd; iret",
    "PUSH CS": "push cs",
    "PUSH SS": "push ss",
    "MOV r/m16, CS": "mov eax, cs; mov ax, cs; mov [ebp-4], cs; mov fs:[esi], cs",
    "MOV r/m16, SS": "mov ebx, ss; mov bx, ss; mov ss:[eax], ss",
    "SGDT": "sgdt [eax]",
    "SIDT": "sidt [esp+2]",
    "SLDT": "sldt ax; sldt eax; sldt [ecx]",
    "STR": "str ax; str edx; str [ecx]",
    "SMSW": "smsw ax; smsw eax; smsw [ecx]",
    "LAR": "lar eax, ebx; lar ax, [esi]",
    "LSL": "lsl eax, ebx; lsl ax, [esi]",
    "VERR, VERW": "verr ax; verr [eax]; verw cx; verw [ebx]",
    "CPUID": "cpuid",
    "CALL far": "9a 11 22 33 44 10 00 66 9a 11 22 10 00 ff 18 ff 5d f8 2e ff 1d 00 10 00 c0 66 ff 18",
    "IN": "in al, 0x60; in eax, 0x60; in al, dx; in ax, dx; in eax, dx",
    "OUT": "out 0x20, al; out 0x20, eax; out dx, al; out dx, ax; out dx, eax",
    "INS": "insb; insw; insd; rep insb; rep insd",
    "OUTS": "outsb; outsw; outsd; rep outsw",
    "INT n": "int 0x80; int 0",
    "INT3": "int3",
    "INT1": "f1",
    "INTO": "into",
    "UD0, UD1, UD2": "0f 0b 0f b9 0f ff",
    "SYSENTER": "sysenter",
    "SYSCALL": "0f 05",
    "JMP far": "ea 11 22 33 44 10 00 66 ea 11 22 10 00 ff 28 ff 6d f8 2e ff 2d 00 10 00 c0",
    "RETF": "cb ca 04 00",
    "RET": "ret; ret 8; repz ret",
    "JMP near": "eb 10 e9 00 00 10 00 ff e0 ff 20 2e ff 24 85 00 10 00 c0",
    "CALL near": "e8 00 00 00 00 ff d0 ff 10 65 ff 15 00 10 00 00",
    "Jcc": " ".join(f"{0x70 + condition:02x} 10" for condition in range(16)) + " 0f 84 00 10 00 00 e3 00",
    "LOOP, LOOPcc": "e2 00 e1 00 e0 00",
}
"""Assembly, or bytes where the assembler does not know the instruction."""

HARMLESS = (
    "mov eax, ds; mov [ebx], es; mov cx, fs; push ds; push es; push fs; push gs; mov esp, eax; pop edi; vaddps xmm0, xmm1, xmm2",
    "mov eax, cs:[ebx]; mov cs:[eax], edx; mov ss:[ebp], eax; mov eax, ss:[ebx]; push ss:[eax]; pop dword ptr ss:[eax]; push cs:[eax]",
    "mov ecx, [edx]; push eax; pop ebx; lahf; sahf; cld; std; clc; cmc; nop; pause; xgetbv; lfence; fninit; bound eax, [ebx]",
    "lock add [eax], ebx; rep movsb; arpl ax, bx; leave; enter 8, 0; xlatb",
)


def machine_code(text: str, bits: int = 32) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return assemble(text, 0x1000, bits)


def instructions(code: bytes, bits: int = 32) -> list[tuple[bytes, str, str]]:
    found = list(Cs(CS_ARCH_X86, CS_MODE_32 if bits == 32 else CS_MODE_16).disasm_lite(code, 0))
    assert sum(size for _, size, _, _ in found) == len(code), found
    return [(code[at : at + size], mnemonic, operands) for at, size, mnemonic, operands in found]


def decoded(text: str, bits: int = 32) -> list[tuple[str, str]]:
    return [(mnemonic, operands) for _, mnemonic, operands in instructions(machine_code(text, bits), bits)]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.form.replace(" ", "-"))
def test_every_form_finds_its_row(row: Row) -> None:
    for mnemonic, operands in decoded(EXAMPLES[row.form]):
        assert classify(mnemonic, operands) == row, (mnemonic, operands)


@pytest.mark.parametrize("row", [row for row in TABLE if row.kind in MATTERING], ids=lambda row: row.form.replace(" ", "-"))
def test_the_filter_suspects_every_privileged_and_sensitive_form(row: Row) -> None:
    for code, _, _ in instructions(machine_code(EXAMPLES[row.form])):
        assert may_matter(code), code.hex(" ")


@pytest.mark.parametrize("mnemonic", sorted({mnemonic for row in TABLE for mnemonic in row.mnemonics.split()} - {"jcxz"}))
def test_every_mnemonic_of_the_table_is_one_that_the_decoder_writes(mnemonic: str) -> None:
    written = {text.rpartition(" ")[2] for example in EXAMPLES.values() for text, _ in decoded(example)}
    assert mnemonic in written


@pytest.mark.parametrize("text", HARMLESS, ids=("segments", "segment prefixes", "plain", "with operands"))
def test_what_has_no_row_is_harmless(text: str) -> None:
    for mnemonic, operands in decoded(text):
        assert classify(mnemonic, operands) is None, (mnemonic, operands)


@pytest.mark.parametrize("prefix", [0x26, 0x2E, 0x64, 0x66, 0x67, 0xF2, 0xF3], ids="{:02x}".format)
@pytest.mark.parametrize("text", ["cli", "popfd", "pushfd", "push cs", "iretd", "hlt", "mov eax, cs"])
def test_a_prefix_that_the_processor_ignores_hides_nothing(prefix: int, text: str) -> None:
    instruction = assemble(text, 0)
    ((plain, plain_operands),) = decoded(instruction.hex())
    ((mnemonic, operands),) = decoded((bytes([prefix]) + instruction).hex())
    assert classify(mnemonic, operands) == classify(plain, plain_operands)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("pushf; pushfd", "PUSHF, PUSHFD"),
        ("iret; iretd", "IRET, IRETD"),
        ("mov ax, cs; mov [bx], cs", "MOV r/m16, CS"),
        ("mov ss, ax", "MOV SS, r/m16"),
        ("mov eax, cr0", "MOV r32, CRn"),
        ("ff 1f 26 ff 1f", "CALL far"),
        ("9a 11 22 10 00", "CALL far"),
        ("ea 11 22 10 00 ff 2f 2e ff 2f", "JMP far"),
        ("e8 00 00 ff d0 ff 17", "CALL near"),
        ("in ax, dx", "IN"),
        ("e3 00", "Jcc"),
    ],
    ids=lambda value: value.replace(" ", "-"),
)
def test_16_bit_code_has_the_same_rows(text: str, form: str) -> None:
    for mnemonic, operands in decoded(text, bits=16):
        row = classify(mnemonic, operands)
        assert row is not None and row.form == form


def test_privileged_means_that_there_is_a_trap_and_sensitive_that_there_may_be_none() -> None:
    for row in TABLE:
        if row.kind is InstructionClass.PRIVILEGED:
            assert row.traps is not Trapping.NEVER, row
        if row.kind is InstructionClass.SENSITIVE:
            assert row.traps is not Trapping.ALWAYS, row


def test_near_branches_are_the_control_flow_that_never_traps() -> None:
    assert {row.form for row in TABLE if row.near} == {"RET", "JMP near", "CALL near", "Jcc", "LOOP, LOOPcc"}
    assert all(row.kind is InstructionClass.CONTROL_FLOW and row.flow is not Flow.NEXT for row in TABLE if row.near)
