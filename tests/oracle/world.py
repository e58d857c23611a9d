"""The world that generated kernels live in: the bench's, with paging, more rings, and handlers that let a program go on after whatever it did.

A fault is written to the log and the program continues at its next statement; where that makes no sense (another address, 16-bit code, virtual-8086 mode), at
the next block, in ring 0. INT 0x30 does the latter on purpose. What arrives asynchronously (`IRQ`, NMI) leaves no trace but a port access, which the host
counts. RF is taken out of the frames of faults: the engine keeps it until the end of a block.
"""

from __future__ import annotations

import functools
import struct

import attrs
from ringone.api.cpu import CpuState, TableState
from ringone.testing.cpu_bench import (
    CODE,
    DATA,
    ENTRIES,
    GDT,
    IDT,
    INNER_STACK,
    KERNEL_STACK,
    PAGE_DIRECTORY,
    PDPT,
    RAM_BYTES,
    RECORDER,
    SELECTORS,
    TSS,
    TSS2,
    USER_STACK,
    CpuBench,
    assemble,
    descriptor,
    gate,
)
from ringone_cpu_recompiler.backend import RecompilerBackend
from ringone_cpu_recompiler.options import RecompilerOptions

HANDLERS = 0x18000
SERVICE16_HANDLER = RECORDER + 0x800
LOG = 0x1A000
LOG_ENTRIES = 64
LOG_FIELDS = ("vector", "error_code", "eip", "cs", "eflags", "cr2")
WORDS = 0x1B000
LANDING, FAULTS, FUEL, GOOD_GDTR, GOOD_IDTR, FINAL = (WORDS + offset for offset in (0, 4, 8, 0x10, 0x18, 0x20))
"""Where the next block begins; faults so far; jumps that may still be taken; what the end restores, and what it found."""
TASK_STACK = 0x1D000
RING1_STACK = 0x1E000
RING2_STACK = 0x1F000
CODE_BYTES = 0x4000
DIRECTORIES = (PAGE_DIRECTORY, *range(PDPT, PDPT + 0x5000, 0x1000))
ALIAS = 0x3F0000
"""The code once more, at another linear address."""
SLOTS = DATA + 0x400
STRINGS = DATA + 0x800
NEXT = 0x100000
"""For each byte of code, the address of the statement behind its own."""
STATEMENTS = 0x110000
"""Addresses of all statements, for indirect jumps."""
FREE_PAGES = 0x120000
"""Pages for whoever moves a table."""

RING1_CODE, RING1_DATA, RING2_CODE, RING2_DATA, NEAR_CODE16, SPARE = 0x91, 0x99, 0xA2, 0xAA, 0xB0, 0xB8
"""`NEAR_CODE16` is a 16-bit segment that begins at `CODE`; three spare entries are for programs to write."""
GDT_LIMIT = SPARE + 3 * 8 - 1

DONE, SERVICE, TRAP_SERVICE, PRIVATE, ABSENT, SERVICE16, TASK = range(0x30, 0x37)
IRQ, WAKE = 0x21, 0x22
PORT_RAISE, PORT_IRQ, PORT_NMI, PORT_GATE, PORT_TASK = 0xF0, 0xF1, 0xF2, 0x88, 0x89
STACKS = ((0x8000, 0x8000), (0x1C000, 0x3000), (DATA, 0x400))
"""Start and size. What lies below a stack pointer differs once something asynchronous was pushed there."""


USER_SEGMENTS = "mov eax, 0x23; mov ds, ax; mov es, ax; mov fs, ax; mov gs, ax"
"""Before SYSEXIT, which leaves ring 0's data segments loaded; the next IRET, an interrupt's perhaps, would not."""


def _recorder() -> str:
    """Behind the bench's entries, which have pushed error code and vector. Keystone would push and pop 16 bits of segment registers, hence the bytes."""
    log = "".join(f"mov eax, [esp + {36 + 4 * index}]; mov [ebx + {4 * index}], eax;" for index in range(5))
    return f"""
        pushad; .byte 0x1E; mov eax, 0x10; mov ds, ax
        mov ebx, [{FAULTS:#x}]; cmp ebx, {LOG_ENTRIES}; jae full
        inc dword ptr [{FAULTS:#x}]; shl ebx, 5; add ebx, {LOG:#x}
        {log} mov eax, cr2; mov [ebx + 20], eax
        mov ecx, [esp + 36]; cmp ecx, {SERVICE}; jae return; cmp ecx, 1; je return; cmp ecx, 3; je return; cmp ecx, 4; je return
        test dword ptr [esp + 52], 0x20000; jnz landing
        mov eax, [esp + 48]; and eax, 0xFFFC; cmp eax, {NEAR_CODE16}; je landing
        mov eax, [esp + 44]; sub eax, {CODE:#x}; cmp eax, {CODE_BYTES:#x}; jb direct
        sub eax, {ALIAS - CODE:#x}; cmp eax, {CODE_BYTES:#x}; jae landing
        mov eax, [eax * 4 + {NEXT:#x}]; add eax, {ALIAS - CODE:#x}; jmp skip
        direct: mov eax, [eax * 4 + {NEXT:#x}]
        skip: mov [esp + 44], eax; btr dword ptr [esp + 52], 16
        return: .byte 0x1F; popad; add esp, 8; iretd
        full: mov dword ptr [{LANDING:#x}], {FINISH:#x}
        landing: mov eax, {_address("done"):#x}; jmp eax
    """


_ROUTINES = {
    "finish": f"""
        push 0x10; .byte 0x17; mov esp, {KERNEL_STACK:#x}
        sgdt ss:[{FINAL:#x}]; sidt ss:[{FINAL + 8:#x}]; sldt word ptr ss:[{FINAL + 16:#x}]; str word ptr ss:[{FINAL + 20:#x}]
        smsw word ptr ss:[{FINAL + 24:#x}]
        lgdt ss:[{GOOD_GDTR:#x}]; lidt ss:[{GOOD_IDTR:#x}]; sti
        again: hlt; jmp again
    """,
    "done": f"mov eax, 0x10; mov ds, ax; mov ss, ax; mov esp, {KERNEL_STACK:#x}; jmp dword ptr [{LANDING:#x}]",
    "irq": f"out {PORT_IRQ}, al; iretd",
    "wake": "iretd",
    "nmi": f"out {PORT_NMI}, al; iretd",
    "call gate": f"out {PORT_GATE:#x}, al; retf",
    "task": f"again: out {PORT_TASK:#x}, al; iretd; jmp again",
    "sysenter": f"{USER_SEGMENTS}; mov edx, edi; mov ecx, {USER_STACK:#x}; sysexit",
}


def _address(routine: str) -> int:
    return HANDLERS + 0x80 * list(_ROUTINES).index(routine)


FINISH = _address("finish")
CATCHER = b"\x90" * 64 + b"\x68" + struct.pack("<I", FINISH) + b"\xc3"
"""At the end of memory, for code that runs wild: a block that runs on into a page that cannot be fetched faults at its begin, wherever that is."""


@attrs.frozen
class World:
    """Memory before the program is put there, and the processor's state at its start."""

    memory: bytes
    state: CpuState
    paging: str

    def page_entry(self, page: int) -> int:
        """Address of the low half of the entry that maps a linear page."""
        return 0x40000 + 8 * page if self.paging == "pae" else PAGE_DIRECTORY + 0x1000 + 4 * page


@functools.cache
def world(paging: str) -> World:
    """`paging` is "32bit" or "pae"."""
    bench = CpuBench(lambda context: RecompilerBackend(context, RecompilerOptions()))
    bench.map_pages(pae=paging == "pae")
    _map_specially(bench, paging == "pae")
    _install_handlers(bench)
    _install_descriptors(bench, PDPT if paging == "pae" else PAGE_DIRECTORY)
    state = bench.protected_state(paging=paging)
    msr = {**state.msr, 0x174: SELECTORS["code"], 0x175: INNER_STACK, 0x176: _address("sysenter")}
    state = attrs.evolve(state, msr=msr, gdtr=TableState(base=GDT, limit=GDT_LIMIT))
    made = World(memory=bytes(bench.memory.read(0, RAM_BYTES)), state=state, paging=paging)
    bench.cpu.close()
    return made


def _map_specially(bench: CpuBench, pae: bool) -> None:
    """No page at 0 and none at the page directories, where a stray write would change what a processor may or may not have in its TLB; the alias; and accessed
    and dirty bits where an interrupt may come first in one run and last in another.

    Code has been accessed from the start: a processor may set that bit for what it only prefetches (SDM vol. 3, 4.10.2.3)."""
    fresh = range(CODE >> 12, (CODE + CODE_BYTES) >> 12)
    for page in range(RAM_BYTES >> 12):
        if page not in fresh and page != DATA >> 12:
            bench.set_page(page << 12, page << 12 | 0x67, pae=pae)
    for index, page in enumerate(fresh):
        bench.set_page(page << 12, page << 12 | 0x27, pae=pae)
        bench.set_page(ALIAS + (index << 12), page << 12 | 0x27, pae=pae)
    for page in (0, 0x1000, *DIRECTORIES):
        bench.set_page(page, 0, pae=pae)
    bench.memory.write(RAM_BYTES - len(CATCHER), CATCHER)


def _install_handlers(bench: CpuBench) -> None:
    write = bench.memory.write
    write(RECORDER, assemble(_recorder(), RECORDER))
    for name, text in _ROUTINES.items():
        write(_address(name), assemble(text, _address(name)))
    bench.set_gate(2, _address("nmi"))
    bench.set_gate(IRQ, _address("irq"))
    bench.set_gate(WAKE, _address("wake"))
    bench.set_gate(3, ENTRIES + 16 * 3, access=0xEE)
    bench.set_gate(4, ENTRIES + 16 * 4, access=0xEF)
    bench.set_gate(DONE, _address("done"), access=0xEE)
    bench.set_gate(SERVICE, ENTRIES + 16 * SERVICE, access=0xEE)
    bench.set_gate(TRAP_SERVICE, ENTRIES + 16 * TRAP_SERVICE, access=0xEF)
    bench.set_gate(PRIVATE, ENTRIES + 16 * PRIVATE)
    bench.set_gate(ABSENT, ENTRIES + 16 * ABSENT, access=0x6E)
    write(SERVICE16_HANDLER, assemble(".byte 0x66, 0xCF", SERVICE16_HANDLER))
    bench.set_gate(SERVICE16, SERVICE16_HANDLER, access=0xE6)
    bench.set_gate(TASK, 0, selector=SELECTORS["tss2"], access=0xE5)
    write(GOOD_GDTR, struct.pack("<HI", GDT_LIMIT, GDT))
    write(GOOD_IDTR, struct.pack("<HI", 0x7FF, IDT))


def _install_descriptors(bench: CpuBench, cr3: int) -> None:
    write = bench.memory.write
    write(
        GDT + (RING1_CODE & ~7),
        descriptor(0, 0xFFFFF, 0xBB, 0xC)
        + descriptor(0, 0xFFFFF, 0xB3, 0xC)
        + descriptor(0, 0xFFFFF, 0xDB, 0xC)
        + descriptor(0, 0xFFFFF, 0xD3, 0xC)
        + descriptor(CODE, 0xFFFF, 0x9B, 0),
    )
    write(GDT + (SELECTORS["call_gate"] & ~7), gate(_address("call gate"), SELECTORS["code"], 0xEC))
    write(TSS + 4, struct.pack("<6I", INNER_STACK, SELECTORS["data"], RING1_STACK, RING1_DATA, RING2_STACK, RING2_DATA))
    write(TSS + 28, struct.pack("<I", cr3))
    write(TSS2 + 28, struct.pack("<11I", cr3, _address("task"), 2, *(0,) * 4, TASK_STACK, *(0,) * 3))
    write(TSS2 + 72, struct.pack("<7I", 0x10, 0x08, 0x10, 0x10, 0, 0, 0))
    write(TSS2 + 0x66, struct.pack("<H", 0x68))
