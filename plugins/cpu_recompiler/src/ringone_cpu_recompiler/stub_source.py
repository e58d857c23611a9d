"""The source of the engine's machine code, in terms of iced-x86. `build` makes the bytes that `stub_code` holds; a test compares the two.

Making them at every start would cost a tenth of a second, mostly for importing the encoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringone.api.memory import PAGE_SIZE

from ringone_cpu_recompiler import binding, delivery_source, layout
from ringone_cpu_recompiler.asm import Assembler, Code, MemoryOperand, Register, StubAssembler
from ringone_cpu_recompiler.env import (
    ARITHMETIC_FLAGS,
    CC_OP_EFLAGS,
    CC_OPS_LOGIC,
    CR0_PG,
    CR4_PAE,
    CR4_PSE,
    D_FLAGS,
    EFER_LMA,
    FLAG_IF,
    HF_CPL,
    HF_INHIBIT_IRQ,
    HF_PE,
    LOADED_BY_US,
    TR,
)
from ringone_cpu_recompiler.lookup_source import Lookup
from ringone_cpu_recompiler.loop_flags import LOOPNE
from ringone_cpu_recompiler.pages import CLASS_DIRECT, CLASS_WRITABLE
from ringone_cpu_recompiler.paging import PTE_A, PTE_P
from ringone_cpu_recompiler.stubs import (
    A20_PAGES,
    BACKING,
    BLOCK,
    BUDGET,
    CLASSES,
    EMU_STOP,
    ENV,
    EXIT_REQUEST,
    FILLED,
    FILLS,
    FLUSHES,
    FRAMES,
    INTERRUPT_FLAG,
    PATIENCE,
    READ_REGISTER,
    SLOW_CODE,
    SLOW_EDGE,
    SLOW_FILL,
    STOPPED,
    UNICORN,
    VIEWS,
    WINDOW_BASE,
    WINDOW_CODE,
    WINDOW_FRAME,
    WINDOW_SIZE,
)
from ringone_cpu_recompiler.task_switches import FAR, IMMEDIATE, IMMEDIATE_SIZES, INDIRECT, INDIRECT_SIZES, LONGEST_TAIL, MODRM_FIELD, MODRM_REGISTER
from ringone_cpu_recompiler.vmm import LONGEST_PATCH

if TYPE_CHECKING:
    from iced_x86._iced_x86_py import Register as RegisterNumber

_WP_BIT = 16
_PTE_A = 1 << 5
_PTE_D = 1 << 6
_NX_BIT = 63


class _Code(StubAssembler):
    def if_access(self, access: int, label: str) -> None:
        self.reg_imm(Code.CMP_RM32_IMM8, Register.EDX, access)
        self.branch(Code.JE_REL32_64, label)

    def in_window(self, address: RegisterNumber, control: RegisterNumber, label: str) -> None:
        """Jump where a linear address lies in the VMM's window; EAX becomes the offset from its start."""
        self.move(Register.EAX, address)
        self.reg_mem(Code.SUB_R32_RM32, Register.EAX, MemoryOperand(control, displ=WINDOW_BASE))
        self.reg_mem(Code.CMP_R32_RM32, Register.EAX, MemoryOperand(control, displ=WINDOW_SIZE))
        self.branch(Code.JB_REL32_64, label)


def _block_stub() -> Assembler:
    code = _Code()
    control = Register.RCX
    code.move(Register.EDX, Register.EDX)
    code.mem_reg(Code.MOV_RM32_R32, MemoryOperand(control, displ=BLOCK), Register.ESI)
    code.mem_imm(Code.CMP_RM64_IMM8, MemoryOperand(control, displ=BUDGET), 0)
    code.branch(Code.JLE_REL32_64, "stop")
    code.mem_imm(Code.CMP_RM64_IMM8, MemoryOperand(control, displ=EXIT_REQUEST), 0)  # and INTERRUPT_WAITING, its neighbour
    code.branch(Code.JNE_REL32_64, "attention")
    code.label("go on")
    code.load(Register.RAX, control, ENV, wide=True)
    code.mem_imm(Code.TEST_RM32_IMM32, MemoryOperand(Register.RAX, displ=4 * D_FLAGS[TR]), LOADED_BY_US)
    code.branch(Code.JE_REL32_64, "stop")
    code.mem_reg(Code.SUB_RM64_R64, MemoryOperand(control, displ=BUDGET), Register.RDX)
    code.op(Code.RETNQ)
    code.label("attention")
    code.mem_imm(Code.CMP_RM32_IMM8, MemoryOperand(control, displ=EXIT_REQUEST), 0)
    code.branch(Code.JNE_REL32_64, "stop")
    code.load(Register.RAX, control, INTERRUPT_FLAG, wide=True)
    code.mem_imm(Code.TEST_RM32_IMM32, MemoryOperand(Register.RAX), FLAG_IF)
    code.branch(Code.JE_REL32_64, "go on")
    code.load(Register.RAX, control, ENV, wide=True)
    code.mem_imm(Code.TEST_RM32_IMM32, MemoryOperand(Register.RAX, displ=layout.HFLAGS), HF_INHIBIT_IRQ)
    code.branch(Code.JNE_REL32_64, "go on")
    code.label("stop")
    code.in_window(Register.ESI, control, "in the window")
    code.label("stop now")
    code.mem_imm(Code.MOV_RM64_IMM32, MemoryOperand(control, displ=STOPPED), 1)
    code.mem(Code.JMP_RM64, MemoryOperand(control, displ=EMU_STOP))
    code.label("in the window")
    code.mem_imm(Code.CMP_RM64_IMM32, MemoryOperand(control, displ=BUDGET), -LONGEST_PATCH)
    code.branch(Code.JL_REL32_64, "stop now")
    code.mem_reg(Code.SUB_RM64_R64, MemoryOperand(control, displ=BUDGET), Register.RDX)
    code.op(Code.RETNQ)
    return code


def _edge_stub() -> Assembler:
    """(uc, block, previous block, control): new translations of ring-1 and ring-3 code go to Python, and those whose end looks like LOOPE, LOOPNE or, in
    protected mode, a far transfer, or is not to be found; the others on their way. Python needs the block alone: RDI keeps it."""
    code = _Code()
    control, env = Register.RCX, Register.R8
    code.load(env, control, ENV, wide=True)
    code.mem_imm(Code.TEST_RM32_IMM32, MemoryOperand(env, displ=layout.HFLAGS), 1)
    code.branch(Code.JNE_REL32_64, "at once")
    code.reg_reg(Code.MOV_R64_RM64, Register.RDI, Register.RSI)
    code.reg_mem(Code.MOVZX_R32_RM16, Register.EAX, MemoryOperand(Register.RSI, displ=binding.TranslationBlock.size.offset))
    code.load(Register.ESI, Register.RSI, binding.TranslationBlock.pc.offset)
    code.reg_mem(Code.LEA_R32_M, Register.ESI, MemoryOperand(Register.RSI, index=Register.RAX, displ=-2))
    _address(code)
    code.reg_reg(Code.MOV_R64_RM64, Register.R9, Register.RAX)
    _opcode(code)
    code.branch(Code.JE_REL32_64, "look")
    code.mem_imm(Code.TEST_RM32_IMM32, MemoryOperand(env, displ=layout.HFLAGS), HF_PE)
    code.branch(Code.JE_REL32_64, "done")
    code.mask(Register.ESI, PAGE_SIZE - 1)
    code.reg_imm(Code.CMP_RM32_IMM32, Register.ESI, LONGEST_TAIL - 2)
    code.branch(Code.JB_REL32_64, "look")
    code.reg_imm(Code.CMP_RM32_IMM32, Register.ESI, PAGE_SIZE - 1)
    code.branch(Code.JE_REL32_64, "look")
    for size in IMMEDIATE_SIZES:
        code.reg_mem(Code.MOVZX_R32_RM8, Register.EAX, MemoryOperand(Register.R9, displ=2 - size))
        for opcode in sorted(IMMEDIATE):
            code.reg_imm(Code.CMP_RM32_IMM32, Register.EAX, opcode)
            code.branch(Code.JE_REL32_64, "look")
    for size in INDIRECT_SIZES:
        code.reg_mem(Code.MOVZX_R32_RM8, Register.EAX, MemoryOperand(Register.R9, displ=2 - size))
        code.reg_imm(Code.CMP_RM32_IMM32, Register.EAX, INDIRECT)
        code.branch(Code.JNE_REL32_64, f"no {size}")
        code.reg_mem(Code.MOVZX_R32_RM8, Register.EAX, MemoryOperand(Register.R9, displ=3 - size))
        for far in sorted(FAR):
            code.move(Register.EDX, Register.EAX)
            code.mask(Register.EDX, MODRM_FIELD)
            code.reg_imm(Code.CMP_RM32_IMM32, Register.EDX, far << 3)
            code.branch(Code.JNE_REL32_64, f"no {size} {far}")
            code.reg_imm(Code.CMP_RM32_IMM32, Register.EAX, MODRM_REGISTER)
            code.branch(Code.JB_REL32_64, "look")
            code.label(f"no {size} {far}")
        code.label(f"no {size}")
    code.label("done")
    code.op(Code.RETNQ)
    code.label("look")
    code.reg_reg(Code.MOV_R64_RM64, Register.RSI, Register.RDI)
    code.label("at once")
    code.mem(Code.JMP_RM64, MemoryOperand(control, displ=SLOW_EDGE))
    Lookup(code, control, env).emit()
    return code


def _loop_stub() -> Assembler:
    """(uc, address, size, control): `loop_flags.settle_flags` at LOOPE and LOOPNE without prefixes. Ring 1 may fetch from a view, which Python knows about; it
    needs the address alone: RDI keeps it."""
    code = _Code()
    control, env = Register.RCX, Register.R8
    code.load(env, control, ENV, wide=True)
    code.reg_reg(Code.MOV_R64_RM64, Register.RDI, Register.RSI)
    code.load(Register.EAX, env, layout.HFLAGS)
    code.mask(Register.EAX, HF_CPL)
    code.reg_imm(Code.CMP_RM32_IMM8, Register.EAX, 1)
    code.branch(Code.JNE_REL32_64, "no view")
    code.mem_imm(Code.CMP_RM64_IMM8, MemoryOperand(control, displ=VIEWS), 0)
    code.branch(Code.JNE_REL32_64, "look")
    code.label("no view")
    _address(code)
    _opcode(code)
    code.branch(Code.JNE_REL32_64, "look")
    code.load(Register.EAX, env, layout.CC_OP)
    code.reg_imm(Code.SUB_RM32_IMM8, Register.EAX, CC_OPS_LOGIC.start)
    code.reg_imm(Code.CMP_RM32_IMM8, Register.EAX, len(CC_OPS_LOGIC))
    code.branch(Code.JB_REL32_64, "done")
    code.reg(Code.PUSH_R64, env)
    code.reg_imm(Code.SUB_RM64_IMM8, Register.RSP, 16)
    code.mem_imm(Code.MOV_RM64_IMM32, MemoryOperand(Register.RSP), 0)
    code.load(Register.RDI, control, UNICORN, wide=True)
    code.reg_imm(Code.MOV_RM32_IMM32, Register.ESI, binding.REG_EFLAGS)
    code.reg_reg(Code.MOV_R64_RM64, Register.RDX, Register.RSP)
    code.mem(Code.CALL_RM64, MemoryOperand(control, displ=READ_REGISTER))
    code.load(Register.EAX, Register.RSP, 0)
    code.reg_imm(Code.ADD_RM64_IMM8, Register.RSP, 16)
    code.reg(Code.POP_R64, env)
    code.mask(Register.EAX, ARITHMETIC_FLAGS)
    code.mem_reg(Code.MOV_RM64_R64, MemoryOperand(env, displ=layout.CC_SRC), Register.RAX)
    code.mem_imm(Code.MOV_RM32_IMM32, MemoryOperand(env, displ=layout.CC_OP), CC_OP_EFLAGS)
    code.label("done")
    code.op(Code.RETNQ)
    code.label("look")
    code.reg_reg(Code.MOV_R64_RM64, Register.RSI, Register.RDI)
    code.mem(Code.JMP_RM64, MemoryOperand(control, displ=SLOW_CODE))
    Lookup(code, control, env).emit()
    return code


def _address(code: StubAssembler) -> None:
    """RAX is where the byte of code at linear ESI lies on the host; where the short way does not lead there, "look"."""
    code.reg_imm(Code.MOV_RM32_IMM32, Register.EDX, PTE_P | PTE_A)
    code.branch(Code.CALL_REL32_64, "translate")
    code.reg_reg(Code.TEST_RM64_R64, Register.RAX, Register.RAX)
    code.branch(Code.JE_REL32_64, "look")


def _opcode(code: StubAssembler) -> None:
    """Equal where the byte of code at RAX is LOOPE's or LOOPNE's."""
    code.reg_mem(Code.MOVZX_R32_RM8, Register.EAX, MemoryOperand(Register.RAX))
    code.mask(Register.EAX, ~1 & 0xFF)
    code.reg_imm(Code.CMP_RM32_IMM32, Register.EAX, LOOPNE)


class _FillStub:
    """RDI uc, RSI address, EDX access, RCX entry, R8 control. R9 env; R10 the entry above the leaf, later the combined rights; R11 a guest-physical address;
    EBP the leaf; RAX host address of the entry read last; RBX scratch."""

    def __init__(self) -> None:
        self.code = _Code()
        self._labels = 0

    def _label(self) -> str:
        self._labels += 1
        return f"local {self._labels}"

    def build(self) -> Assembler:
        code = self.code
        code.mem(Code.INC_RM64, MemoryOperand(Register.R8, displ=FILLS))
        code.reg(Code.PUSH_R64, Register.RBX)
        code.reg(Code.PUSH_R64, Register.RBP)
        code.load(Register.RBX, Register.R8, FILLED, wide=True)
        code.load(Register.R9D, Register.RBX, FLUSHES)
        code.move(Register.EAX, Register.ESI)
        code.shift_right(Register.EAX, 22)
        code.mem_reg(Code.MOV_RM32_R32, MemoryOperand(Register.RBX, index=Register.RAX, scale=4), Register.R9D)
        code.load(Register.R9, Register.R8, ENV, wide=True)
        code.in_window(Register.ESI, Register.R8, "window")
        code.label("guest")
        code.load(Register.EAX, Register.R9, layout.CR)
        code.bit_set(Register.RAX, CR0_PG.bit_length() - 1, "paging")
        code.move(Register.R11D, Register.ESI)
        code.reg_imm(Code.MOV_RM32_IMM32, Register.R10D, 2)
        code.reg_imm(Code.MOV_RM32_IMM32, Register.EBP, _PTE_A | _PTE_D)
        code.jump("frame")
        code.label("paging")
        code.load(Register.EAX, Register.R9, layout.CR + 32)
        code.bit_set(Register.RAX, CR4_PAE.bit_length() - 1, "pae")
        self._walk_32bit()
        self._walk_pae()
        self._check_rights()
        self._answer()
        return code

    def _entry_address(self, index_shift: int, index_mask: int, scale: int) -> None:
        """R11 += index * scale, index from the linear address."""
        code = self.code
        code.move(Register.EAX, Register.ESI)
        code.shift_right(Register.EAX, index_shift)
        code.mask(Register.EAX, index_mask)
        code.reg_mem(Code.LEA_R64_M, Register.R11, MemoryOperand(Register.R11, index=Register.RAX, scale=scale))

    def _host_address(self) -> None:
        """RAX = host address of guest-physical R11, which must be RAM."""
        code = self.code
        self._page_class()
        code.mask(Register.EBX, CLASS_DIRECT | CLASS_WRITABLE)
        code.reg_imm(Code.CMP_RM32_IMM8, Register.EBX, CLASS_DIRECT | CLASS_WRITABLE)
        code.branch(Code.JNE_REL32_64, "slow")
        code.load(Register.RBX, Register.R8, FRAMES, wide=True)
        code.reg_mem(Code.MOV_R32_RM32, Register.EAX, MemoryOperand(Register.RBX, index=Register.RAX, scale=4))
        code.reg_imm(Code.SHL_RM64_IMM8, Register.RAX, 12)
        code.reg_mem(Code.ADD_R64_RM64, Register.RAX, MemoryOperand(Register.R8, displ=BACKING))
        code.move(Register.EBX, Register.R11D)
        code.mask(Register.EBX, 0xFFF)
        code.reg_reg(Code.ADD_R64_RM64, Register.RAX, Register.RBX)

    def _page_class(self) -> None:
        """RAX = page number of R11 behind the A20 gate, EBX = its class."""
        code = self.code
        code.move(Register.EAX, Register.R11D)
        code.shift_right(Register.EAX, 12)
        code.reg_mem(Code.AND_R64_RM64, Register.RAX, MemoryOperand(Register.R8, displ=A20_PAGES))
        code.load(Register.RBX, Register.R8, CLASSES, wide=True)
        code.load_byte(Register.EBX, Register.RBX, Register.RAX)

    def _mark(self, entry: RegisterNumber, bits: int) -> None:
        """Set accessed or dirty bits in the entry at RAX where they are missing."""
        code = self.code
        done = self._label()
        code.move(Register.EBX, entry)
        code.mask(Register.EBX, bits)
        code.reg_imm(Code.CMP_RM32_IMM8, Register.EBX, bits)
        code.branch(Code.JE_REL32_64, done)
        code.mem_imm(Code.OR_RM32_IMM8, MemoryOperand(Register.RAX), bits)
        code.label(done)

    def _require_low_and_executable(self, entry: RegisterNumber) -> None:
        """PAE: memory above 4 GiB and fetches under NX are left to Python."""
        code = self.code
        done = self._label()
        code.reg_reg(Code.MOV_R64_RM64, Register.RBX, entry)
        code.reg_imm(Code.SHL_RM64_IMM8, Register.RBX, 1)
        code.reg_imm(Code.SHR_RM64_IMM8, Register.RBX, 33)
        code.branch(Code.JNE_REL32_64, "slow")
        code.bit_clear(entry, _NX_BIT, done)
        code.if_access(binding.MEM_FETCH, "slow")
        code.label(done)

    def _walk_32bit(self) -> None:
        code = self.code
        code.load(Register.R11D, Register.R9, layout.CR + 24)
        code.mask(Register.R11D, 0xFFFFF000)
        self._entry_address(22, 0x3FF, 4)
        self._host_address()
        code.load(Register.R10D, Register.RAX, 0)
        code.bit_clear(Register.R10, 0, "slow")
        self._mark(Register.R10D, _PTE_A)
        code.bit_clear(Register.R10, 7, "4K table")
        code.load(Register.EBX, Register.R9, layout.CR + 32)
        code.bit_clear(Register.RBX, CR4_PSE.bit_length() - 1, "4K table")
        code.move(Register.EBP, Register.R10D)
        code.move(Register.R11D, Register.R10D)
        code.mask(Register.R11D, 0xFFC00000)
        code.move(Register.EBX, Register.ESI)
        code.mask(Register.EBX, 0x3FF000)
        code.reg_reg(Code.OR_R32_RM32, Register.R11D, Register.EBX)
        code.jump("rights")
        code.label("4K table")
        code.move(Register.R11D, Register.R10D)
        code.mask(Register.R11D, 0xFFFFF000)
        self._entry_address(12, 0x3FF, 4)
        self._host_address()
        code.load(Register.EBP, Register.RAX, 0)
        code.bit_clear(Register.RBP, 0, "slow")
        code.reg_reg(Code.AND_R32_RM32, Register.R10D, Register.EBP)
        code.move(Register.R11D, Register.EBP)
        code.mask(Register.R11D, 0xFFFFF000)
        code.jump("rights")

    def _walk_pae(self) -> None:
        code = self.code
        code.label("pae")
        code.load(Register.EAX, Register.R9, layout.EFER)
        code.bit_set(Register.RAX, EFER_LMA.bit_length() - 1, "slow")
        code.load(Register.R11D, Register.R9, layout.CR + 24)
        code.mask(Register.R11D, 0xFFFFFFE0)
        self._entry_address(30, 3, 8)
        self._host_address()
        code.load(Register.R10, Register.RAX, 0, wide=True)
        code.bit_clear(Register.R10, 0, "slow")
        self._require_low_and_executable(Register.R10)
        code.move(Register.R11D, Register.R10D)
        code.mask(Register.R11D, 0xFFFFF000)
        self._entry_address(21, 0x1FF, 8)
        self._host_address()
        code.load(Register.R10, Register.RAX, 0, wide=True)
        code.bit_clear(Register.R10, 0, "slow")
        self._require_low_and_executable(Register.R10)
        self._mark(Register.R10D, _PTE_A)
        code.bit_clear(Register.R10, 7, "pae 4K table")
        code.move(Register.EBP, Register.R10D)
        code.move(Register.R11D, Register.R10D)
        code.mask(Register.R11D, 0xFFE00000)
        code.move(Register.EBX, Register.ESI)
        code.mask(Register.EBX, 0x1FF000)
        code.reg_reg(Code.OR_R32_RM32, Register.R11D, Register.EBX)
        code.jump("rights")
        code.label("pae 4K table")
        code.move(Register.R11D, Register.R10D)
        code.mask(Register.R11D, 0xFFFFF000)
        self._entry_address(12, 0x1FF, 8)
        self._host_address()
        code.load(Register.RBP, Register.RAX, 0, wide=True)
        code.bit_clear(Register.RBP, 0, "slow")
        self._require_low_and_executable(Register.RBP)
        code.reg_reg(Code.AND_R32_RM32, Register.R10D, Register.EBP)
        code.move(Register.R11D, Register.EBP)
        code.mask(Register.R11D, 0xFFFFF000)

    def _check_rights(self) -> None:
        """U/S and R/W of both levels in R10, the leaf in EBP at RAX."""
        code = self.code
        code.label("rights")
        code.load(Register.EBX, Register.R9, layout.HFLAGS)
        code.mask(Register.EBX, HF_CPL)
        code.reg_imm(Code.CMP_RM32_IMM8, Register.EBX, 3)
        code.branch(Code.JNE_REL32_64, "supervisor")
        code.bit_clear(Register.R10, 2, "slow")
        code.jump("accessed")
        code.label("supervisor")
        code.load(Register.EBX, Register.R9, layout.CR)
        code.bit_set(Register.RBX, _WP_BIT, "accessed")
        code.reg_imm(Code.OR_RM32_IMM8, Register.R10D, 2)
        code.label("accessed")
        code.if_access(binding.MEM_WRITE, "dirty")
        self._mark(Register.EBP, _PTE_A)
        code.jump("frame")
        code.label("dirty")
        code.bit_clear(Register.R10, 1, "slow")
        self._mark(Register.EBP, _PTE_A | _PTE_D)
        code.jump("frame")

    def _answer(self) -> None:
        """The page R11, its class in EBX, W where R10 and the leaf's dirty bit in EBP allow it without another walk."""
        code = self.code
        code.label("frame")
        self._page_class()
        code.bit_clear(Register.RBX, 0, "slow")
        code.if_access(binding.MEM_FETCH, "fetch")
        self._frame_address()
        code.bit_set(Register.RBX, 2, "data access to a code page")
        code.if_access(binding.MEM_WRITE, "write")
        code.reg_imm(Code.MOV_RM32_IMM32, Register.R9D, binding.PROT_READ)
        code.bit_clear(Register.RBX, 1, "done")
        code.bit_clear(Register.R10, 1, "done")
        code.bit_clear(Register.RBP, 6, "done")
        code.label("write")
        code.bit_clear(Register.RBX, 1, "slow")
        code.reg_imm(Code.MOV_RM32_IMM32, Register.R9D, binding.PROT_READ | binding.PROT_WRITE)
        code.jump("done")
        self._answer_for_code_page()
        code.label("done")
        code.mem_reg(Code.MOV_RM64_R64, MemoryOperand(Register.RCX), Register.RAX)
        code.mem_reg(Code.MOV_RM32_R32, MemoryOperand(Register.RCX, displ=8), Register.R9D)
        code.reg(Code.POP_R64, Register.RBP)
        code.reg(Code.POP_R64, Register.RBX)
        code.reg_imm(Code.MOV_RM32_IMM32, Register.EAX, 1)
        code.op(Code.RETNQ)
        code.label("slow")
        code.reg(Code.POP_R64, Register.RBP)
        code.reg(Code.POP_R64, Register.RBX)
        code.mem(Code.JMP_RM64, MemoryOperand(Register.R8, displ=SLOW_FILL))

    def _frame_address(self) -> None:
        """RAX: from guest-physical page to the engine's physical address."""
        code = self.code
        code.load(Register.R9, Register.R8, FRAMES, wide=True)
        code.reg_mem(Code.MOV_R32_RM32, Register.EAX, MemoryOperand(Register.R9, index=Register.RAX, scale=4))
        code.reg_imm(Code.SHL_RM64_IMM8, Register.RAX, 12)

    def _answer_fetch(self) -> None:
        """At ring 1 the VMM's view of the page, where there is one for this linear address; else the page, if code was fetched from it before."""
        code = self.code
        code.label("fetch")
        code.load(Register.R9, Register.R8, VIEWS, wide=True)
        code.reg_reg(Code.TEST_RM64_R64, Register.R9, Register.R9)
        code.branch(Code.JE_REL32_64, "plain fetch")
        code.reg_mem(Code.MOV_R64_RM64, Register.R9, MemoryOperand(Register.R9, index=Register.RAX, scale=8))
        code.reg_reg(Code.TEST_RM64_R64, Register.R9, Register.R9)
        code.branch(Code.JE_REL32_64, "plain fetch")
        code.load(Register.R10, Register.R8, ENV, wide=True)
        code.load(Register.R10D, Register.R10, layout.HFLAGS)
        code.mask(Register.R10D, HF_CPL)
        code.reg_imm(Code.CMP_RM32_IMM8, Register.R10D, 1)
        code.branch(Code.JNE_REL32_64, "plain fetch")
        code.move(Register.EAX, Register.R9D)
        code.reg_imm(Code.SHR_RM64_IMM8, Register.R9, 32)
        code.move(Register.R10D, Register.ESI)
        code.shift_right(Register.R10D, 12)
        code.reg_reg(Code.CMP_R32_RM32, Register.R10D, Register.R9D)
        code.branch(Code.JNE_REL32_64, "slow")
        code.reg_imm(Code.SHL_RM64_IMM8, Register.RAX, 12)
        code.jump("execute only")
        code.label("window")
        code.load(Register.EBX, Register.R9, layout.HFLAGS)
        code.mask(Register.EBX, HF_CPL)
        code.reg_imm(Code.CMP_RM32_IMM8, Register.EBX, 3)
        code.branch(Code.JE_REL32_64, "guest")
        code.reg_mem(Code.CMP_R32_RM32, Register.EAX, MemoryOperand(Register.R8, displ=WINDOW_CODE))
        code.branch(Code.JB_REL32_64, "window code")
        code.if_access(binding.MEM_FETCH, "slow")
        code.reg_imm(Code.MOV_RM32_IMM32, Register.R9D, binding.PROT_READ | binding.PROT_WRITE)
        code.jump("window frame")
        code.label("window code")
        code.reg_imm(Code.CMP_RM32_IMM8, Register.EDX, binding.MEM_FETCH)
        code.branch(Code.JNE_REL32_64, "slow")
        code.reg_imm(Code.MOV_RM32_IMM32, Register.R9D, binding.PROT_EXEC)
        code.label("window frame")
        code.shift_right(Register.EAX, 12)
        code.reg_mem(Code.ADD_R32_RM32, Register.EAX, MemoryOperand(Register.R8, displ=WINDOW_FRAME))
        code.reg_imm(Code.SHL_RM64_IMM8, Register.RAX, 12)
        code.jump("done")
        code.label("execute only")
        code.reg_imm(Code.MOV_RM32_IMM32, Register.R9D, binding.PROT_EXEC)
        code.jump("done")
        code.label("plain fetch")
        code.bit_clear(Register.RBX, 2, "slow")
        self._frame_address()

    def _answer_for_code_page(self) -> None:
        """Under PAE the page may be mapped no-execute here, which Python looks after, as after writes to a page that has a view. A write takes one from the
        frame's patience (0: endless)."""
        code = self.code
        code.label("data access to a code page")
        code.load(Register.R9, Register.R8, ENV, wide=True)
        code.load(Register.R9D, Register.R9, layout.CR + 32)
        code.bit_set(Register.R9, CR4_PAE.bit_length() - 1, "slow")
        code.if_access(binding.MEM_WRITE, "write to a code page")
        code.mem_imm(Code.CMP_RM64_IMM8, MemoryOperand(Register.R8, displ=VIEWS), 0)
        code.branch(Code.JE_REL32_64, "executable")
        code.reg_imm(Code.MOV_RM32_IMM32, Register.R9D, binding.PROT_READ)
        code.jump("done")
        code.label("write to a code page")
        code.bit_clear(Register.RBX, 1, "slow")
        code.load(Register.R9, Register.R8, VIEWS, wide=True)
        code.reg_reg(Code.TEST_RM64_R64, Register.R9, Register.R9)
        code.branch(Code.JE_REL32_64, "no view")
        code.shift_right(Register.R11D, 12)
        code.reg_mem(Code.AND_R64_RM64, Register.R11, MemoryOperand(Register.R8, displ=A20_PAGES))
        code.mem_imm(Code.CMP_RM64_IMM8, MemoryOperand(Register.R9, index=Register.R11, scale=8), 0)
        code.branch(Code.JNE_REL32_64, "slow")
        code.label("no view")
        code.reg_reg(Code.MOV_R64_RM64, Register.RBX, Register.RAX)
        code.reg_imm(Code.SHR_RM64_IMM8, Register.RBX, 11)
        code.reg_mem(Code.ADD_R64_RM64, Register.RBX, MemoryOperand(Register.R8, displ=PATIENCE))
        code.reg_mem(Code.MOVZX_R32_RM16, Register.R9D, MemoryOperand(Register.RBX))
        code.reg_reg(Code.TEST_RM32_R32, Register.R9D, Register.R9D)
        code.branch(Code.JE_REL32_64, "all rights")
        code.reg(Code.DEC_RM32, Register.R9D)
        code.branch(Code.JE_REL32_64, "slow")
        code.mem_reg(Code.MOV_RM16_R16, MemoryOperand(Register.RBX), Register.R9W)
        code.label("all rights")
        code.reg_imm(Code.MOV_RM32_IMM32, Register.R9D, binding.UC_PROT_ALL)
        code.jump("done")
        self._answer_fetch()
        code.label("executable")
        code.reg_imm(Code.MOV_RM32_IMM32, Register.R9D, binding.PROT_READ | binding.PROT_EXEC)
        code.jump("done")


def build() -> dict[str, bytes]:
    """The routines by name. They do not depend on where they lie."""
    routines = {"block": _block_stub(), "edge": _edge_stub(), "fill": _FillStub().build(), "loop": _loop_stub(), "deliver": delivery_source.build()}
    return {name: routine.encode(0) for name, routine in routines.items()}
