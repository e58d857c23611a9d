"""Locks between processes: of the operating system, so that they vanish with a killed process, with a note of who holds them.

A machine has two, beside its file. The *gate* is held for moments, by whoever wants anything of the machine. The *session* is held for as long as a process
runs the machine or works on its disks; its file holds the note. It is taken with the gate held, so that a note that somebody with the gate reads of a session
that is taken is always that of its present holder, and one of a session that is not taken was left by a process that was killed.
"""

from __future__ import annotations

import contextlib
import datetime
import enum
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import attrs

from ringone.api.errors import DriverError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

POLL_S = 0.02
NOTE_BYTES = 4096
LOCKED_BYTE = 1 << 30
"""Windows keeps others from reading what is locked: a byte that the file does not have."""


class LockMode(enum.Enum):
    SETTINGS = "settings"
    """To change settings: held for moments, waited for. Refused while a session is held."""
    WORK = "work"
    """To work on a machine's disks and snapshots while it is off. Refused while a session is held."""
    RUN = "run"
    """To run the machine. Refused while a session is held. A process that is killed with it leaves an aborted machine."""


@attrs.frozen(kw_only=True)
class LockHolder:
    """Who holds a machine's session, and what for: `purpose` goes on after "process 4711 is"."""

    pid: int
    mode: LockMode
    purpose: str
    since: datetime.datetime

    def __str__(self) -> str:
        return f"process {self.pid} is {self.purpose} since {self.since.astimezone():%Y-%m-%d %H:%M:%S}"


class FileLock:
    """An exclusive lock on a file, which is there only while it is held (or after its holder was killed). Threads and processes are told apart alike."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._number: int | None = None

    @property
    def held(self) -> bool:
        return self._number is not None

    def acquire(self, timeout_s: float = 0.0) -> bool:
        """False where somebody else has it for all that time."""
        deadline = time.monotonic() + timeout_s
        while not self._try():
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)
        return True

    def is_taken(self) -> bool:
        """Whether somebody has it, without touching the file."""
        try:
            number = os.open(self.path, os.O_RDWR)
        except OSError:
            return False
        try:
            return not _lock(number)
        finally:
            os.close(number)

    def release(self) -> None:
        """Take the file away and let go. Where an open file cannot be taken away (Windows), an empty one stays."""
        if self._number is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._number, 0)
            self.path.unlink()
        os.close(self._number)
        self._number = None

    def moved(self, path: Path) -> None:
        """The folder of the held file was renamed."""
        self.path = path

    def read(self) -> bytes:
        """What the holder, or a killed one, wrote; empty where there is no file."""
        try:
            with self.path.open("rb") as file:
                return file.read(NOTE_BYTES)
        except OSError:
            return b""

    def write(self, note: bytes) -> None:
        assert self._number is not None
        try:
            os.ftruncate(self._number, 0)
            os.lseek(self._number, 0, os.SEEK_SET)
            os.write(self._number, note)
        except OSError as error:
            raise DriverError(f"{self.path}: cannot lock: {error.strerror or error}") from error

    def _try(self) -> bool:
        try:
            number = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DriverError(f"{self.path}: cannot lock: {error.strerror or error}") from error
        try:
            taken = _lock(number) and self._is_still_there(number)
        except OSError as error:
            os.close(number)
            raise DriverError(f"{self.path}: cannot lock: {error.strerror or error}") from error
        if taken:
            self._number = number
        else:
            os.close(number)
        return taken

    def _is_still_there(self, number: int) -> bool:
        """Not, where the holder before took the file away after it was opened here."""
        try:
            return os.path.samestat(os.fstat(number), self.path.stat())
        except OSError:
            return False


def _lock(number: int) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(number, LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def note_of(holder: LockHolder) -> bytes:
    return json.dumps({"pid": holder.pid, "mode": holder.mode.value, "purpose": holder.purpose, "since": holder.since.isoformat()}).encode()


def holder_of(note: bytes) -> LockHolder | None:
    """None for what no `note_of` wrote."""
    try:
        fields: dict[str, Any] = json.loads(note)
        since = datetime.datetime.fromisoformat(fields["since"])
        return LockHolder(pid=int(fields["pid"]), mode=LockMode(fields["mode"]), purpose=str(fields["purpose"]), since=since)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
