"""Opening an image with its parents: each one has to be the one that the image above it was made on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from uuid import UUID

import attrs
from ringone.api.drivers import BlockDevice
from ringone.api.errors import MediumError

from ringone_storage.hostfile import read_head
from ringone_storage.raw import RawImage
from ringone_storage.vdi.header import NO_UUID, SECTOR_BYTES, Header, is_vdi
from ringone_storage.vdi.image import FREE, ZERO, VdiImage


@attrs.frozen
class Chain:
    """`images` from the top down. `base` is the raw image that the last of them stands on, if it does."""

    images: Sequence[VdiImage]
    base: RawImage | None

    def gather(self, level: int, position: int, size: int) -> bytearray:
        """What the images from `level` down have, each asked for what those above it lack."""
        content = bytearray(size)
        view = memoryview(content)
        wanted = [(position, size)]
        for image in self.images[level:]:
            missing: list[tuple[int, int]] = []
            for start, length in wanted:
                done = start - position
                for index, offset, part in image.ranges(start, length):
                    slot = image.map[index]
                    if slot < ZERO:
                        view[done : done + part] = image.read(slot, offset, part)
                    elif slot == FREE:
                        _append(missing, position + done, part)
                    done += part
            wanted = missing
            if not wanted:
                break
        if self.base is not None:
            for start, length in wanted:
                view[start - position : start - position + length] = self.base.read(start // SECTOR_BYTES, length // SECTOR_BYTES)
        return content

    def next_data(self, position: int) -> int:
        """Where the next block begins, or `position` itself, that some image holds; the capacity where none does."""
        top = self.images[0].header
        if self.base is not None or any(image.header.block_bytes != top.block_bytes for image in self.images):
            return position
        index = position // top.block_bytes
        while (index := min(next(image.taken(index), top.block_count) for image in self.images)) < top.block_count:
            if next(image.map[index] for image in self.images if image.map[index] != FREE) < ZERO:
                return max(position, index * top.block_bytes)
            index += 1
        return top.capacity_bytes

    def close(self) -> None:
        for image in self.images:
            image.close()
        if self.base is not None:
            self.base.close()


def open_images(paths: Sequence[Path], *, writable: bool) -> Chain:
    """Only the first is ever writable. Raises `MediumError`, and leaves nothing open then."""
    _require_different(paths)
    with contextlib.ExitStack() as opened:
        top = VdiImage(paths[0], writable=writable)
        opened.callback(top.close)
        images, base = [top], None
        for path in paths[1:]:
            if base is not None or not images[-1].header.differencing:
                raise MediumError(f"{path}: is no parent of {_before(paths, path)}, which stands on no other image")
            if is_vdi(read_head(path, SECTOR_BYTES)):
                images.append(VdiImage(path, writable=False))
                opened.callback(images[-1].close)
                require_parent(images[-2].path, images[-2].header, path, images[-1].header)
            else:
                base = RawImage(path, SECTOR_BYTES, writable=False)
                opened.callback(base.close)
                require_raw_parent(images[-1].path, images[-1].header, path, base)
        last = images[-1]
        if last.header.differencing and base is None:
            raise MediumError(f"{last.path}: is a differencing image; its parent {_named(last.header.parent_uuid)} is missing from the chain")
        opened.pop_all()
        return Chain(images, base)


def require_parent(child: Path, header: Header, path: Path, parent: Header) -> None:
    """Refuse a VDI image that is not the parent, or not as it was."""
    if header.parent_uuid != parent.uuid:
        raise MediumError(f"{path}: UUID {{{parent.uuid}}} of the image does not match {_named(header.parent_uuid)}, the parent of {child}")
    if header.parent_modification_uuid not in (NO_UUID, parent.modification_uuid):
        raise MediumError(
            f"{path}: the image was changed after {child} was made on it: its modification UUID is {{{parent.modification_uuid}}}, "
            f"not {{{header.parent_modification_uuid}}}"
        )
    _require_capacity(child, header, path, parent.capacity_bytes)


def require_raw_parent(child: Path, header: Header, path: Path, parent: BlockDevice) -> None:
    if header.parent_uuid != NO_UUID:
        raise MediumError(f"{path}: is no VDI image; {child} stands on the one with the UUID {{{header.parent_uuid}}}")
    _require_capacity(child, header, path, parent.block_count * parent.block_size)


def _require_capacity(child: Path, header: Header, path: Path, capacity_bytes: int) -> None:
    if header.capacity_bytes != capacity_bytes:
        raise MediumError(f"{path}: the parent's capacity is {capacity_bytes} bytes, that of {child} {header.capacity_bytes}; they have to be equal")


def _require_different(paths: Iterable[Path]) -> None:
    seen: dict[tuple[int, int], Path] = {}
    for path in paths:
        with contextlib.suppress(OSError, ValueError):  # what cannot be looked at is refused when it is opened
            status = path.stat()
            file = (status.st_dev, status.st_ino)
            if file in seen:
                raise MediumError(f"{path}: stands twice in the chain (also as {seen[file]}); an image cannot be a parent of itself")
            seen[file] = path


def _append(ranges: list[tuple[int, int]], position: int, length: int) -> None:
    if ranges and sum(ranges[-1]) == position:
        ranges[-1] = (ranges[-1][0], ranges[-1][1] + length)
    else:
        ranges.append((position, length))


def _before(paths: Sequence[Path], path: Path) -> Path:
    return paths[paths.index(path) - 1]


def _named(uuid: UUID) -> str:
    return f"{{{uuid}}}" if uuid != NO_UUID else "(a raw image)"
