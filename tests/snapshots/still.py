"""A running machine without a processor: disks, a state, and the calls that a keeper makes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar, cast

from ringone.api.events import MachineState
from ringone.api.media import Progress, no_progress
from ringone.home import LockMode
from ringone.home.keeper import RunningKeeper
from ringone.home.running import prepare_to_run
from ringone.machine import Session
from ringone.machine.disks import NO_DISKS, Chains, FixedDisks, nothing
from ringone.snapshot.image import StateImage
from ringone.snapshot.statefile import read_state_file
from ringone_storage.fixed_disk import DiskImage

from tests.snapshots.lab import SECTORS_A_BLOCK, Lab, formats

T = TypeVar("T")


class StillSession:
    """As much of `ringone.machine.Session` as snapshots need. The guest does what a test says: `write`."""

    def __init__(self, chain: Sequence[Path]) -> None:
        self.disk = DiskImage(formats(), chain)
        self._disks = FixedDisks({"ide.drive00": self.disk})
        self.state = MachineState.PAUSED
        self.keeper: RunningKeeper | None = None
        self.memory = bytearray(64 << 10)

    def write(self, block: int, text: bytes) -> None:
        """To the first sector of an image block, flushed, and to memory."""
        self.disk.write(block * SECTORS_A_BLOCK, text * (512 // len(text)))
        self.disk.flush()
        self.memory[: len(text)] = text

    def capture(self, disks: Chains = NO_DISKS, meanwhile: Callable[[], None] = nothing) -> StateImage:
        with self._disks.switched(disks, meanwhile):
            return StateImage("small", {}, {"ram": memoryview(bytes(self.memory))})

    def restore(self, image: StateImage, disks: Chains = NO_DISKS, meanwhile: Callable[[], None] = nothing) -> None:
        with self._disks.switched(disks, meanwhile):
            self.memory[:] = image.memory["ram"]

    def restore_file(self, path: Path, disks: Chains = NO_DISKS, progress: Progress = no_progress) -> None:
        self.restore(read_state_file(path, progress), disks)

    def switch_disks(self, disks: Chains, meanwhile: Callable[[], None] = nothing) -> None:
        with self._disks.switched(disks, meanwhile):
            """Nothing else changes."""

    def disk_chains(self) -> Chains:
        return self._disks.chains()

    def request(self, command: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        future.set_result(command())
        return future

    def subscribe(self, observer: Callable[[object], None]) -> Callable[[], None]:
        return nothing

    def announce(self, event: object) -> None:
        """Nobody listens."""

    def start(self) -> None:
        """Stays paused: nothing happens that no test says."""

    def resume(self) -> None:
        """As `start`."""

    def power_off(self) -> None:
        self.state = MachineState.POWERED_OFF


@contextlib.contextmanager
def still_running(lab: Lab) -> Iterator[tuple[StillSession, RunningKeeper]]:
    """As `Lab.running`; the process ends with the block, in order or not."""
    with lab.home.lock(lab.machine, LockMode.RUN, "running it") as lock:
        run = prepare_to_run(lab.home, lab.machine, lock, formats())
        drive = run.config.drives[0]
        assert drive.image is not None
        session = StillSession((drive.image, *drive.parents))
        try:
            run.start(cast(Session, session))
            assert session.keeper is not None
            yield session, session.keeper
        finally:
            session.disk.close()
