"""A host file that holds a disk image: opened and locked once, read and written at positions.

Locks are ``flock`` on POSIX (shared for readers, exclusive for writers: two machines never write one image and none reads what another writes) and one
locked byte far behind any image on Windows, where readers take none. A process may write to what it reads itself: `readers_aside`. What the host refuses
becomes a `MediumError`; no room becomes a `DiskFullError`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ringone.api.errors import DiskFullError, MediumError

if sys.platform == "win32":
    import msvcrt

    WINDOWS_LOCK_OFFSET = 1 << 62

    def lock_file(fd: int, *, writable: bool) -> None:
        if writable:
            os.lseek(fd, WINDOWS_LOCK_OFFSET, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

    def unlock_file(fd: int) -> None:
        """Readers have no lock."""
else:
    import fcntl

    def lock_file(fd: int, *, writable: bool) -> None:
        fcntl.flock(fd, (fcntl.LOCK_EX if writable else fcntl.LOCK_SH) | fcntl.LOCK_NB)

    def unlock_file(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
LOCK_TAKEN = frozenset({errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK})


def seek_and_read(fd: int, size: int, position: int) -> bytes:
    os.lseek(fd, position, os.SEEK_SET)
    return os.read(fd, size)


def seek_and_write(fd: int, data: bytes | bytearray | memoryview, position: int) -> int:
    os.lseek(fd, position, os.SEEK_SET)
    return os.write(fd, data)


read_at: Callable[[int, int, int], bytes] = getattr(os, "pread", seek_and_read)
write_at: Callable[[int, Any, int], int] = getattr(os, "pwrite", seek_and_write)
sync_data: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
"""The data and what is needed to find it again; times of change may be lost."""


def medium_error(path: Path, doing: str, error: OSError) -> MediumError:
    kind = DiskFullError if error.errno in NO_ROOM else MediumError
    return kind(f"{path}: cannot {doing}: {error.strerror or error}")


def read_head(path: Path, size: int) -> bytes:
    """The first bytes of an image, for probing."""
    image_status(path)
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise medium_error(path, "read the disk image", error) from error


def file_size(path: Path) -> int:
    """In bytes, also of a host device; the image may be in use."""
    image_status(path)
    try:
        with path.open("rb") as file:
            return file.seek(0, os.SEEK_END)
    except OSError as error:
        raise medium_error(path, "read the disk image", error) from error


class HostFile:
    """`size` is the file's size in bytes when it was opened, and grows with writes behind it."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        status = image_status(path)
        if writable and stat.S_ISBLK(status.st_mode):
            raise MediumError(f"{path}: is a host device, which is used read-only; accepted modes are read-only and throw-away")
        self.path = path
        self._fd = _open(path, writable)
        try:
            _lock(path, self._fd, writable)
            if not writable:
                _remember(self)
            self.size = os.lseek(self._fd, 0, os.SEEK_END)
            if self.size == 0:
                raise MediumError(f"{path}: the disk image is empty (0 bytes); accepted is a file of at least one byte")
        except BaseException:
            self.close()
            raise

    def read(self, position: int, size: int) -> bytes:
        """Exactly `size` bytes, which must lie within the file."""
        try:
            data = read_at(self._fd, size, position)
            while len(data) < size:
                end = position + len(data)
                more = read_at(self._fd, size - len(data), end)
                if not more:
                    raise MediumError(f"{self.path}: the file became shorter while it was in use: it ends at {end}, {size} bytes were wanted from {position}")
                data += more
        except OSError as error:
            raise medium_error(self.path, f"read {size} bytes at {position}", error) from error
        return data

    def next_data(self, position: int) -> int:
        """Where the file's next byte is that is not in a hole; the end of the file where all are. Hosts that do not know say `position`."""
        if not hasattr(os, "SEEK_DATA"):
            return position
        try:
            return os.lseek(self._fd, position, os.SEEK_DATA)
        except OSError as error:
            return self.size if error.errno == errno.ENXIO else position

    def write(self, position: int, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view):
                done += write_at(self._fd, view[done:], position + done)
        except OSError as error:
            raise medium_error(self.path, f"write {len(view)} bytes at {position}", error) from error
        finally:
            self.size = max(self.size, position + done)

    def truncate(self, size: int) -> None:
        """Cut the file, or make it longer by zeros that take no room yet."""
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            raise medium_error(self.path, f"change the size to {size} bytes", error) from error
        self.size = size

    def flush(self) -> None:
        try:
            sync_data(self._fd)
        except OSError as error:
            raise medium_error(self.path, "flush written data", error) from error

    def close(self) -> None:
        with _readers_change:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                with contextlib.suppress(OSError):
                    os.close(fd)

    def step_aside(self, file: os.stat_result) -> bool:
        """Give the lock back, if this is that file. Says whether it is."""
        if self._fd < 0 or not os.path.samestat(os.fstat(self._fd), file):
            return False
        unlock_file(self._fd)
        return True

    def step_back(self) -> None:
        if self._fd >= 0:
            _lock(self.path, self._fd, writable=False)


_readers: weakref.WeakSet[HostFile] = weakref.WeakSet()
"""Of this process."""
_readers_change = threading.Lock()


def _remember(reader: HostFile) -> None:
    with _readers_change:
        _readers.add(reader)


@contextlib.contextmanager
def readers_aside(path: Path) -> Iterator[None]:
    """Let this process write to an image that it reads as well: its readers have no locks meanwhile, and have to be content with what they read then."""
    file = image_status(path)
    with _readers_change:
        aside = [reader for reader in _readers if reader.step_aside(file)]
    try:
        yield
    finally:
        with _readers_change:
            for reader in aside:
                reader.step_back()


def image_status(path: Path) -> os.stat_result:
    """Refuses what is neither a regular file nor a block device: opening a pipe would wait forever."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediumError(f"{path}: cannot open the disk image: {reason}") from error
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        what = "a directory" if stat.S_ISDIR(status.st_mode) else "neither"
        raise MediumError(f"{path}: cannot open the disk image: it is {what}; accepted are regular files and block devices")
    return status


def _open(path: Path, writable: bool) -> int:
    flags = (os.O_RDWR if writable else os.O_RDONLY) | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags)
    except OSError as error:
        doing = "open the disk image for writing (modes read-only and throw-away need no permission to write)" if writable else "open the disk image"
        raise medium_error(path, doing, error) from error


def _lock(path: Path, fd: int, writable: bool) -> None:
    try:
        lock_file(fd, writable=writable)
    except OSError as error:
        if error.errno in LOCK_TAKEN:
            holder = "used by" if writable else "written by"
            raise MediumError(f"{path}: the disk image is {holder} another machine; close that machine or use another image") from error
        if writable:
            raise medium_error(path, "lock the disk image for writing", error) from error
