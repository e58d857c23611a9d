"""What every verb works with: the home and its machines, the plugins, and progress as VBoxManage shows it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from ringone.api.config import SettingsFormat
from ringone.api.errors import NotFoundError, RingOneError
from ringone.api.media import Progress
from ringone.api.settings import MachineSettings

from ringone_frontend_cli.context import Settings
from ringone_frontend_cli.vboxmanage.info import MachineView, VideoMode
from ringone_frontend_cli.vboxmanage.states import OF_MACHINE, ONLINE, State

if TYPE_CHECKING:
    from ringone.home import Home, RegisteredMachine
    from ringone.plugins import PluginRegistry

PROGRESS_STEP = 10
PNG_SIZE = (16, 20)
"""Where a PNG says how wide and high it is."""
COLOUR_BITS = 32


@attrs.frozen
class Machine:
    """A registered machine with its state."""

    registered: RegisteredMachine
    state: State

    @property
    def uuid(self) -> str:
        return self.registered.uuid

    @property
    def settings(self) -> MachineSettings | None:
        """None where the file cannot be read."""
        return self.registered.settings

    @property
    def loaded(self) -> MachineSettings:
        """The settings; the error of a file that cannot be read."""
        if self.registered.settings is None:
            raise self.registered.error or RingOneError(f"the machine {self.registered.name!r} is inaccessible")
        return self.registered.settings

    @property
    def is_online(self) -> bool:
        return self.state in ONLINE


@attrs.define
class Context:
    """`program` is the name that messages begin with; `home_folder` "" means the user's own home."""

    program: str
    home_folder: str = ""
    _percent: PercentLine | None = None

    @property
    def registry(self) -> PluginRegistry:
        return Settings.registry()

    @cached_property
    def home(self) -> Home:
        from ringone.home import Home

        return Home.open(self.folder, self.registry)

    @property
    def folder(self) -> Path | None:
        return Path(self.home_folder) if self.home_folder else None

    @property
    def settings_format(self) -> SettingsFormat:
        """Of the files that homes are made of."""
        found = next((spec.settings for spec in self.registry.config_loaders().values() if spec.settings is not None), None)
        if found is None:
            raise NotFoundError("no plugin reads and writes machine files")
        return found

    # --- machines

    def machine(self, name: str) -> Machine:
        """By name or UUID."""
        return self._with_state(self.home.find(name))

    def machines(self) -> Iterator[Machine]:
        for registered in self.home.machines():
            yield self._with_state(registered)

    def change(self, name: str, change: Callable[[MachineSettings], MachineSettings]) -> MachineSettings:
        """Save what `change` makes of the settings of a machine that is off."""
        return self.home.change(self.home.find(name), change)

    def view(self, machine: Machine) -> MachineView:
        settings = machine.loaded
        uuids = {record.location: record.uuid for top in (*self.home.settings().media, *settings.media) for record in top.walk()}
        view = MachineView(settings=settings, path=machine.registered.path, state=machine.state, image_uuids=uuids)
        return self._as_it_runs(view, machine) if machine.is_online else view

    def _as_it_runs(self, view: MachineView, machine: Machine) -> MachineView:
        """With what only the machine's process knows; a process that does not answer is no reason to say nothing."""
        from ringone_frontend_cli.vboxmanage.running import client

        view = attrs.evolve(view, session="headless")
        try:
            with client(self, machine) as vm:
                state, picture = OF_MACHINE[vm.info().state], vm.screen.png()
                view = attrs.evolve(view, remote_display=vm.remote_display.info(), recording=vm.recording.info())
        except RingOneError:
            return view
        width, height = (int.from_bytes(picture[start : start + 4], "big") for start in PNG_SIZE)
        return attrs.evolve(view, state=state, video_mode=VideoMode(width=width, height=height, bits=COLOUR_BITS))

    def _with_state(self, registered: RegisteredMachine) -> Machine:
        from ringone.home import LockMode

        holder = self.home.holder(registered)
        if holder is not None and holder.mode is LockMode.RUN:
            return Machine(registered, State.RUNNING)
        return Machine(registered, offline_state(registered.settings))

    # --- what a person sees of long work

    def progress(self) -> Progress:
        self._percent = PercentLine()
        return self._percent

    def end_progress(self) -> None:
        """End a line that is not full, before something else is said."""
        if self._percent is not None:
            self._percent.end()


def offline_state(settings: MachineSettings | None) -> State:
    if settings is not None and settings.state_file is not None:
        return State.SAVED
    return State.ABORTED if settings is not None and settings.aborted else State.POWERED_OFF


class PercentLine:
    """``0%...10%...20%...`` on standard error, as far as the work is."""

    def __init__(self) -> None:
        self._shown = -PROGRESS_STEP

    def __call__(self, done: float) -> None:
        while self._shown < 100 and done * 100 >= self._shown + PROGRESS_STEP:
            self._shown += PROGRESS_STEP
            print(f"{self._shown}%" + ("..." if self._shown < 100 else "\n"), end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if 0 <= self._shown < 100:
            print(file=sys.stderr)
