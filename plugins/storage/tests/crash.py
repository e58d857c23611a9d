"""What files hold when their writer is killed, or the host loses power, at any moment.

A `Recorder` stands between the code and the host and writes down every write, change of size and fsync. Afterwards `crashes` gives the contents that the files
could have had at each of these moments: what was killed in the middle of a write leaves its beginning; a power loss leaves what was synced, and of the rest any
part, sector by sector.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from ringone_storage import hostfile

SECTOR = 512
Contents = dict[Path, bytes]


@attrs.frozen
class Step:
    """`data` is None for a change of the size to `position`; `sync` marks an fsync."""

    path: Path
    position: int = 0
    data: bytes | None = None
    sync: bool = False

    def apply(self, content: bytearray, upto: int | None = None) -> None:
        if self.sync:
            return
        if self.data is None:
            del content[self.position :]
            content.extend(bytes(self.position - len(content)))
            return
        data = self.data[:upto]
        content.extend(bytes(max(0, self.position - len(content))))
        content[self.position : self.position + len(data)] = data


class Recorder:
    """Only the files that exist at the start are watched."""

    def __init__(self, paths: Sequence[Path], monkeypatch: pytest.MonkeyPatch) -> None:
        self.before: Contents = {path: path.read_bytes() for path in paths}
        self.steps: list[Step] = []
        self._paths = {path.stat().st_ino: path for path in paths}
        write, truncate, sync = hostfile.write_at, os.ftruncate, hostfile.sync_data

        def recorded_write(fd: int, data: Any, position: int) -> int:
            self._add(fd, position=position, data=bytes(data))
            return write(fd, data, position)

        def recorded_truncate(fd: int, size: int) -> None:
            self._add(fd, position=size)
            truncate(fd, size)

        def recorded_sync(fd: int) -> None:
            self._add(fd, sync=True)
            sync(fd)

        monkeypatch.setattr(hostfile, "write_at", recorded_write)
        monkeypatch.setattr(os, "ftruncate", recorded_truncate)
        monkeypatch.setattr(hostfile, "sync_data", recorded_sync)

    def _add(self, fd: int, **what: Any) -> None:
        path = self._paths.get(os.fstat(fd).st_ino)
        if path is not None:
            self.steps.append(Step(path, **what))

    def crashes(self, seed: int = 0) -> Iterator[tuple[int, str, Contents]]:
        """(number of finished steps, what happened, contents), in order of time."""
        luck = random.Random(seed)
        for count in range(len(self.steps) + 1):
            yield count, "killed", self._killed(count, luck)
            yield count, "power loss", self._power_loss(count, luck)

    def _killed(self, count: int, luck: random.Random) -> Contents:
        files = {path: bytearray(content) for path, content in self.before.items()}
        for step in self.steps[:count]:
            step.apply(files[step.path])
        if count < len(self.steps) and (data := self.steps[count].data) is not None:
            step = self.steps[count]
            step.apply(files[step.path], luck.randrange(len(data) // SECTOR + 1) * SECTOR)
        return {path: bytes(content) for path, content in files.items()}

    def _power_loss(self, count: int, luck: random.Random) -> Contents:
        files = {path: bytearray(content) for path, content in self.before.items()}
        synced = {path: max((n for n, step in enumerate(self.steps[:count]) if step.sync and step.path == path), default=0) for path in files}
        for number, step in enumerate(self.steps[:count]):
            for part in [step] if number < synced[step.path] else luck.choice([[], [step], some_sectors(step, luck)]):
                part.apply(files[step.path])
        return {path: bytes(content) for path, content in files.items()}


def some_sectors(step: Step, luck: random.Random) -> list[Step]:
    if step.data is None:
        return [step]
    parts = []
    position, end = step.position, step.position + len(step.data)
    while position < end:
        length = min(SECTOR - position % SECTOR, end - position)
        if luck.random() < 0.5:
            parts.append(Step(step.path, position, step.data[position - step.position : position - step.position + length]))
        position += length
    return parts


def restore(contents: Contents) -> None:
    for path, content in contents.items():
        path.write_bytes(content)
