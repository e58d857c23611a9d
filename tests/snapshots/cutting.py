"""A process that is killed at a chosen step, without killing one: from that step on nothing it does reaches the file system."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ringone_storage import hostfile

NAMED_STEPS = ("replace", "rename", "unlink", "remove", "link", "mkdir", "write", "pwrite", "ftruncate", "truncate", "posix_fallocate")
LOCK_SUFFIXES = (".lock", ".session")
"""A killed process leaves them; letting them go in an orderly way is not a step."""


class Killed(BaseException):
    """Whatever runs is over."""


class Host:
    """Counts the steps that change the file system; `last` is the first that does not happen any more, 0 for none."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.steps = 0
        self._locks: set[int] = set()

    @property
    def dead(self) -> bool:
        return 0 < self.last <= self.steps

    def step(self) -> None:
        if not self.dead:
            self.steps += 1
        if self.dead:
            raise Killed

    def counting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            if str(arguments[0]).endswith(LOCK_SUFFIXES) or arguments[0] in self._locks:
                return None if self.dead else function(*arguments, **options)
            self.step()
            return function(*arguments, **options)

        return counted

    def opening(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def opened(path: Any, flags: int, *arguments: Any, **options: Any) -> Any:
            if str(path).endswith(LOCK_SUFFIXES):
                number = function(path, flags, *arguments, **options)
                self._locks.add(number)
                return number
            if flags & os.O_CREAT:
                self.step()
            return function(path, flags, *arguments, **options)

        return opened

    def closing(self, function: Callable[[int], None]) -> Callable[[int], None]:
        def closed(number: int) -> None:
            self._locks.discard(number)
            function(number)

        return closed

    def bury(self) -> None:
        """The locks of a process go with it."""
        for number in tuple(self._locks):
            os.close(number)


@contextmanager
def killed_at(step: int) -> Iterator[Host]:
    """Leaves the body with `Killed` at that step, unless it is done before. Nothing waits for the host's disk, which outlives the process."""
    host = Host(step)
    with pytest.MonkeyPatch.context() as patch:
        for name in NAMED_STEPS:
            patch.setattr(os, name, host.counting(getattr(os, name)))
        patch.setattr(os, "fsync", host.counting(lambda number: None))
        patch.setattr(os, "open", host.opening(os.open))
        patch.setattr(os, "close", host.closing(os.close))
        patch.setattr(hostfile, "write_at", host.counting(hostfile.write_at))
        patch.setattr(hostfile, "sync_data", host.counting(lambda number: None))
        try:
            yield host
        finally:
            host.bury()
