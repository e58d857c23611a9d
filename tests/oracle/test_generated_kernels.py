"""Generated kernels, and known hard cases, on every configuration: the result is the recompiler's, whatever disturbs the run.

`make oracle` runs tens of thousands. A failure prints the program that hypothesis has shrunk, and what differs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from .configurations import CONFIGURATIONS, PATM, RECOMPILER
from .generated_kernels import programs
from .hard_cases import HARD_CASES
from .oracle import Disturbance, Plan
from .program import Program
from .worker import Worker

EXAMPLES = int(os.environ.get("RINGONE_ORACLE_EXAMPLES", "0"))
BATCHES = 4
SETTINGS = settings(
    max_examples=EXAMPLES // BATCHES or 50,
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    report_multiple_bugs=False,
)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    disturbance = draw(st.sampled_from(Disturbance))
    configurations = draw(st.permutations(CONFIGURATIONS)) if disturbance is Disturbance.MOVED else [draw(st.sampled_from(CONFIGURATIONS))]
    return Plan(tuple(configurations), disturbance, draw(st.integers(0, 999)))


@pytest.mark.parametrize("batch", range(BATCHES))
def test_generated_kernels_end_the_same_everywhere(worker: Worker, batch: int) -> None:
    @SETTINGS
    @given(programs(), st.lists(plans(), min_size=1, max_size=3), st.just(batch))
    def check(program: Program, chosen: list[Plan], _batch: int) -> None:
        difference = worker.compare(program, [*(Plan((configuration,)) for configuration in CONFIGURATIONS[1 + batch % 2 : 3 - batch % 2]), *chosen])
        note(difference)
        assert not difference

    check()


DISTURBANCES = tuple(Disturbance) if EXAMPLES else (Disturbance.NONE,)


@pytest.mark.parametrize("name", HARD_CASES)
def test_known_hard_cases_end_the_same_everywhere(worker: Worker, name: str) -> None:
    chosen = [Plan((configuration,), disturbance) for disturbance in DISTURBANCES for configuration in CONFIGURATIONS[1:]]
    assert worker.compare(HARD_CASES[name], [*chosen, Plan((PATM,), Disturbance.INTERRUPTED), Plan((PATM, RECOMPILER), Disturbance.MOVED)]) == ""
