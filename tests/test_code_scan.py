"""The code scanner on kernels that compilers made: the demo guest's always, Linux's where guests are tested."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from ringone.api.scan import CodeScanner, InstructionClass, ScanLimits, ScanReport
from ringone.plugins import PluginRegistry
from ringone_frontend_cli.executables import Executable, load

from guests.catalog import BY_NAME, find
from guests.demo.build import BUILD, build

MATTERING = (InstructionClass.PRIVILEGED, InstructionClass.SENSITIVE)


class Scanned(NamedTuple):
    scanner: CodeScanner
    executable: Executable
    report: ScanReport


def demo_kernel() -> Path:
    build()
    return BUILD / "kernel.elf"


def linux_kernel() -> Path:
    return find(BY_NAME["linux-686-pae"].kernel)


@pytest.fixture(scope="module", params=[demo_kernel, pytest.param(linux_kernel, marks=pytest.mark.guest)], ids=["demo", "linux"])
def kernel(request: pytest.FixtureRequest) -> Scanned:
    path: Callable[[], Path] = request.param
    spec = PluginRegistry(strict=True).code_scanners()["csam"]
    scanner = spec.create(spec.options())
    executable = load(path(), base=None)
    return Scanned(scanner, executable, scanner.scan(executable.entry, executable.fetch, ScanLimits(instructions=100_000)))


def test_what_a_kernel_cannot_do_without_is_found(kernel: Scanned) -> None:
    found = {finding.mnemonic for finding in kernel.report.findings}
    assert {"lgdt", "cli", "pushfd"} <= found
    assert kernel.report.instructions > 400


def test_compiled_code_is_decoded_without_overlap(kernel: Scanned) -> None:
    """Instructions that begin within others would be a sign that the scan went astray."""
    covered = {address for finding in kernel.report.findings for address in range(finding.address + 1, finding.address + finding.size)}
    assert not covered & kernel.report.starts


def test_the_filter_suspects_what_matters_and_hardly_anything_else(kernel: Scanned) -> None:
    mattering = {finding.address for finding in kernel.report.findings if finding.kind in MATTERING}
    starts = sorted(kernel.report.starts)
    suspected = {start for start, after in pairwise(starts) if kernel.scanner.may_matter(kernel.executable.fetch(start, after - start))}
    assert mattering - suspected <= {starts[-1]}
    assert len(suspected - mattering) < len(starts) / 100
