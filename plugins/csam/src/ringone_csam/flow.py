"""The control-flow scan: from an entry along relative branches and calls, never past a return, a breakpoint or an invalid opcode, with Capstone as the decoder.

Indirect and far branches are not followed but reported. Only text is asked of the decoder (`disasm_lite`), a few instructions ahead at a time; details would
cost five times as much. Measured on Linux 6.1: 2.4 microseconds an instruction, 2.5 milliseconds for a page of code, in which 880 instructions are reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from capstone import CS_ARCH_X86, CS_MODE_16, CS_MODE_32, Cs
from ringone.api.scan import Finding, ScanLimits, ScanReport

from ringone_csam.classification import MNEMONICS, Flow, Row

PAGE_BYTES = 4096
PAGE_MASK = PAGE_BYTES - 1
ADDRESS_MASK = 0xFFFF_FFFF
LONGEST_INSTRUCTION = 15
LOOK_AHEAD = 64
"""Bytes that are decoded at once: about as many instructions as stand between two ends of the flow."""

OPERAND_SIZE = 0x66
PREFIXES = bytes((0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, OPERAND_SIZE, 0x67, 0xF0, 0xF2, 0xF3))
SHORT_BRANCHES = frozenset((*range(0x70, 0x80), *range(0xE0, 0xE4), 0xEB))
INDIRECT_BRANCH = 0xFF

Fetch = Callable[[int, int], bytes]
Decode = Callable[[bytes, int], Iterator[tuple[int, int, str, str]]]
"""From code and its address to (address, size, mnemonic, operands) of each instruction, up to the first bytes that are none."""


def decoder(bits: int) -> Decode:
    """A decoder of its own for each scanner: Capstone's are not for several threads."""
    decode: Decode = Cs(CS_ARCH_X86, {16: CS_MODE_16, 32: CS_MODE_32}[bits]).disasm_lite
    return decode


class CodeWindow:
    """Code by address; a page is fetched once, as a whole, or from where it begins to be readable."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._pages: dict[int, tuple[int, bytes]] = {}

    def code_from(self, address: int) -> bytes:
        """At most `LOOK_AHEAD` bytes; fewer than an instruction can have only where memory ends."""
        code = self._in_page(address)
        following = address + len(code)
        if code and len(code) < LONGEST_INSTRUCTION and following & PAGE_MASK == 0 and following <= ADDRESS_MASK:
            code += self._in_page(following)[: LOOK_AHEAD - len(code)]
        return code

    def _in_page(self, address: int) -> bytes:
        page = address & ~PAGE_MASK
        start, data = self._pages.get(page, (page, b""))
        if not start <= address < start + len(data):
            start, data = self._load(page, address)
        return data[address - start : address - start + LOOK_AHEAD]

    def _load(self, page: int, address: int) -> tuple[int, bytes]:
        for start in (page, address):
            size = page + PAGE_BYTES - start
            data = self._fetch(start, size)[:size]
            if start + len(data) > address:
                self._pages[page] = (start, data)
                return start, data
        return address, b""


class Scan:
    """One scan. `known` are instruction starts that were followed before."""

    def __init__(self, decode: Decode, fetch: Fetch, limits: ScanLimits, bits: int, known: frozenset[int] = frozenset()) -> None:
        self._decode = decode
        self._window = CodeWindow(fetch)
        self._low, self._high = limits.low, min(limits.high, ADDRESS_MASK + 1)
        self._left = limits.instructions
        self._bits = bits
        self._pending: list[int] = []
        self._findings: list[Finding] = []
        self._starts = set(known)
        self._targets: set[int] = set()
        self._outside: set[int] = set()
        self._unfollowed: set[int] = set()
        self._undecodable: set[int] = set()
        self._unreadable: set[int] = set()

    def follow(self, entry: int) -> ScanReport:
        self._pending.append(entry)
        while self._pending and self._left > 0:
            at: int | None = self._pending.pop()
            while at is not None:
                at = self._decode_some(at)
        return ScanReport(
            findings=tuple(sorted(self._findings, key=lambda finding: finding.address)),
            starts=frozenset(self._starts),
            targets=frozenset(self._targets),
            outside=frozenset(self._outside),
            unfollowed=frozenset(self._unfollowed),
            undecodable=frozenset(self._undecodable),
            unreadable=frozenset(self._unreadable),
            complete=self._starts.issuperset(self._pending),
        )

    def _decode_some(self, address: int) -> int | None:
        """Take the instructions of the next `LOOK_AHEAD` bytes; where the flow goes on behind them, if it does."""
        starts, high = self._starts, self._high
        if not self._low <= address < high or address in starts:
            return None
        code = self._window.code_from(address)
        whole = len(code) - LONGEST_INSTRUCTION if len(code) >= LONGEST_INSTRUCTION else len(code)
        end = address
        for at, size, mnemonic, operands in self._decode(code, address):
            if at - address > whole:
                return at
            if at in starts or at >= high:
                return None
            if self._left <= 0:
                self._pending.append(at)
                return None
            self._left -= 1
            starts.add(at)
            end = at + size
            forms = MNEMONICS[mnemonic]
            if forms is None:
                continue
            row = forms.row(operands)
            if row is not None and not self._take(row, at, code[at - address : end - address], mnemonic, operands):
                return None
        return self._undecoded(address, end, len(code) - (end - address))

    def _undecoded(self, address: int, at: int, available: int) -> int | None:
        """The decoder stopped at `at`: there is no instruction, or it wants bytes, which may follow those that were seen from `address` on."""
        if at >= self._high or at in self._starts:
            return None
        if available >= LONGEST_INSTRUCTION:
            self._undecodable.add(at)
        elif at > address:
            return at
        else:
            self._unreadable.add((at + available) & ~PAGE_MASK & ADDRESS_MASK)
        return None

    def _take(self, row: Row, at: int, raw: bytes, mnemonic: str, operands: str) -> bool:
        """Note what the instruction is and where it goes; whether the flow goes on behind it."""
        if not row.near:
            self._findings.append(
                Finding(
                    address=at,
                    size=len(raw),
                    mnemonic=mnemonic,
                    operands=operands,
                    kind=row.kind,
                    also=row.also,
                    traps=row.traps,
                    reference=row.reference,
                )
            )
        if row.flow is Flow.JUMP or row.flow is Flow.BRANCH:
            self._branch(row, at, raw)
        return row.flow is Flow.NEXT or row.flow is Flow.BRANCH

    def _branch(self, row: Row, at: int, raw: bytes) -> None:
        target = branch_target(at, raw, self._bits) if row.near else None
        if target is None:
            self._unfollowed.add(at)
        elif not self._low <= target < self._high:
            self._outside.add(target)
        elif target not in self._targets:
            self._targets.add(target)
            self._pending.append(target)


def branch_target(at: int, raw: bytes, bits: int) -> int | None:
    """Where a near branch goes; None where a register or memory says so, or where 32-bit code makes a 16-bit branch, which cuts EIP off.

    The wrap-around of a 16-bit code segment is left out, since its base is not known here.
    """
    instruction = raw.lstrip(PREFIXES)
    opcode = instruction[0]
    wide = (bits == 32) != (OPERAND_SIZE in raw[: len(raw) - len(instruction)])
    if opcode == INDIRECT_BRANCH or (bits == 32 and not wide):
        return None
    width = 1 if opcode in SHORT_BRANCHES else 4 if wide else 2
    return (at + len(raw) + int.from_bytes(raw[-width:], "little", signed=True)) & ADDRESS_MASK
