"""What the demo says of itself at its end: what raw mode cost the guest, in the words of `ringone run`. Traps by cause, patches and their runs by kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest

import attrs
from ringone.api import statistics as names
from ringone.api.events import MachineState
from ringone_frontend_cli.report import by_kind, most, recompiler_share

COLUMNS = (
    # what there is a counter of for each kind, word, meaning
    (names.TRAPS, "traps", "what stopped the guest"),
    (names.PATCHES, "patches", "what was replaced"),
    ("PATM/Hits", "hits", "how often that ran"),
)
COUNT_WIDTH = 7
COLUMN_WIDTH = 28


@attrs.frozen(kw_only=True)
class Run:
    state: MachineState
    seconds: float
    virtual_ns: int
    statistics: Mapping[str, int]


def summary(run: Run) -> Iterator[str]:
    yield f"demo: {run.state.name.lower().replace('_', ' ')}"
    yield f"  time          {run.seconds:,.3f} s, {run.virtual_ns / 1e9:,.3f} s virtual"
    yield f"  instructions  {run.statistics.get(names.INSTRUCTIONS, 0):,}"
    share = recompiler_share(run.statistics)
    if share is not None:
        yield f"  recompiler    {share:.1%} of the time"
    yield ""
    columns = [_column(by_kind(run.statistics, counter), word, meaning) for counter, word, meaning in COLUMNS]
    for row in zip_longest(*columns, fillvalue=""):
        yield "".join(f"{cell:<{COLUMN_WIDTH}}" for cell in row).rstrip()


def counters(run: Run) -> Iterator[str]:
    for name, value in run.statistics.items():
        if value:
            yield f"  {name:<36} {value:>14,}"


def _column(counts: Mapping[str, int], word: str, meaning: str) -> list[str]:
    """The total, then each kind, the most frequent first."""
    kinds = [(kind, count) for kind, count in most(counts, len(counts)) if count]
    return [f"  {meaning}", *(f"{count:>{COUNT_WIDTH},} {kind}" for kind, count in [(word, sum(counts.values())), *kinds])]
