"""Host things that chips are given: disks, character streams, clocks, displays, input. A chip opens no file and reads no host clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from ringone.api import API_VERSION

if TYPE_CHECKING:
    from ringone.api.media import MediumFormatSpec


class BlockDevice(Protocol):
    """A disk or CD image. Synchronous; called on the machine's thread.

    Addresses are in units of `block_size` bytes (512 for disks and floppies, 2048 for CDs). Errors: `MediumError` (the guest sees an I/O error),
    `DiskFullError` (the machine also pauses).
    """

    @property
    def block_size(self) -> int: ...
    @property
    def block_count(self) -> int: ...
    @property
    def read_only(self) -> bool: ...
    def read(self, block: int, count: int) -> bytes: ...
    def write(self, block: int, data: bytes | bytearray | memoryview) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class RemovableMedium(Protocol):
    """Slot kind for CD and floppy drives: the medium may be absent and may be exchanged while the machine runs."""

    @property
    def medium(self) -> BlockDevice | None: ...
    @property
    def generation(self) -> int:
        """Rises with every change; the drive compares it to notice."""
        ...

    def eject(self) -> None: ...


class MediumChanger(RemovableMedium, Protocol):
    """A `RemovableMedium` as the session sees it (`VmSession.change_medium`): the medium can be put in from outside. What was in the drive is closed."""

    def insert(self, medium: BlockDevice | None) -> None: ...
    def change(self, image: Path | None) -> None:
        """Open `image` as the driver's options say (format probed) and insert it; None leaves the drive empty.
        Where it cannot be opened, `MediumError` is raised and the old medium stays."""
        ...


class FixedDisk(BlockDevice, Protocol):
    """A fixed disk's image as checkpoints and snapshots see it; the chip notices nothing. Called on the machine's thread.

    Layers lie above the image in memory, one a checkpoint. While there is one, writes go into the highest and the image is not touched.
    """

    def push_layer(self) -> None:
        """Keep the present content: it can be gone back to."""
        ...

    def rewind_layer(self, level: int) -> None:
        """Back to the content that layer `level` (0 is the lowest) was pushed on; that layer becomes the highest and is empty."""
        ...

    def drop_layer(self, level: int) -> None:
        """Forget that the content below layer `level` was kept; the present content stays. Without any layer left, it is written to the image;
        what the image does not take stays in memory, and the next flush tries again and says why it cannot."""
        ...

    def switch(self, chain: Sequence[Path], meanwhile: Callable[[], None] | None = None) -> None:
        """Go on with another image (and its parents, the image first) of the same size: after a snapshot its differencing child, at a restore another one.
        What was written so far is flushed to the old image. Where the new one cannot be opened, `MediumError` is raised and the old one stays.
        Raises `StateError` while there are layers, and for disks whose writes are thrown away.

        `meanwhile` is called while no image is open, so that images of both chains can be created, merged and given other parents there; where it raises,
        the old chain is opened again."""
        ...

    @property
    def chain(self) -> Sequence[Path]:
        """The image in use and its parents."""
        ...


class CharStream(Protocol):
    """A byte stream behind a serial port or debug console. Bytes from the host arrive on the machine's thread."""

    def write(self, data: bytes) -> None:
        """Never blocks: what the host cannot take now is queued up to a bound and then dropped with a warning."""
        ...

    def attach(self, received: Callable[[], None]) -> None:
        """`received()` is called on the machine's thread when input became available after there was none."""
        ...

    def read(self, size: int) -> bytes:
        """At most `size` bytes of input, b"" where there are none."""
        ...

    def close(self) -> None: ...


class WallClock(Protocol):
    """Civil time for the real-time clock."""

    def base_ns(self) -> int:
        """Nanoseconds since 1970-01-01 00:00 in the guest's time zone, at virtual time 0."""
        ...


class FirmwareData(Protocol):
    """Slot ``firmware`` of fw_cfg and of the built-in BIOS: named blobs that the machine's configuration makes."""

    def files(self) -> dict[str, bytes]: ...


class DriverContext(Protocol):
    """What a driver sees of the machine: a way to run something on its thread."""

    @property
    def component(self) -> str: ...
    @property
    def media_formats(self) -> Mapping[str, MediumFormatSpec]:
        """Every disk image format that plugins offer, by name."""
        ...

    def call_soon(self, function: Callable[[], None]) -> None:
        """Run `function` on the machine's thread soon; any thread may ask."""
        ...

    def emit(self, event: object) -> None: ...


@attrs.frozen(kw_only=True)
class HostDriverSpec:
    """Yielded by the hook ``ringone_host_drivers``. `kind` is the Protocol that the object meets. Objects with a ``close()`` are closed with the machine."""

    name: str
    summary: str
    kind: type[Any]
    options: type[Any]
    create: Callable[[DriverContext, Any], Any]
    api_version: int = API_VERSION
