"""Short ring-0 programs out of all sensitive and privileged instructions, branches into and around them, code that changes, and other rings and modes."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import attrs
from hypothesis import strategies as st
from ringone.testing.cpu_bench import CODE, DATA, GDT, SELECTORS

from . import world as w
from .instructions import BRANCHES, CHANGES, CODE16, EPILOGUE, INTERRUPTS, MODES, ORDINARY, PRIVILEGED, PROLOGUE, SENSITIVE, WILD
from .program import Label, Operand, Program, Statement, fields, kind_of

# --- Operands ----------------------------------------

GOOD_SELECTORS = (
    SELECTORS["data"], SELECTORS["user_data"], SELECTORS["user_code"], SELECTORS["code"], SELECTORS["conforming"], SELECTORS["data16"], SELECTORS["small"],
    SELECTORS["expand_down"], SELECTORS["read_only"], 0x14 | 3, 0x24, w.SPARE, w.SPARE + 8, w.RING1_DATA, w.RING2_DATA,
)  # fmt: skip
SYSTEM_SELECTORS = (*(SELECTORS[name] for name in ("tss", "tss2", "call_gate", "ldt", "task_gate", "absent", "execute_only")), w.RING1_CODE)
BAD_SELECTORS = (0, 1, 3, 4, w.GDT_LIMIT + 1, 0x7F8, 0xFFFF, 0x11, 0x20)
FLAGS = (0x0, 0x200, 0x3000, 0x3200, 0x4000, 0x4200, 0x40000, 0x200000, 0x8D5, 0xCD5, 0x400, 0x1200, 0x2000, 0x10000, 0x20000, 0x180200, 0x277ED7)
"""IF, IOPL, NT, AC, ID, arithmetic and direction, RF, VM, VIF and VIP, all but TF and VM."""
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x12345678, DATA, CODE, w.SLOTS)
OPCODES = (0xFAFAFAFA, 0x9090FBFA, 0x9DFB9C58, 0x0F9090FA, 0x90E0200F, 0xC3C3C3C3, 0xCCCCCCCC, 0xF4F4F4FA, 0x58589C9C, 0xCF9D16E0, 0x9058160E, 0x9058D78C)
"""Small programs in four bytes: what stores into code leave there. None that is RCL or RCR when it is entered in the middle: the engine loses flags where those
fault."""
DESCRIPTORS_LOW = (0x0000FFFF, 0x0000FFFF, 0x000003FF, 0x00000000, 0x0000FFFF | (DATA & 0xFFFF) << 16)
DESCRIPTORS_HIGH = (
    0x00CF9200, 0x00CF9300, 0x00CFF200, 0x00CFF300, 0x00CF9B00, 0x00CFFB00, 0x00CF9F00, 0x00409600, 0x00009200, 0x00C09200, 0x00CF1200, 0x00CFB200, 0x0000E500,
    0x00008900, 0x00DF9200, 0x00439203,
)  # fmt: skip
"""Code is accessed: the engine sets that bit when DS is loaded but not when CS is, and the shadow tables have it set from the start."""


def _labels() -> st.SearchStrategy[Operand]:
    offsets = st.sampled_from((0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5))
    return st.builds(Label, st.integers(0, 60), offsets, st.sampled_from((False, False, False, True)))


KINDS: Mapping[str, st.SearchStrategy[Operand]] = {
    "sel": st.sampled_from((*GOOD_SELECTORS, *GOOD_SELECTORS, *SYSTEM_SELECTORS, *BAD_SELECTORS)),
    "flags": st.one_of(st.sampled_from(FLAGS), st.sampled_from(FLAGS), st.integers(0, 0x3FFFFF).map(lambda bits: bits & ~0x100)),
    "slot": st.integers(0, 31).map(lambda index: w.SLOTS + 4 * index),
    "data": st.integers(0, 0xFF).map(lambda offset: w.STRINGS + offset),
    "value": st.sampled_from(NUMBERS),
    "opcode": st.sampled_from(OPCODES),
    "code": _labels(),
    "rel": _labels(),
    "ahead": st.tuples(st.integers(0, 5), st.sampled_from((0, 0, 0, 1, 1, 2, 3, 4))).map(lambda pair: Label(*pair)),
    "index": st.integers(0, 40),
    "spare": st.integers(0, 2).map(lambda index: GDT + w.SPARE + 8 * index),
    "sparesel": st.tuples(st.integers(0, 2), st.integers(0, 3)).map(lambda pair: w.SPARE + 8 * pair[0] + pair[1]),
    "low": st.sampled_from(DESCRIPTORS_LOW),
    "high": st.sampled_from(DESCRIPTORS_HIGH),
    "pages": st.integers(0, 1).map(lambda page: w.FREE_PAGES + (page << 12)),
    "next": st.just(0),
    "near": st.just(0),
    "own": st.just(0),
    "aliaspage": st.integers(0, 3),
    "codepage": st.integers(0, 3),
    "frame": st.tuples(st.integers(0, 3), st.sampled_from((0x27, 0x27, 0x25, 0x23, 0x67, 1))).map(lambda pair: CODE + (pair[0] << 12) | pair[1]),
    "rights": st.sampled_from((0x27, 0x25, 0x67)),
    "leaf": st.sampled_from((0, 1, 2, 4, 0x40000000, 0x80000000, 0x80000001, 0x80000002, 0x80000008, 0xFFFFFFFF)),
    "msr": st.sampled_from((0x174, 0x175, 0x176, 0x1A0, 0x277, 0xC0000080)),
    "port": st.sampled_from((0x60, 0x61, 0x80, 0x3F8, 0xFFFE)),
}

# --- Strategies ----------------------------------------


@functools.cache
def _with_operands(text: str, bits: int) -> st.SearchStrategy[Statement]:
    return st.tuples(*(KINDS[kind_of(name)] for name in fields(text))).map(lambda operands: Statement(text, operands, bits))


@functools.cache
def _from(table: tuple[str, ...], bits: int = 32) -> st.SearchStrategy[Statement]:
    return st.sampled_from(table).flatmap(lambda text: _with_operands(text, bits))


_TAME = (SENSITIVE, SENSITIVE, SENSITIVE, PRIVILEGED, PRIVILEGED, INTERRUPTS, ORDINARY, ORDINARY, BRANCHES)
_ANY = (*_TAME, BRANCHES, CHANGES, CHANGES, WILD, WILD)


@attrs.frozen
class _Block:
    mode: str
    flags: int
    """EFLAGS at the start."""
    body: list[Statement]


def _block_of(mode: str, tame: bool) -> st.SearchStrategy[_Block]:
    if mode in ("16 bits", "virtual 8086"):
        statements = _from(CODE16, 16)
    else:
        statements = st.sampled_from(_TAME if tame else _ANY).flatmap(_from)
    return st.builds(_Block, st.just(mode), _FLAGS_AT_START, st.lists(statements, min_size=1, max_size=12))


_FLAGS_AT_START = st.sampled_from((0x0, 0x200, *FLAGS)).map(lambda flags: flags & 0x277ED7)
_BLOCKS = {tame: {mode: _block_of(mode, tame) for mode in ("ring 0", *MODES)} for tame in (False, True)}
_MODES = st.sampled_from(("ring 0",) * 8 + ("ring 3",) * 3 + tuple(MODES))
_BLOCK_LISTS = {tame: st.lists(_MODES.flatmap(_BLOCKS[tame].__getitem__), min_size=1, max_size=4) for tame in (False, True)}


@st.composite
def programs(draw: st.DrawFn) -> Program:
    tame = draw(st.booleans())
    statements: list[Statement] = []
    for block in draw(_BLOCK_LISTS[tame]):
        inside = block.body if block.mode == "ring 0" else [_entry(block), *block.body, Statement(EPILOGUE, bits=block.body[0].bits)]
        begin = len(statements)
        statements.append(Statement(PROLOGUE, (Label(begin + 1 + len(inside)), block.flags)))
        statements += [_settled(statement, begin + 1 + index, tame) for index, statement in enumerate(inside)]
    return Program(
        tuple(statements),
        paging=draw(st.sampled_from(("32bit", "32bit", "pae"))),
        start=draw(st.sampled_from((0, 0xF00, 0xF80, 0xFC0, 0xFF0))) + draw(st.integers(0, 15)),
        eflags=draw(st.sampled_from((0x2, 0x202))),
        interruptible=tame,
    )


def _entry(block: _Block) -> Statement:
    text = MODES[block.mode]
    return Statement(text, tuple(block.flags if name == "flags" else 0 for name in fields(text)))


def _settled(statement: Statement, index: int, tame: bool) -> Statement:
    """Labels that count from here become fixed ones; tame programs do not jump between the bytes of an instruction."""
    operands = []
    for name, operand in zip(fields(statement.text), statement.operands, strict=True):
        if isinstance(operand, Label):
            ahead = index + 1 if kind_of(name) == "ahead" else 0
            operand = Label(operand.statement + ahead, 0 if tame else operand.offset, operand.alias)
        operands.append(operand)
    return attrs.evolve(statement, operands=tuple(operands))
