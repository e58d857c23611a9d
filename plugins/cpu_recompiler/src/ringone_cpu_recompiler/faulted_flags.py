"""The arithmetic flags where a SETcc, RCL or RCR faults on its memory operand. Unicorn has worked the flags out by then, in place of an operand of the
instruction that computed them, and at the fault it goes back to that operand's meaning.

Nothing is done before a fault comes. What then stands in the operand's place are the flags themselves, where the condition needs all of them, or where what
computes the flags was not known when the block was translated, because it lies in the block before.
"""

from __future__ import annotations

from collections.abc import Callable

from ringone_cpu_recompiler.env import CC_OP_EFLAGS, CC_OP_SUBB, D_CC_OP, Env
from ringone_cpu_recompiler.instructions import PREFIXES

_TWO_BYTES = 0x0F
_SETCC = range(0x90, 0xA0)
_CARRY = 1
"""Half of the condition numbers of B and AE: the carry alone is never put in an operand's place."""
_OVERFLOW, _PARITY = 0, 5
"""Of O and NO, P and NP: worked out from all flags, whatever they come from, but for the overflow flag where it stands apart."""
_CC_OPS_OVERFLOW_APART = range(47, 51)
"""Unicorn's CC_OP_ADOX, ADCOX, CLR and POPCNT: rotations by a constant, and XOR and SUB of a register with itself, are among them."""
_RELATIONS = frozenset([3, 6, 7])
"""Of BE, A, L, GE, LE and G: but those of two operands just compared are found by comparing them."""
_CC_OPS_SUB = range(CC_OP_SUBB, CC_OP_SUBB + 4)
_ROTATIONS = frozenset([0xC0, 0xC1, *range(0xD0, 0xD4)])
_THROUGH_CARRY = frozenset([2, 3])


def may_be_lost(env: Env) -> bool:
    """Whether the flags were not finished before the instruction."""
    return env.d[D_CC_OP] != CC_OP_EFLAGS


def works_out_flags(code: bytes, cc_op: int, source_is_known: Callable[[], bool]) -> bool:
    """Whether an instruction that reached its memory operand has worked out all flags, which `cc_op` says how to compute. `source_is_known` tells whether the
    translator knew that, too."""
    code = code.lstrip(bytes(PREFIXES))
    if len(code) < 2:
        return False
    if code[0] == _TWO_BYTES and code[1] in _SETCC:
        condition = code[1] >> 1 & 7
        if condition == _PARITY or (condition == _OVERFLOW and cc_op not in _CC_OPS_OVERFLOW_APART) or (condition in _RELATIONS and cc_op not in _CC_OPS_SUB):
            return True
        return condition != _CARRY and not source_is_known()
    return code[0] in _ROTATIONS and code[1] >> 3 & 7 in _THROUGH_CARRY


def sets_known_flags(code: bytes, bits: int) -> bool:
    """Whether the arithmetic flags behind these instructions, the begin of a block, come from one of them. A shift by CL may leave all as they were, and only
    running it tells."""
    from iced_x86 import Decoder, Mnemonic, OpKind, Register, RflagsBits  # Costs a tenth of a second.

    arithmetic = RflagsBits.OF | RflagsBits.SF | RflagsBits.ZF | RflagsBits.AF | RflagsBits.CF | RflagsBits.PF
    shifts = (Mnemonic.ROL, Mnemonic.ROR, Mnemonic.SHL, Mnemonic.SAL, Mnemonic.SHR, Mnemonic.SAR, Mnemonic.SHLD, Mnemonic.SHRD)
    known = False
    for instruction in Decoder(bits, code):
        if instruction.rflags_modified & arithmetic:
            last = instruction.op_count - 1
            known = instruction.mnemonic not in shifts or instruction.op_kind(last) != OpKind.REGISTER or instruction.op_register(last) != Register.CL
    return known
