"""Raw disk images: block n lies at n times the block size, in a file or on a host device.

A file that is no whole number of blocks long reads as if filled up with zeros. CDs (2,048-byte blocks) are never written, whatever the access mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ringone.api.drivers import BlockDevice
from ringone.api.errors import MediumError
from ringone.api.media import AccessMode

from ringone_storage.blocks import require_blocks, whole_blocks
from ringone_storage.hostfile import HostFile
from ringone_storage.overlay import ThrowAwayOverlay

CD_BLOCK_SIZE = 2048
ISO9660_IDENTIFIER = b"CD001"
ISO9660_IDENTIFIER_OFFSET = 16 * CD_BLOCK_SIZE + 1
"""In the first volume descriptor (ECMA-119, 8.1.2)."""


class RawImage:
    def __init__(self, path: Path, block_size: int, *, writable: bool) -> None:
        self._file = HostFile(path, writable=writable)
        self._name = str(path)
        self._block_size = block_size
        self._block_count = -(-self._file.size // block_size)
        self._read_only = not writable

    @property
    def block_size(self) -> int:
        return self._block_size

    @property
    def block_count(self) -> int:
        return self._block_count

    @property
    def read_only(self) -> bool:
        return self._read_only

    def read(self, block: int, count: int) -> bytes:
        require_blocks(self._name, "read", block, count, self._block_count)
        position, size = block * self._block_size, count * self._block_size
        data = self._file.read(position, min(size, self._file.size - position))
        return data.ljust(size, b"\0")

    def next_data(self, block: int) -> int:
        """The first block from `block` on that does not lie in a hole of the file."""
        position = self._file.next_data(block * self._block_size)
        return self._block_count if position >= self._file.size else max(block, position // self._block_size)

    def write(self, block: int, data: bytes | bytearray | memoryview) -> None:
        if self._read_only:
            raise MediumError(f"{self._name}: cannot write block {block}: the disk image is read-only")
        require_blocks(self._name, "write", block, whole_blocks(data, self._block_size), self._block_count)
        self._file.write(block * self._block_size, data)

    def flush(self) -> None:
        if not self._read_only:
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def open_raw(chain: Sequence[Path], mode: AccessMode, block_size: int) -> BlockDevice:
    path, *parents = chain
    if parents:
        raise MediumError(f"{path}: a raw disk image cannot stand on a parent ({parents[0]}); accepted are differencing images of other formats")
    writable = mode is AccessMode.PERSISTENT and block_size != CD_BLOCK_SIZE
    image = RawImage(path, block_size, writable=writable)
    if mode is AccessMode.THROW_AWAY and block_size != CD_BLOCK_SIZE:
        return ThrowAwayOverlay(image, str(path))
    return image


def is_iso9660(path: Path, head: bytes) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(ISO9660_IDENTIFIER_OFFSET)
            return file.read(len(ISO9660_IDENTIFIER)) == ISO9660_IDENTIFIER
    except OSError:
        return False
