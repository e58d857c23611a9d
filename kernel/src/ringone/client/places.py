"""Where a machine is reached, and how its process is started."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import attrs


class Started(Protocol):
    """A machine's process that was started here."""

    def finish(self) -> None:
        """After power-off: wait until the process is gone, and see to it that it goes."""
        ...


class Place(Protocol):
    @property
    def socket(self) -> Path: ...
    def start(self) -> Started | None:
        """Start the machine's process; None where it ran already."""
        ...


@attrs.frozen
class RunningPlace:
    """A machine that somebody else has started."""

    socket: Path

    def start(self) -> None:
        """It runs."""


def place_of(machine: str | Path | Place, home: Path | None) -> Place:
    assert not isinstance(machine, (str, Path)), home
    return machine
