"""A machine of a home in the process that runs it: what is done with its files before, at its start, and afterwards.

with home.lock(machine, LockMode.RUN, "running it") as lock:
    run = prepare_to_run(home, machine, lock, registry.media_formats())
    session = create_session(run.config, registry)
    run.start(session)
    ...
    session.wait(); session.close()
    run.finish(session)
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ringone.api.config import MachineConfig
from ringone.api.errors import UnsupportedError
from ringone.api.events import MachineState
from ringone.api.media import MediumFormatSpec, Progress, no_progress
from ringone.home.changes import MachineFiles
from ringone.home.disks import power_on
from ringone.home.home import Home, RegisteredMachine
from ringone.home.keeper import RunningKeeper
from ringone.home.machinelock import MachineLock
from ringone.home.offline import now
from ringone.machine import Session


@attrs.frozen
class MachineRun:
    """`config` is what the session is created from. `saved` tells whether its start goes on from a saved state."""

    config: MachineConfig
    saved: bool
    files: MachineFiles

    def start(self, session: Session, progress: Progress = no_progress) -> RunningKeeper:
        """Give the session its keeper and let the guest run: cold, or from the saved state, which is gone then. A state that cannot be loaded stays."""
        session.keeper = keeper = RunningKeeper(self.files, session)
        before = self.files.load()
        after = attrs.evolve(before, state_file=None, aborted=False, current_state_modified=True, last_state_change=now())
        if before.state_file is None:
            self.files.save(after)
            session.start()
            return keeper
        session.restore_file(before.state_file, progress=progress)
        with self.files.changing(before, after):
            self.files.save(after)
        self.files.tidy()
        session.resume()
        return keeper

    def finish(self, session: Session) -> None:
        """After the session was closed: how the machine ended is written down, and what it left is tidied up."""
        if isinstance(session.keeper, RunningKeeper):
            session.keeper.retire()
        self.files.tidy()
        settings = self.files.load()
        aborted = session.state is MachineState.ABORTED
        self.files.save(attrs.evolve(settings, aborted=aborted, current_state_modified=True, last_state_change=now()))


def prepare_to_run(home: Home, machine: RegisteredMachine, lock: MachineLock, media_formats: Mapping[str, MediumFormatSpec]) -> MachineRun:
    """Finish what a killed process left, and give immutable and multi-attach disks images to write to; those of a saved machine stay as they are."""
    files = MachineFiles(home, machine, lock, media_formats)
    files.clean_up()
    settings = files.load()
    if settings.refusals:
        raise UnsupportedError(f"{machine.name!r} cannot be started: {'; '.join(settings.refusals)}", source=str(machine.path))
    if settings.state_file is None:
        change = power_on(settings, files.folder(settings))
        if change.create:
            files.apply(settings, change)
            settings = change.settings
    return MachineRun(settings.config, settings.state_file is not None, files)
