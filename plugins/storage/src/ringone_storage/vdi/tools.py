"""What can be done to VDI images while no machine uses them."""

from __future__ import annotations

import uuid
from array import array
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from uuid import UUID

import attrs
from ringone.api.drivers import BlockDevice
from ringone.api.errors import MediumError, UnsupportedError
from ringone.api.media import MediumInfo, MediumVariant, NewMedium, Progress, no_progress

from ringone_storage.hostfile import file_size, medium_error, read_head
from ringone_storage.newfile import copy_content, is_zero, new_file, reserve, whole_sectors
from ringone_storage.vdi.chain import open_images
from ringone_storage.vdi.disk import VdiDisk
from ringone_storage.vdi.header import BLOCK_BYTES, COMMENT_BYTES, MAX_BLOCKS, NO_UUID, SECTOR_BYTES, Header, Kind, is_vdi, layout, parse
from ringone_storage.vdi.image import FREE, PENDING_BLOCKS, ZERO, VdiImage, to_bytes
from ringone_storage.vdi.merging import merge

VARIANTS = {Kind.DYNAMIC: MediumVariant.STANDARD, Kind.FIXED: MediumVariant.FIXED, Kind.DIFFERENCING: MediumVariant.DIFFERENCING}
KINDS = {variant: kind for kind, variant in VARIANTS.items()}


class VdiTools:
    """An `ImageTools`."""

    def describe(self, path: Path) -> MediumInfo:
        """Works for images in use as well: the header is always written as one piece."""
        header = _read_header(path)
        return MediumInfo(
            path=path,
            format="vdi",
            variant=VARIANTS[header.kind],
            capacity_bytes=header.capacity_bytes,
            allocated_bytes=min(header.allocated, header.block_count) * header.block_bytes,
            uuid=str(header.uuid),
            modification_uuid=str(header.modification_uuid),
            parent_uuid=str(header.parent_uuid) if header.differencing else "",
            parent_modification_uuid=str(header.parent_modification_uuid) if header.differencing else "",
            comment=header.comment.split(b"\0")[0].decode(errors="replace"),
        )

    def create(self, new: NewMedium, progress: Progress = no_progress) -> MediumInfo:
        header = _new_header(new)
        with new_file(new.path) as scratch:
            _write_empty(scratch, header, progress)
        return self.describe(new.path)

    def clone(self, content: BlockDevice, new: NewMedium, progress: Progress = no_progress) -> MediumInfo:
        if new.variant is MediumVariant.DIFFERENCING:
            raise UnsupportedError(f"{new.path}: a clone stands on no other image; accepted are the variants Standard and Fixed")
        header = _new_header(attrs.evolve(new, capacity_bytes=content.block_count * content.block_size))
        with new_file(new.path) as scratch:
            _write_empty(scratch, header, no_progress)
            with closing(VdiDisk(open_images([scratch], writable=True), content.block_size, writable=True)) as disk:
                copy_content(content, disk, progress)
        return self.describe(new.path)

    def content(self, chain: Sequence[Path], folder: Path, progress: Progress = no_progress) -> AbstractContextManager[BlockDevice]:
        return closing(VdiDisk(open_images(chain, writable=False), SECTOR_BYTES, writable=False))

    def resize(self, path: Path, capacity_bytes: int, progress: Progress = no_progress) -> None:
        capacity = whole_sectors(path, capacity_bytes)
        with closing(VdiImage(path, writable=True)) as image:
            header = image.header
            if header.differencing:
                raise UnsupportedError(f"{path}: a differencing image has the size of its parent; resize a clone of it")
            if capacity < header.capacity_bytes:
                raise UnsupportedError(f"{path}: images cannot become smaller: this one has {header.capacity_bytes} bytes, {capacity} were wanted")
            block_count = _block_count(path, capacity, header.block_bytes)
            image.grow(capacity, block_count)
            if header.kind is Kind.FIXED:
                _fill(image, progress)
        progress(1.0)

    def compact(self, chain: Sequence[Path], progress: Progress = no_progress) -> None:
        with closing(open_images(chain, writable=True)) as opened:
            top = opened.images[0]
            if top.header.kind is Kind.FIXED:
                raise UnsupportedError(f"{top.path}: a fixed image always has its full size; accepted are dynamic and differencing images")
            for index in top.taken():
                if top.map[index] < ZERO:
                    position, length = index * top.header.block_bytes, top.length(index)
                    content = top.read(top.map[index], 0, length)
                    below = opened.gather(1, position, length) if top.header.differencing else bytes(length)
                    if content == below:
                        top.mark(index, FREE)
                    elif is_zero(content):
                        top.mark(index, ZERO)
                if top.pending >= PENDING_BLOCKS:
                    top.commit()
                progress((index + 1) / top.header.block_count)
            top.close_gaps()
        progress(1.0)

    def merge(self, source: Path, target: Path, progress: Progress = no_progress) -> None:
        merge(source, target, progress)

    def set_parent(self, path: Path, parent: Path) -> None:
        with closing(VdiImage(path, writable=True)) as image:
            if not image.header.differencing:
                raise MediumError(f"{path}: stands on no other image, so that it cannot get another parent; accepted are differencing images")
            capacity, created, modified, _ = _parent(parent)
            if capacity != image.header.capacity_bytes:
                raise MediumError(f"{parent}: has {capacity} bytes, {path} {image.header.capacity_bytes}; a parent has to be of the same size")
            if created == image.header.uuid:
                raise MediumError(f"{parent}: has the same UUID as {path}; an image cannot be its own parent")
            image.set_header(parent_uuid=created, parent_modification_uuid=modified)

    def set_uuid(self, path: Path, uuid: str) -> None:
        with closing(VdiImage(path, writable=True)) as image:
            image.set_header(uuid=_uuid(path, uuid))


def _read_header(path: Path) -> Header:
    head = read_head(path, SECTOR_BYTES)
    try:
        return parse(path, head, path.stat().st_size)
    except OSError as error:
        raise medium_error(path, "read the disk image", error) from error


def _parent(path: Path) -> tuple[int, UUID, UUID, int]:
    """Capacity, UUIDs and block size. Raw images have no UUIDs."""
    if is_vdi(read_head(path, SECTOR_BYTES)):
        header = _read_header(path)
        return header.capacity_bytes, header.uuid, header.modification_uuid, header.block_bytes
    return whole_sectors(path, file_size(path)), NO_UUID, NO_UUID, BLOCK_BYTES


def _new_header(new: NewMedium) -> Header:
    if new.variant not in KINDS:
        raise UnsupportedError(f"{new.path}: a VDI image cannot be of variant {new.variant.value}; accepted: {', '.join(variant.value for variant in KINDS)}")
    if (new.variant is MediumVariant.DIFFERENCING) != (new.parent is not None):
        raise MediumError(f"{new.path}: differencing images have a parent, others have none; variant {new.variant.value} and parent {new.parent} do not fit")
    capacity, parent, parent_modified, block_bytes = new.capacity_bytes, NO_UUID, NO_UUID, BLOCK_BYTES
    if new.parent is not None:
        capacity, parent, parent_modified, block_bytes = _parent(new.parent)
        if new.capacity_bytes not in (0, capacity):
            raise MediumError(f"{new.path}: a capacity of {new.capacity_bytes} bytes does not fit the parent {new.parent}, which has {capacity}")
    capacity = whole_sectors(new.path, capacity)
    block_count = _block_count(new.path, capacity, block_bytes)
    map_offset, data_offset = layout(block_count)
    return Header(
        kind=KINDS[new.variant],
        capacity_bytes=capacity,
        block_bytes=block_bytes,
        block_count=block_count,
        map_offset=map_offset,
        data_offset=data_offset,
        allocated=block_count if new.variant is MediumVariant.FIXED else 0,
        uuid=_uuid(new.path, new.uuid) if new.uuid else uuid.uuid4(),
        modification_uuid=uuid.uuid4(),
        parent_uuid=parent,
        parent_modification_uuid=parent_modified,
        comment=new.comment.encode()[: COMMENT_BYTES - 1],
    )


def _block_count(path: Path, capacity: int, block_bytes: int) -> int:
    count = -(-capacity // block_bytes)
    if count > MAX_BLOCKS:
        raise MediumError(f"{path}: {capacity} bytes are too many for blocks of {block_bytes} bytes; at most {MAX_BLOCKS * block_bytes} fit")
    return count


def _uuid(path: Path, text: str) -> UUID:
    try:
        value = UUID(text)
    except ValueError as error:
        raise MediumError(f"{path}: {text!r} is no UUID; accepted are 32 hexadecimal digits") from error
    if value == NO_UUID:
        raise MediumError(f"{path}: an image cannot have the UUID {value}")
    return value


def _write_empty(path: Path, header: Header, progress: Progress) -> None:
    fixed = header.kind is Kind.FIXED
    entries = array("I", range(header.block_count)) if fixed else array("I", [FREE]) * header.block_count
    try:
        with path.open("r+b") as file:
            file.write(header.pack())
            file.seek(header.map_offset)
            file.write(to_bytes(entries))
            file.truncate(header.data_offset)
    except OSError as error:
        raise medium_error(path, "create the disk image", error) from error
    if fixed:
        reserve(path, header.slots_end(header.block_count), progress)
    progress(1.0)


def _fill(image: VdiImage, progress: Progress) -> None:
    """Give every block of a fixed image its room."""
    count = image.header.block_count
    for index in range(count):
        if image.map[index] == FREE:
            image.place(index, b"")
        if image.pending >= PENDING_BLOCKS:
            image.commit()
        progress((index + 1) / count)
    image.commit()
