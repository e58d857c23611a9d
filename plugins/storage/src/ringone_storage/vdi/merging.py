"""Two neighbours of a chain become one, in place.

Down: the writes of the child are brought to its parent, whose modification UUID changes before its content does, so that another child of it is noticed; until
the end, the child does not insist on that UUID. Up: the child takes from its parent what it does not have itself, and at last, in one write of its header, the
parent's parent. As long as the child stands on the parent, both read as before, however far the work has come. That holds for a chain that this process opened
before as well: what it knows of the parent is out of date only where the child has blocks, and what it knows of the child only where the parent has the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from ringone.api.errors import MediumError
from ringone.api.media import Progress

from ringone_storage.hostfile import read_head, readers_aside
from ringone_storage.newfile import is_zero
from ringone_storage.raw import RawImage
from ringone_storage.vdi.chain import require_parent, require_raw_parent
from ringone_storage.vdi.header import NO_UUID, SECTOR_BYTES, Kind, is_vdi
from ringone_storage.vdi.image import FREE, PENDING_BLOCKS, ZERO, VdiImage

Image = VdiImage | RawImage


def merge(source: Path, target: Path, progress: Progress) -> None:
    with ExitStack() as opened:
        images: list[Image] = []
        for path in (source, target):
            opened.enter_context(readers_aside(path))
            image = _open(path)
            opened.callback(image.close)
            images.append(image)
        match images:
            case [VdiImage() as child, parent] if _stands_on(child, parent):
                _require_mergeable(child, target, parent)
                _merge_down(child, parent, progress)
            case [parent, VdiImage() as child] if _stands_on(child, parent):
                _require_mergeable(child, source, parent)
                _merge_up(parent, child, progress)
            case _:
                raise MediumError(f"{source}: cannot be merged with {target}: neither of them is the parent of the other")


def _open(path: Path) -> Image:
    if is_vdi(read_head(path, SECTOR_BYTES)):
        return VdiImage(path, writable=True)
    return RawImage(path, SECTOR_BYTES, writable=True)


def _stands_on(child: VdiImage, parent: Image) -> bool:
    return child.header.differencing and child.header.parent_uuid == (parent.header.uuid if isinstance(parent, VdiImage) else NO_UUID)


def _require_mergeable(child: VdiImage, path: Path, parent: Image) -> None:
    if isinstance(parent, RawImage):
        require_raw_parent(child.path, child.header, path, parent)
        return
    require_parent(child.path, child.header, path, parent.header)
    sizes = (child.header.block_bytes, parent.header.block_bytes)
    if sizes[0] != sizes[1]:
        raise MediumError(f"{child.path}: cannot be merged with {path}: their blocks have {sizes[0]} and {sizes[1]} bytes; clone the chain instead")


def _merge_down(child: VdiImage, parent: Image, progress: Progress) -> None:
    if isinstance(parent, RawImage):
        _write_raw(child, parent, progress)
        return
    if child.header.parent_modification_uuid != NO_UUID:
        child.set_header(parent_modification_uuid=NO_UUID)
    parent.renew_modification()
    for index in _watched(child, parent, progress):
        slot = child.map[index]
        if slot < ZERO:
            _put(parent, index, child.read(slot, 0, child.length(index)))
        elif slot == ZERO:
            _put_zeros(parent, index)
    child.set_header(parent_modification_uuid=parent.header.modification_uuid)


def _write_raw(child: VdiImage, parent: RawImage, progress: Progress) -> None:
    for index in _watched(child, child, progress):
        slot, length = child.map[index], child.length(index)
        content = child.read(slot, 0, length) if slot < ZERO else bytes(length)
        parent.write(index * child.header.block_bytes // SECTOR_BYTES, content)
    parent.flush()


def _merge_up(parent: Image, child: VdiImage, progress: Progress) -> None:
    for index in _watched(parent, child, progress):
        if child.map[index] != FREE:
            continue
        if isinstance(parent, RawImage):
            length = child.length(index)
            content = parent.read(index * child.header.block_bytes // SECTOR_BYTES, length // SECTOR_BYTES)
            if not is_zero(content):
                child.place(index, content)
        elif parent.map[index] < ZERO:
            child.place(index, parent.read(parent.map[index], 0, child.length(index)))
        elif parent.map[index] == ZERO:
            child.mark(index, ZERO)
    if isinstance(parent, VdiImage) and parent.header.differencing:
        above = parent.header
        child.set_header(parent_uuid=above.parent_uuid, parent_modification_uuid=above.parent_modification_uuid)
    else:
        child.set_header(kind=Kind.DYNAMIC, parent_uuid=NO_UUID, parent_modification_uuid=NO_UUID)


def _watched(source: Image, written: VdiImage, progress: Progress) -> Iterator[int]:
    """The blocks that `source` says something of; what was written is made durable now and then, and at the end."""
    count = written.header.block_count
    for index in source.taken() if isinstance(source, VdiImage) else range(count):
        yield index
        if written.pending >= PENDING_BLOCKS:
            written.commit()
        progress((index + 1) / count)
    written.commit()
    progress(1.0)


def _put(image: VdiImage, index: int, content: bytes) -> None:
    slot = image.map[index]
    if slot < ZERO:
        image.overwrite(slot, 0, content)
    else:
        image.place(index, content)


def _put_zeros(image: VdiImage, index: int) -> None:
    if image.header.differencing:
        image.mark(index, ZERO)
    elif image.header.kind is Kind.DYNAMIC:
        image.mark(index, FREE)
    else:
        _put(image, index, bytes(image.length(index)))
