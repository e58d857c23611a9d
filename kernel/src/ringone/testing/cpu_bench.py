"""A bench for one CPU backend: four megabytes of memory, a protected-mode world laid out in it, and a recorder behind every interrupt vector.

Programs are assembled by Keystone (an extra of the kernel: ``ringone-kernel[testing]``). The world: identity paging (32-bit or PAE) where asked for, GDT, IDT
whose gates all lead to a recorder that writes down what the processor pushed and halts, a TSS, user code and data segments.
"""

from __future__ import annotations

import functools
import logging
import struct
from collections.abc import Callable, Mapping, Sequence

import attrs
from keystone import KS_ARCH_X86, KS_MODE_16, KS_MODE_32, Ks

from ringone.api.cpu import CpuBackend, CpuContext, CpuModel, CpuState, ExitReason, RunBudget, SegmentState, TableState
from ringone.api.scan import CodeScanner
from ringone.memory import AddressSpace
from ringone.plugins import PluginRegistry

RAM_BYTES = 4 << 20
GDT = 0x2000
IDT = 0x3000
ENTRIES = 0x4000
RECORDER = 0x6000
TSS = 0x7000
TSS2 = 0x7800
RECORD = 0x8000
KERNEL_STACK = 0xA000
INNER_STACK = 0xC000
USER_STACK = 0xE000
PAGE_DIRECTORY = 0x10000
PAGE_TABLE = 0x11000
PDPT = 0x12000
CODE = 0x20000
DATA = 0x30000

SELECTORS = {
    "code": 0x08, "data": 0x10, "user_code": 0x1B, "user_data": 0x23, "tss": 0x28, "code16": 0x30, "data16": 0x38, "small": 0x40, "expand_down": 0x48,
    "absent": 0x50, "read_only": 0x58, "tss2": 0x60, "conforming": 0x68, "call_gate": 0x73, "ldt": 0x78, "task_gate": 0x80, "execute_only": 0x88,
}  # fmt: skip


def descriptor(base: int, limit: int, access: int, flags: int) -> bytes:
    """A segment descriptor; `limit` in the unit that `flags` (high nibble: G, D/B, L, AVL) says."""
    return struct.pack("<HHBBBB", limit & 0xFFFF, base & 0xFFFF, base >> 16 & 0xFF, access, flags << 4 | limit >> 16, base >> 24)


def gate(offset: int, selector: int, access: int) -> bytes:
    return struct.pack("<HHBBH", offset & 0xFFFF, selector, 0, access, offset >> 16)


@functools.cache
def assemble(text: str, address: int, bits: int = 32) -> bytes:
    """Machine code for Intel syntax; statements are separated by ``;`` or newlines."""
    encoding, _ = Ks(KS_ARCH_X86, KS_MODE_32 if bits == 32 else KS_MODE_16).asm(text, address)
    return bytes(encoding)


@attrs.frozen(kw_only=True)
class Outcome:
    """How a program ended. `vector` is None where it ran into its own HLT; the rest of the record is then zero. `eip` is relative to the program's start."""

    reason: ExitReason
    state: CpuState
    vector: int | None
    error_code: int
    eip: int
    cs: int
    eflags: int
    cr2: int

    def register(self, name: str) -> int:
        return self.state.gpr[("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi").index(name)]


@functools.cache
def _registry() -> PluginRegistry:
    return PluginRegistry()


class BenchContext:
    """The `CpuContext` of the bench: ports and interrupts are Python lists, time stands still unless a test moves it."""

    def __init__(self, model: CpuModel) -> None:
        self.memory = AddressSpace(RAM_BYTES)
        self.model = model
        self.log = logging.getLogger("ringone.testing.cpu")
        self.time_ns = 0
        self.port_accesses: list[tuple[str, int, int, int]] = []
        self.port_value = 0
        self.vectors: list[int] = []
        self.on_port: Callable[[], None] = lambda: None
        self.on_acknowledge: Callable[[], None] = lambda: None

    def now_ns(self) -> int:
        return self.time_ns

    def read_port(self, port: int, size: int) -> int:
        self.port_accesses.append(("in", port, size, self.port_value))
        self.on_port()
        return self.port_value & (1 << 8 * size) - 1

    def write_port(self, port: int, size: int, value: int) -> None:
        self.port_accesses.append(("out", port, size, value))
        self.on_port()

    def code_scanner(self, name: str) -> CodeScanner:
        spec = _registry().code_scanners()[name]
        return spec.create(spec.options())

    def acknowledge_interrupt(self) -> int:
        vector = self.vectors.pop(0)
        self.on_acknowledge()
        return vector


class CpuBench:
    """One backend on the bench. `mmio` is a page at 0xF0000000 whose accesses are recorded like port accesses."""

    MMIO = 0xF0000000

    def __init__(self, make_backend: Callable[[CpuContext], CpuBackend], model: CpuModel | None = None) -> None:
        self.context = BenchContext(model or CpuModel())
        memory = self.context.memory
        memory.map_mmio("bench", self.MMIO, 0x1000, read=self._mmio_read, write=self._mmio_write, widths=(1, 2, 4), name="mmio", priority=1)
        memory.freeze()
        self.memory = memory
        self.mmio_accesses: list[tuple[str, int, int, int]] = []
        self.on_mmio: Callable[[], None] = lambda: None
        self.cpu = make_backend(self.context)
        memory.listen(self.cpu.memory_changed, self.cpu.invalidate_code)
        self.context.on_acknowledge = lambda: self.cpu.set_intr(bool(self.context.vectors))
        self._lay_out()

    def raise_interrupt(self, vector: int) -> None:
        """Drive INTR until the processor has acknowledged it."""
        self.context.vectors.append(vector)
        self.cpu.set_intr(True)

    def _mmio_read(self, offset: int, size: int) -> int:
        self.mmio_accesses.append(("read", offset, size, 0))
        self.on_mmio()
        return 0x11223344 >> 8 * (offset & 3) & (1 << 8 * size) - 1

    def _mmio_write(self, offset: int, size: int, value: int) -> None:
        self.mmio_accesses.append(("write", offset, size, value))
        self.on_mmio()

    # --- The world ----------------------------------------

    def _lay_out(self) -> None:
        write = self.memory.write
        table = [
            bytes(8),
            descriptor(0, 0xFFFFF, 0x9B, 0xC),
            descriptor(0, 0xFFFFF, 0x93, 0xC),
            descriptor(0, 0xFFFFF, 0xFB, 0xC),
            descriptor(0, 0xFFFFF, 0xF3, 0xC),
            descriptor(TSS, 0x67, 0x8B, 0),
            descriptor(0, 0xFFFF, 0x9B, 0),
            descriptor(0, 0xFFFF, 0x93, 0),
            descriptor(DATA, 0xFF, 0x93, 0x4),
            descriptor(DATA, 0xFF, 0x97, 0x4),
            descriptor(DATA, 0xFF, 0x13, 0x4),
            descriptor(0, 0xFFFFF, 0x91, 0xC),
            descriptor(TSS2, 0x67, 0x89, 0),
            descriptor(0, 0xFFFFF, 0x9F, 0xC),
            gate(CODE + 0x800, SELECTORS["code"], 0xEC),
            descriptor(GDT, 0xFF, 0x82, 0),
            gate(0, SELECTORS["tss2"], 0xE5),
            descriptor(0, 0xFFFFF, 0x99, 0xC),
        ]
        write(GDT, b"".join(table))
        self._gdt_limit = len(table) * 8 - 1
        with_code = {8, 10, 11, 12, 13, 14, 17}
        for vector in range(256):
            entry = assemble(f"{'' if vector in with_code else 'push 0;'} push {vector}; jmp {RECORDER:#x}", ENTRIES + 16 * vector)
            write(ENTRIES + 16 * vector, entry)
            self.set_gate(vector, ENTRIES + 16 * vector)
        save = "".join(f"pop eax; mov [{RECORD + 4 * index:#x}], eax;" for index in range(5))
        write(
            RECORDER,
            assemble(
                f"mov [{RECORD + 0x40:#x}], eax; {save} mov eax, cr2; mov [{RECORD + 0x20:#x}], eax; mov dword ptr [{RECORD + 0x24:#x}], 1; hlt", RECORDER
            ),
        )
        write(TSS + 4, struct.pack("<II", INNER_STACK, SELECTORS["data"]))
        write(TSS + 0x66, struct.pack("<H", 0x68))

    def set_gate(self, vector: int, offset: int, *, selector: int = SELECTORS["code"], access: int = 0x8E) -> None:
        """0x8E is a 32-bit interrupt gate of DPL 0, 0xEE of DPL 3, 0x8F a trap gate, 0x85 a task gate."""
        self.memory.write(IDT + 8 * vector, gate(offset, selector, access))

    def map_pages(self, *, pae: bool = False) -> None:
        """Identity-map the first 4 MiB with 4 KiB user-writable pages and the MMIO page at its place."""
        if pae:
            for index in range(4):
                self.memory.write(PDPT + 8 * index, struct.pack("<Q", PAGE_DIRECTORY + 0x3000 + 0x1000 * index | 1))
            for table in range(2):
                self.memory.write(PAGE_DIRECTORY + 0x3000 + 8 * table, struct.pack("<Q", 0x40000 + 0x1000 * table | 7))
            for page in range(1024):
                self.set_page(page << 12, page << 12 | 7, pae=True)
            self.memory.write(PAGE_DIRECTORY + 0x6000 + 8 * (self.MMIO >> 21 & 0x1FF), struct.pack("<Q", self.MMIO | 0x87))
            return
        self.memory.write(PAGE_DIRECTORY, struct.pack("<I", PAGE_TABLE | 7))
        for page in range(1024):
            self.set_page(page << 12, page << 12 | 7)
        self.memory.write(PAGE_DIRECTORY + 4 * (self.MMIO >> 22), struct.pack("<I", self.MMIO & 0xFFC00000 | 0x87))

    def set_page(self, address: int, entry: int, *, pae: bool = False) -> None:
        if pae:
            self.memory.write(0x40000 + 8 * (address >> 12), struct.pack("<Q", entry))
        else:
            self.memory.write(PAGE_TABLE + 4 * (address >> 12), struct.pack("<I", entry))

    def page(self, address: int, *, pae: bool = False) -> int:
        where, size = (0x40000 + 8 * (address >> 12), 8) if pae else (PAGE_TABLE + 4 * (address >> 12), 4)
        return int.from_bytes(self.memory.read(where, size), "little")

    # --- Running ----------------------------------------

    def segment(self, selector: int) -> SegmentState:
        low, high = struct.unpack("<II", self.memory.read(GDT + (selector & 0xFFF8), 8))
        limit = low & 0xFFFF | high & 0xF0000
        return SegmentState(
            selector=selector,
            base=low >> 16 | (high & 0xFF) << 16 | high & 0xFF000000,
            limit=limit << 12 | 0xFFF if high & 1 << 23 else limit,
            attributes=high >> 8 & 0xF0FF,
        )

    def protected_state(
        self, *, user: bool = False, paging: str = "", eflags: int = 2, registers: Sequence[int] = (0, 0, 0, 0, 0, 0, 0, 0), eip: int = CODE
    ) -> CpuState:
        """32-bit protected mode at `eip`; `paging` is "", "32bit" or "pae" (with NX enabled)."""
        data = self.segment(SELECTORS["user_data" if user else "data"])
        gpr = list(registers)
        gpr[4] = gpr[4] or (USER_STACK if user else KERNEL_STACK)
        self.cpu.reset()
        base = self.cpu.save_state()
        return attrs.evolve(
            base,
            gpr=tuple(gpr),
            eip=eip,
            eflags=eflags | 2,
            cs=self.segment(SELECTORS["user_code" if user else "code"]),
            ss=data,
            ds=data,
            es=data,
            fs=data,
            gs=data,
            tr=self.segment(SELECTORS["tss"]),
            gdtr=TableState(base=GDT, limit=self._gdt_limit),
            idtr=TableState(base=IDT, limit=0x7FF),
            cr0=0x11 | (0x80010000 if paging else 0),
            cr3=PDPT if paging == "pae" else PAGE_DIRECTORY,
            cr4={"pae": 0x620, "32bit": 0x610}.get(paging, 0x600),
            msr={**base.msr, 0xC0000080: 0x800 if paging == "pae" else 0},
        )

    def load(self, text: str, *, bits: int = 32, address: int = CODE) -> None:
        self.memory.write(address, assemble(text, address, bits))

    def run(
        self,
        text: str,
        *,
        user: bool = False,
        paging: str = "",
        eflags: int = 2,
        registers: Sequence[int] = (0,) * 8,
        msr: Mapping[int, int] | None = None,
        progress: int = 1_000_000,
    ) -> Outcome:
        """Assemble a program that ends with HLT (added), run it from a fresh protected-mode state until it halts, faults into the recorder or uses up
        `progress`.
        """
        self.memory.write(CODE, assemble(text + "; hlt", CODE))
        state = self.protected_state(user=user, paging=paging, eflags=eflags, registers=registers)
        self.cpu.load_state(attrs.evolve(state, msr={**state.msr, **(msr or {})}))
        return self.go_on(progress)

    def run_real(self, text: str, *, progress: int = 1_000_000) -> Outcome:
        """The same in real-address mode at 0000:7C00 with SP 7000; vectors are the program's own business."""
        self.memory.write(0x7C00, assemble(text + "; hlt", 0x7C00, 16))
        self.cpu.reset()
        state = self.cpu.save_state()
        zero = attrs.evolve(state.ds, selector=0, base=0)
        code = attrs.evolve(state.cs, selector=0, base=0)
        self.cpu.load_state(attrs.evolve(state, eip=0x7C00, cs=code, ss=zero, ds=zero, es=zero, gpr=(0, 0, 0, 0, 0x7000, 0, 0, 0)))
        return self.go_on(progress)

    def go_on(self, progress: int = 1_000_000) -> Outcome:
        self.memory.write(RECORD, bytes(0x50))
        result = self.cpu.run(RunBudget(progress=progress))
        state = self.cpu.save_state()
        vector, error_code, eip, cs, eflags = struct.unpack("<5I", self.memory.read(RECORD, 20))
        cr2, recorded = struct.unpack("<II", self.memory.read(RECORD + 0x20, 8))
        return Outcome(
            reason=result.reason,
            state=state,
            vector=vector if recorded else None,
            error_code=error_code,
            eip=eip - CODE if recorded else 0,
            cs=cs,
            eflags=eflags,
            cr2=cr2,
        )
