"""Host drivers that give drives their images: ``disk-image`` for fixed disks, ``removable-image`` for CD and floppy drives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs
from ringone.api.drivers import BlockDevice, DriverContext, HostDriverSpec, MediumChanger, RemovableMedium
from ringone.api.errors import MediumError, UnknownNameError
from ringone.api.media import AccessMode, MediumFormatSpec
from ringone.api.options import option

from ringone_storage.hostfile import read_head

PROBE_BYTES = 4096
FALLBACK_FORMAT = "raw"
BLOCK_SIZES = (512, 2048)


@attrs.frozen(kw_only=True)
class DiskImageOptions:
    path: Path = option(help="image file")
    format: str = option("", help="format of the image; empty: found out by looking at it")
    mode: AccessMode = option(AccessMode.PERSISTENT, help="what happens to writes")
    block_size: int = option(512, help="512 for disks and floppies, 2048 for CDs", unit="bytes", validator=attrs.validators.in_(BLOCK_SIZES))


@attrs.frozen(kw_only=True)
class RemovableImageOptions:
    path: Path | None = option(None, help="image file; none: the drive is empty")
    format: str = option("", help="format of the first image; empty: found out by looking at it")
    mode: AccessMode = option(AccessMode.PERSISTENT, help="what happens to writes; CDs are never written")
    block_size: int = option(512, help="512 for disks and floppies, 2048 for CDs", unit="bytes", validator=attrs.validators.in_(BLOCK_SIZES))


class RemovableImage:
    """A drive bay that opens images with its driver's mode and block size."""

    def __init__(self, formats: Mapping[str, MediumFormatSpec], options: RemovableImageOptions) -> None:
        self._formats = formats
        self._mode = options.mode
        self._block_size = options.block_size
        self._medium: BlockDevice | None = None
        self._path: Path | None = None
        self._generation = 0
        if options.path is not None and options.path != Path():
            self._medium = open_image(formats, options.path, options.format, options.mode, options.block_size)
            self._path = options.path

    @property
    def medium(self) -> BlockDevice | None:
        return self._medium

    @property
    def generation(self) -> int:
        return self._generation

    def eject(self) -> None:
        if self._medium is not None:
            self.insert(None)

    def insert(self, medium: BlockDevice | None) -> None:
        old, self._medium = self._medium, medium
        self._path = None
        self._generation += 1
        if old is not None and old is not medium:
            old.close()

    def change(self, image: Path | None) -> None:
        if image is None:
            self.insert(None)
            return
        if image == self._path:  # its own lock is in the way
            self.insert(None)
        self.insert(open_image(self._formats, image, "", self._mode, self._block_size))
        self._path = image

    def close(self) -> None:
        self.eject()


def open_image(formats: Mapping[str, MediumFormatSpec], path: Path, name: str, mode: AccessMode, block_size: int) -> BlockDevice:
    if name and name not in formats:
        raise UnknownNameError("disk image format", name, list(formats))
    spec = formats[name] if name else probe(formats, path)
    return spec.open([path], mode, block_size)


def probe(formats: Mapping[str, MediumFormatSpec], path: Path) -> MediumFormatSpec:
    """The one format that recognizes the file; the suffix decides between several, raw is for what none recognizes."""
    head = read_head(path, PROBE_BYTES)
    found = [spec for name, spec in sorted(formats.items()) if name != FALLBACK_FORMAT and spec.probe(path, head)]
    if len(found) > 1:
        found = [spec for spec in found if path.suffix.lower() in spec.suffixes] or found
    if len(found) > 1:
        raise MediumError(f"{path}: looks like several disk image formats; give one of: {', '.join(spec.name for spec in found)}")
    return found[0] if found else formats[FALLBACK_FORMAT]


def create_disk_image(context: DriverContext, options: DiskImageOptions) -> BlockDevice:
    return open_image(context.media_formats, options.path, options.format, options.mode, options.block_size)


def create_removable_image(context: DriverContext, options: RemovableImageOptions) -> MediumChanger:
    return RemovableImage(context.media_formats, options)


DISK_IMAGE = HostDriverSpec(name="disk-image", summary="a disk image that stays in place", kind=BlockDevice, options=DiskImageOptions, create=create_disk_image)
REMOVABLE_IMAGE = HostDriverSpec(
    name="removable-image",
    summary="a CD or floppy drive's exchangeable image",
    kind=RemovableMedium,
    options=RemovableImageOptions,
    create=create_removable_image,
)
