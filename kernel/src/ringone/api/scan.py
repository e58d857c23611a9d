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


@attrs.frozen(kw_only=True)
class Finding:
    address: int
    size: int
    mnemonic: str
    kind: InstructionClass


@attrs.frozen(kw_only=True)
class ScanLimits:
    """`instructions` bounds the work of one scan; `low` and `high` the addresses that are followed (half open)."""

    instructions: int = 4096
    low: int = 0
    high: int = 1 << 32


@attrs.frozen(kw_only=True)
class ScanReport:
    """`targets` are branch targets inside the limits, `unfollowed` addresses of branches with unknown target, `complete` is False where a limit was hit."""

    findings: Sequence[Finding]
    instructions: int
    targets: frozenset[int]
    unfollowed: frozenset[int]
    complete: bool


class CodeScanner(Protocol):
    def scan(self, entry: int, fetch: Callable[[int, int], bytes], limits: ScanLimits, *, bits: int = 32) -> ScanReport:
        """`fetch(address, size)` returns the bytes, fewer where memory ends."""
        ...


@attrs.frozen(kw_only=True)
class CodeScannerSpec:
    """Yielded by the hook ``ringone_code_scanners``."""

    name: str
    summary: str
    options: type[Any]
    create: Callable[[Any], CodeScanner]
    api_version: int = API_VERSION
