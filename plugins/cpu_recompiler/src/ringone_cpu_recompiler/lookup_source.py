"""The source of the machine code that finds the host address behind a linear one, as `Paging._direct` does: plain memory whose page tables say yes with all
bits set already. It changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ringone_cpu_recompiler import layout
from ringone_cpu_recompiler.asm import Code, MemoryOperand, Register, StubAssembler
from ringone_cpu_recompiler.env import CR0_PG, CR4_PAE, CR4_PSE, EFER_LMA
from ringone_cpu_recompiler.pages import CLASS_DIRECT, CLASS_WRITABLE, PAGES
from ringone_cpu_recompiler.paging import PTE_A, PTE_P, PTE_PS, PTE_W
from ringone_cpu_recompiler.stubs import A20_PAGES, BACKING, CLASSES, FRAMES

if TYPE_CHECKING:
    from iced_x86._iced_x86_py import Register as RegisterNumber


@attrs.frozen
class Lookup:
    """A subroutine ``translate``: RAX = host address of linear ESI for a supervisor, 0 where the short way does not lead there.

    EDX: bits that the leaf must have; with PTE_W among them it is for a store. `control` and `env` are registers that hold those addresses. R9 is an entry, R11
    a page number, R10 scratch.
    """

    code: StubAssembler
    control: RegisterNumber
    env: RegisterNumber

    def emit(self) -> None:
        code = self.code
        code.label("translate")
        code.mem_imm(Code.CMP_RM32_IMM32, MemoryOperand(self.control, displ=A20_PAGES), PAGES - 1)
        code.branch(Code.JNE_REL32_64, "no")
        code.move(Register.R11D, Register.ESI)
        code.shift_right(Register.R11D, 12)
        code.load(Register.EAX, self.env, layout.CR)
        code.bit_clear(Register.RAX, CR0_PG.bit_length() - 1, "page")
        code.load(Register.R11D, self.env, layout.CR + 24)
        code.shift_right(Register.R11D, 12)
        self._table()
        code.load(Register.R10D, self.env, layout.CR + 32)
        code.bit_set(Register.R10, CR4_PAE.bit_length() - 1, "PAE")
        self._walk_32bit()
        self._walk_pae()
        code.label("leaf")
        code.move(Register.R10D, Register.R9D)
        code.reg_reg(Code.AND_R32_RM32, Register.R10D, Register.EDX)
        code.reg_reg(Code.CMP_R32_RM32, Register.R10D, Register.EDX)
        code.branch(Code.JNE_REL32_64, "no")
        self._page()

    def _page(self) -> None:
        """R11 is the page."""
        code = self.code
        code.label("page")
        code.load(Register.RAX, self.control, CLASSES, wide=True)
        code.load_byte(Register.R10D, Register.RAX, Register.R11)
        code.bit_clear(Register.RDX, PTE_W.bit_length() - 1, "for reading")
        code.reg_imm(Code.CMP_RM32_IMM8, Register.R10D, CLASS_DIRECT | CLASS_WRITABLE)
        code.branch(Code.JNE_REL32_64, "no")
        code.label("for reading")
        code.bit_clear(Register.R10, CLASS_DIRECT.bit_length() - 1, "no")
        self._frame()
        code.move(Register.R10D, Register.ESI)
        code.mask(Register.R10D, 0xFFF)
        code.reg_reg(Code.ADD_R64_RM64, Register.RAX, Register.R10)
        code.op(Code.RETNQ)
        code.label("no")
        code.reg_imm(Code.MOV_RM32_IMM32, Register.EAX, 0)
        code.op(Code.RETNQ)

    def _frame(self) -> None:
        """RAX = host address of page R11."""
        code = self.code
        code.load(Register.RAX, self.control, FRAMES, wide=True)
        code.reg_mem(Code.MOV_R32_RM32, Register.EAX, MemoryOperand(Register.RAX, index=Register.R11, scale=4))
        code.reg_imm(Code.SHL_RM64_IMM8, Register.RAX, 12)
        code.reg_mem(Code.ADD_R64_RM64, Register.RAX, MemoryOperand(self.control, displ=BACKING))

    def _table(self) -> None:
        """RAX = host address of the table in page R11, which must be plain memory."""
        code = self.code
        code.load(Register.RAX, self.control, CLASSES, wide=True)
        code.load_byte(Register.R10D, Register.RAX, Register.R11)
        code.bit_clear(Register.R10, CLASS_DIRECT.bit_length() - 1, "no")
        self._frame()

    def _entry(self, shift: int, mask: int, *, wide: bool) -> None:
        """R9 = the entry of the table at RAX for linear ESI."""
        code = self.code
        code.move(Register.R9D, Register.ESI)
        code.shift_right(Register.R9D, shift)
        code.mask(Register.R9D, mask)
        load, register = (Code.MOV_R64_RM64, Register.R9) if wide else (Code.MOV_R32_RM32, Register.R9D)
        code.reg_mem(load, register, MemoryOperand(Register.RAX, index=Register.R9, scale=8 if wide else 4))

    def _require_entry(self, bits: int) -> None:
        code = self.code
        code.move(Register.R10D, Register.R9D)
        code.mask(Register.R10D, bits)
        code.reg_imm(Code.CMP_RM32_IMM8, Register.R10D, bits)
        code.branch(Code.JNE_REL32_64, "no")

    def _large_page(self, page_bits: int) -> None:
        """R11 = the page of linear ESI within the large page of entry R9; then `leaf`."""
        code = self.code
        code.move(Register.R11D, Register.R9D)
        code.shift_right(Register.R11D, 12)
        code.mask(Register.R11D, -1 << page_bits & PAGES - 1)
        code.move(Register.R10D, Register.ESI)
        code.shift_right(Register.R10D, 12)
        code.mask(Register.R10D, (1 << page_bits) - 1)
        code.reg_reg(Code.OR_R32_RM32, Register.R11D, Register.R10D)
        code.jump("leaf")

    def _walk_32bit(self) -> None:
        """RAX the page directory, R10 CR4."""
        code = self.code
        self._entry(22, 0x3FF, wide=False)
        code.bit_clear(Register.R10, CR4_PSE.bit_length() - 1, "table")
        code.bit_clear(Register.R9, PTE_PS.bit_length() - 1, "table")
        self._require_entry(PTE_P | PTE_A)
        self._large_page(10)
        code.label("table")
        self._require_entry(PTE_P | PTE_W | PTE_A)
        code.move(Register.R11D, Register.R9D)
        code.shift_right(Register.R11D, 12)
        self._table()
        self._entry(12, 0x3FF, wide=False)
        code.move(Register.R11D, Register.R9D)
        code.shift_right(Register.R11D, 12)
        code.jump("leaf")

    def _walk_pae(self) -> None:
        """RAX the page with the four directory pointers."""
        code = self.code
        code.label("PAE")
        code.mem_imm(Code.TEST_RM32_IMM32, MemoryOperand(self.env, displ=layout.EFER), EFER_LMA)
        code.branch(Code.JNE_REL32_64, "no")
        code.load(Register.R9D, self.env, layout.CR + 24)
        code.mask(Register.R9D, 0xFE0)
        code.reg_reg(Code.ADD_R64_RM64, Register.RAX, Register.R9)
        self._entry(30, 3, wide=True)
        self._require_entry(PTE_P)
        self._pae_page()
        self._table()
        self._entry(21, 0x1FF, wide=True)
        self._pae_page()
        code.bit_clear(Register.R9, PTE_PS.bit_length() - 1, "PAE table")
        self._require_entry(PTE_P | PTE_A)
        self._large_page(9)
        code.label("PAE table")
        self._require_entry(PTE_P | PTE_W | PTE_A)
        self._table()
        self._entry(12, 0x1FF, wide=True)
        self._pae_page()

    def _pae_page(self) -> None:
        """R11 = the page that entry R9 names, below 4 GiB. Execute-disable says nothing about data."""
        code = self.code
        code.reg_reg(Code.MOV_R64_RM64, Register.R11, Register.R9)
        code.reg_imm(Code.SHL_RM64_IMM8, Register.R11, 1)
        code.reg_imm(Code.SHR_RM64_IMM8, Register.R11, 13)
        code.reg_imm(Code.CMP_RM32_IMM32, Register.R11D, PAGES)
        code.branch(Code.JAE_REL32_64, "no")
        code.reg_reg(Code.MOV_R64_RM64, Register.R10, Register.R11)
        code.reg_imm(Code.SHR_RM64_IMM8, Register.R10, 32)
        code.branch(Code.JNE_REL32_64, "no")
