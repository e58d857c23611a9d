"""The same guest on the recompiler and in raw mode, each in a world with paging, and the comparison of how the two ended.

Both run in a child process, so that an abort() in the engine is a failing test and not the end of all tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
from ringone.api.cpu import CpuBackend, CpuContext, CpuState
from ringone.testing.cpu_bench import CODE, RAM_BYTES, CpuBench, Outcome
from ringone_cpu_patm import backend
from ringone_cpu_patm.backend import PatmBackend
from ringone_cpu_patm.options import PatmOptions
from ringone_cpu_recompiler.backend import RecompilerBackend
from ringone_cpu_recompiler.options import RecompilerOptions

from plugins.cpu_recompiler.tests.child import in_child

MOST_DIFFERENCES = 8


class PagedBench(CpuBench):
    """A bench whose guest has paging on, so that its ring 0 runs in raw mode."""

    paging = "32bit"

    def protected_state(
        self, *, user: bool = False, paging: str = "", eflags: int = 2, registers: Sequence[int] = (0, 0, 0, 0, 0, 0, 0, 0), eip: int = CODE
    ) -> CpuState:
        return super().protected_state(user=user, paging=paging or self.paging, eflags=eflags, registers=registers, eip=eip)

    def start(self, eip: int = CODE, *, user: bool = False, eflags: int = 2, progress: int = 1_000_000, **changes: Any) -> Outcome:
        """Run what lies in memory."""
        self.cpu.load_state(attrs.evolve(self.protected_state(user=user, eflags=eflags, eip=eip), **changes))
        return self.go_on(progress)


class PaeBench(PagedBench):
    paging = "pae"


Scenario = Callable[[Any], Outcome]
"""What a guest is and how it is run; called with a `PagedBench` once for each backend."""


@attrs.frozen
class Result:
    """How the guest ended in raw mode, and in what that differs from the recompiler."""

    outcome: Outcome
    differences: tuple[str, ...]
    statistics: Mapping[str, int]

    def traps(self, cause: str) -> int:
        return self.statistics.get(f"EM/Traps/{cause}", 0)

    def hits(self, kind: str) -> int:
        return self.statistics.get(f"PATM/Hits/{kind}", 0)

    def refused(self, reason: str) -> int:
        return self.statistics.get(f"EM/Refused/{reason}", 0)


_references: dict[type[PagedBench], tuple[PagedBench, bytes]] = {}


def _reference(bench: type[PagedBench]) -> tuple[PagedBench, bytes]:
    """A recompiler that never runs in this process, and its memory, which child processes share and so lay out anew."""
    if bench not in _references:
        made = _paged(bench, lambda context: RecompilerBackend(context, RecompilerOptions()))
        _references[bench] = made, made.memory.read(0, RAM_BYTES)
    return _references[bench]


def _paged(bench: type[PagedBench], make_backend: Callable[[CpuContext], CpuBackend]) -> PagedBench:
    made = bench(make_backend)
    made.map_pages(pae=bench is PaeBench)
    return made


def _differences(expected: Any, found: Any, path: str) -> Iterator[str]:
    """Between two attrs objects, field by field."""
    if attrs.has(type(expected)) and type(expected) is type(found):
        for field in attrs.fields(type(expected)):
            yield from _differences(getattr(expected, field.name), getattr(found, field.name), f"{path}.{field.name}")
    elif expected != found:
        yield f"{path}: {_shown(expected)}, but {_shown(found)} in raw mode"


def _shown(value: Any) -> str:
    return f"{value:#x}" if isinstance(value, int) else repr(value)[:200]


def _memory_differences(expected: bytes, found: bytes) -> Iterator[str]:
    if expected != found:
        for address in range(0, RAM_BYTES, 4):
            if expected[address : address + 4] != found[address : address + 4]:
                yield f"memory at {address:#x}: {expected[address : address + 4].hex()}, but {found[address : address + 4].hex()} in raw mode"


def _compare(scenario: Scenario, bench: type[PagedBench], options: PatmOptions) -> Result:
    """In a process that is this scenario's alone: raw mode takes over again as soon as it can, since hostile guests are short."""
    backend._SHORT_STRETCH = backend._LONG_STRETCH = 1
    reference, image = _reference(bench)
    reference.memory.write(0, image)
    raw = _paged(bench, lambda context: PatmBackend(context, options))
    expected, found = scenario(reference), scenario(raw)
    differences = [
        *_differences(expected, found, "outcome"),
        *_differences(reference.context.port_accesses, raw.context.port_accesses, "ports"),
        *_differences(reference.mmio_accesses, raw.mmio_accesses, "mmio"),
    ]
    for text in _memory_differences(reference.memory.read(0, RAM_BYTES), raw.memory.read(0, RAM_BYTES)):
        if len(differences) == MOST_DIFFERENCES:
            break
        differences.append(text)
    return Result(found, tuple(differences), dict(raw.cpu.statistics()))


def compare(scenario: Scenario, *, bench: type[PagedBench] = PagedBench, options: PatmOptions | None = None) -> Result:
    """Run the scenario on both; fails the test where anything but the statistics differs."""
    _reference(bench)
    result = in_child(lambda: _compare(scenario, bench, options or PatmOptions(hits=True)))
    assert isinstance(result, Result), result
    assert not result.differences, "\n".join(result.differences)
    return result


def equal(scenario: Scenario, *, bench: type[PagedBench] = PagedBench, options: PatmOptions | None = None) -> Result:
    """The same, for a guest whose last instruction, a HLT, must have run in raw mode."""
    result = compare(scenario, bench=bench, options=options)
    assert result.traps("hlt"), f"raw mode was not in use at the end: {dict(result.statistics)}"
    return result
