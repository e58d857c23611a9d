"""Files that appear whole or not at all, and copying what a device reads as."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

from ringone.api.drivers import BlockDevice
from ringone.api.errors import MediumError
from ringone.api.media import Progress

from ringone_storage.hostfile import medium_error

PIECE_BYTES = 1 << 20
ZEROS = bytes(PIECE_BYTES)
RESERVE_BYTES = 256 << 20
SECTOR_BYTES = 512
MAX_CAPACITY_BYTES = 16 << 40
NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What file systems without hard links answer."""


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """An empty file of the same name in a folder beside `path`, which becomes `path` at the end, durably.

    Refuses a path that exists; nothing is left after an error."""
    if os.path.lexists(path):
        raise MediumError(f"{path}: exists already; accepted are paths where nothing is")
    with scratch_folder(path.parent) as folder:
        scratch = folder / path.name
        try:
            scratch.touch(0o600)
            yield scratch
            _sync(scratch)
            _give_name(scratch, path)
            _sync(path.parent)
        except OSError as error:
            raise medium_error(path, "create the disk image", error) from error


@contextlib.contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Gone afterwards, with all that is in it."""
    try:
        folder = tempfile.TemporaryDirectory(dir=parent, prefix=".ringone-", ignore_cleanup_errors=True)
    except OSError as error:
        raise medium_error(parent, "create a file there", error) from error
    with folder as name:
        yield Path(name)


def reserve(path: Path, size: int, progress: Progress) -> None:
    """Make a file `size` bytes long and give it its room on the host's disk."""
    try:
        with path.open("r+b") as file:
            start = file.seek(0, os.SEEK_END)
            for position in range(start, size, RESERVE_BYTES):
                length = min(RESERVE_BYTES, size - position)
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), position, length)
                else:
                    for _ in range(position, position + length, PIECE_BYTES):
                        file.write(bytes(PIECE_BYTES))
                progress((position + length - start) / (size - start))
            file.truncate(size)
    except OSError as error:
        raise medium_error(path, f"reserve {size} bytes", error) from error


@runtime_checkable
class Sparse(Protocol):
    """A device that knows where it holds nothing but zeros."""

    def next_data(self, block: int) -> int:
        """The first block from `block` on that may hold something; the number of blocks where none does."""
        ...


def copy_content(source: BlockDevice, target: BlockDevice, progress: Progress) -> None:
    """`target` holds zeros and has blocks of the same size; zeros are not written."""
    piece, count = PIECE_BYTES // source.block_size, source.block_count
    next_data = source.next_data if isinstance(source, Sparse) else int
    block = next_data(0)
    while block < count:
        end = min((block // piece + 1) * piece, count)
        data = source.read(block, end - block)
        if not is_zero(data):
            target.write(block, data)
        progress(end / count)
        block = next_data(end) if end < count else count
    target.flush()
    progress(1.0)


def is_zero(data: bytes | bytearray | memoryview) -> bool:
    if not data:
        return True
    if data[0] or data[-1] or data[len(data) // 2]:
        return False
    if len(data) > PIECE_BYTES:
        return all(is_zero(data[start : start + PIECE_BYTES]) for start in range(0, len(data), PIECE_BYTES))
    comparable = bytes(data) if isinstance(data, memoryview) else data  # views are compared byte by byte
    return comparable == ZEROS[: len(data)]


def whole_sectors(path: Path, capacity_bytes: int) -> int:
    """A capacity that an image can have, rounded up."""
    if not 0 < capacity_bytes <= MAX_CAPACITY_BYTES:
        raise MediumError(f"{path}: a capacity of {capacity_bytes} bytes is not possible; accepted are 1 to {MAX_CAPACITY_BYTES} (16 TiB)")
    return -(-capacity_bytes // SECTOR_BYTES) * SECTOR_BYTES


def _give_name(scratch: Path, path: Path) -> None:
    """Never takes the place of another file, where the host can promise that."""
    try:
        path.hardlink_to(scratch)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        scratch.rename(path)


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows opens no folders
        return
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)
