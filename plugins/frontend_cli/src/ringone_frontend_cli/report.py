"""What became of a run: how it ended, how long it took, and what the machine counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from ringone.api import statistics as names

from ringone_frontend_cli.endings import Ending

PROGRESS = "EM/Progress"
KINDS_SHOWN = 5
CAUSES = (
    # counter, word
    (names.PORT_READS, "port reads"),
    (names.PORT_WRITES, "port writes"),
    (names.MMIO_READS, "MMIO reads"),
    (names.MMIO_WRITES, "MMIO writes"),
    (names.HALTS, "halts"),
    (names.INTERRUPTS, "interrupts"),
    (names.SOFT_INTERRUPTS, "software interrupts"),
    (names.EXCEPTIONS, "exceptions"),
    (names.PAGE_FAULTS, "page faults"),
    (names.TLB_FILLS, "TLB fills"),
    (names.CODE_INVALIDATIONS, "code invalidations"),
)


@attrs.frozen(kw_only=True)
class Report:
    machine: str
    ending: Ending
    wall_s: float
    virtual_ns: int
    statistics: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "ending": self.ending.kind.value,
            "detail": self.ending.detail,
            "exit_code": self.ending.exit_code,
            "wall_s": round(self.wall_s, 6),
            "virtual_s": self.virtual_ns / 1e9,
            "statistics": dict(self.statistics),
        }

    def lines(self) -> Iterator[str]:
        detail = f": {self.ending.detail}" if self.ending.detail else ""
        yield f"{self.machine}: {self.ending.kind.value}{detail}"
        yield f"  time          {self.wall_s:,.3f} s, {self.virtual_ns / 1e9:,.3f} s virtual"
        for counter, word in ((names.INSTRUCTIONS, "instructions"), (PROGRESS, "progress")):
            if counter in self.statistics:
                yield f"  {word:<13} {self.statistics[counter]:,}"
        if names.EXITS in self.statistics:
            yield f"  {'exits':<13} {self.statistics[names.EXITS]:,}"
        causes = [f"{self.statistics[counter]:,} {word}" for counter, word in CAUSES if self.statistics.get(counter)]
        if causes:
            yield f"  {'events':<13} {', '.join(causes)}"
        if self.statistics.get(names.RAW_TIME) or self.statistics.get(names.PATCHES):
            yield from self._raw_mode_lines()

    def _raw_mode_lines(self) -> Iterator[str]:
        for counter, word in ((names.TRAPS, "traps"), (names.PATCHES, "patches")):
            kinds = [f"{count:,} {kind}" for kind, count in most(by_kind(self.statistics, counter), KINDS_SHOWN)]
            yield f"  {word:<13} {self.statistics.get(counter, 0):,}{': ' if kinds else ''}{', '.join(kinds)}"
        share = recompiler_share(self.statistics)
        if share is not None:
            yield f"  {'recompiler':<13} {share:.1%} of the time"


def by_kind(statistics: Mapping[str, int], counter: str) -> dict[str, int]:
    """What a counter's total is made of: the counters below it."""
    prefix = f"{counter}/"
    return {name.removeprefix(prefix): count for name, count in sorted(statistics.items()) if name.startswith(prefix)}


def most(counts: Mapping[str, int], number: int) -> list[tuple[str, int]]:
    """The highest counts, the highest first."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:number]


def recompiler_share(statistics: Mapping[str, int]) -> float | None:
    """Of the time in which guest code ran; None where nobody measured it."""
    recompiler_ns = statistics.get(names.RECOMPILER_TIME, 0)
    total_ns = recompiler_ns + statistics.get(names.RAW_TIME, 0)
    return recompiler_ns / total_ns if total_ns else None
