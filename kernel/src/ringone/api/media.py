"""Disk image formats."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Protocol

import attrs

from ringone.api import API_VERSION
from ringone.api.drivers import BlockDevice
from ringone.api.errors import MediumError, UnsupportedError

PROBE_BYTES = 4096
FALLBACK_FORMAT = "raw"
"""What a file is whose format nobody recognizes."""

Progress = Callable[[float], None]
"""Told how far long work is, from 0 to 1."""


def no_progress(_done: float) -> None:
    """For work that nobody watches."""


class AccessMode(enum.Enum):
    """How an attachment treats its image."""

    PERSISTENT = "persistent"
    READ_ONLY = "read-only"
    THROW_AWAY = "throw-away"
    """Writes are kept in memory and forgotten with the machine."""


class MediumVariant(enum.Enum):
    """VirtualBox's words for how an image takes room."""

    STANDARD = "Standard"
    """Grows with what is written (VDI: dynamic)."""
    FIXED = "Fixed"
    DIFFERENCING = "Diff"
    """Holds what differs from its parent."""
    STREAM = "Stream"
    """Compressed and only ever written from front to back (VMDK in appliances)."""


@attrs.frozen(kw_only=True)
class MediumInfo:
    """What an image's file says about itself. UUIDs are lower-case text without braces, "" where the format has none. `parent_uuid` is of differencing images;
    `allocated_bytes` is what the image's blocks take in the file."""

    path: Path
    format: str
    variant: MediumVariant
    capacity_bytes: int
    allocated_bytes: int
    uuid: str = ""
    modification_uuid: str = ""
    parent_uuid: str = ""
    parent_modification_uuid: str = ""
    comment: str = ""


@attrs.frozen(kw_only=True)
class NewMedium:
    """An image to be created. `capacity_bytes` is that of the parent for differencing images and may be left 0 there; `uuid` "" means a fresh one."""

    path: Path
    capacity_bytes: int = 0
    variant: MediumVariant = MediumVariant.STANDARD
    parent: Path | None = None
    uuid: str = ""
    comment: str = ""


class ImageTools(Protocol):
    """What can be done to a format's images while no machine uses them. Raises `MediumError`, and `UnsupportedError` for what the format does not have.

    A `chain` is an image and its parents, the image first and the base last. Nothing is lost when the process is killed at any moment.
    """

    def describe(self, path: Path) -> MediumInfo: ...
    def create(self, new: NewMedium, progress: Progress = no_progress) -> MediumInfo:
        """Refuses a path that exists."""
        ...

    def resize(self, path: Path, capacity_bytes: int, progress: Progress = no_progress) -> None: ...
    def compact(self, chain: Sequence[Path], progress: Progress = no_progress) -> None:
        """Give back the room of blocks that hold zeros or were discarded."""
        ...

    def merge(self, source: Path, target: Path, progress: Progress = no_progress) -> None:
        """Bring two neighbours of a chain together: what they say as one is in `target` afterwards, and `source` can be removed.

        `target` is the parent of `source` (whose writes are brought down) or its only child (which takes what it does not have itself and then stands on the
        parent of `source`). Killed half-way, both still read as before and the merge can be repeated. Chains that this process reads, and that have both, read
        as before too; nobody may write to either meanwhile.
        """
        ...

    def set_parent(self, path: Path, parent: Path) -> None:
        """Write the parent's UUIDs into a differencing image."""
        ...

    def set_uuid(self, path: Path, uuid: str) -> None: ...
    def content(self, chain: Sequence[Path], folder: Path, progress: Progress = no_progress) -> AbstractContextManager[BlockDevice]:
        """What a chain reads as, in blocks of 512 bytes, to be copied. Formats that have to be converted for it keep their scratch files in `folder`."""
        ...

    def clone(self, content: BlockDevice, new: NewMedium, progress: Progress = no_progress) -> MediumInfo:
        """Create an image that holds a copy of `content`, whose capacity it takes. Refuses a path that exists."""
        ...


@attrs.frozen(kw_only=True)
class MediumFormatSpec:
    """Yielded by the hook ``ringone_media_formats``.

    `probe` gets the first 4 KiB and the path and says whether the file is of this format. `open` takes a chain (an image and its parents, the image first),
    the mode, and the block size, which is 512 for disks and floppies and 2048 for CDs; it returns the device or raises `MediumError`. `tools` is None for
    formats that are only read and written.
    """

    name: str
    summary: str
    suffixes: tuple[str, ...]
    probe: Callable[[Path, bytes], bool]
    open: Callable[[Sequence[Path], AccessMode, int], BlockDevice]
    tools: ImageTools | None = None
    api_version: int = API_VERSION


def find_format(formats: Mapping[str, MediumFormatSpec], path: Path) -> MediumFormatSpec:
    """The one format that recognizes the file; the suffix decides between several, raw is for what none recognizes. Raises `MediumError`."""
    head = _read_head(path)
    found = [spec for name, spec in sorted(formats.items()) if name != FALLBACK_FORMAT and spec.probe(path, head)]
    if len(found) > 1:
        found = [spec for spec in found if path.suffix.lower() in spec.suffixes] or found
    if len(found) > 1:
        raise MediumError(f"{path}: looks like several disk image formats; give one of: {', '.join(spec.name for spec in found)}")
    return found[0] if found else formats[FALLBACK_FORMAT]


def clone_medium(source: MediumFormatSpec, chain: Sequence[Path], target: MediumFormatSpec, new: NewMedium, progress: Progress = no_progress) -> MediumInfo:
    """Copy what a chain of one format reads as into a new image of the same or another format."""
    if target.tools is None:
        raise UnsupportedError(f"{new.path}: {target.name} images cannot be created")
    prepared = 0.0

    def preparing(done: float) -> None:
        nonlocal prepared
        prepared = done / 2
        progress(prepared)

    opened: AbstractContextManager[BlockDevice]
    if source.tools is None:
        opened = closing(source.open(chain, AccessMode.READ_ONLY, 512))
    else:
        opened = source.tools.content(chain, new.path.parent, preparing)
    with opened as content:
        return target.tools.clone(content, new, lambda done: progress(prepared + done * (1 - prepared)))


def _read_head(path: Path) -> bytes:
    try:
        if not (path.is_file() or path.is_block_device()):
            what = "neither a regular file nor a block device" if path.exists() else "No such file"
            raise MediumError(f"{path}: cannot open the disk image: {what}")
        with path.open("rb") as file:
            return file.read(PROBE_BYTES)
    except OSError as error:
        raise MediumError(f"{path}: cannot open the disk image: {error.strerror or error}") from error
