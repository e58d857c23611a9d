"""A small assembler over iced-x86's encoder: instructions in order, labels, one encode at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iced_x86 import BlockEncoder, Code, Instruction, MemoryOperand, Register

if TYPE_CHECKING:
    from iced_x86._iced_x86_py import Code as CodeNumber
    from iced_x86._iced_x86_py import Register as RegisterNumber

__all__ = ["Assembler", "Code", "MemoryOperand", "Register", "StubAssembler"]


class Assembler:
    """Collects instructions of one routine. Operands: `Register`s, ints as immediates, `MemoryOperand`s."""

    def __init__(self, bits: int = 64) -> None:
        self._bits = bits
        self._instructions: list[Instruction] = []
        self._labels: dict[str, int] = {}
        self._pending: list[str] = []
        self._branches: list[tuple[int, CodeNumber, str]] = []

    def label(self, name: str) -> None:
        """Name the next instruction."""
        self._pending.append(name)

    def __len__(self) -> int:
        return len(self._instructions)

    def add(self, instruction: Instruction) -> None:
        """Take a finished instruction. A near branch keeps its absolute target; an instruction as declared bytes is copied as it is."""
        index = len(self._instructions)
        instruction.ip = index + 1
        for name in self._pending:
            self._labels[name] = index + 1
        self._pending.clear()
        self._instructions.append(instruction)

    def op(self, code: CodeNumber) -> None:
        self.add(Instruction.create(code))

    def reg(self, code: CodeNumber, register: RegisterNumber) -> None:
        self.add(Instruction.create_reg(code, register))

    def reg_reg(self, code: CodeNumber, target: RegisterNumber, source: RegisterNumber) -> None:
        self.add(Instruction.create_reg_reg(code, target, source))

    def imm(self, code: CodeNumber, value: int) -> None:
        self.add(Instruction.create_u32(code, value))

    def reg_imm(self, code: CodeNumber, target: RegisterNumber, value: int) -> None:
        self.add(Instruction.create_reg_i32(code, target, value) if value < 1 << 31 else Instruction.create_reg_u32(code, target, value))

    def reg_mem(self, code: CodeNumber, target: RegisterNumber, source: MemoryOperand) -> None:
        self.add(Instruction.create_reg_mem(code, target, source))

    def mem_reg(self, code: CodeNumber, target: MemoryOperand, source: RegisterNumber) -> None:
        self.add(Instruction.create_mem_reg(code, target, source))

    def mem_imm(self, code: CodeNumber, target: MemoryOperand, value: int) -> None:
        self.add(Instruction.create_mem_i32(code, target, value))

    def mem(self, code: CodeNumber, target: MemoryOperand) -> None:
        self.add(Instruction.create_mem(code, target))

    def branch(self, code: CodeNumber, label: str) -> None:
        self._branches.append((len(self._instructions), code, label))
        self.add(Instruction.create_branch(code, 0))

    def encode(self, address: int) -> bytes:
        """The machine code for this host address. Raises KeyError for a label that was never placed."""
        for index, code, label in self._branches:
            instruction = Instruction.create_branch(code, self._labels[label])
            instruction.ip = index + 1
            self._instructions[index] = instruction
        encoder = BlockEncoder(self._bits)
        encoder.add_many(self._instructions)
        return encoder.encode(address)


class StubAssembler(Assembler):
    """The assembler with the few shapes that 64-bit routines over the engine's state repeat."""

    def load(self, register: RegisterNumber, base: RegisterNumber, offset: int, *, wide: bool = False) -> None:
        self.reg_mem(Code.MOV_R64_RM64 if wide else Code.MOV_R32_RM32, register, MemoryOperand(base, displ=offset))

    def load_byte(self, register: RegisterNumber, base: RegisterNumber, index: RegisterNumber) -> None:
        self.reg_mem(Code.MOVZX_R32_RM8, register, MemoryOperand(base, index=index))

    def move(self, target: RegisterNumber, source: RegisterNumber) -> None:
        self.reg_reg(Code.MOV_R32_RM32, target, source)

    def mask(self, register: RegisterNumber, value: int) -> None:
        self.reg_imm(Code.AND_RM32_IMM32, register, value)

    def shift_right(self, register: RegisterNumber, count: int) -> None:
        self.reg_imm(Code.SHR_RM32_IMM8, register, count)

    def bit_clear(self, register: RegisterNumber, bit: int, label: str) -> None:
        """Jump where a bit of the 64-bit register is 0."""
        self.reg_imm(Code.BT_RM64_IMM8, register, bit)
        self.branch(Code.JAE_REL32_64, label)

    def bit_set(self, register: RegisterNumber, bit: int, label: str) -> None:
        self.reg_imm(Code.BT_RM64_IMM8, register, bit)
        self.branch(Code.JB_REL32_64, label)

    def jump(self, label: str) -> None:
        self.branch(Code.JMP_REL32_64, label)
