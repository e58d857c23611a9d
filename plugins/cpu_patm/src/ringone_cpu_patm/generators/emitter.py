"""The assembler of patches: the state page's words, scratch, flags kept in EAX, hit counters, marks and gates.

The page is only reached through SS, the one segment register whose base is known. Scratch words live until the end of one replacement. Flags are kept by
LAHF and SETO and come back by ADD and SAHF, which costs a fraction of POPFD and leaves the other flags alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from iced_x86 import Code, Decoder, Instruction, MemoryOperand, Register
from ringone_cpu_recompiler.asm import Assembler

from ringone_cpu_patm import state_page
from ringone_cpu_patm.patch_code import Gate, Kind, Mark, PatchCode, Restore

if TYPE_CHECKING:
    from iced_x86._iced_x86_py import Code as CodeNumber
    from iced_x86._iced_x86_py import Register as RegisterNumber

SAVED = state_page.SCRATCH
"""The general register that a replacement borrows."""
SAVED_ESP = state_page.SCRATCH + 4
SAVED_FLAGS = state_page.SCRATCH + 8
"""EAX as `keep_flags` leaves it."""
IMAGE = state_page.SCRATCH + 12
"""The EFLAGS image that an instruction pops."""
IMAGE_EIP = state_page.SCRATCH + 16
IMAGE_CS = state_page.SCRATCH + 20
SAVED_VIRTUAL_IF = state_page.SCRATCH + 24
VALUE = state_page.SCRATCH + 28
"""What is about to be delivered, or the real EFLAGS."""

OVERFLOW_FROM_SETO = 0x7F
"""Added to the 0 or 1 that SETO left in AL it overflows exactly where there was an overflow."""


def label_of(guest_eip: int) -> str:
    return f"guest {guest_eip:x}"


class Emitter:
    """Collects one patch. `guest_eip` and `kind` are those of the instruction whose turn it is."""

    def __init__(self, address: int, state: int, redirect: Mapping[int, int], *, count_hits: bool) -> None:
        self.redirect = redirect
        self.asm = Assembler(32)
        self.guest_eip = 0
        self.ends_here = True
        """Whether the guest's own code comes right behind the instruction whose turn it is."""
        self.leads_to_patches = False
        """Whether there are other replacements, of this patch or another one, before the guest's own code comes: only there are interrupts noticed."""
        self.kind = Kind.GATE
        self._address = address
        self._state = state
        self._count_hits = count_hits
        self._kinds: list[Kind] = []
        self._marks: list[tuple[int, int, Restore]] = []
        self._gates: list[tuple[int, int, Restore]] = []
        self._gates_behind: dict[tuple[int, Callable[[], None]], str] = {}

    # --- Where the guest is ----------------------------------------

    def at(self, guest_eip: int) -> None:
        """What the instruction at `guest_eip` becomes follows: the place for branches to it inside the region."""
        self.asm.label(label_of(guest_eip))

    def begin(self, kind: Kind, guest_eip: int) -> None:
        """A replacement or a gate for the instruction at `guest_eip` follows."""
        self._kinds.append(kind)
        self.kind, self.guest_eip = kind, guest_eip
        self.mark()

    def begin_carried_over(self, guest_eip: int) -> None:
        self.guest_eip = guest_eip
        self.mark()

    def mark(self, restore: Restore = ()) -> None:
        self._marks.append((len(self.asm), self.guest_eip, restore))

    def gate(self) -> None:
        self._gates.append((len(self.asm), self.guest_eip, ()))
        self.asm.op(Code.HLT)

    def gate_if(self, branch: CodeNumber, undo: Callable[[], None]) -> None:
        """Leave the patch when `branch` is taken: `undo` what was done to registers and flags, then the gate. That part lies behind the patch's end."""
        label = self._gates_behind.setdefault((self.guest_eip, undo), f"gate {len(self._gates_behind)}")
        self.asm.branch(branch, label)

    # --- The state page ----------------------------------------

    def address_of(self, offset: int) -> int:
        return self._state + offset

    def word(self, offset: int) -> MemoryOperand:
        return MemoryOperand(displ=self.address_of(offset), displ_size=4, seg=Register.SS)

    def load(self, register: RegisterNumber, offset: int) -> None:
        self.asm.reg_mem(Code.MOV_R32_RM32, register, self.word(offset))

    def store(self, offset: int, register: RegisterNumber) -> None:
        self.asm.mem_reg(Code.MOV_RM32_R32, self.word(offset), register)

    def stack_at(self, offset: int) -> None:
        """ESP to a word of the state page: the next push goes below it, the next pop takes it."""
        self.asm.reg_imm(Code.MOV_R32_IMM32, Register.ESP, self.address_of(offset))

    def count_with(self, register: RegisterNumber) -> None:
        """Count a hit; clobbers `register`, not the flags."""
        if self._count_hits:
            self.load(register, self._counter())
            self.add(register, 1)
            self.store(self._counter(), register)

    def count_quietly(self) -> None:
        """Count a hit; clobbers neither flags nor registers."""
        if self._count_hits:
            self.asm.mem_reg(Code.XCHG_RM32_R32, self.word(self._counter()), Register.EAX)
            self.add(Register.EAX, 1)
            self.asm.mem_reg(Code.XCHG_RM32_R32, self.word(self._counter()), Register.EAX)

    def count(self) -> None:
        """Count a hit; clobbers the flags, no register."""
        if self._count_hits:
            self.asm.mem(Code.INC_RM32, self.word(self._counter()))

    def _counter(self) -> int:
        return state_page.HITS + 4 * self.kind

    # --- Arithmetic and flags ----------------------------------------

    def add(self, register: RegisterNumber, value: int) -> None:
        """Without touching flags."""
        self.asm.reg_mem(Code.LEA_R32_M, register, MemoryOperand(base=register, displ=value, displ_size=1))

    def keep_flags(self) -> None:
        """The arithmetic flags to AH and AL, EAX's own value to SAVED."""
        self.store(SAVED, Register.EAX)
        self.asm.op(Code.LAHF)
        self.asm.reg(Code.SETO_RM8, Register.AL)

    def give_flags_back(self) -> None:
        """The reverse; expects EAX as `keep_flags` left it."""
        self.asm.reg_imm(Code.ADD_AL_IMM8, Register.AL, OVERFLOW_FROM_SETO)
        self.asm.op(Code.SAHF)
        self.load(Register.EAX, SAVED)

    # --- The end ----------------------------------------

    def arrive(self, guest_eip: int) -> None:
        """Go back to the guest's own code, or on to the patch code that stands for it."""
        self.guest_eip = guest_eip
        self.mark()
        self.asm.add(Instruction.create_branch(Code.JMP_REL32_32, self.redirect.get(guest_eip, guest_eip)))

    def finish(self) -> PatchCode:
        for (guest_eip, undo), label in self._gates_behind.items():
            self.guest_eip = guest_eip
            self.asm.label(label)
            self.mark()
            undo()
            self.gate()
        code = self.asm.encode(self._address)
        offsets = [instruction.ip - self._address for instruction in Decoder(32, code, ip=self._address)]
        return PatchCode(
            code=code,
            marks=tuple(Mark(offset=offsets[index], guest_eip=guest_eip, restore=restore) for index, guest_eip, restore in self._marks),
            gates=tuple(Gate(offset=offsets[index], guest_eip=guest_eip, restore=restore) for index, guest_eip, restore in self._gates),
            kinds=tuple(self._kinds),
        )
