"""A process that dies at any moment of a save or a renaming leaves the old state or the new one, and nothing that is in the way."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from ringone.api.errors import RingOneError
from ringone.api.settings import MachineSettings
from ringone.home import Home, RegisteredMachine, new_settings
from ringone.plugins import PluginRegistry

MIB = 1 << 20
KILLS = int(os.environ.get("RINGONE_KILLS", "4"))
CALLS = ("open", "write", "fsync", "replace", "rename", "unlink", "mkdir", "ftruncate", "close")
"""What a save does to the disk goes through these, in `os` or in `pathlib`, which calls them."""


class Killed(BaseException):
    """In place of the end of the process: nothing after it touches the disk."""


class Disk:
    """Counts changes of the disk and dies before the `death`-th."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, death: int) -> None:
        self.steps = 0
        self._death = death
        self._locks: list[int] = []
        self._close = os.close
        for name in CALLS:
            monkeypatch.setattr(os, name, self._guarded(getattr(os, name)))

    def bury(self) -> None:
        """Let go of the locks, as the operating system does for a process that is gone."""
        for number in self._locks:
            with contextlib.suppress(OSError):
                self._close(number)

    def _guarded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*arguments: Any, **named: Any) -> Any:
            self.steps += 1
            if self.steps >= self._death:
                raise Killed
            result = call(*arguments, **named)
            if call.__name__ == "open" and Path(arguments[0]).suffix in (".lock", ".session"):
                self._locks.append(result)
            elif call.__name__ == "close" and arguments[0] in self._locks:
                self._locks.remove(arguments[0])
            return result

        return guarded


@pytest.fixture(scope="module")
def registry() -> PluginRegistry:
    return PluginRegistry()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, registry: PluginRegistry) -> Path:
    folder = tmp_path_factory.mktemp("template") / "home"
    home = Home.open(folder, registry)
    for name in ("debian", "other"):
        home.register(home.create(new_settings(name)))
    return folder


def with_memory(size: int) -> Callable[[MachineSettings], MachineSettings]:
    return lambda settings: attrs.evolve(settings, config=attrs.evolve(settings.config, memory_bytes=size * MIB))


def named(name: str) -> Callable[[MachineSettings], MachineSettings]:
    return lambda settings: attrs.evolve(settings, config=attrs.evolve(settings.config, name=name))


def change_memory(home: Home, machine: RegisteredMachine) -> None:
    home.change(machine, with_memory(77))


def rename(home: Home, machine: RegisteredMachine) -> None:
    home.change(machine, named("sid"))


def make_another(home: Home, machine: RegisteredMachine) -> None:
    home.register(home.create(new_settings("another")))


def forget(home: Home, machine: RegisteredMachine) -> None:
    home.unregister(machine)


def change_what_is_shared(home: Home, machine: RegisteredMachine) -> None:
    home.change_settings(lambda settings: attrs.evolve(settings, log_history_count=9))


WORK = {
    "change memory": change_memory,
    "rename": rename,
    "make another": make_another,
    "forget": forget,
    "change what is shared": change_what_is_shared,
}


def state_of(home: Home) -> tuple[object, ...]:
    """What a user sees."""
    machines = tuple((machine.name, machine.accessible, machine.settings and machine.settings.config.memory_bytes) for machine in home.machines())
    return (*machines, home.settings().log_history_count)


def die_everywhere(folder: Path, registry: PluginRegistry, work: Callable[[Home, RegisteredMachine], None]) -> Iterator[tuple[int, Home]]:
    """Homes in which `work` was cut short before its first change of the disk, before its second, and so on."""
    for death in range(1, 1000):
        target = folder / str(death)
        shutil.copytree(folder / "template", target)
        home = Home.open(target, registry)
        machine = home.find("debian")
        with pytest.MonkeyPatch.context() as monkeypatch:
            disk = Disk(monkeypatch, death)
            try:
                work(home, machine)
            except Killed:
                finished = False
            else:
                finished = True
        disk.bury()
        yield death, Home.open(target, registry)
        if finished:
            assert disk.steps < death
            return
        shutil.rmtree(target)


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_dying_before_any_change_of_the_disk_leaves_the_old_state_or_the_new_one(
    tmp_path: Path, template: Path, registry: PluginRegistry, work: Callable[[Home, RegisteredMachine], None]
) -> None:
    shutil.copytree(template, tmp_path / "template")
    before = state_of(Home.open(tmp_path / "template", registry))
    seen = []
    for death, home in die_everywhere(tmp_path, registry, work):
        seen.append(state_of(home))
        assert all(machine.accessible for machine in home.machines()), f"after death {death}"
        home.change(home.machines()[-1], with_memory(99))
    after = seen[-1]
    assert after != before
    assert set(seen) == {before, after}
    assert seen == sorted(seen, key=lambda state: state == after)


def test_a_renaming_that_was_cut_short_can_be_repeated_or_taken_back(tmp_path: Path, template: Path, registry: PluginRegistry) -> None:
    shutil.copytree(template, tmp_path / "template")
    for death, home in die_everywhere(tmp_path, registry, rename):
        if death % 5:
            continue
        machine = home.machines()[0]
        home.change(machine, named("third"))
        assert home.find("third").accessible
        home.change(home.find("third"), named("debian"))
        assert state_of(home)[0] == ("debian", True, 128 * MIB)


def test_settings_whose_disk_fails_are_an_error_and_stay_as_they_were(
    tmp_path: Path, template: Path, registry: PluginRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home.open(Path(shutil.copytree(template, tmp_path / "home")), registry)
    before = state_of(home)

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    for work in (change_memory, rename, change_what_is_shared):
        with pytest.raises(RingOneError, match="Input/output error"):
            work(home, home.find("debian"))
        assert state_of(home) == before


WRITER = """
import sys
from pathlib import Path
import attrs
from ringone.home import Home
from ringone.plugins import PluginRegistry
home = Home.open(Path(sys.argv[1]), PluginRegistry())
print("ready", flush=True)
number = 0
while True:
    number += 1
    home.change(home.find("other"), lambda s: attrs.evolve(s, config=attrs.evolve(s.config, description=f"<{number}>" * 2000)))
    name = f"vm{number % 2}"
    home.change(home.machines()[0], lambda s: attrs.evolve(s, config=attrs.evolve(s.config, name=name)))
    home.change_settings(lambda s: attrs.evolve(s, extra_data={"number": str(number)}))
"""


def test_processes_that_are_killed_while_they_save_lose_nothing(tmp_path: Path, template: Path, registry: PluginRegistry) -> None:
    home = Home.open(Path(shutil.copytree(template, tmp_path / "home")), registry)
    dice = random.Random(4)
    for _ in range(KILLS):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "home")], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(dice.uniform(0.02, 0.25))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        first, other = home.machines()
        assert first.accessible
        assert first.name in ("debian", "vm0", "vm1")
        assert other.settings is not None
        described = other.settings.config.description
        assert described == described[: len(described) // 2000] * 2000
        home.change(first, with_memory(64))
        home.change(other, with_memory(64))
