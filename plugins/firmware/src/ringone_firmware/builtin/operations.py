"""What the service chip can ask of the processor, and how a service says that it is not finished.

A service that needs ports or video memory is a generator: it yields operations and is sent their answers. Everything else it reads and edits through its
`Call`. A snapshot keeps the answers and starts the generator again with them, so a service must not touch the outside before its last operation but through
the call, whose edits are made at the end.
"""

from __future__ import annotations

import enum
from collections.abc import Generator

import attrs

from ringone_firmware.chipset import Out

HIGHEST_COUNT = 0xFFFF


class Opcode(enum.IntEnum):
    """Twice the index in the ROM's table of operations."""

    DONE = 0
    OUTS = 2
    IN_BYTE = 4
    IN_WORD = 6
    IN_DWORD = 8
    STORE = 10
    FETCH = 12
    MOVE = 14
    FILL = 16
    HALT = 18
    SPIN = 20


@attrs.frozen
class Outs:
    """Port writes, in order; at least one."""

    writes: tuple[Out, ...]


@attrs.frozen
class In:
    """A port read; the answer is the value."""

    port: int
    size: int = 1


@attrs.frozen
class Store:
    """Bytes into memory that only the processor reaches (video memory)."""

    segment: int
    offset: int
    data: bytes


@attrs.frozen
class Fetch:
    """Bytes from such memory; they are the answer."""

    segment: int
    offset: int
    count: int


@attrs.frozen
class Move:
    """Words within one segment; the areas may overlap."""

    segment: int
    source: int
    target: int
    words: int


@attrs.frozen
class Fill:
    segment: int
    offset: int
    words: int
    value: int


Operation = Outs | In | Store | Fetch | Move | Fill


class Outcome(enum.Enum):
    """How a service ends. Both ways to wait drop its edits: the call begins anew, with the same registers."""

    DONE = "done"
    HALT = "halt"
    """Ask again after the next interrupt."""
    SPIN = "spin"
    """Ask again at once, with interrupts let in."""


Answer = bytes
Steps = Generator[Operation, Answer, Outcome | None]
IN_OPCODES = {1: Opcode.IN_BYTE, 2: Opcode.IN_WORD, 4: Opcode.IN_DWORD}


@attrs.frozen
class Encoded:
    """An operation as the ROM's loop reads it: STEP, then operands, and bytes for DATA."""

    step: int
    operands: tuple[int, ...] = ()
    data: bytes = b""
    fetched: int = 0


def encode(operation: Operation) -> Encoded:
    match operation:
        case Outs(writes):
            operands = tuple(word for out in writes for word in (out.port | out.size << 16, out.value))
            return Encoded(_step(Opcode.OUTS, len(writes)), operands)
        case In(port, size):
            return Encoded(_step(IN_OPCODES[size], port))
        case Store(segment, offset, data):
            return Encoded(_step(Opcode.STORE, segment), (offset | len(data) << 16,), data)
        case Fetch(segment, offset, count):
            return Encoded(_step(Opcode.FETCH, segment), (offset | count << 16,), fetched=count)
        case Move(segment, source, target, words):
            return Encoded(_step(Opcode.MOVE, segment), (source | target << 16, words))
        case Fill(segment, offset, words, value):
            return Encoded(_step(Opcode.FILL, segment), (offset | words << 16, value))


def _step(opcode: Opcode, argument: int) -> int:
    return opcode | argument << 16


def outs(*writes: Out) -> Steps:
    yield Outs(writes)
    return None


def read(port: int, size: int = 1) -> Generator[Operation, Answer, int]:
    """``value = yield from read(port)``."""
    answer = yield In(port, size)
    return int.from_bytes(answer, "little")
