"""Comparisons in a child process, so that an engine that ends its process, or hangs, ends no test run."""

from __future__ import annotations

import contextlib
import multiprocessing
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection

from . import oracle
from .configurations import BY_NAME, CONFIGURATIONS
from .oracle import Disturbance, Ending, Plan
from .program import Program, lay_out

TIME_LIMIT_S = 120
"""For one program and all its plans."""


def compare(program: Program, plans: Sequence[Plan]) -> str:
    """What differs between the reference and these plans; empty where nothing does, or where the program does not end."""
    image = lay_out(program)
    expected = oracle.run(image, Plan((CONFIGURATIONS[0],)))
    if expected.ending is Ending.ENDLESS:
        return ""
    for plan in plans:
        if plan.disturbance is Disturbance.INTERRUPTED and not (program.interruptible and expected.ending is Ending.FINISHED):
            plan = Plan(plan.configurations, Disturbance.CHOPPED, plan.seed)
        result = oracle.run(image, plan, expected)
        if expected.ending is Ending.SHUTDOWN and result.ending is Ending.ENDLESS:  # It faults its way through all of memory.
            continue
        found = oracle.differences(expected, result)
        if found:
            return "\n".join([f"{plan} differs from {CONFIGURATIONS[0]}:", *found, *oracle.faults(expected), str(program)])
    return ""


class Worker:
    """One child at a time; a new one where the last has died."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._process: multiprocessing.process.BaseProcess | None = None

    def compare(self, program: Program, plans: Sequence[Plan]) -> str:
        """As `compare` above; what ends the child is a difference too."""
        if self._connection is None:
            self._start()
        assert self._connection is not None
        self._connection.send((program, [_named(plan) for plan in plans]))
        if not self._connection.poll(TIME_LIMIT_S):
            return self._failed("did not come back", program, plans)
        try:
            return str(self._connection.recv())
        except EOFError:
            return self._failed("ended the process", program, plans)

    def _start(self) -> None:
        forked = multiprocessing.get_context("fork")
        self._connection, theirs = forked.Pipe()
        self._process = forked.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def _failed(self, how: str, program: Program, plans: Sequence[Plan]) -> str:
        self.close()
        return "\n".join([f"one of these {how}:", *map(str, plans), str(program)])

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _serve(connection: Connection) -> None:
    with contextlib.suppress(EOFError):
        while True:
            program, plans = connection.recv()
            try:
                answer = compare(program, [Plan(tuple(BY_NAME[name] for name in names), disturbance, seed) for names, disturbance, seed in plans])
            except Exception:
                answer = f"{traceback.format_exc()}\n{program}"
            connection.send(answer)


_NamedPlan = tuple[list[str], Disturbance, int]


def _named(plan: Plan) -> _NamedPlan:
    """A plan without the functions that make processors."""
    return [configuration.name for configuration in plan.configurations], plan.disturbance, plan.seed
