"""A disk made of a chain of VDI images: what the first does not have is the next one's, and writes go to the first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ringone.api.drivers import BlockDevice
from ringone.api.errors import MediumError
from ringone.api.media import AccessMode

from ringone_storage.blocks import require_blocks, whole_blocks
from ringone_storage.newfile import is_zero
from ringone_storage.overlay import ThrowAwayOverlay
from ringone_storage.raw import CD_BLOCK_SIZE
from ringone_storage.vdi.chain import Chain, open_images
from ringone_storage.vdi.header import Kind
from ringone_storage.vdi.image import FREE, PENDING_BLOCKS, ZERO, Data


class VdiDisk:
    """Takes the images over and closes them. An image block that has only had zeros written to it takes no room."""

    def __init__(self, chain: Chain, block_size: int, *, writable: bool) -> None:
        self._chain = chain
        self._top = chain.images[0]
        self._name = str(self._top.path)
        self._block_size = block_size
        self._capacity = self._top.header.capacity_bytes
        self._block_count = -(-self._capacity // block_size)
        self._read_only = not writable
        self._modified = False

    @property
    def block_size(self) -> int:
        return self._block_size

    @property
    def block_count(self) -> int:
        return self._block_count

    @property
    def read_only(self) -> bool:
        return self._read_only

    @property
    def pending(self) -> int:
        """Blocks that a killed process would lose."""
        return self._top.pending

    def read(self, block: int, count: int) -> bytes:
        require_blocks(self._name, "read", block, count, self._block_count)
        position, wanted = block * self._block_size, count * self._block_size
        size = min(wanted, self._capacity - position)
        top = self._top
        index, offset = divmod(position, top.header.block_bytes)
        if 0 < size <= top.header.block_bytes - offset and top.map[index] < ZERO:
            return top.read(top.map[index], offset, size).ljust(wanted, b"\0")
        return bytes(self._chain.gather(0, position, size)).ljust(wanted, b"\0")

    def next_data(self, block: int) -> int:
        """The first block from `block` on that some image holds."""
        position = self._chain.next_data(block * self._block_size)
        return min(self._block_count, max(block, position // self._block_size))

    def write(self, block: int, data: Data) -> None:
        if self._read_only:
            raise MediumError(f"{self._name}: cannot write block {block}: the disk image is read-only")
        view = memoryview(data).cast("B")
        require_blocks(self._name, "write", block, whole_blocks(view, self._block_size), self._block_count)
        self._begin_change()
        top, done = self._top, 0
        position = block * self._block_size
        for index, offset, length in top.ranges(position, min(len(view), self._capacity - position)):
            part = view[done : done + length]
            done += length
            if top.map[index] < ZERO:
                top.overwrite(top.map[index], offset, part)
            else:
                self._write_new(index, offset, part)
        if top.pending >= PENDING_BLOCKS:
            top.commit()

    def discard(self, block: int, count: int) -> None:
        """The content is not needed any more: image blocks that lie in the range as a whole are given up and read as zeros."""
        if self._read_only or self._top.header.kind is Kind.FIXED:
            return
        require_blocks(self._name, "discard", block, count, self._block_count)
        self._begin_change()
        top = self._top
        position = block * self._block_size
        for index, offset, length in top.ranges(position, min(count * self._block_size, self._capacity - position)):
            if offset == 0 and length == top.length(index):
                top.mark(index, ZERO if top.header.differencing else FREE)
        if top.pending >= PENDING_BLOCKS:
            top.commit()

    def flush(self) -> None:
        self._top.commit()

    def close(self) -> None:
        try:
            if self._modified:
                self._top.close_gaps()
        finally:
            self._modified = False
            self._chain.close()

    def _begin_change(self) -> None:
        if not self._modified:
            self._top.renew_modification()
            self._modified = True

    def _write_new(self, index: int, offset: int, part: memoryview) -> None:
        """A write to a block that the image does not have yet: it takes over what its parents have."""
        top = self._top
        length = top.length(index)
        inherits = top.header.differencing and top.map[index] == FREE
        if len(part) == length:
            if not is_zero(part):
                top.place(index, part)
            elif inherits:
                top.mark(index, ZERO)
            return
        content = self._chain.gather(1, index * top.header.block_bytes, length) if inherits else bytearray()
        if not is_zero(content):
            content[offset : offset + len(part)] = part
            top.place(index, content)
        elif not is_zero(part):
            top.start(index, offset, part)


def open_vdi(chain: Sequence[Path], mode: AccessMode, block_size: int) -> BlockDevice:
    writable = mode is AccessMode.PERSISTENT and block_size != CD_BLOCK_SIZE
    disk = VdiDisk(open_images(chain, writable=writable), block_size, writable=writable)
    if mode is AccessMode.THROW_AWAY and block_size != CD_BLOCK_SIZE:
        return ThrowAwayOverlay(disk, str(chain[0]))
    return disk
