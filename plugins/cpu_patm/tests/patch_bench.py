"""Two bare processors for one guest state: the reference runs the original instructions at CPL 0, the other their patch at CPL 1.

Both see the same paged world: code filled with HLT, a data page and two stack pages with nothing mapped around them, a read-only page. For the second the
descriptors' DPL 0 became 1. A run ends at a HLT of the code, where it leaves the code, or at an exception.
"""

from __future__ import annotations

import bisect
import functools
import struct
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from ringone.testing.cpu_bench import descriptor
from ringone_cpu_patm import state_page
from ringone_cpu_patm.generators import generate
from ringone_cpu_patm.patch_code import VIRTUAL_IF_TARGET, PatchCode, Restore
from unicorn import UC_ARCH_X86, UC_HOOK_CODE, UC_HOOK_INTR, UC_MODE_32, unicorn_py3
from unicorn import x86_const as x86

PAGE_DIRECTORY, LOW_TABLE, HIGH_TABLE, GDT, BOOT = 0x1000, 0x2000, 0x3000, 0x8000, 0x9000
DATA, DATA_END = 0x5000, 0x6000
"""Within reach of 16-bit addresses."""
STACK, STACK_END = 0x30000, 0x32000
READ_ONLY = 0x40000
CODE, CODE_END = 0x100000, 0x102000
REGION = CODE + 0x800
STATE, PATCH = 0xFF3FC000, 0xFF300000
WRITABLE = (BOOT, DATA, STACK, STACK + 0x1000, *range(STATE, STATE + state_page.SIZE, 0x1000))
READABLE = (GDT, READ_ONLY, CODE, CODE + 0x1000, PATCH)

KERNEL_CODE, KERNEL_DATA, USER_CODE, USER_DATA, OTHER_CODE, BOOT_CODE, BOOT_DATA, BASED_DATA = 0x08, 0x10, 0x1B, 0x23, 0x28, 0x30, 0x38, 0x43
SYSENTER_CS = USER_CODE - 0x13
BASE = 0x1000
"""Of the segment in FS. GS is null."""

IF, IOPL, NT, RF = 0x200, 0x3000, 0x4000, 0x10000
VISIBLE = 0x3F7FD7 & ~RF
HLT = 0xF4
IRETD = b"\xcf"
BACKGROUND = bytes((7 * index + 3) & 0xFF for index in range(0x2000))

CR0, CR2, CR4 = 0x80010011, 0xDEADBEEF, 0x600
LDTR, TR = 0x50, 0x58
IDT, IDT_LIMIT = 0xC0123456, 0x7FF
GDT_LIMIT = 0x47
DEBUG_REGISTERS = (0x1000, 0x2000, 0x3000, 0x4000, 0, 0, 0xFFFF0FF0, 0x400)

IA32_SYSENTER_CS = 0x174

_ENGINE: Any = unicorn_py3.Uc
"""Its annotations are partial."""
_GPR = (
    x86.UC_X86_REG_EAX, x86.UC_X86_REG_ECX, x86.UC_X86_REG_EDX, x86.UC_X86_REG_EBX,
    x86.UC_X86_REG_ESP, x86.UC_X86_REG_EBP, x86.UC_X86_REG_ESI, x86.UC_X86_REG_EDI,
)  # fmt: skip
_DATA_SEGMENTS = (x86.UC_X86_REG_DS, x86.UC_X86_REG_ES, x86.UC_X86_REG_FS, x86.UC_X86_REG_GS)


@attrs.frozen(kw_only=True)
class Guest:
    """What a test chooses. `frame` are the words from ESP on, as far as there is stack; `flags` are the guest's own EFLAGS."""

    registers: tuple[int, ...]
    flags: int = 2
    frame: tuple[int, ...] = ()
    pending: bool = False
    data_segments: bool = True
    words: Mapping[int, int] = attrs.field(factory=dict)
    """Further words of the state page, by offset."""


@attrs.frozen(kw_only=True)
class Outcome:
    """The guest's state at the end; `vector` is None without an exception. `gate` where the patch asked for the VMM."""

    vector: int | None
    gate: bool = False
    eip: int
    registers: tuple[int, ...]
    flags: int
    cs: int
    ss: int
    data_segments: tuple[int, ...]
    cr2: int | None
    stack: bytes
    data: bytes


class Processor:
    """One engine, at `ring` when it starts a guest."""

    def __init__(self, ring: int) -> None:
        self.uc = _ENGINE(UC_ARCH_X86, UC_MODE_32)
        self.vector: int | None = None
        self._lay_out(ring)
        self._boot(ring)
        self.uc.hook_add(UC_HOOK_INTR, self._stop)
        self.uc.hook_add(UC_HOOK_CODE, self._stray, begin=0, end=CODE - 1)

    def _lay_out(self, ring: int) -> None:
        uc = self.uc
        uc.mem_map(0, 0x400000)
        uc.mem_map(0xFF000000, 0x400000)
        uc.mem_write(PAGE_DIRECTORY, struct.pack("<I", LOW_TABLE | 7))
        uc.mem_write(PAGE_DIRECTORY + 4 * (0xFF000000 >> 22), struct.pack("<I", HIGH_TABLE | 7))
        for table, start in ((LOW_TABLE, 0), (HIGH_TABLE, 0xFF000000)):
            pages = [start + 0x1000 * page for page in range(1024)]
            uc.mem_write(table, struct.pack("<1024I", *(page | (7 if page in WRITABLE else 5) if page in WRITABLE + READABLE else 0 for page in pages)))
        kernel = 0x93 | ring << 5
        accesses = (kernel | 8, kernel, 0xFB, 0xF3, kernel | 8, 0x9B, 0x93)
        descriptors = [descriptor(0, 0xFFFFF, access, 0xC) for access in accesses]
        uc.mem_write(GDT, bytes(8) + b"".join(descriptors) + descriptor(BASE, 0xFFFFF, 0xF3, 0xC))
        uc.mem_write(CODE, bytes([HLT]) * (CODE_END - CODE))
        uc.mem_write(BOOT, IRETD)

    def _boot(self, ring: int) -> None:
        uc = self.uc
        uc.reg_write(x86.UC_X86_REG_GDTR, (0, GDT, GDT_LIMIT, 0))
        uc.reg_write(x86.UC_X86_REG_IDTR, (0, IDT, IDT_LIMIT, 0))
        uc.reg_write(x86.UC_X86_REG_LDTR, (LDTR, 0, 0, 0))
        uc.reg_write(x86.UC_X86_REG_TR, (TR, 0, 0, 0x8B00))
        for number, value in enumerate(DEBUG_REGISTERS):
            uc.reg_write(x86.UC_X86_REG_DR0 + number, value)
        uc.reg_write(x86.UC_X86_REG_CR3, PAGE_DIRECTORY)
        uc.reg_write(x86.UC_X86_REG_CR0, CR0)
        uc.reg_write(x86.UC_X86_REG_CR2, CR2)
        uc.reg_write(x86.UC_X86_REG_CR4, CR4)
        uc.reg_write(x86.UC_X86_REG_MSR, (IA32_SYSENTER_CS, SYSENTER_CS))
        uc.reg_write(x86.UC_X86_REG_SS, BOOT_DATA if ring else KERNEL_DATA)
        uc.reg_write(x86.UC_X86_REG_CS, BOOT_CODE if ring else KERNEL_CODE)
        for register, selector in ((x86.UC_X86_REG_DS, USER_DATA), (x86.UC_X86_REG_ES, USER_DATA), (x86.UC_X86_REG_FS, BASED_DATA), (x86.UC_X86_REG_GS, 0)):
            uc.reg_write(register, selector)
        if ring:
            uc.mem_write(STACK, struct.pack("<5I", REGION, KERNEL_CODE | ring, 2, STACK, KERNEL_DATA | ring))
            uc.reg_write(x86.UC_X86_REG_ESP, STACK)
            uc.emu_start(BOOT, REGION)
        self.context = uc.context_save()

    def _stop(self, uc: Any, vector: int, _: Any) -> None:
        self.vector = vector
        uc.emu_stop()

    def _stray(self, uc: Any, _address: int, _size: int, _: Any) -> None:
        """Data is about to be executed, which may be any instruction."""
        uc.emu_stop()

    def run(self, guest: Guest, region: bytes, start: int, real_flags: int, until: int = 0) -> None:
        uc = self.uc
        uc.context_restore(self.context)
        uc.mem_write(STACK, BACKGROUND[: STACK_END - STACK])
        uc.mem_write(DATA, BACKGROUND[: DATA_END - DATA])
        esp = guest.registers[4]
        if STACK <= esp < STACK_END:
            uc.mem_write(esp, struct.pack(f"<{len(guest.frame)}I", *guest.frame)[: STACK_END - esp])
        uc.mem_write(REGION, region + bytes([HLT]) * (0x100 - len(region)))
        uc.ctl_remove_cache(REGION, REGION + 0x100)
        uc.ctl_remove_cache(PATCH, PATCH + 0x1000)
        if not guest.data_segments:
            for register in _DATA_SEGMENTS:
                uc.reg_write(register, 0)
        for register, value in zip(_GPR, guest.registers, strict=True):
            uc.reg_write(register, value)
        uc.reg_write(x86.UC_X86_REG_EFLAGS, real_flags)
        self.vector = None
        if start != until:
            uc.emu_start(start, until)

    def outcome(self) -> Outcome:
        """As the processor sees it."""
        read = self.uc.reg_read
        eip = read(x86.UC_X86_REG_EIP)
        if self.vector is None and CODE < eip <= CODE_END and self.uc.mem_read(eip - 1, 1)[0] == HLT:
            eip -= 1  # a HLT at CPL 0 is already behind itself
        at_halt = CODE <= eip < CODE_END and self.uc.mem_read(eip, 1)[0] == HLT
        return Outcome(
            vector=None if at_halt else self.vector,
            eip=eip,
            registers=tuple(read(register) for register in _GPR),
            flags=read(x86.UC_X86_REG_EFLAGS) & VISIBLE,
            cs=read(x86.UC_X86_REG_CS),
            ss=read(x86.UC_X86_REG_SS),
            data_segments=tuple(read(register) for register in _DATA_SEGMENTS),
            cr2=read(x86.UC_X86_REG_CR2) if self.vector == 14 and not at_halt else None,
            stack=bytes(self.uc.mem_read(STACK, STACK_END - STACK)),
            data=bytes(self.uc.mem_read(DATA, DATA_END - DATA)),
        )


@functools.cache
def _processor(ring: int) -> Processor:
    return Processor(ring)


def original(region: bytes, guest: Guest, until: int = 0) -> Outcome:
    """The original at CPL 0, up to `until` if given."""
    processor = _processor(0)
    processor.run(guest, region, REGION, guest.flags, until)
    outcome = processor.outcome()
    return attrs.evolve(outcome, eip=until) if until else outcome


def patched(region: bytes, guest: Guest, *, count_hits: bool = True) -> Outcome:
    """The patch at CPL 1, its end translated to what the guest believes in."""
    processor = _processor(1)
    patch = generate(region, REGION, address=PATCH, state=STATE, count_hits=count_hits)
    processor.uc.mem_write(PATCH, patch.code)
    processor.uc.mem_write(STATE, state_page_of(guest))
    processor.run(guest, region, PATCH, guest.flags | IF)
    return _believed(processor.outcome(), patch, _state_word)


def hits(kind: int) -> int:
    """How often the last patch counted replacements of a kind."""
    return _state_word(state_page.HITS + 4 * kind)


def state_page_of(guest: Guest) -> bytes:
    page = bytearray(b"\xa5" * state_page.SIZE)
    page[state_page.HITS : state_page.CPUID] = bytes(state_page.CPUID - state_page.HITS)
    words = {
        state_page.VIRTUAL_IF: guest.flags & IF,
        state_page.PENDING: IF if guest.pending else 0,
        state_page.KERNEL_CS: KERNEL_CODE,
        state_page.SYSEXIT_CS: USER_CODE,
        state_page.FLAT_DATA: USER_DATA,
        state_page.CR0: CR0,
        state_page.CR2: CR2,
        state_page.CR3: PAGE_DIRECTORY,
        state_page.CR4: CR4,
        state_page.LDTR: LDTR,
        state_page.TR: TR,
        **{state_page.DR + 4 * number: value for number, value in enumerate(DEBUG_REGISTERS)},
        **guest.words,
    }
    for offset, value in words.items():
        page[offset : offset + 4] = struct.pack("<I", value)
    page[state_page.GDTR : state_page.GDTR + 6] = struct.pack("<HI", GDT_LIMIT, GDT)
    page[state_page.IDTR : state_page.IDTR + 6] = struct.pack("<HI", IDT_LIMIT, IDT)
    return bytes(page)


def _state_word(offset: int) -> int:
    return int.from_bytes(_processor(1).uc.mem_read(STATE + offset, 4), "little")


def _believed(real: Outcome, patch: PatchCode, word: Callable[[int], int]) -> Outcome:
    offset = real.eip - PATCH
    inside = 0 <= offset < len(patch.code)
    gates = {gate.offset: gate for gate in patch.gates}
    eip, restore = real.eip, Restore()
    if inside:
        mark = patch.marks[bisect.bisect_right([mark.offset for mark in patch.marks], offset) - 1]
        eip, restore = (gates[offset].guest_eip, gates[offset].restore) if offset in gates else (mark.guest_eip, mark.restore)
    values = {**dict(enumerate(real.registers)), VIRTUAL_IF_TARGET: word(state_page.VIRTUAL_IF)}
    values.update((target, word(source)) for target, source in restore)
    virtual_if = values.pop(VIRTUAL_IF_TARGET)
    assert not virtual_if & ~IF
    return attrs.evolve(
        real,
        gate=inside and offset in gates,
        vector=None if offset in gates else real.vector,
        eip=eip,
        registers=tuple(values.values()),
        flags=real.flags & ~IF | virtual_if,
        cs=real.cs & ~1 if real.cs & 3 == 1 else real.cs,
        ss=real.ss & ~1 if real.ss & 3 == 1 else real.ss,
    )
