"""Random guest programs on the recompiler, in child processes: none may end the process, hang, or raise in Python.

A failure names the seed; ``python -m tests.robustness.test_cpu_fuzz SEED`` runs that one program in the open. `make fuzz` takes new seeds, and many.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import sys
from multiprocessing.connection import Connection

import pytest
from ringone.testing.cpu_bench import CpuBench
from ringone_cpu_recompiler.backend import RecompilerBackend
from ringone_cpu_recompiler.options import RecompilerOptions

from . import cpu_programs

PROGRAMS = int(os.environ.get("RINGONE_FUZZ_PROGRAMS", "0"))
FIRST_SEED = random.SystemRandom().getrandbits(40) if PROGRAMS else 1
BATCH = 100
TIME_LIMIT_S = 60
"""For one program."""


def run(seed: int) -> None:
    bench = CpuBench(lambda context: RecompilerBackend(context, RecompilerOptions()))
    with contextlib.closing(bench.cpu):
        cpu_programs.run(seed, bench)


def _run_all(sender: Connection, seeds: range) -> None:
    """Say each seed before it runs, and what was raised."""
    for seed in seeds:
        sender.send((seed, ""))
        try:
            run(seed)
        except Exception as error:
            sender.send((seed, f"{type(error).__name__}: {error}"))
    sender.send(None)


def failures(seeds: range) -> list[str]:
    """What went wrong in a child process that runs these programs; where it dies, the rest goes to another."""
    found: list[str] = []
    while seeds:
        forked = multiprocessing.get_context("fork")
        receiver, sender = forked.Pipe(duplex=False)
        child = forked.Process(target=_run_all, args=(sender, seeds))
        child.start()
        sender.close()
        current = seeds[0]
        try:
            while receiver.poll(TIME_LIMIT_S):
                said = receiver.recv()
                if said is None:
                    return found
                current, complaint = said
                if complaint:
                    found.append(f"seed {current}: {complaint}")
            found.append(f"seed {current}: did not come back")
        except EOFError:
            child.join()
            found.append(f"seed {current}: ended the process with exit code {child.exitcode}")
        finally:
            child.kill()
            child.join()
        seeds = range(current + 1, seeds.stop)
    return found


@pytest.mark.parametrize("batch", range(PROGRAMS // BATCH or 2))
def test_random_programs_do_no_harm(batch: int) -> None:
    first = FIRST_SEED + batch * BATCH
    assert failures(range(first, first + BATCH)) == []


if __name__ == "__main__":
    run(int(sys.argv[1]))
