"""Renaming a machine: its file, and its folder where that is called as the machine was.

The name in the file is the machine's name; file and folder follow. A note beside the folder says where they go, so that a machine whose renaming was cut
short is found at either place (`found_again`); the next change of the registry writes down where.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from ringone.api.errors import ConfigError, DriverError
from ringone.api.settings import MachineEntry, MediumRecord
from ringone.home.atomic import replace_file, sync_folder
from ringone.home.paths import SUFFIX

BESIDE = ("", "-prev", "-journal")
"""What is appended to the names of files that follow the machine file."""
NOTE_BYTES = 64 << 10


@attrs.frozen
class Renaming:
    """`keeps_folder` where other machines have images in the folder, whose files say so by path."""

    machine: MachineEntry
    before: str
    after: str
    keeps_folder: bool = False

    @property
    def folder(self) -> Path:
        old = self.machine.path.parent
        return old if self.keeps_folder or old.name != self.before else old.with_name(self.after)

    @property
    def path(self) -> Path:
        """Where the machine's file is afterwards."""
        old = self.machine.path
        return self.folder / (self.after + SUFFIX if old.name == self.before + SUFFIX else old.name)

    def require_room(self) -> None:
        old = self.machine.path
        for taken in (self.folder if self.folder != old.parent else None, self.path if self.path != old else None):
            if taken is not None and taken.exists():
                raise ConfigError(f"machine {self.before!r} cannot be renamed to {self.after!r}: {taken} exists already")

    def note(self) -> None:
        places = [str(self.folder / self.machine.path.name), str(self.path)]
        with as_driver_error(self.machine.path, "note where the machine goes"):
            replace_file(note_file(self.machine), json.dumps(places).encode())

    def move(self) -> None:
        """After the new name was saved in the file."""
        old = self.machine.path
        with as_driver_error(old, f"rename it to {self.path}"):
            if self.folder != old.parent:
                old.parent.rename(self.folder)
                sync_folder(self.folder.parent)
            for suffix in reversed(BESIDE):
                source, target = self.folder / (old.name + suffix), self.path.with_name(self.path.name + suffix)
                if source != target and source.exists():
                    source.rename(target)
            sync_folder(self.folder)

    def moved(self, record: MediumRecord) -> MediumRecord:
        """A record of the home's registry, with its place in the renamed folder."""
        old = self.machine.path.parent
        location = self.folder / record.location.relative_to(old) if record.location.is_relative_to(old) else record.location
        return attrs.evolve(record, location=location, children=tuple(map(self.moved, record.children)))


def note_file(machine: MachineEntry) -> Path:
    """Beside the machine's folder."""
    return machine.path.parent.with_name(f".{machine.uuid}.renaming")


def found_again(machine: MachineEntry) -> MachineEntry:
    """The machine at the place where a renaming that was cut short has left it."""
    if machine.path.exists():
        return machine
    places = _noted_places(note_file(machine))
    return next((MachineEntry(uuid=machine.uuid, path=place) for place in places if place.exists()), machine)


def _noted_places(note: Path) -> list[Path]:
    try:
        with note.open("rb") as file:
            places: Any = json.loads(file.read(NOTE_BYTES))
        return [Path(place) for place in places if type(place) is str and "\0" not in place]
    except (OSError, ValueError, TypeError, RecursionError):
        return []


@contextlib.contextmanager
def as_driver_error(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DriverError(f"{path}: cannot {what}: {error.strerror or error}") from error
