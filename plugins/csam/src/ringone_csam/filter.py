"""A first look at a block: whether its bytes can hold an instruction that is privileged or sensitive at all.

The opcodes, wherever they stand: prefixes and immediate bytes are not told apart from instructions, so the answer errs towards True only.
"""

from __future__ import annotations

import re

_SUSPECTS = re.compile(
    rb"[\xF4\xFA\xFB\x9C\x9D\xCF\x0E\x16\x17\x9A]"  # hlt cli sti pushf popf iret push cs/ss, pop ss, far call
    rb"|\xFF[\x18-\x1F\x58-\x5F\x98-\x9F\xD8-\xDF]"  # far call through memory
    rb"|\x8C[\x08-\x17\x48-\x57\x88-\x97\xC8-\xD7]"  # mov r/m, cs/ss
    rb"|\x8E[\x10-\x17\x50-\x57\x90-\x97\xD0-\xD7]"  # mov ss, r/m
    rb"|\x0F[\x00-\x03\x06-\x09\x20-\x23\x30-\x33\x35\xA2\xB2\xC7]|\x0F\x38\x82"
)
"""0F: groups 6 and 7, lar, lsl, clts, sysret, invd, wbinvd, mov cr/dr, wrmsr, rdtsc, rdmsr, rdpmc, sysexit, cpuid, lss, group 9 (xsaves), invpcid."""


def may_matter(code: bytes, *, bits: int = 32) -> bool:
    return _SUSPECTS.search(code) is not None
