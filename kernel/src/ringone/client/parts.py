"""What can be done with a running machine, one class a group of routes of its control API."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ringone.api.errors import StateError
from ringone.api.events import MachineState
from ringone.client.answers import Cells, KeyboardInfo, MachineInfo, Match, RecordingInfo, RemoteDisplayInfo, Snapshot, make, record
from ringone.client.calls import Call, L_co, Part, Response, nothing, operation

WAIT_S = 60.0
"""How long is waited for something where the caller does not say, in the guest's time."""


def _waiting(condition: Mapping[str, Any], timeout_s: float, clock: str) -> Call[Match]:
    return Call(method="POST", path="/wait", json={**condition, "timeout_s": timeout_s, "clock": clock}, answer=record(Match), timeout_s=None)


def _do(action: str) -> Call[None]:
    return Call(method="POST", path=f"/machine/{action}", answer=nothing, timeout_s=None)


def _content(response: Response) -> bytes:
    return response.content


def _text(response: Response) -> str:
    return response.text


class Keyboard(Part[L_co]):
    @operation
    def type(self, text: str, layout: str = "us") -> Call[None]:
        """Type `text` and return when the guest has taken every key. Line ends are Enter. What the layout cannot type is an `UnsupportedError`."""
        return Call(method="POST", path="/keyboard/text", json={"text": text, "layout": layout}, answer=nothing, timeout_s=None)

    @operation
    def press(self, *keys: str, layout: str = "us") -> Call[None]:
        """Press and release combinations, one after the other: ``press("ctrl-alt-delete")``, ``press("down", "enter")``."""
        return Call(method="POST", path="/keyboard/keys", json={"keys": list(keys), "layout": layout}, answer=nothing, timeout_s=None)

    @operation
    def put_scancodes(self, codes: bytes) -> Call[None]:
        """Set-1 codes as they are."""
        return Call(method="POST", path="/keyboard/scancodes", json={"codes": list(codes)}, answer=nothing)

    @operation
    def info(self) -> Call[KeyboardInfo]:
        return Call(method="GET", path="/keyboard", answer=record(KeyboardInfo))


class Mouse(Part[L_co]):
    """`buttons`: bit 0 left, 1 right, 2 middle; they are down until another call says otherwise."""

    @operation
    def move(self, dx: int = 0, dy: int = 0, *, wheel: int = 0, buttons: int = 0) -> Call[None]:
        """Relative; y grows downwards."""
        return Call(method="POST", path="/mouse", json={"dx": dx, "dy": dy, "wheel": wheel, "buttons": buttons}, answer=nothing)


class Screen(Part[L_co]):
    @operation
    def text(self) -> Call[str]:
        """Of a text mode, a line a row; a `StateError` in graphics modes."""
        return Call(method="GET", path="/screen/text", answer=_text)

    @operation
    def cells(self) -> Call[Cells]:
        """Characters with their colours, and the cursor."""
        return Call(method="GET", path="/screen/cells", answer=record(Cells))

    @operation
    def png(self) -> Call[bytes]:
        return Call(method="GET", path="/screen.png", answer=_content)

    @operation
    def wait_for(self, text: str, timeout_s: float = WAIT_S, *, clock: str = "guest") -> Call[Match]:
        """Until `text` is on the screen. `clock` says what the timeout counts: ``guest`` or ``wall``. `WaitTimeoutError` has the screen's text."""
        return _waiting({"text": text}, timeout_s, clock)

    @operation
    def wait_for_regex(self, pattern: str, timeout_s: float = WAIT_S, *, clock: str = "guest") -> Call[Match]:
        return _waiting({"regex": pattern}, timeout_s, clock)

    @operation
    def wait_until_idle(self, quiet_ms: int = 500, timeout_s: float = WAIT_S, *, clock: str = "guest") -> Call[Match]:
        """Until nothing has changed for `quiet_ms` of the guest's time."""
        return _waiting({"idle_screen": quiet_ms}, timeout_s, clock)


class Serial(Part[L_co]):
    """One serial port. `position` counts what the guest has said since power-on; reading and waiting go on from there, and move it behind what they gave."""

    def __init__(self, line: L_co, slot: int) -> None:
        super().__init__(line)
        self._slot = slot
        self.position = 0

    @operation
    def read(self) -> Call[bytes]:
        """What the guest has said since the last call."""
        return Call(method="GET", path=f"/serial/{self._slot}", query={"since": self.position}, answer=self._said)

    @operation
    def log(self) -> Call[bytes]:
        """All that the guest has said, as far as it is kept. `position` stays."""
        return Call(method="GET", path=f"/serial/{self._slot}", query={"since": 0}, answer=_content)

    @operation
    def write(self, data: bytes | str) -> Call[None]:
        content = data.encode() if isinstance(data, str) else data
        return Call(method="POST", path=f"/serial/{self._slot}", content=content, answer=nothing, timeout_s=None)

    @operation
    def wait_for(self, text: str, timeout_s: float = WAIT_S, *, clock: str = "guest") -> Call[Match]:
        """Until `text` was said, before this call or after it, but behind what was waited for last."""
        return self._waiting({"serial": text}, timeout_s, clock)

    @operation
    def wait_for_regex(self, pattern: str, timeout_s: float = WAIT_S, *, clock: str = "guest") -> Call[Match]:
        """The first match counts, however much more could belong to it: say what follows (``[0-9]+\\\\r\\\\n``)."""
        return self._waiting({"serial_regex": pattern}, timeout_s, clock)

    def _waiting(self, condition: Mapping[str, Any], timeout_s: float, clock: str) -> Call[Match]:
        body = {**condition, "slot": self._slot, "since": self.position, "timeout_s": timeout_s, "clock": clock}
        return Call(method="POST", path="/wait", json=body, answer=self._matched, timeout_s=None)

    def _said(self, response: Response) -> bytes:
        self.position = int(response.headers["Serial-Position"]) + len(response.content)
        return response.content

    def _matched(self, response: Response) -> Match:
        match = record(Match)(response)
        self.position = match.end or self.position
        return match


class Snapshots(Part[L_co]):
    """Of a machine of a home. Each is named by its UUID or, where only one has it, its name."""

    @operation
    def all(self) -> Call[list[Snapshot]]:
        """Each before those that stand on it."""
        return Call(method="GET", path="/snapshots", answer=lambda response: [make(Snapshot, each) for each in response.json()])

    @operation
    def take(self, name: str, description: str = "") -> Call[Snapshot]:
        return Call(method="POST", path="/snapshots", json={"name": name, "description": description}, answer=record(Snapshot), timeout_s=None)

    @operation
    def restore(self, snapshot: str) -> Call[None]:
        return Call(method="POST", path=f"/snapshots/{quote(snapshot, safe='')}/restore", answer=nothing, timeout_s=None)

    @operation
    def edit(self, snapshot: str, *, name: str | None = None, description: str | None = None) -> Call[None]:
        changes = {key: value for key, value in (("name", name), ("description", description)) if value is not None}
        return Call(method="PATCH", path=f"/snapshots/{quote(snapshot, safe='')}", json=changes, answer=nothing)

    @operation
    def delete(self, snapshot: str) -> Call[None]:
        return Call(method="DELETE", path=f"/snapshots/{quote(snapshot, safe='')}", answer=nothing, timeout_s=None)


class RemoteDisplay(Part[L_co]):
    """The screen for others, over the network. Of a machine of a home."""

    @operation
    def info(self) -> Call[RemoteDisplayInfo]:
        return Call(method="GET", path="/remote-display", answer=record(RemoteDisplayInfo))

    @operation
    def change(self, *, enabled: bool | None = None, properties: Mapping[str, str] | None = None) -> Call[RemoteDisplayInfo]:
        """Now and in the machine file; an empty value takes a property away. Clients are disconnected where it is served otherwise afterwards. Raises what
        keeps it from being served, and nothing has changed then."""
        changes = {"enabled": enabled, "properties": None if properties is None else dict(properties)}
        present = {name: value for name, value in changes.items() if value is not None}
        return Call(method="PATCH", path="/remote-display", json=present, answer=record(RemoteDisplayInfo))


class Recording(Part[L_co]):
    """A video of the screen."""

    @operation
    def info(self) -> Call[RecordingInfo]:
        return Call(method="GET", path="/recording", answer=record(RecordingInfo))

    @operation
    def change(
        self,
        *,
        enabled: bool | None = None,
        file: str | os.PathLike[str] | None = None,
        width: int | None = None,
        height: int | None = None,
        fps: int | None = None,
    ) -> Call[RecordingInfo]:
        """Now and in the machine file; a relative `file` is one of the machine's folder. A video that was switched off is whole then. While one is made, it
        can only be switched off. Raises what keeps it from being made, and nothing has changed then."""
        changes = {"enabled": enabled, "file": None if file is None else os.fspath(file), "width": width, "height": height, "fps": fps}
        present = {name: value for name, value in changes.items() if value is not None}
        return Call(method="PATCH", path="/recording", json=present, answer=record(RecordingInfo))


class MachineParts(Part[L_co]):
    """A machine: what it does itself, and its parts."""

    def __init__(self, line: L_co) -> None:
        super().__init__(line)
        self.keyboard = Keyboard(line)
        self.mouse = Mouse(line)
        self.screen = Screen(line)
        self.serial = Serial(line, 0)
        self.snapshots = Snapshots(line)
        self.remote_display = RemoteDisplay(line)
        self.recording = Recording(line)
        self._serial_ports = {0: self.serial}
        self._checkpoints: list[int] = []

    def serial_port(self, slot: int) -> Serial[L_co]:
        """`serial` is that of slot 0."""
        return self._serial_ports.setdefault(slot, Serial(self._line, slot))

    @operation
    def info(self) -> Call[MachineInfo]:
        return Call(method="GET", path="/machine", answer=record(MachineInfo))

    @operation
    def pause(self) -> Call[None]:
        return _do("pause")

    @operation
    def resume(self) -> Call[None]:
        return _do("resume")

    @operation
    def reset(self) -> Call[None]:
        return _do("reset")

    @operation
    def press_power_button(self) -> Call[None]:
        return _do("power-button")

    @operation
    def power_off(self) -> Call[None]:
        """Pull the plug."""
        return _do("power-off")

    @operation
    def inject_nmi(self) -> Call[None]:
        return _do("nmi")

    @operation
    def save(self) -> Call[None]:
        """Save the state to disk and power off: the next start goes on from here."""
        return _do("save")

    @operation
    def take_checkpoint(self) -> Call[int]:
        """Keep the whole state in memory, disks included; returns what `roll_back` and `drop_checkpoint` take."""
        return Call(method="POST", path="/checkpoints", answer=self._taken)

    @operation
    def roll_back(self, checkpoint: int | None = None) -> Call[None]:
        """To a checkpoint, the last one where none is named; later ones are forgotten. Serial ports are read on from where their output ends now."""
        return Call(method="POST", path=f"/checkpoints/{self._known(checkpoint)}/roll-back", answer=self._rolled_back)

    @operation
    def drop_checkpoint(self, checkpoint: int | None = None) -> Call[None]:
        """Forget a checkpoint; the machine stays as it is."""
        return Call(method="DELETE", path=f"/checkpoints/{self._known(checkpoint)}", answer=lambda response: self._checkpoints.remove(self._known(checkpoint)))

    @operation
    def wait_for_state(self, state: MachineState, timeout_s: float = WAIT_S, *, clock: str = "wall") -> Call[Match]:
        return _waiting({"state": state.value}, timeout_s, clock)

    @operation
    def change_medium(self, drive: str, image: Path | None) -> Call[None]:
        """`drive` is the component and slot (``ide.drive10``); None ejects."""
        return Call(method="PUT", path=f"/media/{quote(drive)}", json={"image": None if image is None else str(image.absolute())}, answer=nothing)

    @operation
    def statistics(self) -> Call[dict[str, int]]:
        return Call(method="GET", path="/statistics", answer=lambda response: dict(response.json()))

    @operation
    def registers(self) -> Call[dict[str, Any]]:
        return Call(method="GET", path="/registers", answer=lambda response: dict(response.json()))

    @operation
    def read_memory(self, address: int, size: int) -> Call[bytes]:
        """Physical memory."""
        return Call(method="GET", path="/memory", query={"address": address, "size": size}, answer=_content)

    @operation
    def change_cpu_options(self, options: Mapping[str, str]) -> Call[None]:
        """Give the processor other values for some of its options."""
        return Call(method="PATCH", path="/cpu/options", json={"options": dict(options)}, answer=nothing)

    @operation
    def log(self) -> Call[str]:
        """What the machine's process has logged."""
        return Call(method="GET", path="/log", answer=_text)

    def _taken(self, response: Response) -> int:
        checkpoint = int(response.json()["id"])
        self._checkpoints.append(checkpoint)
        return checkpoint

    def _known(self, checkpoint: int | None) -> int:
        if checkpoint is None and not self._checkpoints:
            raise StateError("no checkpoint was taken here; take_checkpoint() takes one")
        return self._checkpoints[-1] if checkpoint is None else checkpoint

    def _rolled_back(self, response: Response) -> None:
        answer = response.json()
        self._checkpoints = [number for number in self._checkpoints if number <= answer["id"]]
        for slot, port in self._serial_ports.items():
            port.position = answer["serial_positions"].get(str(slot), 0)
