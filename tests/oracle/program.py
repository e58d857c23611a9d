"""Programs as statements: Keystone texts with operands in braces, and what they become in memory.

An operand's kind is its name without digits. Operands do not change a text's length, so a program is laid out without assembling it twice.
"""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Sequence

import attrs
from ringone.api.cpu import CpuState
from ringone.testing.cpu_bench import CODE, assemble

from . import world as w
from .world import World, world


@attrs.frozen
class Label:
    """A place in the code: `offset` bytes into a statement, seen at the usual address or at the alias."""

    statement: int
    offset: int = 0
    alias: bool = False


Operand = int | Label


@attrs.frozen
class Statement:
    """A text of the tables with its operands, in the order of their first appearance."""

    text: str
    operands: tuple[Operand, ...] = ()
    bits: int = 32

    def __str__(self) -> str:
        values = dict(zip(fields(self.text), self.operands, strict=True))
        shown = _FIELD.sub(lambda match: _show(values[match[1]]), self.text)
        return f"({self.bits} bits) {shown}" if self.bits != 32 else shown


def _show(operand: Operand) -> str:
    if isinstance(operand, int):
        return f"{operand:#x}"
    return f"@{operand.statement}" + (f"+{operand.offset}" if operand.offset else "") + (" in the alias" if operand.alias else "")


@attrs.frozen
class Program:
    """Statements one behind the other, from `start` bytes into the code pages on. Only an interruptible one may be interrupted anywhere: its stack and its
    interrupt table are sound all the time."""

    statements: tuple[Statement, ...]
    paging: str = "32bit"
    start: int = 0
    eflags: int = 2
    interruptible: bool = True

    def __str__(self) -> str:
        image = lay_out(self)
        lines = [f"paging {self.paging}, EFLAGS {self.eflags:#x}"]
        for index, statement in enumerate(self.statements):
            begin, end = image.starts[index : index + 2]
            lines.append(f"@{index} {begin:#x}: {image.memory[begin:end].hex()}  {statement}")
        return "\n".join(lines)


_FIELD = re.compile(r"\{(\w+)\}")
_MARK = 0x7A5A5A00
"""What stands for operands while a text is assembled: numbers that no text contains, too big for short encodings."""


def fields(text: str) -> list[str]:
    return list(dict.fromkeys(_FIELD.findall(text)))


@functools.cache
def assembled(text: str, bits: int) -> tuple[bytes, tuple[tuple[int, str], ...]]:
    """Machine code, and where which operand lies in it."""
    names = fields(text)
    marks = {name: _MARK + index for index, name in enumerate(names)}
    code = assemble(_FIELD.sub(lambda match: f"{marks[match[1]]:#x}", text), CODE, bits)
    places = []
    for name, mark in marks.items():
        positions = [match.start() for match in re.finditer(re.escape(struct.pack("<I", mark)), code)]
        if len(positions) != len(re.findall(rf"\{{{name}\}}", text)):
            raise ValueError(f"operand {name} of {text!r} is not encoded as written: {code.hex()}")
        places += [(position, name) for position in positions]
    return code, tuple(places)


NOPS = b"\x90" * 16
"""Where a program ends: what writes to its last label changes these and not the way out."""


@attrs.frozen
class Image:
    """A program in its world. `starts` has one entry more than there are statements."""

    memory: bytes
    state: CpuState
    starts: tuple[int, ...]


def lay_out(program: Program) -> Image:
    surroundings = world(program.paging)
    starts = [CODE + program.start]
    for statement in program.statements:
        starts.append(starts[-1] + len(assembled(statement.text, statement.bits)[0]))
    end = starts[-1]
    closing = NOPS + b"\xb8" + struct.pack("<I", w.FINISH) + b"\xff\xe0"
    memory = bytearray(surroundings.memory)
    for index, statement in enumerate(program.statements):
        code = bytearray(assembled(statement.text, statement.bits)[0])
        values = dict(zip(fields(statement.text), statement.operands, strict=True))
        for position, name in assembled(statement.text, statement.bits)[1]:
            address = starts[index] + position
            struct.pack_into("<I", code, position, _resolve(kind_of(name), values[name], index, starts, address, surroundings) & 0xFFFFFFFF)
        memory[starts[index] : starts[index + 1]] = code
        _next_of(memory, range(starts[index], starts[index + 1]), starts[index + 1])
    memory[end : end + len(closing)] = closing
    _next_of(memory, range(end, CODE + w.CODE_BYTES), w.FINISH)
    _next_of(memory, range(CODE, starts[0]), starts[0])
    memory[w.STATEMENTS : w.STATEMENTS + 4 * len(starts)] = struct.pack(f"<{len(starts)}I", *starts)
    struct.pack_into("<III", memory, w.LANDING, w.FINISH, 0, 30)
    state = attrs.evolve(surroundings.state, eip=starts[0], eflags=program.eflags | 2)
    return Image(memory=bytes(memory), state=state, starts=tuple(starts))


def _next_of(memory: bytearray, addresses: range, following: int) -> None:
    place = w.NEXT + 4 * (addresses.start - CODE)
    memory[place : place + 4 * len(addresses)] = struct.pack("<I", following) * len(addresses)


def kind_of(name: str) -> str:
    return name.rstrip("0123456789")


def _resolve(kind: str, operand: Operand, index: int, starts: Sequence[int], address: int, surroundings: World) -> int:
    if isinstance(operand, Label):
        statement = min(operand.statement, len(starts) - 1)
        size = starts[statement + 1] - starts[statement] if statement + 1 < len(starts) else 1
        target = starts[statement] + min(operand.offset, size - 1) + (w.ALIAS - CODE if operand.alias else 0)
        return target - address - 4 if kind == "rel" or kind == "ahead" else target
    match kind:
        case "next":
            return starts[index + 1]
        case "near":
            return starts[index + 1] - CODE
        case "own":
            return starts[index]
        case "aliaspage":
            return surroundings.page_entry((w.ALIAS >> 12) + operand)
        case "codepage":
            return surroundings.page_entry((CODE >> 12) + operand)
    return operand
