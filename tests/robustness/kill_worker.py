"""A process that changes the snapshots of a small machine until somebody kills it, and says what it is about to do and what it did, line by line."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from ringone.api.config import DriveKind
from ringone.api.errors import StateError
from ringone.api.media import AccessMode
from ringone.api.settings import MachineSettings
from ringone.api.snapshot import MachineKeeper
from ringone.machine import Session

from tests.snapshots.lab import RING_SECTORS, Lab, counted, formats, open_lab

MAX_SNAPSHOTS = 5

Plain = dict[str, Any]


def plain(settings: MachineSettings) -> Plain:
    """What of the settings can change here."""
    return {
        "tree": {snapshot.name: [child.name for child in snapshot.children] for snapshot in settings.snapshots()},
        "descriptions": {snapshot.name: snapshot.description for snapshot in settings.snapshots()},
        "current": next((snapshot.name for snapshot in settings.snapshots() if snapshot.uuid == settings.current_snapshot), ""),
        "note": settings.config.description,
        "saved": settings.state_file is not None,
    }


def taken(before: Plain, name: str) -> Plain:
    after = copied(before)
    after["tree"][name] = []
    after["descriptions"][name] = ""
    if before["current"]:
        after["tree"][before["current"]].append(name)
    return {**after, "current": name}


def deleted(before: Plain, name: str) -> Plain:
    after = copied(before)
    children = after["tree"].pop(name)
    del after["descriptions"][name]
    above = next((parent for parent, below in after["tree"].items() if name in below), "")
    if above:
        after["tree"][above] = [new for child in after["tree"][above] for new in (children if child == name else [child])]
    return {**after, "current": above if after["current"] == name else after["current"]}


def copied(before: Plain) -> Plain:
    result: Plain = json.loads(json.dumps(before))
    return result


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


class Worker:
    def __init__(self, lab: Lab, seed: int) -> None:
        self._lab = lab
        self._random = random.Random(seed)
        self._seed = seed
        self._number = 0

    def work(self) -> None:
        say(done=plain(self._lab.settings))
        while True:
            if self._random.random() < 0.6 or plain(self._lab.settings)["saved"]:
                self._running()
            else:
                self._off()
            self._note()

    def _off(self) -> None:
        with self._lab.at_rest() as keeper:
            for _ in range(3):
                self._change(keeper, lambda: None, running=False)

    def _running(self) -> None:
        cold = not plain(self._lab.settings)["saved"]
        if cold:
            say(flushed=0)
            clear_ring(self._lab)
        say(before=(before := plain(self._lab.settings)), after={**before, "saved": False}, by="start")
        with self._lab.running() as session:
            say(done=plain(self._lab.settings))
            assert session.keeper is not None
            for _ in range(4):
                self._report(session)
                self._change(session.keeper, lambda: self._report(session), running=True)
            if self._random.random() < 0.5:
                self._begin("save", lambda before: {**before, "saved": True}, session.keeper.save_state)

    def _report(self, session: Session) -> None:
        for _ in range(self._random.randrange(4)):
            time.sleep(0.02)
            say(flushed=counted(session))

    def _change(self, keeper: MachineKeeper, report: Callable[[], None], *, running: bool) -> None:
        """One change, or the refusal of one."""
        settings = keeper.settings()
        names = [snapshot.name for snapshot in settings.snapshots()]
        online = [snapshot.name for snapshot in settings.snapshots() if snapshot.state_file is not None]
        choice = self._random.choice(["take", "take", "restore", "delete", "edit"])
        if (choice == "take" or not names) and len(names) < MAX_SNAPSHOTS:
            self._number += 1
            name = f"s{self._seed}-{self._number}"
            self._begin("take", lambda before: taken(before, name), lambda: keeper.take_snapshot(name, progress=lambda _: report()))
        elif choice == "restore" and (restorable := online if running else names):
            name = self._random.choice(restorable)
            saved = not running and name in online
            self._begin("restore", lambda before: {**before, "current": name, "saved": saved}, lambda: keeper.restore_snapshot(name))
        elif choice == "edit":
            name, text = self._random.choice(names), str(self._random.random())
            edited = {**plain(settings)["descriptions"], name: text}
            self._begin("edit", lambda before: {**before, "descriptions": edited}, lambda: keeper.edit_snapshot(name, description=text))
        else:
            name = self._random.choice(names)
            self._begin("delete", lambda before: deleted(before, name), lambda: keeper.delete_snapshot(name))

    def _note(self) -> None:
        text = str(self._random.random())

        def noted(settings: MachineSettings) -> MachineSettings:
            return attrs.evolve(settings, config=attrs.evolve(settings.config, description=text))

        self._begin("note", lambda before: {**before, "note": text}, lambda: self._lab.home.change(self._lab.machine, noted))

    def _begin(self, what: str, expected: Callable[[Plain], Plain], change: Callable[[], object]) -> None:
        before = plain(self._lab.settings)
        say(before=before, after=expected(before), by=what)
        try:
            change()
        except StateError as error:
            say(refused=str(error))
        say(done=plain(self._lab.settings))


def clear_ring(lab: Lab) -> None:
    """A guest that starts anew counts from 0."""
    assert lab.settings.config.drives[0].kind is DriveKind.DISK
    disk = formats()["vdi"].open(lab.chain, AccessMode.PERSISTENT, 512)
    disk.write(0, bytes(512 * RING_SECTORS))
    disk.flush()
    disk.close()


if __name__ == "__main__":
    Worker(open_lab(Path(sys.argv[1])), int(sys.argv[2])).work()
