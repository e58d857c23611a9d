"""A machine's place on disk as frontends see it while the machine runs: its settings, snapshots and saved state."""

from __future__ import annotations

from typing import Protocol

from ringone.api.media import Progress, no_progress
from ringone.api.settings import MachineSettings, SnapshotRecord


class MachineKeeper(Protocol):
    """What a machine of a home has beyond `VmSession`: `VmSession.keeper`. May be called from any thread but the machine's own; calls wait for each other.

    A snapshot is named by its UUID or, where only one has it, its name; `UnknownNameError` otherwise.
    """

    def settings(self) -> MachineSettings:
        """As they are on disk now."""
        ...

    def take_snapshot(self, name: str, description: str = "", progress: Progress = no_progress) -> SnapshotRecord:
        """Keep RAM, processor, devices and disks. The guest waits only while its state is copied, not while it is written. Where that fails, the machine goes
        on as before. Raises `StateError` while disks have checkpoints."""
        ...

    def restore_snapshot(self, snapshot: str, progress: Progress = no_progress) -> None:
        """Put the machine back in place, without taking it apart; it goes on running or stays paused as it was. Removable media stay in their drives.
        Raises `StateError` for a snapshot that has no state or other hardware: that can be restored while the machine is off."""
        ...

    def delete_snapshot(self, snapshot: str, progress: Progress = no_progress) -> None:
        """Forget it; its images and state are merged into those that stand on them, while the guest goes on. Merging that fails is made up for later.
        Raises `StateError` where several snapshots stand on it, or one and the machine itself, or a disk of another machine."""
        ...

    def edit_snapshot(self, snapshot: str, *, name: str | None = None, description: str | None = None) -> SnapshotRecord: ...
    def save_state(self, progress: Progress = no_progress) -> None:
        """Save the state to disk and power off: the next start goes on from here."""
        ...
