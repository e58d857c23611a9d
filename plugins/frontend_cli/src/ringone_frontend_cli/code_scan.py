"""``csam``: scan the code of a file and list the instructions that matter to a VMM."""

from __future__ import annotations

import json as json_module
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import typer

from ringone_frontend_cli.context import Settings

if TYPE_CHECKING:
    from ringone.api.scan import CodeScanner, Finding, ScanReport

    from ringone_frontend_cli.executables import Executable

SCANNER = "csam"
DEFAULT_LIMIT = 1_000_000
MOST_SHOWN = 8
"""Addresses of one kind in the summary; JSON has all."""


def add_to(app: typer.Typer) -> None:
    app.command("csam")(csam)


def csam(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="ELF file, packed Linux kernel, or any bytes with --base.", show_default=False)],
    base: Annotated[str | None, typer.Option(metavar="ADDRESS", help="The file is bytes, the first of them at this address.")] = None,
    entry: Annotated[list[str] | None, typer.Option(metavar="ADDRESS|SYMBOL", help="Where to start, instead of the file's own entry; repeatable.")] = None,
    bits: Annotated[int, typer.Option(metavar="16|32", help="Size of the code segment.")] = 32,
    limit: Annotated[int, typer.Option(metavar="N", help="Scan at most N instructions from each entry.")] = DEFAULT_LIMIT,
    json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """List a file's instructions that matter to a VMM: those that trap at ring 1, and those that do not but should."""
    from ringone.api.errors import ConfigError
    from ringone.api.scan import ScanLimits

    from ringone_frontend_cli import executables

    if bits not in (16, 32):
        raise ConfigError(f"--bits {bits}: accepted are 16 and 32")
    if limit < 1:
        raise ConfigError(f"--limit {limit}: accepted is a number from 1")
    executable = executables.load(file, base=None if base is None else _address(base, "--base"))
    entries = [_entry(name, executable) for name in entry or ()] or [executable.entry]
    for address in entries:
        if not executable.fetch(address, 1):
            raise ConfigError(f"{file} has nothing at entry {address:#x}; it has {_ranges(executable)}")
    scanner = _scanner()
    reports = [scanner.scan(address, executable.fetch, ScanLimits(instructions=limit), bits=bits) for address in entries]
    result = Result(executable, entries, bits, reports)
    if json:
        print(json_module.dumps(result.as_json(), indent=2))
    else:
        for line in result.lines():
            print(line)


@attrs.frozen
class Result:
    """What was found from all entries together."""

    executable: Executable
    entries: list[int]
    bits: int
    reports: list[ScanReport]

    def as_json(self) -> dict[str, Any]:
        return {
            "format": self.executable.what,
            "bits": self.bits,
            "entries": self.entries,
            "instructions": len(self._addresses("starts")),
            "complete": self._complete(),
            "totals": dict(self._totals()),
            "findings": [self._finding_as_json(finding) for finding in self._findings()],
            **{name: self._addresses(name) for name, _ in LEFT_OUT},
        }

    def lines(self) -> Iterator[str]:
        for finding in self._findings():
            text = f"{finding.mnemonic} {finding.operands}".rstrip()
            kinds = ", ".join([finding.kind.value, *sorted(kind.value for kind in finding.also)])
            yield f"{finding.address:08x}  {self._bytes(finding).hex():<20}  {text:<32}  {kinds:<32}  traps {finding.traps.value:<9}  {finding.reference}"
        entries = ", ".join(f"{entry:#x}" for entry in self.entries)
        yield f"{self.executable.what}: {len(self._addresses('starts'))} instructions from {entries}"
        for kind, number in self._totals().most_common():
            yield f"  {kind:<16} {number}"
        for name, what in LEFT_OUT:
            addresses = self._addresses(name)
            if addresses:
                more = f" and {len(addresses) - MOST_SHOWN} more" if len(addresses) > MOST_SHOWN else ""
                yield f"{what}: {', '.join(f'{address:#x}' for address in addresses[:MOST_SHOWN])}{more}"
        if not self._complete():
            yield "not complete: --limit was reached"

    def _findings(self) -> list[Finding]:
        return sorted({finding for report in self.reports for finding in report.findings}, key=lambda finding: (finding.address, finding.size))

    def _addresses(self, name: str) -> list[int]:
        return sorted(set().union(*(getattr(report, name) for report in self.reports)))

    def _totals(self) -> Counter[str]:
        return Counter(finding.kind.value for finding in self._findings())

    def _complete(self) -> bool:
        return all(report.complete for report in self.reports)

    def _bytes(self, finding: Finding) -> bytes:
        return self.executable.fetch(finding.address, finding.size)

    def _finding_as_json(self, finding: Finding) -> dict[str, Any]:
        return {
            "address": finding.address,
            "bytes": self._bytes(finding).hex(),
            "mnemonic": finding.mnemonic,
            "operands": finding.operands,
            "kind": finding.kind.value,
            "also": sorted(kind.value for kind in finding.also),
            "traps": finding.traps.value,
            "reference": finding.reference,
        }


LEFT_OUT = (
    ("unfollowed", "not followed, since a register, memory or another segment says where to"),
    ("undecodable", "no instruction"),
    ("unreadable", "pages that are not in the file"),
)
"""Sets of a report that say where the scan could not go on."""


def _scanner() -> CodeScanner:
    spec = Settings.registry().code_scanners()[SCANNER]
    return spec.create(spec.options())


def _address(text: str, option: str) -> int:
    from ringone.api.errors import ConfigError

    try:
        address = int(text, 0)
    except ValueError:
        address = -1
    if not 0 <= address < 1 << 32:
        raise ConfigError(f"{option} {text!r} is no address; accepted are 0 to 0xffffffff")
    return address


def _entry(text: str, executable: Executable) -> int:
    return executable.symbols[text] if text in executable.symbols else _address(text, "--entry")


def _ranges(executable: Executable) -> str:
    return ", ".join(f"{segment.address:#x} to {segment.address + len(segment.data) - 1:#x}" for segment in executable.segments)
