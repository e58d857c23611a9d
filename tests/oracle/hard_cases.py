"""Programs that have been, or easily are, run wrong by a VMM that deprivileges and patches: each in a few statements of the generated kernels' world."""

from __future__ import annotations

from collections.abc import Mapping

from ringone.testing.cpu_bench import CODE, DATA, GDT, KERNEL_STACK, SELECTORS, TSS, USER_STACK

from . import world as w
from .instructions import EPILOGUE, MODES, PROLOGUE
from .program import Label, Operand, Program, Statement, fields

S = w.SLOTS
SHOW_FLAGS = "pushfd; pop dword ptr [{slot}]"


def kernel(*texts: str | tuple[str, Operand], start: int = 0, paging: str = "32bit", interruptible: bool = True, **operands: Operand) -> Program:
    """Statements in ring 0. `operands` are for all fields of that name; a field of one statement alone stands beside its text."""
    statements = [Statement(PROLOGUE, (Label(999), 0))]
    for entry in texts:
        text, own = entry if isinstance(entry, tuple) else (entry, 0)
        statements.append(Statement(text, tuple(operands.get(name, S + 4 * len(statements) if name == "slot" else own) for name in fields(text))))
    return Program(tuple(statements), paging=paging, start=start, interruptible=interruptible)


def elsewhere(mode: str, *texts: str, flags: int = 0, bits: int = 32) -> Program:
    """The same statements in another mode; ring 0 goes on when they are through."""
    entry = Statement(MODES[mode], tuple(flags if name == "flags" else 0 for name in fields(MODES[mode])))
    body = [Statement(text, tuple(S + 4 * index if name == "slot" else 0 for name in fields(text)), bits) for index, text in enumerate(texts)]
    statements = [Statement(PROLOGUE, (Label(len(body) + 3), 0)), entry, *body, Statement(EPILOGUE, bits=bits), Statement(SHOW_FLAGS, (S + 0x40,))]
    return Program(tuple(statements))


RAISE = f"out {w.PORT_RAISE}, al"
HARD_CASES: Mapping[str, Program] = {
    "sti and hlt with an interrupt waiting": kernel(f"cli; {RAISE}; sti; hlt", SHOW_FLAGS),
    "sti, an instruction, cli": kernel(f"{RAISE}; sti; nop; cli", SHOW_FLAGS),
    "sti and cli with an interrupt waiting": kernel(f"{RAISE}; sti; cli; mov ecx, 100; again: dec ecx; jnz again; sti; nop"),
    "cli around a delay loop": kernel(f"cli; {RAISE}; mov ecx, 3000; again: dec ecx; jnz again", SHOW_FLAGS, "sti; nop; nop"),
    "popf turns interrupts on": kernel(f"pushfd; sti; pushfd; cli; {RAISE}; popfd; nop; nop; pushfd; pop dword ptr [{S:#x}]; popfd", SHOW_FLAGS),
    "popf in a loop": kernel("mov ecx, 50; again: pushfd; cli; add eax, ecx; popfd; loop again", SHOW_FLAGS),
    "mov ss shadows one instruction": kernel(
        f"sti; {RAISE}; mov eax, ss; mov ss, ax; mov ebx, esp; nop", "mov eax, ss; mov ss, ax; pushfd; pop dword ptr [{slot}]"
    ),
    "every flag through popf": kernel("push 0x3F7ED7; popfd", SHOW_FLAGS, "push 0x240ED7; .byte 0x66, 0x9D; pop ax", SHOW_FLAGS, "push 0; popfd", SHOW_FLAGS),
    "selectors show ring 0": kernel(
        ".byte 0x0E; pop dword ptr [{slot}]",
        ".byte 0x16; pop dword ptr [{slot}]",
        "mov eax, cs; mov [{slot}], eax",
        "mov word ptr [{slot}], ss",
        ".byte 0x9A; .long {next}; .byte 8, 0",
        "mov eax, [esp + 4]; mov [{slot}], eax",
    ),
    "tables and task register as the guest set them": kernel(
        f".byte 0x0F, 0x01, 0x05; .long {S:#x}",
        f".byte 0x0F, 0x01, 0x0D; .long {S + 8:#x}",
        "sldt eax; mov [{slot}], eax",
        "str eax; mov [{slot}], eax",
        "smsw eax; mov [{slot}], eax",
    ),
    "rights of every kind of descriptor": kernel(
        *(
            f"mov eax, {selector:#x}; lar ebx, eax; setz byte ptr [{{slot}}]; lsl ecx, eax; setz cl; verr ax; setz dl; verw ax; setz dh; pushad"
            for selector in (*SELECTORS.values(), 0, 3, w.RING1_CODE, w.RING1_DATA, w.RING2_CODE, w.NEAR_CODE16, 0x11, 0x7F8)
        ),
    ),
    "iret to ring 0 with every flag": kernel(
        "push 0x247ED7; .byte 0x0E; push {next}; iretd", "push 0; popfd", "pushfd; .byte 0x0E; push {next}; iretd", SHOW_FLAGS
    ),
    "iret to ring 0 with rpl in the way": kernel("pushfd; push 0xB; push {next}; iretd", "pushfd; push 0x9; push {next}; iretd", SHOW_FLAGS),
    "iret with nt": kernel("push 0x4002; popfd; pushfd; .byte 0x0E; push {next}; iretd", SHOW_FLAGS),
    "ring 3 with interrupts off": elsewhere("ring 3", SHOW_FLAGS, "nop", SHOW_FLAGS, "cli", "sti"),
    "ring 3 with iopl 3": elsewhere(
        "ring 3", SHOW_FLAGS, "sti; nop", SHOW_FLAGS, "cli; nop", SHOW_FLAGS, "push 0x202; popfd", SHOW_FLAGS, "in al, 0x60", flags=0x3000
    ),
    "ring 3 reads what ring 0 hides": elsewhere(
        "ring 3",
        "mov eax, cs; mov [{slot}], eax",
        "str eax; mov [{slot}], eax",
        "smsw eax; mov [{slot}], eax",
        "sldt eax; mov [{slot}], eax",
        flags=0x200,
    ),
    "ring 1": elsewhere(
        "ring 1", SHOW_FLAGS, ".byte 0x0E; pop dword ptr [{slot}]", "cli", "sti", "mov eax, ss; mov [{slot}], eax", "mov eax, cr0", flags=0x1200
    ),
    "ring 2": elsewhere("ring 2", SHOW_FLAGS, ".byte 0x0E; pop dword ptr [{slot}]", "cli", "hlt", "push 0x3002; popfd", SHOW_FLAGS, flags=0x200),
    "conforming code": elsewhere("conforming", SHOW_FLAGS, ".byte 0x0E; pop dword ptr [{slot}]", "cli; sti; nop", "mov eax, cr0; mov [{slot}], eax"),
    "16-bit code": elsewhere("16 bits", "cli; nop; sti", "pushf", "push cs", "push ss", "mov cx, 5; again: cli; sti; loop again", "smsw ax; push ax", bits=16),
    "virtual 8086 without iopl": elsewhere("virtual 8086", "mov ax, cs; push ax", "pushf", flags=0x200, bits=16),
    "virtual 8086 with iopl 3": elsewhere(
        "virtual 8086", "cli; pushf", "sti; pushf", f"int {w.SERVICE}", "push 0x3202; popf; pushf", "mov ax, ss; push ax", flags=0x3200, bits=16
    ),
    "nested handlers": kernel(
        f"sti; int {w.SERVICE}; int {w.TRAP_SERVICE}; int3; {RAISE}; ud2", f"cli; int {w.TRAP_SERVICE}; int {w.PRIVATE}", "int3", SHOW_FLAGS
    ),
    "a jump behind cli": kernel(
        "jmp over; cli; over: nop; nop; nop; nop",
        SHOW_FLAGS,
        "test al, 1; jz over; cli; over: sti; nop; nop; nop",
        SHOW_FLAGS,
        "cli; nop; nop; nop; nop",
        "dec dword ptr [0x1b008]; js over; .byte 0xE9; .long {rel}; over: nop",
        SHOW_FLAGS,
        rel=Label(5, 1),
    ),
    "fa inside an immediate, reached": kernel(
        "mov eax, 0x9090FBFA",
        SHOW_FLAGS,
        "dec dword ptr [0x1b008]; js over; .byte 0xE9; .long {rel}; over: nop",
        SHOW_FLAGS,
        rel=Label(1, 1),
        interruptible=False,
    ),
    "overlapping code, both ways": kernel(
        ".byte 0xEB, 1, 0xB8; cli; nop; nop; nop",
        SHOW_FLAGS,
        ".byte 0xEB, 0xFF, 0xC0",
        "dec dword ptr [0x1b008]; js over; .byte 0xE9; .long {rel}; over: nop",
        rel=Label(1, 2),
        interruptible=False,
    ),
    **{
        f"sensitive instructions {distance} bytes before the page's end": kernel(
            "cli; nop; nop; nop; nop", SHOW_FLAGS, "sti; nop", "pushfd; cli; popfd", SHOW_FLAGS, start=0x1000 - 29 - distance
        )
        for distance in (1, 2, 4, 6, 12)
    },
    "code across two pages that writes over itself": kernel(
        "nop; " * 28 + "nop", ("mov dword ptr [{code}], 0xfafafafa", Label(2)), SHOW_FLAGS, start=0xFC1, interruptible=False
    ),
    "a descriptor table that is copied over itself again and again": kernel(
        f"mov ebx, 24; again: mov edi, {w.STRINGS + 0x100:#x}; mov esi, {GDT:#x}; mov ecx, {w.GDT_LIMIT + 1}; cld; .byte 0xF3, 0xA4; "
        f"sgdt [{w.STRINGS:#x}]; mov dword ptr [{w.STRINGS + 2:#x}], {w.STRINGS + 0x100:#x}; lgdt [{w.STRINGS:#x}]; dec ebx; jnz again",
        "mov eax, ds; mov [{slot}], eax",
        interruptible=False,
    ),
    "popf leaves vif, which a fault in virtual-8086 mode has left behind": Program(
        (
            Statement(PROLOGUE, (Label(2), 0)),
            Statement("push 0x23; push esp; push 0xE0000; push 0x1B; push {next}; iretd", (0,)),
            Statement(PROLOGUE, (Label(4), 0)),
            Statement("cli"),
        ),
        interruptible=False,
    ),
    "a cli that is written over": kernel(
        "cli; nop; nop; nop; nop",
        SHOW_FLAGS,
        "sti; nop",
        "mov byte ptr [{code}], 0x90",
        "dec dword ptr [0x1b008]; js over; .byte 0xE9; .long {rel}; over: nop",
        code=Label(1),
        rel=Label(1),
        interruptible=False,
    ),
    "the byte behind a cli is written": kernel(
        "cli; nop; nop; nop; nop",
        SHOW_FLAGS,
        "sti; nop",
        "mov byte ptr [{code}], 0x9C",
        "dec dword ptr [0x1b008]; js over; .byte 0xE9; .long {rel}; over: nop",
        code=Label(1, 2),
        rel=Label(1),
        interruptible=False,
    ),
    "a block that changes its next instruction, again and again": kernel(
        "mov ecx, 40",
        "mov eax, cr3; mov cr3, eax",
        "mov edi, ecx; mov [{code}], cl",
        "mov bl, 0",
        "add esi, ebx; dec ecx; .byte 0x0F, 0x85; .long {rel}",
        "mov [{slot}], esi",
        code=Label(4, 1),
        rel=Label(2),
        interruptible=False,
    ),
    "a block behind wrmsr that changes its next instruction": kernel(
        ("mov dword ptr [{code}], 0xFAFAFAFA; cli", Label(0)),
        ("mov dword ptr [{code}], 0xFAFAFAFA", Label(0)),
        "mov ecx, 0x277; mov eax, 0x00070406; mov edx, eax; wrmsr",
        ("mov dword ptr [{code}], 0xFAFAFAFA", Label(0)),
        "mov ecx, 0x277; wrmsr",
        ("mov dword ptr [{code}], 0x40404040", Label(7)),
        "nop; nop; nop; nop",
        "mov [{slot}], eax",
        interruptible=False,
    ),
    "code that is written through the alias": kernel(
        "nop; nop; nop; nop; nop",
        SHOW_FLAGS,
        "mov byte ptr [{code}], 0xFB",
        "dec dword ptr [0x1b008]; js over; .byte 0xE9; .long {rel}; over: nop",
        SHOW_FLAGS,
        code=Label(1, 1, alias=True),
        rel=Label(1),
        interruptible=False,
    ),
    "code in the alias": kernel(
        "mov edi, {code}; jmp edi",
        "cli; nop; pushfd; pop dword ptr [{slot}]",
        ".byte 0x0E; pop dword ptr [{slot}]",
        "int3; ud2",
        "nop",
        code=Label(2, alias=True),
    ),
    "the guest reads its own code": kernel(
        "cli; sti; pushfd; popfd", f"cld; mov esi, {CODE:#x}; mov edi, {DATA + 0x900:#x}; mov ecx, 0x100; .byte 0xF3, 0xA5; nop; nop", "cli; nop; nop"
    ),
    "call gate from ring 3": elsewhere("ring 3", ".byte 0x9A; .long 0; .byte 0x73, 0", SHOW_FLAGS, ".byte 0x9A; .long 0; .byte 0x73, 0", flags=0x200),
    "call gate from ring 0": kernel(".byte 0x9A; .long 0; .byte 0x73, 0", SHOW_FLAGS),
    "task switch by int, call and jmp": kernel(
        f"int {w.TASK}",
        SHOW_FLAGS,
        ".byte 0x9A; .long 0; .byte 0x60, 0",
        "mov eax, cr0; mov [{slot}], eax",
        f".byte 0x9A; .long 0; .byte {SELECTORS['task_gate']:#x}, 0",
        SHOW_FLAGS,
        "clts",
    ),
    "a shorter gdt": kernel(
        f"mov dword ptr [{S:#x}], {0x2F | (GDT & 0xFFFF) << 16:#x}; mov word ptr [{S + 4:#x}], {GDT >> 16}; .byte 0x0F, 0x01, 0x15; .long {S:#x}",
        "mov eax, 0x38; mov es, ax",
        "mov eax, 0x10; mov es, ax",
        "mov eax, 0x58; lar ebx, eax; setz byte ptr [{slot}]",
        f"lgdt [{w.GOOD_GDTR:#x}]",
        interruptible=False,
    ),
    "an idt with an odd limit": kernel(
        f"sidt [{S:#x}]; mov word ptr [{S:#x}], {8 * w.TRAP_SERVICE + 6:#x}; lidt [{S:#x}]",
        f"int {w.SERVICE}",
        f"int {w.TRAP_SERVICE}",
        f"lidt [{w.GOOD_IDTR:#x}]",
        f"int {w.TRAP_SERVICE}",
        interruptible=False,
    ),
    "selectors in the ldt": kernel(
        f"mov eax, {SELECTORS['ldt']}; lldt ax",
        "mov eax, 0x14; mov es, ax; mov fs, ax",
        "push 0x27; pop gs",
        "mov eax, 0x14; lar ebx, eax; mov [{slot}], ebx",
        "sldt eax; mov [{slot}], eax",
        ".byte 0xEA; .long {next}; .byte 0x0C, 0",
        ".byte 0x0E; pop dword ptr [{slot}]",
        "cli; pushfd; pop dword ptr [{slot}]",
        "xor eax, eax; lldt ax",
        "mov eax, 0x14; mov es, ax",
        ".byte 0xEA; .long {next}; .byte 8, 0",
    ),
    "null in ss and ds": kernel(
        "xor eax, eax; mov ss, ax",
        "push 0; .byte 0x17",
        "xor eax, eax; mov ds, ax; mov es, ax; mov eax, [0x30000]",
        "mov eax, ss:[0x30000]; push 3; .byte 0x1F",
        "cli; .byte 0x0E; pop eax; mov ds, eax",
        "push 0x10; .byte 0x1F; pushfd; pop dword ptr [{slot}]",
    ),
    "an expand-down stack": kernel(
        f"mov eax, {SELECTORS['expand_down']}; mov ss, ax; mov esp, 0x3F0; push 5; pushfd; int3; cli; pushfd",
        f"push 0x10; .byte 0x17; mov esp, {KERNEL_STACK:#x}",
        SHOW_FLAGS,
    ),
    "a small stack": kernel(
        f"mov eax, {SELECTORS['small']}; mov ss, ax; mov esp, 0xF0; pushfd; cli; sti; .byte 0x0E; push 0x10; .byte 0x17; mov esp, {KERNEL_STACK:#x}", SHOW_FLAGS
    ),
    "a descriptor that changes behind its segment register": kernel(
        f"mov byte ptr [{GDT + SELECTORS['data'] + 6:#x}], 0xC1",
        "cli; mov eax, ds:[0x30000]; sti",
        "mov es, ax",
        "mov eax, 0x10; mov es, ax",
        "int3",
        f"mov byte ptr [{GDT + SELECTORS['data'] + 6:#x}], 0xCF",
        "cli; sti; nop",
        interruptible=False,
    ),
    "a descriptor loses its accessed bit": kernel(
        f"mov byte ptr [{GDT + SELECTORS['data'] + 5:#x}], 0x92",
        "cli; sti; nop",
        "mov eax, 0x10; mov fs, ax",
        f"mov al, [{GDT + SELECTORS['data'] + 5:#x}]; mov [{{slot}}], al",
    ),
    "single step over sensitive instructions": kernel(
        "push 0x302; popfd; cli; sti; pushfd; pop eax; mov ecx, ss; push 0x202; popfd", SHOW_FLAGS, interruptible=False
    ),
    "int3 at patched places": kernel(
        "int3; cli; int3; sti; int3; pushfd; int3; popfd; int3", ".byte 0xCD, 3", ".byte 0xF1", "mov al, 0x7F; inc al; into", SHOW_FLAGS
    ),
    "sysenter and sysexit": elsewhere(
        "ring 3", "mov edi, {next}; sysenter", SHOW_FLAGS, "mov edi, {next}; sysenter", "mov eax, cs; mov [{slot}], eax", flags=0x200
    ),
    "sysenter from ring 0": kernel("sti; mov edi, {next}; sysenter", "mov eax, cs; mov [{slot}], eax", SHOW_FLAGS),
    "control registers": kernel(
        "mov eax, cr0; or eax, 10; mov cr0, eax; fld1",
        "clts; fninit",
        "smsw eax; or eax, 8; lmsw ax; mov eax, cr0; mov [{slot}], eax",
        "mov eax, cr4; xor eax, 0x80; mov cr4, eax",
        "mov eax, 0x12345678; mov cr2, eax; mov ebx, cr2; mov [{slot}], ebx",
        "mov eax, cr3; mov cr3, eax; mov [{slot}], eax",
        "mov dr0, eax; mov ebx, dr0; mov ecx, dr7",
    ),
    "paging off and on": kernel(
        "mov eax, cr0; and eax, 0x7FFFFFFF; mov cr0, eax; cli; pushfd; .byte 0x0E; or eax, 0x80000000; mov cr0, eax",
        SHOW_FLAGS,
        "cli; sti; nop",
        interruptible=False,
    ),
    "ports from ring 3": elsewhere("ring 3", "in al, 0x60", "out 0x80, al", "mov edx, 0x60; mov edi, 0x30800; insb", flags=0x200),
    "ports and mmio from ring 0": kernel(
        "in al, 0x60; mov edx, 0x61; in eax, dx; mov [{slot}], eax",
        "mov edi, 0x30800; mov edx, 0x60; mov ecx, 5; cld; .byte 0xF3, 0x6D",
        "mov eax, [0xF0000004]; lock inc dword ptr [0xF0000008]",
    ),
    "one port instruction in ring 3 and then in ring 0": Program(
        (
            Statement(PROLOGUE, (Label(2), 0)),
            Statement(MODES["ring 3"], (0x200, 0)),
            Statement("in al, 0x60"),
            Statement("mov eax, cs; test al, 3; .byte 0x0F, 0x84; .long {rel}", (Label(5),)),
            Statement(EPILOGUE),
            Statement(SHOW_FLAGS, (S,)),
        )
    ),
    "an instruction runs on into a page that is left to the recompiler": Program(
        (
            Statement(
                f"mov edi, {GDT + w.SPARE:#x}; mov dword ptr [edi], 0xFFFF; mov dword ptr [edi + 4], 0x00C09200; mov eax, {w.SPARE}; lar ecx, eax; lsl edx, eax"
            ),
            Statement("mov [{slot}], ecx", (S,)),
            Statement("pushfd; .byte 0x0E; push {code}; iretd", (Label(3),)),
            Statement("nop; nop; nop; nop; nop; nop; nop"),
            Statement("mov byte ptr [{code}], 0x90", (Label(7),)),
            Statement(PROLOGUE, (Label(7), 0)),
            Statement("nop"),
            Statement(PROLOGUE, (Label(9), 0)),
            Statement(f"dec dword ptr [{w.FUEL:#x}]; js over; call dword ptr [{w.STATEMENTS + 16:#x}]; over:"),
        ),
        start=0xFB9,
        interruptible=False,
    ),
    "into a patch from a block that ends in a page that is left to the recompiler": Program(
        (
            Statement(PROLOGUE, (Label(9), 0x4000)),
            Statement(MODES["ring 1"].replace("{next}", "{code}"), (0x4000, Label(2))),
            Statement("mov edx, 0x60; out dx, ax"),
            Statement("mov eax, {code}; mov ecx, [eax]; mov [eax], ecx", (Label(0),)),
            Statement("push {value}; push {value2}; push {code}; iretd", (0, 0x10, Label(5))),
            Statement("mov eax, ss; mov ss, ax; cli"),
            Statement(f"dec dword ptr [{w.FUEL:#x}]; js over; mov edi, {{code}}; jmp edi; over:", (Label(7, 3),)),
            Statement("pushfd; .byte 0x0E; push {code}; iretd", (Label(8),)),
            Statement(f"int {w.DONE}"),
        ),
        start=0xF8D,
        interruptible=False,
    ),
    "what LAR and LSL leave of other flags in ring 3": elsewhere(
        "ring 3",
        "mov eax, 0x20; cmp eax, 7; lar ecx, eax; pushfd; pop dword ptr [{slot}]",
        "mov eax, 0x20; and eax, 0x20; lar ecx, eax; stc; pushfd; pop dword ptr [{slot}]",
        "mov eax, 8; cmp eax, eax; lsl ecx, eax; .byte 0xEB, 0; pushfd; pop dword ptr [{slot}]",
        "mov ebx, 3; again: mov eax, 0x20; cmp eax, 7; lar ecx, eax; lsl edx, eax; sub ebx, 1; jnz again; pushfd; pop dword ptr [{slot}]",
        "mov eax, 0x20; .byte 0xEB, 8; again: cmp eax, 7; .byte 0x0F, 0x02, 0xC8; stc; pushfd; pop dword ptr [{slot}]; jnc again",
    ),
    **{
        f"an interrupt behind {instructions}": Program(
            (
                Statement(PROLOGUE, (Label(1), 0)),
                Statement("cli"),
                Statement(PROLOGUE, (Label(5), 0)),
                Statement(MODES["ring 3"].replace("{next}", "{code}"), (0, Label(4))),
                Statement(f"mov eax, 0x20; cmp eax, 7; {instructions}; int {w.DONE}"),
            ),
            interruptible=False,
        )
        for instructions in ("lar ecx, eax", "lsl ecx, eax; cmc", "lar ecx, eax; nop; .byte 0xEB, 0", "lar ecx, eax; cmp eax, 3; lsl ecx, eax")
    },
    "ring 3 looks at the tables": elsewhere(
        "ring 3",
        f".byte 0x0F, 0x01, 0x05; .long {S + 0x20:#x}",
        f"sgdt [{S + 0x28:#x}]",
        f"mov eax, {SELECTORS['conforming']}; lar ecx, eax; setz byte ptr [{{slot}}]; mov [{S + 0x30:#x}], ecx",
        f"mov eax, {SELECTORS['user_data']}; lar ecx, eax; lsl edx, eax; setz byte ptr [{{slot}}]; mov [{S + 0x34:#x}], ecx; mov [{S + 0x38:#x}], edx",
        "mov ecx, 3; again: lsl eax, ecx; sgdt [esp - 16]; xor eax, eax; loope again; setz byte ptr [{slot}]",
        flags=0x200,
    ),
    "ring 3 tries to return to virtual-8086 mode": elsewhere(
        "ring 3", MODES["virtual 8086"].replace("{flags}", "0").replace("{near}", "0"), SHOW_FLAGS, flags=0x200
    ),
    "a handler returns to ring 3 with interrupts off": elsewhere(
        "ring 3", f"int {w.SERVICE}", "ud2", SHOW_FLAGS, f"int {w.PRIVATE}", "mov eax, [0]", SHOW_FLAGS
    ),
    "the stack of ring 0 changes under ring 3": kernel(
        f"mov dword ptr [{TSS + 4:#x}], 0xB800",
        f"push 0x23; push {USER_STACK:#x}; push 0x202; push 0x1B; push {{next}}; iretd",
        f"int {w.SERVICE}; ud2",
        EPILOGUE,
    ),
    "loope and loopne that end by their counts between patches": kernel(
        "cli; mov ecx, 3; mov eax, 5; again: cmp eax, 14; loopne again; pushfd; sti; pop dword ptr [{slot}]",
        "mov ecx, 2; again: cli; pushfd; cmp eax, eax; popfd; sti; mov edx, -1; inc edx; loope again; pushfd; cli; pop dword ptr [{slot}]; sti",
        "mov ecx, 1; mov eax, 5; cmp eax, 14; loopne past; past: cli; pushfd; sti; pop dword ptr [{slot}]",
        "mov ecx, 4; again: test ecx, ecx; sti; nop; loopne again; cli; pushfd; pop dword ptr [{slot}]; sti",
        "mov ecx, 1; cmp ecx, 1; loope past; past: jne wrong; mov [{slot}], esp; wrong: cli; sti",
    ),
    "loopne beside and behind what is patched": kernel(
        "mov ecx, 3; mov eax, 5; again: cli; cmp eax, 14; loopne again",
        SHOW_FLAGS,
        "mov ecx, 3; again: cmp eax, 14; cli; loopne again; sti",
        SHOW_FLAGS,
        "mov ecx, 3; again: cmp eax, 14; pushfd; pop ebx; sti; loopne again",
        SHOW_FLAGS,
        "mov ecx, 3; again: cmp eax, 14; cli; pushfd; popfd; loopne again; cli; sti",
        SHOW_FLAGS,
    ),
    "what a setcc or rcl asks for, on a page that is not there": Program(
        tuple(
            statement
            for number, text in enumerate(
                f"{disturbance}mov eax, 0x80000010; add eax, 0x8000A020; {between}{accesses}"
                for accesses in ("seto byte ptr [0x90923000]", "setbe byte ptr [0x90923000]", "sets byte ptr [0x90923000]", "rcl byte ptr [0x90923000], 1")
                for disturbance in ("", "cli; ")
                for between in ("", "jmp across; across: nop; ", "sti; ")
            )
            for statement in (Statement(PROLOGUE, (Label(2 * number + 2), 0)), Statement(text))
        )
    ),
    "loope in ring 3": elsewhere(
        "ring 3", "mov ecx, 3; mov eax, 5; again: cmp eax, 14; loopne again", SHOW_FLAGS, "mov ecx, 1; cmp ecx, 1; loope past; past: nop", SHOW_FLAGS
    ),
    "loope in virtual-8086 mode": elsewhere(
        "virtual 8086", "mov cx, 3; mov ax, 5; again: cmp ax, 14; loopne again; pushf; pop bx; mov dx, bx; int3", flags=0x3000, bits=16
    ),
    "one loopne in ring 0, ring 3 and ring 0": Program(
        (
            Statement(PROLOGUE, (Label(6), 0)),
            Statement("mov eax, 5; mov ecx, 2; again: cmp eax, 14; loopne again; pushfd; pop ebx; cli"),
            Statement("mov eax, cs; test al, 3; .byte 0x0F, 0x85; .long {rel}", (Label(5),)),
            Statement(f"mov [{S:#x}], ebx; sti"),
            Statement(MODES["ring 3"].replace("{next}", "{code}"), (0x3200, Label(1))),
            Statement(f"mov [{S + 4:#x}], ebx; int {w.DONE}"),
            Statement("mov eax, 5; mov ecx, 2; again: cmp eax, 14; loopne again; pushfd; pop ebx; cli"),
            Statement(f"mov [{S + 8:#x}], ebx; sti"),
        )
    ),
    "a jump becomes loopne, loope and a jump": kernel(
        (".byte 0xE9; .long {rel}", Label(3)),
        "mov ecx, 1; mov eax, 5; cmp eax, 14; .byte 0xEB, 0; pushfd; cli; pop ebx; sti; ret",
        *(
            step
            for opcode in (0xE0, 0x75, 0xE1, 0xE2, 0xEB, 0xE0)
            for step in ((f"mov byte ptr [{{code}}], {opcode:#x}", Label(2, 13)), (".byte 0xE8; .long {rel}", Label(2)), "mov [{slot}], ebx")
        ),
    ),
    "pae": kernel("cli; sti; pushfd; popfd; .byte 0x0E; pop eax; mov [{slot}], eax", "sti; hlt", "int3; ud2", SHOW_FLAGS, paging="pae"),
}
