"""One program on one processor, disturbed or not, and the comparison of how two such runs ended.

What must be equal is everything: registers with their hidden parts, all memory, every port and MMIO access in its order. Only where something asynchronous was
delivered is it allowed to leave its frames on dead stack.
"""

from __future__ import annotations

import contextlib
import enum
import random
import struct
import threading
from collections.abc import Callable, Iterator

import attrs
from ringone.api.cpu import CpuBackend, CpuModel, CpuState, ExitReason, RunBudget
from ringone.testing.cpu_bench import RAM_BYTES, BenchContext, CpuBench

from . import world as w
from .configurations import Configuration
from .program import Image

LIMIT = 300_000
"""Progress units that the undisturbed reference may use; a program that needs more is not compared."""
PATIENCE = 400
"""How many times as much as the reference the others may use, beside `LIMIT`: a unit is not the same everywhere, disturbances cost, and each byte that is
copied over a descriptor table costs as much as a port access."""
MOST_RUNS = 4000
MOST_WAKES = 60
"""Of the reference. Others may meet twice as many HLTs: an interrupt that a port access raises ends the next HLT or comes right before it."""
MOST_INTERRUPTS = 20
"""At random places: more of them would use up the time of the program."""
LONGEST_CHOP = 1500


class Disturbance(enum.Enum):
    NONE = "undisturbed"
    CHOPPED = "stopped after random budgets"
    REQUESTED = "stopped by exit requests from another thread and from port handlers"
    MOVED = "saved and loaded into other processors of the given kinds in turn"
    INTERRUPTED = "interrupts and NMIs at random places"


@attrs.frozen
class Plan:
    """How a program is run: `configurations` in turn, more than one only where it is `MOVED`."""

    configurations: tuple[Configuration, ...]
    disturbance: Disturbance = Disturbance.NONE
    seed: int = 0

    def __str__(self) -> str:
        names = " -> ".join(configuration.name for configuration in self.configurations)
        return f"{names}, {self.disturbance.value}" + (f", seed {self.seed}" if self.disturbance is not Disturbance.NONE else "")


class Ending(enum.Enum):
    FINISHED = "finished"
    DEAD = "halted for ever before its end"
    SHUTDOWN = "shutdown"
    ENDLESS = "did not end"


@attrs.frozen
class Result:
    ending: Ending
    state: CpuState
    memory: bytes
    accesses: tuple[tuple[str, int, int, int], ...]
    interrupts: int
    """Delivered, without those that ended a HLT; `handled` of them reached their handler."""
    handled: int
    nmis: int
    progress: int
    """Used, in the configuration's own units."""


class Board:
    """A processor and what lies around it: ports that count, an interrupt controller that takes whatever is raised."""

    def __init__(self, configuration: Configuration, memory: bytes, state: CpuState) -> None:
        self.context = BenchContext(CpuModel())
        space = self.context.memory
        space.map_mmio("bench", CpuBench.MMIO, 0x1000, read=self._mmio_read, write=self._mmio_write, widths=(1, 2, 4), name="mmio", priority=1)
        space.freeze()
        self.on_access: Callable[[], None] = lambda: None
        self.accesses: list[tuple[str, int, int, int]] = []
        self.interrupts = self.handled = self.nmis = 0
        self.context.on_port = self._port_accessed
        self.context.on_acknowledge = self._acknowledged
        self.cpu: CpuBackend = configuration.make(self.context)
        space.listen(self.cpu.memory_changed, self.cpu.invalidate_code)
        space.write(0, memory)
        self.cpu.load_state(state)

    def memory(self) -> bytes:
        return bytes(self.context.memory.read(0, RAM_BYTES))

    def raise_interrupt(self, vector: int) -> None:
        self.context.vectors.append(vector)
        self.cpu.set_intr(True)

    def _acknowledged(self) -> None:
        self.cpu.set_intr(bool(self.context.vectors))

    def _port_accessed(self) -> None:
        access = self.context.port_accesses[-1]
        if access[:2] == ("out", w.PORT_IRQ):
            self.handled += 1
        elif access[:2] == ("out", w.PORT_NMI):
            self.nmis += 1
        else:
            self.accesses.append(access)
            self.context.port_value = len(self.accesses) * 0x9E3779B1 & 0xFFFFFFFF
            if access[:2] == ("out", w.PORT_RAISE):
                self.interrupts += 1
                self.raise_interrupt(w.IRQ)
        self.on_access()

    def _mmio_read(self, offset: int, size: int) -> int:
        self.accesses.append(("read", offset, size, 0))
        self.on_access()
        return 0x11223344 >> 8 * (offset & 3) & (1 << 8 * size) - 1

    def _mmio_write(self, offset: int, size: int, value: int) -> None:
        self.accesses.append(("write", offset, size, value))
        self.on_access()

    def moved_to(self, configuration: Configuration) -> Board:
        """The same machine with another processor."""
        board = Board(configuration, self.memory(), self.cpu.save_state())
        board.accesses, board.interrupts, board.handled, board.nmis = self.accesses, self.interrupts, self.handled, self.nmis
        board.context.port_value = self.context.port_value
        board.context.vectors = self.context.vectors
        board.cpu.set_intr(bool(board.context.vectors))
        self.cpu.close()
        return board


class Runner:
    """Takes one board from the start of a program to its end."""

    def __init__(self, image: Image, plan: Plan, limit: int, most_wakes: int = MOST_WAKES) -> None:
        self._plan = plan
        self._random = random.Random(plan.seed)
        self._turn = self._disturbances = 0
        self._limit = limit
        self._most_wakes = most_wakes
        self.used = 0
        self.board = Board(plan.configurations[0], image.memory, image.state)
        if plan.disturbance is Disturbance.REQUESTED:
            self.board.on_access = self._maybe_request

    def run(self) -> Ending:
        with self._requests():
            ending = self._run()
        return self._drain() if ending is Ending.FINISHED else ending

    def _run(self) -> Ending:
        wakes = 0
        for _ in range(MOST_RUNS):
            if self.used >= self._limit or wakes == self._most_wakes:
                break
            cpu = self.board.cpu
            before = cpu.progress()
            reason = cpu.run(RunBudget(progress=self._budget())).reason
            self.used += cpu.progress() - before
            if reason is ExitReason.SHUTDOWN:
                return Ending.SHUTDOWN
            if reason is ExitReason.HALT:
                state = cpu.save_state()
                if w.FINISH <= state.eip < w.FINISH + 0x80:
                    return Ending.FINISHED
                if not state.eflags & 0x200:
                    return Ending.DEAD
                wakes += 1
                self.board.raise_interrupt(w.WAKE)
                continue
            self._disturb()
        return Ending.ENDLESS

    def _budget(self) -> int:
        if self._plan.disturbance in (Disturbance.NONE, Disturbance.REQUESTED):
            return self._limit - self.used
        return self._random.choice((1, 7, 50, LONGEST_CHOP, self._random.randrange(1, LONGEST_CHOP)))

    def _disturb(self) -> None:
        if self._plan.disturbance is Disturbance.MOVED and self._random.random() < 0.3:
            self._turn += 1
            self.board = self.board.moved_to(self._plan.configurations[self._turn % len(self._plan.configurations)])
        elif self._plan.disturbance is Disturbance.INTERRUPTED and self._disturbances < MOST_INTERRUPTS:
            self._disturbances += 1
            if self._random.random() < 0.6:
                self.board.interrupts += 1
                self.board.raise_interrupt(w.IRQ)
            elif not self.board.cpu.save_state().nmi_pending:
                self.board.cpu.pulse_nmi()

    def _maybe_request(self) -> None:
        if self._random.random() < 0.5:
            self.board.cpu.request_exit()

    @contextlib.contextmanager
    def _requests(self) -> Iterator[None]:
        if self._plan.disturbance is not Disturbance.REQUESTED:
            yield
            return
        done = threading.Event()
        cpu = self.board.cpu

        def kick() -> None:
            while not done.wait(0.001):
                cpu.request_exit()

        thread = threading.Thread(target=kick)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _drain(self) -> Ending:
        """The program's end waits with interrupts on until all have come."""
        for _ in range(1000):
            reason = self.board.cpu.run(RunBudget(progress=10_000)).reason
            if reason is ExitReason.HALT and not self.board.context.vectors:
                return Ending.FINISHED
        return Ending.ENDLESS


def run(image: Image, plan: Plan, reference: Result | None = None) -> Result:
    limit = LIMIT if reference is None else reference.progress * PATIENCE + LIMIT
    runner = Runner(image, plan, limit, MOST_WAKES if reference is None else 2 * MOST_WAKES)
    try:
        ending = runner.run()
        board = runner.board
        return Result(ending, board.cpu.save_state(), board.memory(), tuple(board.accesses), board.interrupts, board.handled, board.nmis, runner.used)
    finally:
        runner.board.cpu.close()


# --- Comparison ----------------------------------------


def differences(expected: Result, got: Result) -> list[str]:
    """What differs, in the fields' words; the most telling first."""
    found: list[str] = []
    if expected.ending is not got.ending:
        found.append(f"ending: {expected.ending.value}, but {got.ending.value}")
    found += _log_differences(expected, got)
    found += _access_differences(expected, got)
    if got.ending is Ending.FINISHED and got.handled != got.interrupts:
        found.append(f"interrupts: {got.interrupts} raised, {got.handled} handled")
    found += _field_differences("", _comparable_state(expected), _comparable_state(got))
    found += _memory_differences(expected, got)
    return found


def faults(result: Result) -> list[str]:
    """The log, as text."""
    return [f"fault {index}: {_entry(values)}" for index, values in enumerate(_log(result))]


def _log(result: Result) -> list[tuple[int, ...]]:
    (count,) = struct.unpack_from("<I", result.memory, w.FAULTS)
    return [struct.unpack_from("<6I", result.memory, w.LOG + 32 * index) for index in range(min(count, w.LOG_ENTRIES))]


def _log_differences(expected: Result, got: Result) -> list[str]:
    ours, theirs = _log(expected), _log(got)
    for index in range(max(len(ours), len(theirs))):
        pair = [_entry(log[index]) if index < len(log) else "nothing" for log in (ours, theirs)]
        if pair[0] != pair[1]:
            return [f"fault {index}: {pair[0]}, but {pair[1]}"]
    return []


def _entry(values: tuple[int, ...]) -> str:
    return " ".join(f"{name}={value:#x}" for name, value in zip(w.LOG_FIELDS, values, strict=True))


def _access_differences(expected: Result, got: Result) -> list[str]:
    for index in range(max(len(expected.accesses), len(got.accesses))):
        pair = [accesses[index] if index < len(accesses) else None for accesses in (expected.accesses, got.accesses)]
        if pair[0] != pair[1]:
            return [f"port or MMIO access {index}: {pair[0]}, but {pair[1]}"]
    return []


def _comparable_state(result: Result) -> dict[str, object]:
    """Where a shutdown struck is left out: an entry of the TLB that memory contradicts by then may be used or not, and moves the last fault."""
    fields = attrs.asdict(result.state)
    if result.ending is Ending.SHUTDOWN:
        del fields["eip"]
    return fields


def _field_differences(path: str, ours: object, theirs: object) -> list[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [line for key in ours for line in _field_differences(f"{path}.{key}" if path else str(key), ours[key], theirs.get(key))]
    if isinstance(ours, tuple) and isinstance(theirs, tuple):
        return [line for index in range(len(ours)) for line in _field_differences(f"{path}[{index}]", ours[index], theirs[index])]
    if ours == theirs:
        return []
    shown = [f"{value:#x}" if isinstance(value, int) and not isinstance(value, bool) else repr(value) for value in (ours, theirs)]
    return [f"{path}: {shown[0]}, but {shown[1]}"]


def _memory_differences(expected: Result, got: Result) -> list[str]:
    ours, theirs = (bytearray(result.memory) for result in (expected, got))
    if any(result.interrupts or result.nmis for result in (expected, got)):
        for start, size in w.STACKS:
            ours[start : start + size] = theirs[start : start + size] = bytes(size)
    if ours == theirs:
        return []
    places = [page for page in range(0, RAM_BYTES, 0x1000) if ours[page : page + 0x1000] != theirs[page : page + 0x1000]]
    words = [(at, *(struct.unpack_from("<I", side, at)[0] for side in (ours, theirs))) for page in places for at in range(page, page + 0x1000, 4)]
    return [f"memory {at:#x}: {one:#x}, but {other:#x}" for at, one, other in words if one != other][:8]
