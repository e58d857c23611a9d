"""Memory as it was, kept beside memory as it is, and which pages differ: what checkpoints stand on.

Two ways. `ComparedCopy` works everywhere: it copies, and compares all of it to find what changed. `PrivateMapping` has Linux do that: what is kept lies in a
file of memory that is mapped privately in the place of the guest's memory, so that the kernel copies a page when anybody, processor or device, first writes to
it, and tells which pages it has copied. Undoing is dropping those copies.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from ringone.api.memory import PAGE_SHIFT, PAGE_SIZE
from ringone.hostmemory import reserve

Run = tuple[int, int]
"""Pages ``[first, end)``."""

CHUNK_BYTES = 64 << 10
"""Compared and copied at a time: both sides fit the host's second-level cache."""
_ZEROS = bytes(CHUNK_BYTES)
_PAGEMAP = Path("/proc/self/pagemap")
_PAGEMAP_ENTRY = 8
_PRESENT, _SWAPPED, _OF_FILE = 0x80, 0x40, 0x20
"""In the highest byte of an entry of /proc/PID/pagemap."""
_COPIED = re.compile(b"[" + b"".join(b"\\x%02x" % bits for bits in range(256) if bits & (_PRESENT | _SWAPPED) and not bits & _OF_FILE) + b"]+")


class KeptMemory(Protocol):
    """What a memory was when it was kept last. Pages are numbers from its start."""

    def changed(self) -> list[Run]:
        """Pages that may differ from what is kept, in order; all others do not."""
        ...

    def page(self, page: int) -> bytes:
        """As it is kept."""
        ...

    def keep(self, runs: Iterable[Run]) -> None:
        """Keep these pages as they are now."""
        ...

    def revert(self, runs: Iterable[Run]) -> None:
        """Make these pages what is kept."""
        ...

    def replace(self, page: int, data: bytes) -> None:
        """Both what is kept and the memory itself, of a page that is not `changed`."""
        ...

    def replace_kept(self, page: int, data: bytes) -> None:
        """What is kept; the memory stays as it is."""
        ...

    def rest(self) -> None:
        """Nobody needs what is kept; the next `keep` will be of everything that `changed` names."""
        ...

    def close(self) -> None:
        """The memory reads zeros afterwards, where it is the host's to say."""
        ...


class ComparedCopy:
    """For every host."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._kept: memoryview | None = None

    def changed(self) -> list[Run]:
        if self._kept is None:
            self._kept = memoryview(reserve(len(self._memory)))
        return differences(self._kept, self._memory)

    def page(self, page: int) -> bytes:
        return bytes(self._copy[page << PAGE_SHIFT : page + 1 << PAGE_SHIFT])

    def keep(self, runs: Iterable[Run]) -> None:
        _copy(runs, self._memory, self._copy)

    def revert(self, runs: Iterable[Run]) -> None:
        _copy(runs, self._copy, self._memory)

    def replace(self, page: int, data: bytes) -> None:
        self._memory[page << PAGE_SHIFT : page + 1 << PAGE_SHIFT] = data
        self.replace_kept(page, data)

    def replace_kept(self, page: int, data: bytes) -> None:
        self._copy[page << PAGE_SHIFT : page + 1 << PAGE_SHIFT] = data

    def rest(self) -> None:
        self._kept = None

    def close(self) -> None:
        self.rest()

    @property
    def _copy(self) -> memoryview:
        assert self._kept is not None
        return self._kept


class PrivateMapping:
    """For Linux. Raises `OSError` where the host does not let us, and then nothing has changed."""

    def __init__(self, memory: memoryview, address: int) -> None:
        self._memory = memory
        self._address = address
        self._mapped = False
        self._file = os.memfd_create("ringone-memory")
        try:
            self._pagemap = os.open(_PAGEMAP, os.O_RDONLY)
        except OSError:
            os.close(self._file)
            raise

    def changed(self) -> list[Run]:
        if not self._mapped:
            return [(0, len(self._memory) >> PAGE_SHIFT)]
        count = len(self._memory) >> PAGE_SHIFT
        entries = os.pread(self._pagemap, count * _PAGEMAP_ENTRY, (self._address >> PAGE_SHIFT) * _PAGEMAP_ENTRY)
        return [found.span() for found in _COPIED.finditer(entries[_PAGEMAP_ENTRY - 1 :: _PAGEMAP_ENTRY])]

    def page(self, page: int) -> bytes:
        return os.pread(self._file, PAGE_SIZE, page << PAGE_SHIFT)

    def keep(self, runs: Iterable[Run]) -> None:
        runs = list(runs)
        if not self._mapped:
            os.ftruncate(self._file, 0)
            os.ftruncate(self._file, len(self._memory))
        for start, end in _chunks(runs):
            part = self._memory[start:end]
            if self._mapped or bytes(part) != _ZEROS[: end - start]:
                _write(self._file, part, start)
        if self._mapped:
            self.revert(runs)
        else:
            _map(self._address, len(self._memory), mmap.MAP_PRIVATE, self._file)
            self._mapped = True

    def revert(self, runs: Iterable[Run]) -> None:
        for first, end in runs:
            _drop(self._address + (first << PAGE_SHIFT), end - first << PAGE_SHIFT)

    def replace(self, page: int, data: bytes) -> None:
        _write(self._file, data, page << PAGE_SHIFT)

    def replace_kept(self, page: int, data: bytes) -> None:
        at = page << PAGE_SHIFT
        self._memory[at] = self._memory[at]  # has Linux copy the page, so that it does not follow the file
        _write(self._file, data, at)

    def rest(self) -> None:
        """What is kept is the guest's memory, as far as nobody wrote to it."""

    def close(self) -> None:
        if self._mapped:
            _map(self._address, len(self._memory), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1)
            self._mapped = False
        os.close(self._pagemap)
        os.close(self._file)


def keep_memory(memory: memoryview, address: int) -> KeptMemory:
    """The best that the host can do for the memory at a host address, which is a mapping of its own. Nothing is kept yet: everything is `changed`."""
    if private_mappings_work():
        try:
            return PrivateMapping(memory, address)
        except OSError:
            pass
    return ComparedCopy(memory)


@functools.cache
def private_mappings_work() -> bool:
    """Whether the host does what `PrivateMapping` needs, which is tried out: kernels, containers and sandboxes differ."""
    if not hasattr(os, "memfd_create"):
        return False
    mapping = reserve(4 * PAGE_SIZE)
    view = memoryview(mapping)
    anchor = ctypes.c_char.from_buffer(mapping)
    try:
        kept = PrivateMapping(view, ctypes.addressof(anchor))
        try:
            return _behaves(kept, view)
        finally:
            kept.close()
    except (OSError, AttributeError, ValueError):
        return False


def _behaves(kept: PrivateMapping, view: memoryview) -> bool:
    view[0], view[PAGE_SIZE] = 1, 2
    kept.keep(kept.changed())
    fresh = kept.changed()
    view[2 * PAGE_SIZE], view[PAGE_SIZE] = 3, 4
    found = kept.changed()
    kept.revert(found)
    return (fresh, found) == ([], [(1, 3)]) and bytes(view[::PAGE_SIZE]) == b"\1\2\0\0" and not kept.changed()


def differences(first: memoryview, second: memoryview) -> list[Run]:
    """Pages in which two memories of one size differ."""
    runs: list[Run] = []
    for start in range(0, len(first), CHUNK_BYTES):
        one, other = bytes(first[start : start + CHUNK_BYTES]), bytes(second[start : start + CHUNK_BYTES])
        if one == other:
            continue
        for at in range(0, len(one), PAGE_SIZE):
            if one[at : at + PAGE_SIZE] != other[at : at + PAGE_SIZE]:
                page = start + at >> PAGE_SHIFT
                if runs and runs[-1][1] == page:
                    runs[-1] = runs[-1][0], page + 1
                else:
                    runs.append((page, page + 1))
    return runs


def copy_used(source: memoryview, target: memoryview) -> None:
    """Copy what is not zero to a memory that is; the host need not find room for the rest."""
    for start in range(0, len(source), CHUNK_BYTES):
        chunk = bytes(source[start : start + CHUNK_BYTES])
        if chunk != _ZEROS[: len(chunk)]:
            target[start : start + len(chunk)] = chunk


def pages_of(runs: Iterable[Run]) -> Iterator[int]:
    for first, end in runs:
        yield from range(first, end)


def _copy(runs: Iterable[Run], source: memoryview, target: memoryview) -> None:
    for first, end in runs:
        here = slice(first << PAGE_SHIFT, end << PAGE_SHIFT)
        target[here] = source[here]


def _chunks(runs: Iterable[Run]) -> Iterator[tuple[int, int]]:
    """The bytes of runs, a chunk at a time."""
    for first, end in runs:
        for start in range(first << PAGE_SHIFT, end << PAGE_SHIFT, CHUNK_BYTES):
            yield start, min(start + CHUNK_BYTES, end << PAGE_SHIFT)


def _write(file: int, data: memoryview | bytes, offset: int) -> None:
    """All of it: a host without memory for more raises instead."""
    done = 0
    while done < len(data):
        done += os.pwrite(file, data[done:], offset + done)


@functools.cache
def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return libc


def _map(address: int, size: int, flags: int, file: int) -> None:
    """In the place of what is mapped there."""
    fixed = 0x10
    found = _libc().mmap(address, size, mmap.PROT_READ | mmap.PROT_WRITE, flags | fixed | getattr(mmap, "MAP_NORESERVE", 0), file, 0)
    if found != address:
        raise OSError(ctypes.get_errno(), "mmap")


def _drop(address: int, size: int) -> None:
    if _libc().madvise(address, size, mmap.MADV_DONTNEED):
        raise OSError(ctypes.get_errno(), "madvise")
