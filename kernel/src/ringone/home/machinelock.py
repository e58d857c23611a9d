"""A machine's locks: the gate and the session (`ringone.home.locks`), put together."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from types import TracebackType
from typing import Protocol

import attrs

from ringone.api.errors import LockedError, StateError
from ringone.home.locks import FileLock, LockHolder, LockMode, holder_of, note_of

GATE_TIMEOUT_S = 10.0
"""Settings are changed in milliseconds; whoever takes longer is stopped or broken."""


class LockableMachine(Protocol):
    @property
    def uuid(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def path(self) -> Path: ...


class MachineLock:
    """Held from `Home.lock` until `release` or the end of its ``with`` block."""

    def __init__(self, path: Path, mode: LockMode, gate: FileLock, session: FileLock) -> None:
        self.path = path
        self.mode = mode
        self._gate = gate
        self._session = session

    def __enter__(self) -> MachineLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def release(self) -> None:
        """Idempotent."""
        self._session.release()
        self._gate.release()

    def moved(self, path: Path) -> None:
        """The machine's file is somewhere else now, perhaps with its folder."""
        self.path = path
        for lock in (self._gate, self._session):
            lock.moved(path.with_name(lock.path.name))

    def require_held(self) -> None:
        if not self._session.held:
            raise StateError(f"{self.path}: the machine's lock was released before its settings were saved")


@attrs.frozen
class Session:
    """`holder` has the machine now; `killed` had it when its process was killed."""

    holder: LockHolder | None = None
    killed: LockHolder | None = None


def session_of(path: Path, uuid: str) -> Session:
    """Settings locks, which last for moments, are not told of."""
    session, gate = _session_lock(path, uuid), _gate_lock(path, uuid)
    note = holder_of(session.read())
    if note is None or note.mode is LockMode.SETTINGS:
        return Session()
    sure = gate.acquire(GATE_TIMEOUT_S)
    try:
        holder = holder_of(session.read())
        return Session(killed=holder) if sure and not session.is_taken() else Session(holder=holder)
    finally:
        gate.release()


def lock_machine(machine: LockableMachine, mode: LockMode, purpose: str) -> tuple[MachineLock, LockHolder | None]:
    """The lock, and who had the machine when killed."""
    gate, session = _gate_lock(machine.path, machine.uuid), _session_lock(machine.path, machine.uuid)
    if not gate.acquire(GATE_TIMEOUT_S):
        raise LockedError(f"The machine {machine.name!r} is locked: another process has been changing its settings for {GATE_TIMEOUT_S:.0f} s")
    try:
        if not session.acquire():
            holder = holder_of(session.read())
            raise LockedError(f"The machine {machine.name!r} is already locked for a session: {holder or 'another process has it'}")
        killed = holder_of(session.read())
        session.write(note_of(LockHolder(pid=os.getpid(), mode=mode, purpose=purpose, since=datetime.datetime.now(datetime.UTC))))
    except BaseException:
        session.release()
        gate.release()
        raise
    if mode is not LockMode.SETTINGS:
        gate.release()
    return MachineLock(machine.path, mode, gate, session), killed


def _gate_lock(path: Path, uuid: str) -> FileLock:
    return FileLock(path.with_name(f".{uuid}.lock"))


def _session_lock(path: Path, uuid: str) -> FileLock:
    return FileLock(path.with_name(f".{uuid}.session"))
