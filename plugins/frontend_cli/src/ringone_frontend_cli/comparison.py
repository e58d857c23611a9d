"""What became of compared runs: a table that is Markdown as well, and JSON."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
from ringone.api import statistics as names
from ringone.api.config import ClockPolicy

from ringone_frontend_cli import arguments
from ringone_frontend_cli.endings import Ending, EndKind
from ringone_frontend_cli.report import by_kind, most, recompiler_share

NOTHING = "-"
HASH_DIGITS = 12
CAUSES_SHOWN = 5
"""Of each run."""


@attrs.frozen(kw_only=True)
class Result:
    """A run on one processor. Counters are None where the backend does not have them, hashes where there is nothing to compare."""

    cpu: str
    ending: Ending
    wall_s: float = 0.0
    virtual_ns: int = 0
    statistics: Mapping[str, int] = attrs.field(factory=dict)
    serial_hash: str | None = None
    memory_hash: str | None = None

    @property
    def good(self) -> bool:
        return self.ending.exit_code == 0

    @property
    def instructions(self) -> int | None:
        return self.statistics.get(names.INSTRUCTIONS)

    @property
    def traps(self) -> int | None:
        return self.statistics.get(names.TRAPS)

    @property
    def traps_by_cause(self) -> dict[str, int]:
        return by_kind(self.statistics, names.TRAPS)

    @property
    def traps_per_million(self) -> float | None:
        if self.traps is None or not self.instructions:
            return None
        return self.traps * 1_000_000 / self.instructions

    @property
    def patches(self) -> int:
        return self.statistics.get(names.PATCHES, 0)

    @property
    def recompiler_share(self) -> float | None:
        return recompiler_share(self.statistics)

    def summary(self) -> str:
        """One line."""
        detail = f": {self.ending.detail}" if self.ending.detail else ""
        if self.ending.kind is EndKind.FAILED:
            return f"failed{detail}"
        counts = [f"{count:,} {word}" for count, word in ((self.instructions, "instructions"), (self.traps, "traps")) if count is not None]
        return ", ".join([f"{self.ending.kind.value}{detail}; {self.wall_s:,.3f} s", *counts])

    def as_json(self) -> dict[str, Any]:
        per_million, share = self.traps_per_million, self.recompiler_share
        return {
            "cpu": self.cpu,
            "ending": self.ending.kind.value,
            "detail": self.ending.detail,
            "exit_code": self.ending.exit_code,
            "wall_s": round(self.wall_s, 6),
            "virtual_s": self.virtual_ns / 1e9,
            "instructions": self.instructions,
            "traps": self.traps,
            "traps_by_cause": self.traps_by_cause,
            "traps_per_million": None if per_million is None else round(per_million, 3),
            "patches": self.patches,
            "patches_by_kind": by_kind(self.statistics, names.PATCHES),
            "recompiler_share": None if share is None else round(share, 6),
            "serial_hash": self.serial_hash,
            "memory_hash": self.memory_hash,
        }


@attrs.frozen(kw_only=True)
class Comparison:
    machine: str
    clock: ClockPolicy
    results: tuple[Result, ...]
    expect_equal: bool = False

    @property
    def exit_code(self) -> int:
        interrupted = [result.ending.exit_code for result in self.results if result.ending.kind is EndKind.INTERRUPTED]
        if interrupted:
            return interrupted[0]
        failed = not all(result.good for result in self.results)
        return int(failed or (self.expect_equal and not all(equal for _, equal in self.verdicts())))

    def verdicts(self) -> Iterator[tuple[str, bool]]:
        """Whether the runs that ended well said the same, and left the same memory."""
        good = [result for result in self.results if result.good]
        for what, hashes in (("serial output", [result.serial_hash for result in good]), ("memory", [result.memory_hash for result in good])):
            if len(hashes) > 1 and None not in hashes:
                yield what, len(set(hashes)) == 1

    def as_json(self) -> dict[str, Any]:
        return {"runs": [result.as_json() for result in self.results]}

    def lines(self) -> Iterator[str]:
        yield f"{self.machine}, {self.clock.value} clock"
        yield ""
        yield from markdown_table(["", *(arguments.named(result.cpu, "--cpu")[0] for result in self.results)], self._rows())
        yield ""
        for what, equal in self.verdicts():
            yield f"{what}: {'equal' if equal else 'DIFFERENT'}"
        for result in self.results:
            if not result.good:
                yield f"{result.cpu}: {result.summary()}"

    def _rows(self) -> Iterator[list[str]]:
        yield from self._options()
        first_s = next((result.wall_s for result in self.results if result.good), 0.0)
        columns: Sequence[tuple[str, Callable[[Result], str]]] = (
            ("ended", lambda result: result.ending.kind.name.lower().replace("_", " ")),
            ("wall time, s", lambda result: f"{result.wall_s:,.3f}"),
            ("relative", lambda result: f"{result.wall_s / first_s:.2f}" if result.good and first_s else NOTHING),
            ("instructions", lambda result: _count(result.instructions)),
            ("traps", lambda result: _count(result.traps)),
            ("traps / million", lambda result: NOTHING if result.traps_per_million is None else f"{result.traps_per_million:,.1f}"),
            *((f"- {cause}", lambda result, cause=cause: _count(result.traps_by_cause.get(cause))) for cause in self._causes()),
            ("patches", lambda result: _count(result.patches)),
            ("recompiler", lambda result: NOTHING if result.recompiler_share is None else f"{result.recompiler_share:.1%}"),
            ("serial output", lambda result: (result.serial_hash or NOTHING)[:HASH_DIGITS]),
            ("memory", lambda result: (result.memory_hash or NOTHING)[:HASH_DIGITS]),
        )
        for label, cell in columns:
            yield [label, *(cell(result) if result.ending.kind is not EndKind.FAILED or label == "ended" else NOTHING for result in self.results)]

    def _options(self) -> Iterator[list[str]]:
        """A row for each option of a backend."""
        given = [arguments.named(result.cpu, "--cpu")[1] for result in self.results]
        for option in dict.fromkeys(itertools.chain.from_iterable(given)):
            yield [option, *(options.get(option, "") for options in given)]

    def _causes(self) -> list[str]:
        """The most frequent causes of each run, the most frequent of all first."""
        shown: dict[str, int] = {}
        for result in self.results:
            for cause, count in most(result.traps_by_cause, CAUSES_SHOWN):
                shown[cause] = max(count, shown.get(cause, 0))
        return [cause for cause, _ in most(shown, len(shown))]


def _count(count: int | None) -> str:
    return NOTHING if count is None else f"{count:,}"


def markdown_table(header: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    """The first column to the left, the others to the right."""
    cells = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]

    def line(row: Sequence[str]) -> str:
        first, *others = zip(row, widths, strict=True)
        return f"| {' | '.join([f'{first[0]:<{first[1]}}', *(f'{text:>{width}}' for text, width in others)])} |"

    yield line(header)
    yield f"|:{'-' * (widths[0] + 1)}|{'|'.join('-' * (width + 1) + ':' for width in widths[1:])}|"
    yield from map(line, cells[1:])
