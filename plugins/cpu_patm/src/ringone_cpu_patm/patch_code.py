"""What a patch is: machine code and the tables that lead from every place in it back to the guest's own state."""

from __future__ import annotations

import enum

import attrs

VIRTUAL_IF_TARGET = 8
"""In a `restore` table, beside the general registers 0 to 7: the state page's VIRTUAL_IF."""

Restore = tuple[tuple[int, int], ...]
"""Pairs of a target (general register number in encoding order, or VIRTUAL_IF_TARGET) and the offset of the word in the state page that holds its value."""


class Kind(enum.IntEnum):
    """What a replacement stands for; its number selects the hit counter. GATE is an instruction that only the VMM can do."""

    CLI = 0
    STI = 1
    PUSHF = 2
    POPF = 3
    IRET = 4
    PUSH_CS = 5
    PUSH_SS = 6
    MOV_FROM_CS = 7
    MOV_FROM_SS = 8
    CPUID = 9
    SGDT = 10
    SIDT = 11
    SLDT = 12
    STR = 13
    SMSW = 14
    MOV_FROM_CR = 15
    MOV_FROM_DR = 16
    GATE = 17
    VERR = 18
    VERW = 19
    SYSEXIT = 20
    MOV_TO_SELECTOR = 21
    POP_SELECTOR = 22
    INVLPG = 23


@attrs.frozen(kw_only=True)
class Mark:
    """From `offset` on, up to the next mark, a fault means: the guest is before the instruction at `guest_eip`, once `restore` is done.

    The first mark for a `guest_eip` is the place where that instruction begins; its `restore` is empty.
    """

    offset: int
    guest_eip: int
    restore: Restore = ()


@attrs.frozen(kw_only=True)
class Gate:
    """An HLT at `offset`: the VMM restores, then emulates the original instruction at `guest_eip`."""

    offset: int
    guest_eip: int
    restore: Restore = ()


@attrs.frozen(kw_only=True)
class PatchCode:
    code: bytes
    marks: tuple[Mark, ...]
    """Sorted by offset; the first is at 0."""
    gates: tuple[Gate, ...]
    kinds: tuple[Kind, ...]
    """What was replaced, in the order of the region."""


class CannotPatch(Exception):
    """The region holds something that no patch can do; the text says what. A one-byte trap serves instead."""
