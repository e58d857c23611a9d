"""Host drivers that give drives their images: ``disk-image`` for fixed disks, ``removable-image`` for CD and floppy drives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs
from ringone.api.drivers import BlockDevice, DriverContext, FixedDisk, HostDriverSpec, MediumChanger, RemovableMedium
from ringone.api.media import AccessMode, MediumFormatSpec
from ringone.api.options import option

from ringone_storage.fixed_disk import DiskImage
from ringone_storage.layers import DEFAULT_LIMIT_BYTES
from ringone_storage.opening import open_chain
from ringone_storage.write_behind import WriteBehind

BLOCK_SIZES = (512, 2048)


@attrs.frozen(kw_only=True)
class DiskImageOptions:
    path: Path = option(help="image file")
    parents: str = option("", help="images that it stands on, nearest first, one a line; relative ones count from the image's folder")
    format: str = option("", help="format of the image; empty: found out by looking at it")
    mode: AccessMode = option(AccessMode.PERSISTENT, help="what happens to writes")
    checkpoint_memory: int = option(DEFAULT_LIMIT_BYTES, help="how much memory the writes above checkpoints may take", unit="bytes")
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
            self._medium = open_chain(formats, (options.path,), options.format, options.mode, options.block_size)
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
        self.insert(open_chain(self._formats, (image,), "", self._mode, self._block_size))
        self._path = image

    def close(self) -> None:
        self.eject()


def create_disk_image(context: DriverContext, options: DiskImageOptions) -> FixedDisk:
    folder = options.path.parent
    parents = [folder / line.strip() for line in options.parents.splitlines() if line.strip()]
    return DiskImage(
        context.media_formats,
        (options.path, *parents),
        format=options.format,
        mode=options.mode,
        block_size=options.block_size,
        limit_bytes=options.checkpoint_memory,
        write_behind=WriteBehind(str(options.path), context.call_soon),
    )


def create_removable_image(context: DriverContext, options: RemovableImageOptions) -> MediumChanger:
    return RemovableImage(context.media_formats, options)


DISK_IMAGE = HostDriverSpec(name="disk-image", summary="a disk image that stays in place", kind=FixedDisk, options=DiskImageOptions, create=create_disk_image)
REMOVABLE_IMAGE = HostDriverSpec(
    name="removable-image",
    summary="a CD or floppy drive's exchangeable image",
    kind=RemovableMedium,
    options=RemovableImageOptions,
    create=create_removable_image,
)
