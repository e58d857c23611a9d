"""Code scanning: pure functions from bytes to findings (VirtualBox's CSAM)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs

from ringone.api import API_VERSION


class InstructionClass(enum.Enum):
    """Why an instruction matters to a VMM that runs guest ring 0 at ring 1."""

    HARMLESS = "harmless"
    PRIVILEGED = "privileged"
    """Faults at ring 1, so it can be emulated."""
    SENSITIVE = "sensitive"
    """Neither faults nor does the right thing at ring 1."""
    CONTROL_FLOW = "control-flow"
    INTERRUPT_SHADOW = "interrupt-shadow"
    PORT_IO = "port-io"


class Trapping(enum.Enum):
    """Whether an instruction faults at ring 1 with IOPL 0, where ring 0 would have run it."""

    ALWAYS = "always"
    SOMETIMES = "sometimes"
    """It depends on a control register, a descriptor or a selector."""
    NEVER = "never"


@attrs.frozen(kw_only=True)
class Finding:
    """One instruction that matters.

    `kind` is the main reason, `also` are further ones (STI is privileged and makes an interrupt shadow; IRET is sensitive and control flow). `mnemonic` and
    `operands` are Intel syntax, `reference` is where the SDM describes it.
    """

    address: int
    size: int
    mnemonic: str
    kind: InstructionClass
    operands: str = ""
    also: frozenset[InstructionClass] = frozenset()
    traps: Trapping = Trapping.NEVER
    reference: str = ""


@attrs.frozen(kw_only=True)
class ScanLimits:
    """`instructions` bounds the work of one scan; `low` and `high` the addresses that are followed (half open).

    An instruction that begins below `high` and ends above it is decoded as a whole.
    """

    instructions: int = 4096
    low: int = 0
    high: int = 1 << 32


@attrs.frozen(kw_only=True)
class ScanReport:
    """What follows from an entry. All sets hold addresses; overlapping decodings are all reported.

    `findings`, by address, are the instructions that are not harmless, near branches excepted: those show in the sets. `starts` are the beginnings of all
    instructions, `targets` those branch targets that are inside the limits, `outside` those that are not. At `unfollowed` stand branches whose target is
    not known or in another segment. `undecodable` are places where no instruction stands, `unreadable` pages that an instruction continues in but `fetch`
    did not give. `complete` is False where the number of instructions ended the scan.
    """

    findings: Sequence[Finding]
    starts: frozenset[int]
    targets: frozenset[int]
    outside: frozenset[int]
    unfollowed: frozenset[int]
    undecodable: frozenset[int]
    unreadable: frozenset[int]
    complete: bool

    @property
    def instructions(self) -> int:
        return len(self.starts)


class CodeScanner(Protocol):
    def scan(self, entry: int, fetch: Callable[[int, int], bytes], limits: ScanLimits, *, bits: int = 32) -> ScanReport:
        """`fetch(address, size)` returns the bytes, fewer where memory ends."""
        ...

    def may_matter(self, code: bytes, *, bits: int = 32) -> bool:
        """False only where the instructions that begin at `code`'s first byte and follow each other hold none that is privileged or sensitive.

        Much faster than a scan: meant for every new block, to scan where it says True.
        """
        ...

    def scan_page(self, page: int, content: bytes, entry: int, *, following: bytes = b"", bits: int = 32) -> ScanReport:
        """All that is known of a page of 4096 bytes at address `page` once `entry`, in it, has been followed within the page.

        `following` are the first bytes of the next page, where it can be read: an instruction may cross the boundary. What is found is remembered by
        content, so a page that comes back, at whatever address, is not scanned again; nothing new gives the same report object.
        """
        ...


@attrs.frozen(kw_only=True)
class CodeScannerSpec:
    """Yielded by the hook ``ringone_code_scanners``."""

    name: str
    summary: str
    options: type[Any]
    create: Callable[[Any], CodeScanner]
    api_version: int = API_VERSION
