"""The pages of VMM memory that patches and the VMM share: offsets in them. They play the part of VirtualBox's PATMGCSTATE.

Words are 32 bits unless they say otherwise. The guest's kernel could write there, so the VMM masks whatever it reads back.
"""

from __future__ import annotations

VIRTUAL_IF = 0x00
"""The guest's EFLAGS.IF (bit 9), and nothing else. The processor's own is always 1. A word of its own, so that CLI and STI need not touch a flag."""
PENDING = 0x04
"""0x200 while an interrupt waits, else 0. Patches that turn interrupts on in their midst look at it; behind others the world looks itself."""
KERNEL_CS = 0x08
"""The guest's CS selector as the guest knows it (RPL 0), or 0x10000 while its descriptor is not what CS holds."""
SYSEXIT_CS = 0x0C
"""The CS selector with RPL 3 that SYSEXIT goes to; its SS is the next one. 0 where an IRETD could not do the same."""
SCRATCH = 0x10
"""Eight words for whatever one replacement needs until its end."""
STI_RAN = 0x30
"""1 once a patch for STI has run, for the VMM to clear."""
FLAT_DATA = 0x34
"""A selector with which DS has base 0, or 0x10000."""
CR0 = 0x40
CR2 = 0x48
CR3 = 0x4C
CR4 = 0x50
DR = 0x60
"""DR0 to DR7."""
GDTR = 0x80
"""As SGDT stores it: 16 bits limit, 32 bits base."""
IDTR = 0x88
LDTR = 0x90
"""Selector, zero-extended."""
TR = 0x94
HITS = 0x100
"""One word for each `Kind`, by its number: how often replacements of that kind began, where that is counted. They wrap."""
CPUID = 0x400
"""Rows of six words: leaf, subleaf, EAX, EBX, ECX, EDX. Subleaf 0xFFFFFFFF stands for any. The last row matches every leaf (leaf 0xFFFFFFFF)."""
CPUID_ROWS = 64
FILLED = 0x1000
"""For each 4 MiB of linear addresses a word, which equals FLUSHES where the TLB may hold something of them (`World.keep_filled_regions`)."""
FLUSHES = 0x2000
SIZE = 0x3000
