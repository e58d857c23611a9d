"""State files: a machine's whole state in one file, alone or on top of a parent file beside it, of which it then holds only the memory pages that differ.

A file is a header, packed clusters of memory pages (`pages`), and a `directory`, whose place and SHA-256 the header has; the directory has the checksums of the
rest. A state is identified by its `content`, a SHA-256 over sections and pages that does not depend on how the pages are spread over files; that is how a file
names its parent, so a parent may be put onto another one (`rebase_state_file`). Reading trusts nothing. Files are replaced atomically.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import attrs

from ringone.api.errors import SnapshotError
from ringone.api.media import Progress, no_progress
from ringone.hostmemory import reserve
from ringone.snapshot.directory import MAX_DIRECTORY_BYTES, Directory, ParentLink, content_of, dump_directory, inflate_directory, parse_directory
from ringone.snapshot.image import StateImage
from ringone.snapshot.ordered import in_order
from ringone.snapshot.pages import CLUSTER_PAGES, PageTable, pack, page_count, unpack
from ringone.snapshot.sections import SectionData

MAGIC = b"RingOne state\r\n\x1a"
FORMAT_VERSION = 2
TEMPORARY_PREFIX = ".ringone-state-"
"""Of files that are being written; what a killed process left of them may be deleted."""
MAX_DEPTH = 32
"""Files that a state may be spread over. A state on top of so many is written whole."""

HEADER = struct.Struct("<16sIIQQ32s")
"""Magic, version, zero, the directory's offset and size, its SHA-256."""
_NOTHING: Mapping[str, Mapping[int, bytes]] = {}

log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class StateFileInfo:
    """What a state file says about itself. `content` identifies the state; `parent` is the file that it needs, None where it stands alone."""

    path: Path
    machine: str
    content: str
    parent: Path | None
    file_bytes: int


@attrs.frozen(eq=False)
class Layer:
    """One of the files that a state is spread over."""

    name: str
    file: BinaryIO
    directory: Directory


@attrs.frozen(eq=False)
class OpenStateFile:
    """A state whose every part but the packed pages has been checked. `layers` has the file itself first."""

    layers: Sequence[Layer]

    @property
    def _directory(self) -> Directory:
        return self.layers[0].directory

    @property
    def content(self) -> str:
        return self._directory.content

    @property
    def sections(self) -> Mapping[str, SectionData]:
        return self._directory.sections

    @property
    def memory_sizes(self) -> Mapping[str, int]:
        return self._directory.sizes

    def load(self, progress: Progress = no_progress) -> StateImage:
        """Unpack the memory. Raises `SnapshotError` where a page is damaged."""
        memory = {name: memoryview(reserve(size)) if size else memoryview(b"") for name, size in self.memory_sizes.items()}
        taken = {name: bytearray(page_count(size)) for name, size in self.memory_sizes.items()}
        whole = sum(len(table.clusters) for layer in self.layers for table in layer.directory.memory.values()) or 1
        done = 0
        for layer in self.layers:
            tables = layer.directory.memory
            work = (
                (_read(layer.file, cluster.offset, cluster.size, layer.name), cluster, memory[name], taken[name])
                for name, table in tables.items()
                for cluster in table.clusters
                if not all(taken[name][page] for page in cluster.pages)
            )
            for _ in in_order(lambda part: unpack(*part), work):
                done += 1
                progress(min(1.0, done / whole))
            for name, table in tables.items():
                for page in (*table.pages, *table.cleared):
                    taken[name][page] = 1
        progress(1.0)
        return StateImage(self._directory.machine, self.sections, memory)


# --- Writing --------------------------------------------------------------------------------------------------------------------------------------------


def write_state_file(image: StateImage, path: Path, *, parent: Path | None = None, progress: Progress = no_progress) -> StateFileInfo:
    """Write a state to `path`, replacing what was there in one step; on the disk when this returns.

    With `parent`, a state file in the same folder, only what differs from it is written. Where that does not work out, because the parent is damaged, its
    machine had other memory, or the chain would be longer than `MAX_DEPTH`, the file stands alone; the returned info tells. Raises `SnapshotError` where
    the host refuses; nothing has changed then.
    """
    if parent is not None and parent.parent != path.parent:
        raise SnapshotError(f"{parent}: the parent of a state file lies beside it, in {path.parent}")
    with _replacing(path) as file:
        link, known = _link(image, parent, path)
        directory = _write(image, file, link, known, progress)
        size = file.tell()
    return _info(path, directory, size)


def dump_state(image: StateImage) -> bytes:
    """The bytes of a state file that stands alone. Equal states make equal bytes."""
    file = io.BytesIO()
    _write(image, file, None, _NOTHING, no_progress)
    return file.getvalue()


def rebase_state_file(path: Path, parent: Path | None, progress: Progress = no_progress) -> StateFileInfo:
    """Have a state file stand on another parent, or on none, so that its present parent can be deleted. The state and its `content` stay what they are."""
    image = read_state_file(path, lambda done: progress(done / 2))
    return write_state_file(image, path, parent=parent, progress=lambda done: progress((1 + done) / 2))


def _link(image: StateImage, parent: Path | None, path: Path) -> tuple[ParentLink | None, Mapping[str, Mapping[int, bytes]]]:
    if parent is None:
        return None, _NOTHING
    with contextlib.ExitStack() as files:
        try:
            state = files.enter_context(open_state_file(parent))
        except SnapshotError as error:
            log.warning("%s is written whole, because its parent cannot be used: %s", path, error)
            return None, _NOTHING
        if any(layer.name == str(path) for layer in state.layers):
            raise SnapshotError(f"{path} cannot stand on {parent}, which needs it or is it")
        sizes = {name: len(data) for name, data in image.memory.items()}
        if state.memory_sizes != sizes or len(state.layers) >= MAX_DEPTH:
            return None, _NOTHING
        return ParentLink(parent.name, state.content), _digests(state.layers)


def _write(image: StateImage, file: BinaryIO, parent: ParentLink | None, known: Mapping[str, Mapping[int, bytes]], progress: Progress) -> Directory:
    """Everything to an empty file; the header comes last."""
    offset = HEADER.size
    file.write(bytes(offset))
    tables = {name: PageTable(len(data)) for name, data in sorted(image.memory.items())}
    work = [
        (image.memory[name], first, known.get(name, {}), table)
        for name, table in tables.items()
        for first in range(0, page_count(table.size), CLUSTER_PAGES)
    ]  # fmt: skip
    for index, packed in enumerate(in_order(lambda part: pack(part[0], part[1], part[2]), work)):
        work[index][3].add(packed, offset)
        file.write(packed.data)
        offset += len(packed.data)
        progress(index / len(work))
    sizes = {name: table.size for name, table in tables.items()}
    content = content_of(image.sections, sizes, {name: table.over(known.get(name, {})) for name, table in tables.items()})
    directory = Directory(image.machine, content, parent, image.sections, tables)
    packed_directory = zlib.compress(dump_directory(directory), 1)
    file.write(packed_directory)
    file.seek(0)
    file.write(HEADER.pack(MAGIC, FORMAT_VERSION, 0, offset, len(packed_directory), hashlib.sha256(packed_directory).digest()))
    file.seek(0, os.SEEK_END)
    progress(1.0)
    return directory


def _digests(layers: Sequence[Layer]) -> dict[str, dict[int, bytes]]:
    """Of every page that is not zero, by block, all layers together."""
    whole: dict[str, dict[int, bytes]] = {name: {} for name in layers[0].directory.memory}
    for layer in reversed(layers):
        whole = {name: table.over(whole[name]) for name, table in layer.directory.memory.items()}
    return whole


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` once it is complete and on the disk; gone where that fails."""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise SnapshotError(f"{path}: the state cannot be written: {error.strerror or error}") from error


def _sync_folder(folder: Path) -> None:
    """So that the new name survives a power cut, where the host can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# --- Reading --------------------------------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def open_state_file(path: Path) -> Iterator[OpenStateFile]:
    """A state file with the files that it stands on, checked but for the packed pages, which `OpenStateFile.load` reads. Raises `SnapshotError`."""
    with contextlib.ExitStack() as files:
        layers: list[Layer] = []
        following: Path | None = path
        while following is not None:
            if len(layers) == MAX_DEPTH:
                raise SnapshotError(f"{path}: the state needs more than {MAX_DEPTH} files, or a file needs itself")
            layer = _open(following, files)
            if layers:
                _check_parent(layers[-1], layer)
            layers.append(layer)
            link = layer.directory.parent
            following = None if link is None else path.parent / link.file
        yield _checked(layers)


def read_state_file(path: Path, progress: Progress = no_progress) -> StateImage:
    with open_state_file(path) as state:
        return state.load(progress)


def describe_state_file(path: Path) -> StateFileInfo:
    """Looks at the file alone, not at those that it needs."""
    with contextlib.ExitStack() as files:
        layer = _open(path, files)
        return _info(path, layer.directory, layer.file.seek(0, os.SEEK_END))


def open_state(data: bytes) -> OpenStateFile:
    """What `dump_state` made."""
    file = io.BytesIO(data)
    directory = _read_directory(file, "the saved state")
    if directory.parent is not None:
        raise SnapshotError(f"the saved state needs the file {directory.parent.file!r}; accepted: one that stands alone")
    return _checked([Layer("the saved state", file, directory)])


def _open(path: Path, files: contextlib.ExitStack) -> Layer:
    try:
        file = files.enter_context(path.open("rb"))
        return Layer(str(path), file, _read_directory(file, str(path)))
    except OSError as error:
        raise SnapshotError(f"{path}: the state cannot be read: {error.strerror or error}") from error


def _info(path: Path, directory: Directory, size: int) -> StateFileInfo:
    parent = None if directory.parent is None else path.parent / directory.parent.file
    return StateFileInfo(path=path, machine=directory.machine, content=directory.content, parent=parent, file_bytes=size)


def _check_parent(child: Layer, parent: Layer) -> None:
    link = child.directory.parent
    if link is None or parent.directory.content != link.content:
        raise SnapshotError(f"{parent.name}: holds another state than the one that {child.name} stands on")
    if parent.directory.sizes != child.directory.sizes:
        raise SnapshotError(f"{parent.name}: has other memory than {child.name}, which stands on it")


def _checked(layers: Sequence[Layer]) -> OpenStateFile:
    name, directory = layers[0].name, layers[0].directory
    try:
        content = content_of(directory.sections, directory.sizes, _digests(layers))
    except (RecursionError, ValueError) as error:
        raise SnapshotError(f"{name}: the directory is damaged: {error}") from error
    if content != directory.content:
        raise SnapshotError(f"{name}: sections and pages do not make the state that the file says it holds")
    return OpenStateFile(layers)


def _read(file: BinaryIO, offset: int, size: int, name: str) -> bytes:
    try:
        file.seek(offset)
        data = file.read(size)
    except OSError as error:
        raise SnapshotError(f"{name}: the state cannot be read: {error.strerror or error}") from error
    if len(data) != size:
        raise SnapshotError(f"{name}: ends in the middle of its pages")
    return data


def _read_directory(file: BinaryIO, name: str) -> Directory:
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    header = file.read(HEADER.size)
    if len(header) < HEADER.size or header[: len(MAGIC)] != MAGIC:
        raise SnapshotError(f"{name}: this is no saved state")
    _, version, zero, offset, size, checksum = HEADER.unpack(header)
    if version != FORMAT_VERSION:
        raise SnapshotError(f"{name}: the saved state has format version {version}; accepted: {FORMAT_VERSION}")
    if zero or offset < HEADER.size or offset + size != end or size > MAX_DIRECTORY_BYTES:
        raise SnapshotError(f"{name}: the saved state is cut off or its header is damaged")
    packed = _read(file, offset, size, name)
    if hashlib.sha256(packed).digest() != checksum:
        raise SnapshotError(f"{name}: the directory does not have its checksum: the file is damaged")
    try:
        return parse_directory(inflate_directory(packed), range(HEADER.size, offset))
    except SnapshotError as error:
        raise SnapshotError(f"{name}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, struct.error, zlib.error, RecursionError, OverflowError) as error:
        raise SnapshotError(f"{name}: the directory is damaged: {type(error).__name__}: {error}") from error
