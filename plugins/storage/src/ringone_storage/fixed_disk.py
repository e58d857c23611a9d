"""A fixed disk's image (`FixedDisk`): layers in memory for checkpoints, and another chain of images under the running machine for snapshots."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ringone.api.drivers import BlockDevice
from ringone.api.errors import MediumError, StateError
from ringone.api.media import AccessMode, MediumFormatSpec

from ringone_storage.layers import DEFAULT_LIMIT_BYTES, LayerStack
from ringone_storage.opening import open_chain
from ringone_storage.write_behind import HoldsBack, WriteBehind

ADVICE = "forget checkpoints that are no longer needed"

log = logging.getLogger(__name__)


class DiskImage:
    """The ground of the layers stays empty but between the moment when the last layer was dropped and the image's taking it: on a full host disk that may last,
    and every flush tries again."""

    def __init__(
        self,
        formats: Mapping[str, MediumFormatSpec],
        chain: Sequence[Path],
        *,
        format: str = "",
        mode: AccessMode = AccessMode.PERSISTENT,
        block_size: int = 512,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
        write_behind: WriteBehind | None = None,
    ) -> None:
        self._formats = formats
        self._named_formats = {chain[0]: format}
        """Formats that somebody named: what a guest writes to the beginning of a raw image does not make another one of it."""
        self._mode = mode
        self._block_size = block_size
        self._write_behind = write_behind
        self._chain = tuple(chain)
        self._image = self._open(self._chain)
        self._held_back = self._image if isinstance(self._image, HoldsBack) else None
        self._block_count = self._image.block_count
        self._stack = LayerStack(self._image, str(self._chain[0]), ADVICE, limit_bytes)
        self._layered = False
        """Whether any layer, or the ground, may hold something."""

    @property
    def block_size(self) -> int:
        return self._block_size

    @property
    def block_count(self) -> int:
        return self._block_count

    @property
    def read_only(self) -> bool:
        return self._image.read_only

    @property
    def chain(self) -> Sequence[Path]:
        return self._chain

    @property
    def memory_bytes(self) -> int:
        """Host memory that the layers take."""
        return self._stack.memory_bytes

    def read(self, block: int, count: int) -> bytes:
        return self._stack.read(block, count) if self._layered else self._image.read(block, count)

    def write(self, block: int, data: bytes | bytearray | memoryview) -> None:
        if self._layered and not self._image.read_only:
            self._stack.write(block, data)
        else:
            self._image.write(block, data)
            if self._held_back is not None and self._held_back.pending and self._write_behind is not None:
                self._write_behind.watch(self._held_back)

    def flush(self) -> None:
        self._settle()
        self._image.flush()

    def push_layer(self) -> None:
        self._stack.push()
        self._layered = True

    def rewind_layer(self, level: int) -> None:
        self._require_level(level)
        self._stack.rewind(level)

    def drop_layer(self, level: int) -> None:
        self._require_level(level)
        self._stack.drop(level)
        try:
            self._settle()
        except MediumError as error:
            log.warning("%s: writes stay in memory until the next flush: %s", self._chain[0], error)

    def switch(self, chain: Sequence[Path], meanwhile: Callable[[], None] | None = None) -> None:
        if self._stack.levels:
            raise StateError(f"{self._chain[0]}: checkpoints keep {self._stack.levels} layers of this disk; forget them before its image is changed")
        if self._mode is AccessMode.THROW_AWAY:
            raise StateError(f"{self._chain[0]}: writes to this disk are thrown away, so that its image cannot be changed; accepted are persistent disks")
        self.flush()
        self._stop_watching()
        self._image.close()
        try:
            if meanwhile is not None:
                meanwhile()
            image = self._open(chain)
            if image.block_count != self._block_count:
                image.close()
                raise MediumError(f"{chain[0]}: has {image.block_count} blocks, but the disk in the machine has {self._block_count}")
            self._use(image, chain)
        except BaseException:
            self._use(self._open(self._chain), self._chain)
            raise

    def close(self) -> None:
        for _ in range(self._stack.levels):
            self._stack.drop(0)
        try:
            self._settle()
        except MediumError as error:
            log.error("%s: writes that checkpoints kept in memory are lost: %s", self._chain[0], error)
        self._stack.clear()
        self._stop_watching()
        self._image.close()

    def _open(self, chain: Sequence[Path]) -> BlockDevice:
        return open_chain(self._formats, chain, self._named_formats.get(chain[0], ""), self._mode, self._block_size)

    def _use(self, image: BlockDevice, chain: Sequence[Path]) -> None:
        self._image = self._stack.base = image
        self._held_back = image if isinstance(image, HoldsBack) else None
        self._chain = tuple(chain)

    def _stop_watching(self) -> None:
        if self._write_behind is not None:
            self._write_behind.cancel()

    def _settle(self) -> None:
        """Bring to the image what no checkpoint holds back."""
        if self._layered and not self._stack.levels:
            self._stack.settle(self._image)
            self._layered = False

    def _require_level(self, level: int) -> None:
        if not 0 <= level < self._stack.levels:
            raise StateError(f"{self._chain[0]}: there is no layer {level}; this disk has {self._stack.levels}")
