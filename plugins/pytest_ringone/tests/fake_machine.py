"""In place of `ringone.client.Machine`: remembers what the plugin did with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from ringone.api.errors import DriverError, WaitTimeoutError
from ringone.api.events import MachineState

PNG = b"\x89PNG picture"


class FakeSerial:
    def __init__(self) -> None:
        self.position = 0
        self.said = b""

    def read(self) -> bytes:
        said = self.said[self.position :]
        self.position = len(self.said)
        return said

    def wait_for(self, text: str, timeout_s: float, *, clock: str) -> None:
        self.position = len(self.said)


class FakeScreen:
    def __init__(self, history: list[str]) -> None:
        self._history = history

    def wait_for(self, text: str, timeout_s: float, *, clock: str) -> None:
        self._history.append(f"wait for {text!r} {timeout_s:g} s {clock}")
        if text not in "debian login:":
            raise WaitTimeoutError(f"{text!r} did not come")

    def png(self) -> bytes:
        return PNG

    def text(self) -> str:
        return "debian login:"


class FakePlace:
    def __init__(self, machine: str) -> None:
        self.machine = machine
        self.socket = f"socket of {machine}"


class FakeMachine:
    history: ClassVar[list[str]] = []

    def __init__(self, place: FakePlace) -> None:
        self.name = place.machine
        self.state = MachineState.RUNNING
        self.screen = FakeScreen(self.history)
        self.serial = FakeSerial()
        self.alive = True

    def __enter__(self) -> FakeMachine:
        self.history.append(f"start {self.name}")
        return self

    def __exit__(self, *error: object) -> None:
        self.history.append(f"end {self.name}")

    def events(self) -> Iterator[Any]:
        yield SimpleNamespace(kind="StateChanged", fields={"old": "poweroff", "new": "running"})

    def take_checkpoint(self) -> int:
        self.history.append("checkpoint")
        return 7

    def roll_back(self, checkpoint: int) -> None:
        if not self.alive:
            raise DriverError("the machine's process broke off")
        self.history.append(f"roll back to {checkpoint}")
        self.serial.position = len(self.serial.said)
        if self.state is not MachineState.RUNNING:
            self.state = MachineState.PAUSED

    def resume(self) -> None:
        self.history.append("resume")
        self.state = MachineState.RUNNING

    @classmethod
    def copied(cls, machine: str, folder: Path, *, home: Path | None = None, snapshot: str = "") -> str:
        assert folder.is_dir()
        cls.history.append(f"copy {Path(machine).name} of {home} at {snapshot!r}")
        return "copy"
