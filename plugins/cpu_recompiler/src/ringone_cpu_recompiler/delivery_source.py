"""The source of the machine code that enters an interrupt handler in the usual case (SDM vol. 3, 6.12): protected mode, not virtual-8086, a present 32-bit
interrupt or trap gate to ring-0 code, from ring 0 or, through a 32-bit TSS, from ring 3.

`deliver` (control, vector, kind, error code) checks everything before it changes anything. Where a check fails it returns 0 and `Interrupts` starts over: it
does every case, raises the faults and sets accessed and dirty bits. What it reads must be plain memory with the accessed bits set already, what it writes a
dirty page without code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringone_cpu_recompiler import binding, layout
from ringone_cpu_recompiler.asm import Code, MemoryOperand, Register, StubAssembler
from ringone_cpu_recompiler.env import (
    CR0_PE,
    CS,
    D_FLAGS,
    D_LIMIT,
    D_SELECTOR,
    DESC_A,
    DESC_B,
    DESC_C,
    DESC_CODE,
    DESC_DPL_SHIFT,
    DESC_G,
    DESC_P,
    DESC_S,
    DESC_W,
    DS,
    ES,
    ESP,
    FLAG_IF,
    FLAG_NT,
    FLAG_RF,
    FLAG_TF,
    FLAG_VM,
    GDT,
    HF_ADDSEG,
    HF_CPL,
    HF_CS32,
    HF_INHIBIT_IRQ,
    HF_SS32,
    IDT,
    Q_BASE,
    SS,
    TR,
)
from ringone_cpu_recompiler.lookup_source import Lookup
from ringone_cpu_recompiler.paging import PTE_A, PTE_D, PTE_P, PTE_W
from ringone_cpu_recompiler.stubs import ENV, KIND_ERROR_CODE, KIND_RESUME_FLAG, KIND_SOFTWARE, READ_REGISTER, UNICORN

if TYPE_CHECKING:
    from iced_x86._iced_x86_py import Register as RegisterNumber

_CONTROL = Register.R12
_ENV = Register.R13

# Locals, as offsets from RSP.
_EFLAGS = 0
_VECTOR = 8
_KIND = 12
_ERROR_CODE = 16
_GATE_HIGH = 20
_CODE_SELECTOR = 24
_CODE_LOW = 28
_CODE_HIGH = 32
_STACK_SELECTOR = 36
_STACK_LOW = 40
_STACK_HIGH = 44
_LOCALS = 56
_SAVED = (Register.RBX, Register.RBP, Register.R12, Register.R13, Register.R14, Register.R15)

_DPL = 3 << DESC_DPL_SHIFT
_TYPE = 0xF << 8
_GATE32 = 0xE << 8
_TRAP = 1 << 8
_TSS32 = 9 << 8
_TSS_BUSY = 2 << 8
_TSS_ESP0 = 4
_QUADWORD_ENDS_PAGE = 0xFF8


def build() -> StubAssembler:
    return _DeliveryStub().build()


class _DeliveryStub:
    """R12 control, R13 env, EBP the CPL; once the stack is known, R14 the frame's host address and R15D its ESP. Everything else is scratch or a local."""

    def __init__(self) -> None:
        self.code = StubAssembler()
        self._labels = 0

    def build(self) -> StubAssembler:
        self._enter()
        self._find_gate()
        self._find_code()
        self._find_stack()
        self._find_frame()
        self._push()
        self._load_code()
        self._load_flags()
        self._leave()
        Lookup(self.code, _CONTROL, _ENV).emit()
        return self.code

    # --- Shapes ----------------------------------------

    def _label(self) -> str:
        self._labels += 1
        return f"local {self._labels}"

    def _local(self, register: RegisterNumber, offset: int) -> None:
        self.code.load(register, Register.RSP, offset)

    def _set_local(self, offset: int, register: RegisterNumber) -> None:
        self._store(Register.RSP, offset, register)

    def _store(self, base: RegisterNumber, offset: int, register: RegisterNumber, *, wide: bool = False) -> None:
        self.code.mem_reg(Code.MOV_RM64_R64 if wide else Code.MOV_RM32_R32, MemoryOperand(base, displ=offset), register)

    def _test_local(self, offset: int, bits: int) -> None:
        self.code.mem_imm(Code.TEST_RM32_IMM32, MemoryOperand(Register.RSP, displ=offset), bits)

    def _require(self, register: RegisterNumber, mask: int, value: int, otherwise: str = "not done") -> None:
        """Go on where ``register & mask == value``. EAX is lost."""
        self.code.move(Register.EAX, register)
        self.code.mask(Register.EAX, mask)
        self.code.reg_imm(Code.CMP_RM32_IMM32, Register.EAX, value)
        self.code.branch(Code.JNE_REL32_64, otherwise)

    def _read_quadword(self) -> None:
        """RAX = host address of eight bytes at linear ESI, which lie in one page."""
        code = self.code
        code.move(Register.EAX, Register.ESI)
        code.mask(Register.EAX, 0xFFF)
        code.reg_imm(Code.CMP_RM32_IMM32, Register.EAX, _QUADWORD_ENDS_PAGE)
        code.branch(Code.JA_REL32_64, "not done")
        code.reg_imm(Code.MOV_RM32_IMM32, Register.EDX, PTE_P | PTE_A)
        self._call_translate()

    def _call_translate(self) -> None:
        code = self.code
        code.branch(Code.CALL_REL32_64, "translate")
        code.reg_reg(Code.TEST_RM64_R64, Register.RAX, Register.RAX)
        code.branch(Code.JE_REL32_64, "not done")

    def _read_descriptor(self, low: int, high: int, mask: int, value: int) -> None:
        """The GDT's descriptor of selector ECX into two locals; its high doubleword must be `value` under `mask`."""
        code = self.code
        code.reg_imm(Code.BT_RM32_IMM8, Register.ECX, 2)
        code.branch(Code.JB_REL32_64, "not done")
        code.mask(Register.ECX, 0xFFF8)
        code.branch(Code.JE_REL32_64, "not done")
        code.reg_mem(Code.LEA_R32_M, Register.EAX, MemoryOperand(Register.RCX, displ=7))
        code.reg_mem(Code.CMP_R32_RM32, Register.EAX, MemoryOperand(_ENV, displ=4 * D_LIMIT[GDT]))
        code.branch(Code.JA_REL32_64, "not done")
        code.load(Register.ESI, _ENV, 8 * Q_BASE[GDT])
        code.reg_reg(Code.ADD_R32_RM32, Register.ESI, Register.ECX)
        self._read_quadword()
        code.load(Register.ECX, Register.RAX, 0)
        code.load(Register.EDX, Register.RAX, 4)
        self._set_local(low, Register.ECX)
        self._set_local(high, Register.EDX)
        self._require(Register.EDX, mask, value)

    def _limit(self) -> None:
        """EAX = the limit in bytes of the descriptor in ECX and EDX, which stay. EDI is lost."""
        code = self.code
        done = self._label()
        code.move(Register.EAX, Register.EDX)
        code.mask(Register.EAX, 0xF0000)
        code.reg_reg(Code.MOVZX_R32_RM16, Register.EDI, Register.CX)
        code.reg_reg(Code.OR_R32_RM32, Register.EAX, Register.EDI)
        code.bit_clear(Register.RDX, DESC_G.bit_length() - 1, done)
        code.reg_imm(Code.SHL_RM32_IMM8, Register.EAX, 12)
        code.reg_imm(Code.OR_RM32_IMM32, Register.EAX, 0xFFF)
        code.label(done)

    def _base(self) -> None:
        """EAX = the base of the descriptor in ECX and EDX, which stay. EDI is lost."""
        code = self.code
        code.move(Register.EAX, Register.EDX)
        code.mask(Register.EAX, 0xFF000000)
        code.move(Register.EDI, Register.ECX)
        code.shift_right(Register.EDI, 16)
        code.reg_reg(Code.OR_R32_RM32, Register.EAX, Register.EDI)
        code.move(Register.EDI, Register.EDX)
        code.mask(Register.EDI, 0xFF)
        code.reg_imm(Code.SHL_RM32_IMM8, Register.EDI, 16)
        code.reg_reg(Code.OR_R32_RM32, Register.EAX, Register.EDI)

    def _load_segment(self, register: int, selector: int, low: int, high: int) -> None:
        """A segment register from three locals."""
        self._local(Register.ECX, low)
        self._local(Register.EDX, high)
        self._base()
        self._store(_ENV, 8 * Q_BASE[register], Register.RAX, wide=True)
        self._limit()
        self._store(_ENV, 4 * D_LIMIT[register], Register.EAX)
        self._store(_ENV, 4 * D_FLAGS[register], Register.EDX)
        self._local(Register.EAX, selector)
        self._store(_ENV, 4 * D_SELECTOR[register], Register.EAX)

    # --- Checks ----------------------------------------

    def _enter(self) -> None:
        """Keep the arguments and look at the processor's mode."""
        code = self.code
        for register in _SAVED:
            code.reg(Code.PUSH_R64, register)
        code.reg_imm(Code.SUB_RM64_IMM8, Register.RSP, _LOCALS)
        code.reg_reg(Code.MOV_R64_RM64, _CONTROL, Register.RDI)
        code.load(_ENV, _CONTROL, ENV, wide=True)
        self._set_local(_VECTOR, Register.ESI)
        self._set_local(_KIND, Register.EDX)
        self._set_local(_ERROR_CODE, Register.ECX)
        code.mem_imm(Code.TEST_RM32_IMM32, MemoryOperand(_ENV, displ=layout.CR), CR0_PE)
        code.branch(Code.JE_REL32_64, "not done")
        code.mem_imm(Code.TEST_RM32_IMM32, MemoryOperand(_ENV, displ=layout.EFLAGS), FLAG_VM)
        code.branch(Code.JNE_REL32_64, "not done")
        code.load(Register.EBP, _ENV, layout.HFLAGS)
        code.mask(Register.EBP, HF_CPL)

    def _find_gate(self) -> None:
        """EBX the gate's low doubleword, ECX its selector."""
        code = self.code
        self._local(Register.ECX, _VECTOR)
        code.reg_imm(Code.SHL_RM32_IMM8, Register.ECX, 3)
        code.reg_mem(Code.LEA_R32_M, Register.EAX, MemoryOperand(Register.RCX, displ=7))
        code.reg_mem(Code.CMP_R32_RM32, Register.EAX, MemoryOperand(_ENV, displ=4 * D_LIMIT[IDT]))
        code.branch(Code.JA_REL32_64, "not done")
        code.load(Register.ESI, _ENV, 8 * Q_BASE[IDT])
        code.reg_reg(Code.ADD_R32_RM32, Register.ESI, Register.ECX)
        self._read_quadword()
        code.load(Register.EBX, Register.RAX, 0)
        code.load(Register.EDX, Register.RAX, 4)
        self._set_local(_GATE_HIGH, Register.EDX)
        self._require(Register.EDX, DESC_P | DESC_S | _TYPE & ~_TRAP, DESC_P | _GATE32)
        self._test_local(_KIND, KIND_SOFTWARE)
        code.branch(Code.JE_REL32_64, "gate open")
        code.shift_right(Register.EDX, DESC_DPL_SHIFT)
        code.mask(Register.EDX, 3)
        code.reg_reg(Code.CMP_R32_RM32, Register.EDX, Register.EBP)
        code.branch(Code.JB_REL32_64, "not done")
        code.label("gate open")
        code.move(Register.ECX, Register.EBX)
        code.shift_right(Register.ECX, 16)

    def _find_code(self) -> None:
        """EBX = the handler's offset."""
        code = self.code
        code.move(Register.EAX, Register.ECX)
        code.mask(Register.EAX, 0xFFF8)
        self._set_local(_CODE_SELECTOR, Register.EAX)
        ring0_code = DESC_P | DESC_S | DESC_CODE | DESC_A
        self._read_descriptor(_CODE_LOW, _CODE_HIGH, ring0_code | _DPL | DESC_C, ring0_code)
        code.mask(Register.EBX, 0xFFFF)
        self._local(Register.EAX, _GATE_HIGH)
        code.mask(Register.EAX, 0xFFFF0000)
        code.reg_reg(Code.OR_R32_RM32, Register.EBX, Register.EAX)
        self._limit()
        code.reg_reg(Code.CMP_R32_RM32, Register.EBX, Register.EAX)
        code.branch(Code.JA_REL32_64, "not done")

    def _find_stack(self) -> None:
        """R15D = ESP before the frame, R14D the stack's base, EAX its limit, EDX its flags: SS where CPL is 0, the TSS's for CPL 3."""
        code = self.code
        code.reg_reg(Code.TEST_RM32_R32, Register.EBP, Register.EBP)
        code.branch(Code.JNE_REL32_64, "outer ring")
        code.load(Register.R15D, _ENV, 8 * ESP)
        code.load(Register.R14D, _ENV, 8 * Q_BASE[SS])
        code.load(Register.EDX, _ENV, 4 * D_FLAGS[SS])
        code.load(Register.EAX, _ENV, 4 * D_LIMIT[SS])
        code.jump("stack known")
        code.label("outer ring")
        code.reg_imm(Code.CMP_RM32_IMM8, Register.EBP, 3)
        code.branch(Code.JNE_REL32_64, "not done")
        code.load(Register.EDX, _ENV, 4 * D_FLAGS[TR])
        self._require(Register.EDX, DESC_P | _TYPE & ~_TSS_BUSY, DESC_P | _TSS32)
        code.mem_imm(Code.CMP_RM32_IMM32, MemoryOperand(_ENV, displ=4 * D_LIMIT[TR]), _TSS_ESP0 + 7)
        code.branch(Code.JB_REL32_64, "not done")
        code.load(Register.ESI, _ENV, 8 * Q_BASE[TR])
        code.reg_imm(Code.ADD_RM32_IMM8, Register.ESI, _TSS_ESP0)
        self._read_quadword()
        code.load(Register.R15D, Register.RAX, 0)
        code.reg_mem(Code.MOVZX_R32_RM16, Register.ECX, MemoryOperand(Register.RAX, displ=4))
        code.reg_imm(Code.TEST_RM32_IMM32, Register.ECX, 3)
        code.branch(Code.JNE_REL32_64, "not done")
        self._set_local(_STACK_SELECTOR, Register.ECX)
        ring0_data = DESC_P | DESC_S | DESC_W | DESC_A
        self._read_descriptor(_STACK_LOW, _STACK_HIGH, ring0_data | _DPL | DESC_CODE, ring0_data)
        self._base()
        code.move(Register.R14D, Register.EAX)
        self._limit()
        code.label("stack known")

    def _find_frame(self) -> None:
        """R15D = ESP with the frame on it, R14 its host address. A 32-bit stack that grows down in a segment that grows up, in one page."""
        code = self.code
        code.move(Register.ESI, Register.EAX)
        self._require(Register.EDX, DESC_B | DESC_C, DESC_B)
        code.reg_imm(Code.MOV_RM32_IMM32, Register.ECX, 12)
        self._test_local(_KIND, KIND_ERROR_CODE)
        code.branch(Code.JE_REL32_64, "no error code")
        code.reg_imm(Code.ADD_RM32_IMM8, Register.ECX, 4)
        code.label("no error code")
        code.reg_reg(Code.TEST_RM32_R32, Register.EBP, Register.EBP)
        code.branch(Code.JE_REL32_64, "same stack")
        code.reg_imm(Code.ADD_RM32_IMM8, Register.ECX, 8)
        code.label("same stack")
        code.reg_reg(Code.SUB_R32_RM32, Register.R15D, Register.ECX)
        code.reg_mem(Code.LEA_R64_M, Register.RAX, MemoryOperand(Register.R15, index=Register.RCX, displ=-1))
        code.reg_reg(Code.CMP_R64_RM64, Register.RAX, Register.RSI)
        code.branch(Code.JA_REL32_64, "not done")
        code.reg_mem(Code.LEA_R32_M, Register.ESI, MemoryOperand(Register.R14, index=Register.R15))
        code.move(Register.EAX, Register.ESI)
        code.mask(Register.EAX, 0xFFF)
        code.reg_reg(Code.ADD_R32_RM32, Register.EAX, Register.ECX)
        code.reg_imm(Code.CMP_RM32_IMM32, Register.EAX, 0x1000)
        code.branch(Code.JA_REL32_64, "not done")
        code.reg_imm(Code.MOV_RM32_IMM32, Register.EDX, PTE_P | PTE_W | PTE_A | PTE_D)
        self._call_translate()
        code.reg_reg(Code.MOV_R64_RM64, Register.R14, Register.RAX)

    # --- Changes ----------------------------------------

    def _push(self) -> None:
        """The frame, from its lowest address up. Unicorn is asked for the flags, which it computes late."""
        code = self.code
        code.mem_imm(Code.MOV_RM64_IMM32, MemoryOperand(Register.RSP, displ=_EFLAGS), 0)
        code.load(Register.RDI, _CONTROL, UNICORN, wide=True)
        code.reg_imm(Code.MOV_RM32_IMM32, Register.ESI, binding.REG_EFLAGS)
        code.reg_reg(Code.MOV_R64_RM64, Register.RDX, Register.RSP)
        code.mem(Code.CALL_RM64, MemoryOperand(_CONTROL, displ=READ_REGISTER))
        code.reg_reg(Code.MOV_R64_RM64, Register.RCX, Register.R14)
        self._test_local(_KIND, KIND_ERROR_CODE)
        code.branch(Code.JE_REL32_64, "push EIP")
        self._local(Register.EAX, _ERROR_CODE)
        self._store(Register.RCX, 0, Register.EAX)
        code.reg_imm(Code.ADD_RM64_IMM8, Register.RCX, 4)
        code.label("push EIP")
        code.load(Register.EAX, _ENV, layout.EIP)
        self._store(Register.RCX, 0, Register.EAX)
        code.load(Register.EAX, _ENV, 4 * D_SELECTOR[CS])
        self._store(Register.RCX, 4, Register.EAX)
        self._local(Register.EAX, _EFLAGS)
        self._test_local(_KIND, KIND_RESUME_FLAG)
        code.branch(Code.JE_REL32_64, "push EFLAGS")
        code.reg_imm(Code.OR_RM32_IMM32, Register.EAX, FLAG_RF)
        code.label("push EFLAGS")
        self._store(Register.RCX, 8, Register.EAX)
        code.reg_reg(Code.TEST_RM32_R32, Register.EBP, Register.EBP)
        code.branch(Code.JE_REL32_64, "pushed")
        code.load(Register.EAX, _ENV, 8 * ESP)
        self._store(Register.RCX, 12, Register.EAX)
        code.load(Register.EAX, _ENV, 4 * D_SELECTOR[SS])
        self._store(Register.RCX, 16, Register.EAX)
        self._load_segment(SS, _STACK_SELECTOR, _STACK_LOW, _STACK_HIGH)
        code.label("pushed")
        self._store(_ENV, 8 * ESP, Register.R15, wide=True)

    def _load_code(self) -> None:
        self._load_segment(CS, _CODE_SELECTOR, _CODE_LOW, _CODE_HIGH)
        self._store(_ENV, layout.EIP, Register.RBX, wide=True)

    def _load_flags(self) -> None:
        """EFLAGS, and what `Env.update_hflags` makes of ring 0 on a 32-bit stack."""
        code = self.code
        code.reg_imm(Code.MOV_RM32_IMM32, Register.ECX, _all_but(FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM))
        self._test_local(_GATE_HIGH, _TRAP)
        code.branch(Code.JNE_REL32_64, "IF stays")
        code.mask(Register.ECX, _all_but(FLAG_IF))
        code.label("IF stays")
        code.mem_reg(Code.AND_RM32_R32, MemoryOperand(_ENV, displ=layout.EFLAGS), Register.ECX)
        code.load(Register.EAX, _ENV, layout.HFLAGS)
        code.mask(Register.EAX, _all_but(HF_CPL | HF_INHIBIT_IRQ | HF_CS32 | HF_ADDSEG))
        code.reg_imm(Code.OR_RM32_IMM32, Register.EAX, HF_SS32)
        self._test_local(_CODE_HIGH, DESC_B)
        code.branch(Code.JE_REL32_64, "segments add")
        code.reg_imm(Code.OR_RM32_IMM32, Register.EAX, HF_CS32)
        code.load(Register.ECX, _ENV, 8 * Q_BASE[DS])
        for register in (ES, SS):
            code.reg_mem(Code.OR_R32_RM32, Register.ECX, MemoryOperand(_ENV, displ=8 * Q_BASE[register]))
        code.reg_reg(Code.TEST_RM32_R32, Register.ECX, Register.ECX)
        code.branch(Code.JE_REL32_64, "flat")
        code.label("segments add")
        code.reg_imm(Code.OR_RM32_IMM32, Register.EAX, HF_ADDSEG)
        code.label("flat")
        self._store(_ENV, layout.HFLAGS, Register.EAX)

    def _leave(self) -> None:
        code = self.code
        code.reg_imm(Code.MOV_RM32_IMM32, Register.EAX, 1)
        code.label("leave")
        code.reg_imm(Code.ADD_RM64_IMM8, Register.RSP, _LOCALS)
        for register in reversed(_SAVED):
            code.reg(Code.POP_R64, register)
        code.op(Code.RETNQ)
        code.label("not done")
        code.reg_imm(Code.MOV_RM32_IMM32, Register.EAX, 0)
        code.jump("leave")


def _all_but(bits: int) -> int:
    return ~bits & 0xFFFFFFFF
