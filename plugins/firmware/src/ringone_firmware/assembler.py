"""A small two-size (16 and 32 bit) assembler for firmware sources, in Intel syntax as NASM writes it.

iced-x86 knows every instruction's operand kinds and encodes it; this module parses lines, finds the forms that fit the operands, takes the shortest and repeats
until no label moves. Directives: ``bits 16|32``, ``org address`` (pads with zeros up to it), ``align n``, ``NAME equ value``, ``db``, ``dw``, ``dd``.
"""

from __future__ import annotations

import ast
import functools
import operator
import re
from collections.abc import Callable, Mapping

import attrs
from iced_x86 import (
    Code,
    Code_,
    Encoder,
    EncodingKind,
    Instruction,
    MemorySizeExt,
    Mnemonic,
    OpCodeInfo,
    OpCodeOperandKind,
    OpKind,
    OpKind_,
    Register,
    Register_,
)

MAX_PASSES = 20
ALIASES = {"jz": "je", "jnz": "jne", "jc": "jb", "jnc": "jae", "loopz": "loope", "loopnz": "loopne"}
REPEATS = {"rep": "has_rep_prefix", "repe": "has_repe_prefix", "repz": "has_repe_prefix", "repne": "has_repne_prefix", "repnz": "has_repne_prefix"}
STRING_OPERATIONS = re.compile(r"(movs|stos|lods|scas|cmps|ins|outs)[bwd]")
SIZES = {"byte": 1, "word": 2, "dword": 4}
DATA = {"db": 1, "dw": 2, "dd": 4}
REGISTERS: dict[str, Register_] = {
    name.lower(): value for name, value in vars(Register).items() if re.fullmatch(r"[A-D][LH]|E?(AX|BX|CX|DX|SI|DI|BP|SP)|[CDEFGS]S|CR[0-4]", name)
}
OPERATORS: dict[type[ast.AST], Callable[..., int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.BitXor: operator.xor,
    ast.USub: operator.neg,
    ast.Invert: operator.invert,
}


class AssemblyMistake(Exception):
    """A line that cannot be assembled; the message starts with ``source:line``."""


@attrs.frozen
class Program:
    """Machine code from `origin` on, and where its labels are."""

    origin: int
    data: bytes
    labels: Mapping[str, int]


@attrs.frozen
class RegisterOperand:
    register: Register_


@attrs.frozen
class ValueOperand:
    text: str


@attrs.frozen
class FarOperand:
    segment: str
    offset: str


@attrs.frozen
class MemoryOperand:
    size: int
    far: bool
    segment: Register_
    registers: tuple[Register_, ...]
    displacement: str


Operand = RegisterOperand | ValueOperand | FarOperand | MemoryOperand


@attrs.define(slots=True)
class Line:
    """One statement; `length` is what it took in the last pass and never shrinks, so that the passes converge."""

    number: int
    words: str
    label: str = ""
    length: int = 0


def assemble(source: str, constants: Mapping[str, int] | None = None, *, origin: int = 0, name: str = "source") -> Program:
    """Assemble text. `constants` are names that the source may use."""
    return _Assembler(_lines(source), dict(constants or {}), origin, name).run()


def _lines(source: str) -> list[Line]:
    lines = []
    for number, text in enumerate(source.splitlines(), 1):
        text = _without_comment(text).strip()
        match = re.match(r"([A-Za-z_.]\w*):(.*)", text)
        label, words = (match[1], match[2].strip()) if match else ("", text)
        if label or words:
            lines.append(Line(number, words, label))
    return lines


def _without_comment(text: str) -> str:
    return re.sub(r"""("[^"]*")|;.*""", lambda match: match[1] or "", text)


def _split(text: str) -> list[str]:
    """Operands at commas that stand in no quotes."""
    return [part.strip() for part in re.findall(r"""(?:"[^"]*"|[^,"])+""", text)]


class _Assembler:
    def __init__(self, lines: list[Line], symbols: dict[str, int], origin: int, name: str) -> None:
        self._lines = lines
        self._symbols = symbols
        self._names = {line.label for line in lines}
        self._labels: dict[str, int] = {}
        self._origin = origin
        self._here = origin
        self._name = name
        self._bits = 16

    def run(self) -> Program:
        for _ in range(MAX_PASSES):
            before = dict(self._labels)
            data = self._one_pass()
            if self._labels == before:
                return Program(self._origin, data, dict(self._labels))
        raise AssemblyMistake(f"{self._name}: labels do not settle in {MAX_PASSES} passes")

    def _one_pass(self) -> bytes:
        self._bits = 16
        data = bytearray()
        for line in self._lines:
            try:
                self._here = self._origin + len(data)
                if line.label:
                    self._labels[line.label] = self._here
                code = self._statement(line, self._here)
            except (ValueError, SyntaxError, KeyError, OverflowError) as error:
                raise AssemblyMistake(f"{self._name}:{line.number}: {line.words}: {error}") from error
            data += code
            line.length = len(code)
        return bytes(data)

    def _statement(self, line: Line, address: int) -> bytes:
        word, _, rest = line.words.partition(" ")
        constant = re.fullmatch(r"(\w+)\s+equ\s+(.*)", line.words)
        if constant:
            self._symbols[constant[1]] = self._value(constant[2])
            return b""
        match word:
            case "":
                return b""
            case "bits":
                self._bits = self._value(rest)
                return b""
            case "org":
                return bytes(self._pad(self._value(rest) - address))
            case "align":
                return bytes(-address % self._value(rest))
            case "db" | "dw" | "dd":
                return b"".join(self._data(part, DATA[word]) for part in _split(rest))
        return self._instruction(line, word, rest, address)

    @staticmethod
    def _pad(count: int) -> int:
        if count < 0:
            raise ValueError(f"code is {-count} bytes too long for this place")
        return count

    def _data(self, text: str, size: int) -> bytes:
        if text.startswith('"'):
            return text.strip('"').encode("ascii")
        return (self._value(text) & (1 << 8 * size) - 1).to_bytes(size, "little")

    # --- Instructions ------------------------------------------------------------------------------------------------------------------------------------

    def _instruction(self, line: Line, word: str, rest: str, address: int) -> bytes:
        prefixes = []
        segment: Register_ = Register.NONE
        while word in REPEATS or (word in REGISTERS and rest):
            if word in REPEATS:
                prefixes.append(REPEATS[word])
            else:
                segment = REGISTERS[word]
            word, _, rest = rest.strip().partition(" ")
        word = ALIASES.get(word, word)
        if STRING_OPERATIONS.fullmatch(word):
            instructions = [self._string_operation(word, segment)]
        else:
            operands = [self._operand(part) for part in _split(rest)]
            instructions = [instruction for code in _codes(word, self._bits) if (instruction := self._build(code, operands)) is not None]
        if not instructions:
            raise ValueError("no instruction has these operands")
        for instruction in instructions:
            for prefix in prefixes:
                setattr(instruction, prefix, True)
        return self._shortest(instructions, address, line.length)

    def _string_operation(self, word: str, segment: int) -> Instruction:
        create = getattr(Instruction, f"create_{word}")
        if word[:-1] in ("stos", "scas", "ins"):
            return create(self._bits)  # type: ignore[no-any-return]
        return create(self._bits, segment)  # type: ignore[no-any-return]

    def _shortest(self, instructions: list[Instruction], address: int, at_least: int) -> bytes:
        best = b""
        problem = ValueError("cannot be encoded")
        for instruction in instructions:
            encoder = Encoder(self._bits)
            try:
                encoder.encode(instruction, address)
            except ValueError as error:
                problem = error
                continue
            code = encoder.take_buffer()
            if len(code) >= at_least and (not best or len(code) < len(best)):
                best = code
        if not best:
            raise problem
        return best

    def _build(self, code: Code_, operands: list[Operand]) -> Instruction | None:
        info = OpCodeInfo(code)
        if info.op_count != len(operands):
            return None
        instruction = Instruction()
        instruction.code = code
        for index, (kind, operand) in enumerate(zip(info.op_kinds(), operands, strict=True)):
            if not self._set_operand(instruction, index, kind, operand, info):
                return None
        return instruction

    def _set_operand(self, instruction: Instruction, index: int, kind: int, operand: Operand, info: OpCodeInfo) -> bool:
        match operand:
            case RegisterOperand(register):
                if register not in _REGISTER_KINDS.get(kind, ()):
                    return False
                instruction.set_op_kind(index, OpKind.REGISTER)
                instruction.set_op_register(index, register)
                return True
            case MemoryOperand():
                return kind in _MEMORY_KINDS and self._set_memory(instruction, index, kind, operand, info)
            case FarOperand(segment, offset):
                if kind != _FAR_KINDS[self._bits]:
                    return False
                instruction.set_op_kind(index, OpKind.FAR_BRANCH16 if self._bits == 16 else OpKind.FAR_BRANCH32)
                instruction.far_branch_selector = self._value(segment)
                setattr(instruction, f"far_branch{self._bits}", self._value(offset))
                return True
            case ValueOperand(text):
                return self._set_value(instruction, index, kind, self._value(text))

    def _set_memory(self, instruction: Instruction, index: int, kind: int, operand: MemoryOperand, info: OpCodeInfo) -> bool:
        size = MemorySizeExt.size(info.memory_size)
        far = info.mnemonic in (Mnemonic.JMP, Mnemonic.CALL) and kind == OpCodeOperandKind.MEM
        if operand.far != far or (operand.size and operand.size != size and not far):
            return False
        if kind == OpCodeOperandKind.MEM_OFFS and operand.registers:
            return False
        instruction.set_op_kind(index, OpKind.MEMORY)
        base, second = (*operand.registers, Register.NONE, Register.NONE)[:2]
        instruction.memory_base = base
        instruction.memory_index = second
        instruction.memory_index_scale = 1
        instruction.memory_displacement = self._value(operand.displacement) & (0xFFFF if self._bits == 16 else 0xFFFFFFFF)
        instruction.memory_displ_size = self._displacement_size(operand, instruction.memory_displacement)
        if operand.segment:
            instruction.segment_prefix = operand.segment
        return True

    def _displacement_size(self, operand: MemoryOperand, displacement: int) -> int:
        full = self._bits // 8
        if not operand.registers:
            return full
        mask = (1 << self._bits) - 1
        if operand.displacement == "0" and operand.registers[0] not in (Register.BP, Register.EBP):
            return 0
        return 1 if (displacement + 0x80 & mask) < 0x100 else full

    def _set_value(self, instruction: Instruction, index: int, kind: int, value: int) -> bool:
        if kind in _BRANCH_KINDS:
            wide = kind in (OpCodeOperandKind.BR32_1, OpCodeOperandKind.BR32_4)
            if wide != (self._bits == 32):
                return False
            instruction.set_op_kind(index, OpKind.NEAR_BRANCH32 if wide else OpKind.NEAR_BRANCH16)
            setattr(instruction, "near_branch32" if wide else "near_branch16", value & (0xFFFFFFFF if wide else 0xFFFF))
            return True
        return kind in _IMMEDIATE_KINDS and self._set_immediate(instruction, index, kind, value)

    @staticmethod
    def _set_immediate(instruction: Instruction, index: int, kind: int, value: int) -> bool:
        width, op_kind, sign_extended = _IMMEDIATE_KINDS[kind]
        if not -(1 << width - 1) <= value < 1 << width or (kind == OpCodeOperandKind.IMM8_CONST_1 and value != 1):
            return False
        signed = value - (1 << width) if value >> width - 1 > 0 else value
        if sign_extended and not -0x80 <= signed < 0x80:
            return False
        instruction.set_op_kind(index, op_kind)
        if sign_extended:
            instruction.set_immediate_i32(index, signed)
        else:
            instruction.set_immediate_u32(index, value & (1 << width) - 1)
        return True

    # --- Operands ----------------------------------------------------------------------------------------------------------------------------------------

    def _operand(self, text: str) -> Operand:
        if text in REGISTERS:
            return RegisterOperand(REGISTERS[text])
        match = re.fullmatch(r"(?:(byte|word|dword|far)\s+)?\[(?:([c-gs]s):)?(.*)\]", text)
        if match:
            terms = [term.strip() for term in re.findall(r"[+-]?[^+-]+", match[3].replace(" ", ""))]
            registers = tuple(REGISTERS[term.lstrip("+")] for term in terms if term.lstrip("+") in REGISTERS)
            rest = "".join(term for term in terms if term.lstrip("+") not in REGISTERS).lstrip("+")
            return MemoryOperand(SIZES.get(match[1] or "", 0), match[1] == "far", REGISTERS[match[2]] if match[2] else Register.NONE, registers, rest or "0")
        far = re.fullmatch(r"(?:far\s+)?([^:\[]+):([^:]+)", text)
        if far:
            return FarOperand(far[1], far[2])
        return ValueOperand(text.removeprefix("short ").strip())

    def _value(self, text: str) -> int:
        character = re.fullmatch(r"'(.)'", text)
        if character:
            return ord(character[1])
        return self._evaluate(ast.parse(text.strip(), mode="eval").body)

    def _evaluate(self, node: ast.AST) -> int:
        """A label that no pass has met yet is taken to be near."""
        match node:
            case ast.Constant(value=int(value)):
                return value
            case ast.Constant(value=str(value)) if len(value) == 1:
                return ord(value)
            case ast.Name(id=symbol):
                if symbol in self._symbols:
                    return self._symbols[symbol]
                if symbol in self._names:
                    return self._labels.get(symbol, self._here)
                raise ValueError(f"unknown name {symbol}")
            case ast.BinOp(left=left, op=op, right=right):
                return OPERATORS[type(op)](self._evaluate(left), self._evaluate(right))
            case ast.UnaryOp(op=op, operand=operand):
                return OPERATORS[type(op)](self._evaluate(operand))
        raise ValueError("not an expression")


@functools.cache
def _codes(mnemonic: str, bits: int) -> tuple[Code_, ...]:
    return tuple(code for code in _codes_by_mnemonic().get(mnemonic, ()) if (info := OpCodeInfo(code)) and (info.mode16 if bits == 16 else info.mode32))


@functools.cache
def _codes_by_mnemonic() -> dict[str, list[Code_]]:
    names = {value: name.lower() for name, value in vars(Mnemonic).items() if isinstance(value, int)}
    found: dict[str, list[Code_]] = {}
    for name, code in vars(Code).items():
        if re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            info = OpCodeInfo(code)
            if info.is_instruction and info.encoding == EncodingKind.LEGACY and not info.amd_vm_exit:
                found.setdefault(names[info.mnemonic], []).append(code)
    return found


def _named(pattern: str) -> frozenset[Register_]:
    return frozenset(value for name, value in REGISTERS.items() if re.fullmatch(pattern, name))


_K = OpCodeOperandKind
_R8, _R16, _R32, _SEGMENT = _named("[a-d][lh]"), _named("[abcd]x|[sd]i|[sb]p"), _named("e.."), _named("[c-gs]s")
_REGISTER_KINDS: dict[int, frozenset[Register_]] = {
    **dict.fromkeys((_K.R8_REG, _K.R8_OR_MEM, _K.R8_OPCODE), _R8),
    **dict.fromkeys((_K.R16_REG, _K.R16_OR_MEM, _K.R16_OPCODE, _K.R16_RM), _R16),
    **dict.fromkeys((_K.R32_REG, _K.R32_OR_MEM, _K.R32_OPCODE, _K.R32_RM), _R32),
    _K.SEG_REG: _SEGMENT,
    _K.CR_REG: _named("cr[0-4]"),
    **{getattr(_K, name.upper()): frozenset({REGISTERS[name]}) for name in ("al", "ax", "eax", "cl", "dx", "es", "cs", "ss", "ds", "fs", "gs")},
}
_MEMORY_KINDS = frozenset({_K.MEM, _K.MEM_OFFS, _K.R8_OR_MEM, _K.R16_OR_MEM, _K.R32_OR_MEM})
_FAR_KINDS = {16: _K.FARBR2_2, 32: _K.FARBR4_2}
_BRANCH_KINDS = frozenset({_K.BR16_1, _K.BR16_2, _K.BR32_1, _K.BR32_4})
_IMMEDIATE_KINDS: dict[int, tuple[int, OpKind_, bool]] = {
    _K.IMM8: (8, OpKind.IMMEDIATE8, False),
    _K.IMM8_CONST_1: (8, OpKind.IMMEDIATE8, False),
    _K.IMM16: (16, OpKind.IMMEDIATE16, False),
    _K.IMM32: (32, OpKind.IMMEDIATE32, False),
    _K.IMM8SEX16: (16, OpKind.IMMEDIATE8TO16, True),
    _K.IMM8SEX32: (32, OpKind.IMMEDIATE8TO32, True),
}
"""Kind -> (bits of the value, iced's operand kind, encoded as a sign-extended byte)."""
