"""What can be done to raw images while no machine uses them. They know nothing but their size: no UUIDs, no parents."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import NoReturn

import attrs
from ringone.api.drivers import BlockDevice
from ringone.api.errors import MediumError, UnsupportedError
from ringone.api.media import MediumInfo, MediumVariant, NewMedium, Progress, no_progress

from ringone_storage.hostfile import HostFile, file_size, image_status, medium_error
from ringone_storage.newfile import SECTOR_BYTES, copy_content, new_file, reserve, whole_sectors
from ringone_storage.raw import RawImage

STAT_BLOCK_BYTES = 512


@attrs.frozen
class RawTools:
    """An `ImageTools` for the format `name`."""

    name: str

    def describe(self, path: Path) -> MediumInfo:
        status = image_status(path)
        size = file_size(path)
        allocated = min(size, getattr(status, "st_blocks", size) * STAT_BLOCK_BYTES)
        return MediumInfo(path=path, format=self.name, variant=MediumVariant.FIXED, capacity_bytes=size, allocated_bytes=allocated)

    def create(self, new: NewMedium, progress: Progress = no_progress) -> MediumInfo:
        """Only the variant Fixed takes its room on the host's disk at once."""
        with new_file(new.path) as scratch:
            self._extend(scratch, self._capacity(new), new.variant, progress)
        return self.describe(new.path)

    def clone(self, content: BlockDevice, new: NewMedium, progress: Progress = no_progress) -> MediumInfo:
        capacity = self._capacity(attrs.evolve(new, capacity_bytes=content.block_count * content.block_size))
        with new_file(new.path) as scratch:
            self._extend(scratch, capacity, new.variant, no_progress)
            with closing(RawImage(scratch, content.block_size, writable=True)) as target:
                copy_content(content, target, progress)
        return self.describe(new.path)

    def content(self, chain: Sequence[Path], folder: Path, progress: Progress = no_progress) -> AbstractContextManager[BlockDevice]:
        if len(chain) > 1:
            raise MediumError(f"{chain[0]}: a raw disk image cannot stand on a parent ({chain[1]})")
        return closing(RawImage(chain[0], SECTOR_BYTES, writable=False))

    def resize(self, path: Path, capacity_bytes: int, progress: Progress = no_progress) -> None:
        capacity = whole_sectors(path, capacity_bytes)
        with closing(HostFile(path, writable=True)) as file:
            if capacity < file.size:
                raise UnsupportedError(f"{path}: images cannot become smaller: this one has {file.size} bytes, {capacity} were wanted")
            file.truncate(capacity)
            file.flush()
        progress(1.0)

    def compact(self, chain: Sequence[Path], progress: Progress = no_progress) -> None:
        self._refuse(chain[0], "cannot be compacted; clone it to a VDI image")

    def merge(self, source: Path, target: Path, progress: Progress = no_progress) -> None:
        self._refuse(source, "stands on no other image, so that there is nothing to merge")

    def set_parent(self, path: Path, parent: Path) -> None:
        self._refuse(path, "cannot stand on another image; accepted are differencing images")

    def set_uuid(self, path: Path, uuid: str) -> None:
        self._refuse(path, "has no place for a UUID")

    def _refuse(self, path: Path, why: str) -> NoReturn:
        raise UnsupportedError(f"{path}: a {self.name} image {why}")

    def _capacity(self, new: NewMedium) -> int:
        if new.parent is not None or new.variant not in (MediumVariant.STANDARD, MediumVariant.FIXED):
            self._refuse(new.path, "cannot stand on another image or be a stream; accepted are the variants Standard and Fixed")
        if new.uuid or new.comment:
            self._refuse(new.path, "has no place for a UUID or a comment")
        return whole_sectors(new.path, new.capacity_bytes)

    @staticmethod
    def _extend(path: Path, capacity: int, variant: MediumVariant, progress: Progress) -> None:
        if variant is MediumVariant.FIXED:
            reserve(path, capacity, progress)
            return
        try:
            with path.open("r+b") as file:
                file.truncate(capacity)
        except OSError as error:
            raise medium_error(path, f"create an image of {capacity} bytes", error) from error
