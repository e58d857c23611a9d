"""Where a machine is reached, and how its process is started and ended."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import attrs

from ringone.api.errors import ConfigError
from ringone.client.launch import UNTIL_INPUT_ENDS, MachineProcess, launch
from ringone.home.runtime import socket_path

if TYPE_CHECKING:
    from ringone.api.settings import MachineSettings
    from ringone.plugins import PluginRegistry

MACHINE_FILE_SUFFIX = ".vbox"
STAY = ("--after-power-off", "stay", UNTIL_INPUT_ENDS)
"""Arguments for a process that outlives power-off, so that the machine can still go back to a checkpoint, but not the process that has started it."""
ANSWER_S = 5.0


class Started(Protocol):
    """A machine's process that was started here."""

    def end(self) -> None:
        """Power off where there is power, and wait until the process is gone."""
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


@attrs.frozen(kw_only=True)
class HomePlace:
    """A machine of a home. `arguments` are more ones for its process (``python -m ringone.home.headless``)."""

    uuid: str
    home: Path | None = None
    arguments: tuple[str, ...] = ()

    @property
    def socket(self) -> Path:
        return socket_path(self.uuid)

    def start(self) -> Started | None:
        return None if answers(self.socket) else _Started(launch(self.uuid, self.home, self.arguments))


@attrs.frozen(kw_only=True)
class FilePlace:
    """A machine file that needs not be in any home: it is run in one of its own, which is gone afterwards. Its locks are those that every home respects."""

    file: Path
    uuid: str
    arguments: tuple[str, ...] = ()

    @property
    def socket(self) -> Path:
        return socket_path(self.uuid)

    def start(self) -> Started | None:
        from ringone.home import Home
        from ringone.plugins import PluginRegistry

        if answers(self.socket):
            return None
        with contextlib.ExitStack() as life:
            folder = Path(life.enter_context(tempfile.TemporaryDirectory(prefix="ringone-")))
            Home.open(folder, PluginRegistry()).register(self.file)
            return _Started(launch(self.uuid, folder, self.arguments), life.pop_all())


class _Started:
    def __init__(self, process: MachineProcess, life: contextlib.ExitStack | None = None) -> None:
        self._process = process
        self._life = life or contextlib.ExitStack()

    def end(self) -> None:
        with self._life:
            self._process.terminate()
            self._process.finish()
            if not answers(self._process.socket):  # a killed process leaves it
                self._process.socket.unlink(missing_ok=True)


def place_of(machine: str | Path | Place, home: Path | None, arguments: tuple[str, ...] = ()) -> Place:
    """`machine` is a name or UUID in a home or the path of a machine file."""
    from ringone.plugins import PluginRegistry

    if not isinstance(machine, (str, Path)):
        return machine
    settings = machine_settings(machine, home, PluginRegistry())
    if is_file(machine):
        return FilePlace(file=Path(machine).absolute(), uuid=settings.config.uuid, arguments=arguments)
    return HomePlace(uuid=settings.config.uuid, home=home, arguments=arguments)


def is_file(machine: str | Path) -> bool:
    """A machine file, and no name in a home, which never has a separator."""
    return isinstance(machine, Path) or machine.endswith(MACHINE_FILE_SUFFIX) or os.sep in machine


def machine_settings(machine: str | Path, home: Path | None, registry: PluginRegistry) -> MachineSettings:
    """Of a machine that `place_of` would find."""
    from ringone.home import Home

    if is_file(machine):
        format = next((spec.settings for spec in registry.config_loaders().values() if spec.settings is not None), None)
        if format is None:
            raise ConfigError(f"{machine}: no plugin reads machine files; accepted is one such as ringone-config-xml")
        return format.load_machine(Path(machine))
    found = Home.open(home, registry).find(str(machine))
    if found.settings is None:
        raise found.error or ConfigError(f"{found.path}: the machine file cannot be read")
    return found.settings


def answers(path: Path) -> bool:
    """Whether a machine's process listens there."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(ANSWER_S)
        try:
            caller.connect(str(path))
        except OSError:
            return False
    return True
