"""Real processes, really killed, while they change the snapshots of a running or resting machine.

``RINGONE_KILLS`` is how often; without it a few times, for the fast suite.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
from ringone.home.disks import references
from ringone.snapshot.statefile import read_state_file

from tests.robustness.kill_worker import Plain, plain
from tests.snapshots.lab import Lab, make_lab, newest
from tests.snapshots.qemu import check_killed_with_qemu

KILLS = int(os.environ.get("RINGONE_KILLS", "4"))
LONGEST_LIFE_S = 1.5
START_TIMEOUT_S = 120
ROOT = Path(__file__).parents[2]


@attrs.define
class Story:
    """What a killed process said."""

    lines: list[dict[str, Any]]

    @property
    def acceptable(self) -> list[Plain]:
        """Settings as they may be found: the last that was reached, and the one that was under way."""
        reached: list[Plain] = []
        for line in self.lines:
            if "before" in line:
                reached = [line["before"], line["after"]]
            elif "done" in line:
                reached = [line["done"]]
        return reached

    @property
    def flushed(self) -> int:
        """What the guest had on its disk for sure, since its disk was last exchanged."""
        found = 0
        for line in self.lines:
            if "flushed" in line:
                found = line["flushed"]
            elif line.get("by") == "restore":
                found = 0
        return found


def killed_worker(lab: Lab, seed: int, life_s: float) -> Story:
    """Let a process work for a while from its first word on, and kill it."""
    said = lab.folder / "said.txt"
    command = [sys.executable, "-m", "tests.robustness.kill_worker", str(lab.folder), str(seed)]
    with said.open("wb") as output:
        worker = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not said.stat().st_size and worker.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(life_s)
    worker.send_signal(signal.SIGKILL)
    _, complaints = worker.communicate()
    assert worker.returncode == -signal.SIGKILL, complaints
    whole, _, _ = said.read_text().rpartition("\n")
    return Story([json.loads(line) for line in whole.splitlines()])


class Witness:
    """Remembers what every snapshot held when it was first seen."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._contents: dict[str, str] = {}

    def check(self, story: Story, when: str) -> None:
        lab = self._lab
        was_saved = plain(lab.settings)["saved"]
        with lab.at_rest():
            settings = lab.settings
            assert plain(settings) in story.acceptable, f"{when}: {story.lines[-3:]}"
            needed = {"small.vbox", *(path.name for path in references(settings))}
            assert {name for name in lab.files() if not name.startswith(".")} == needed, when
            present = newest(lab.content())
            assert present >= story.flushed, f"{when}: the guest had flushed {story.flushed}, the disk has {present}"
            for snapshot in settings.snapshots():
                image = snapshot.config.drives[0].image
                assert image is not None
                content = hashlib.sha256(lab.content((image, *snapshot.config.drives[0].parents)))
                if snapshot.state_file is not None:
                    content.update(read_state_file(snapshot.state_file).memory["ram"])
                known = self._contents.setdefault(snapshot.uuid, content.hexdigest())
                assert known == content.hexdigest(), f"{when}: snapshot {snapshot.name} is another one than before"
            if settings.state_file is not None:
                assert was_saved
                read_state_file(settings.state_file)
            for path in references(settings):
                if path.suffix == ".vdi":
                    check_killed_with_qemu(path, lab.folder)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills as POSIX hosts do")
def test_a_killed_process_leaves_the_old_machine_or_the_new_one(tmp_path: Path) -> None:
    lab = make_lab(tmp_path)
    witness = Witness(lab)
    chance = random.Random(1)
    for kill in range(KILLS):
        life_s = chance.uniform(0, LONGEST_LIFE_S)
        witness.check(killed_worker(lab, kill, life_s), f"kill {kill} after {life_s:.3f} s")
