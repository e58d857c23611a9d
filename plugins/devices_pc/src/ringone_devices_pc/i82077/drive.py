"""A floppy drive and the medium in it: which format an image's size stands for, the head's place, the disk change line.

An image that is smaller than its format reads zeros behind its end. Media are always up to speed, whether or not the motor is on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from ringone.api.errors import MediumError

from ringone_devices_pc.i82077.config import DriveType
from ringone_devices_pc.i82077.state import DriveState

if TYPE_CHECKING:
    from ringone.api.drivers import BlockDevice, RemovableMedium

SECTOR = 512
SIZE_CODE = 2

RATE_500K = 0
RATE_300K = 1
RATE_250K = 2
RATE_1M = 3


@attrs.frozen
class Format:
    """`step` is how many of the drive's tracks one cylinder is apart: 2 for a 40-track medium in an 80-track drive."""

    cylinders: int
    heads: int
    sectors: int
    rate: int
    step: int = 1

    @property
    def blocks(self) -> int:
        return self.cylinders * self.heads * self.sectors


FORMATS: dict[DriveType, tuple[Format, ...]] = {
    DriveType.DD_5: (Format(40, 2, 9, RATE_250K), Format(40, 2, 8, RATE_250K), Format(40, 1, 9, RATE_250K), Format(40, 1, 8, RATE_250K)),
    DriveType.HD_5: (Format(80, 2, 15, RATE_500K), Format(40, 2, 9, RATE_300K, step=2)),
    DriveType.DD_3: (Format(80, 2, 9, RATE_250K),),
    DriveType.HD_3: (Format(80, 2, 18, RATE_500K), Format(80, 2, 21, RATE_500K), Format(82, 2, 21, RATE_500K), Format(80, 2, 9, RATE_250K)),
    DriveType.ED_3: (Format(80, 2, 18, RATE_500K), Format(80, 2, 36, RATE_1M), Format(80, 2, 9, RATE_250K)),
}
"""What a drive can read. An image has the format of exactly its size, otherwise the first one that it fits into."""


def format_of(kind: DriveType, blocks: int) -> Format:
    formats = FORMATS[kind]
    exact = [candidate for candidate in formats if candidate.blocks == blocks]
    roomy = [candidate for candidate in formats if candidate.blocks >= blocks]
    return (exact or roomy or [max(formats, key=lambda candidate: candidate.blocks)])[0]


class FloppyDrive:
    """`state` belongs to the controller's state, which a reset and a load replace."""

    def __init__(self, kind: DriveType, bay: RemovableMedium | None) -> None:
        self._kind = kind
        self._bay = bay
        self._generation = bay.generation if bay is not None else 0
        self.state = DriveState()

    @property
    def present(self) -> bool:
        return self._kind is not DriveType.NONE

    @property
    def medium(self) -> BlockDevice | None:
        return self._bay.medium if self._bay is not None else None

    @property
    def format(self) -> Format | None:
        """Of the medium, None where there is none."""
        medium = self.medium
        return format_of(self._kind, medium.block_count) if medium is not None and self.present else None

    @property
    def write_protected(self) -> bool:
        medium = self.medium
        return medium is not None and medium.read_only

    # --- Head and change line ------------------------------------------------------------------------------------------------------------------------------

    def disk_change(self) -> bool:
        """The DSKCHG line: active from a change (or power-on) until the head is stepped with a medium in the drive."""
        self._notice_change()
        return self.present and (self.state.changed or self.medium is None)

    def step_to(self, track: int) -> None:
        self._notice_change()
        if track != self.state.track and self.medium is not None:
            self.state.changed = False
        self.state.track = track

    def cylinder(self, layout: Format) -> int:
        """Under the head; -1 between two."""
        cylinder, between = divmod(self.state.track, layout.step)
        return -1 if between else cylinder

    def _notice_change(self) -> None:
        if self._bay is not None and self._bay.generation != self._generation:
            self._generation = self._bay.generation
            self.state.changed = True

    # --- Sectors -------------------------------------------------------------------------------------------------------------------------------------------

    def read(self, block: int) -> bytes:
        """Raises `MediumError` where the host cannot read."""
        medium = self.medium
        if medium is None:
            raise MediumError("the floppy drive is empty")
        return medium.read(block, 1) if block < medium.block_count else bytes(SECTOR)

    def write(self, block: int, data: bytes) -> None:
        """Raises `MediumError` where the host cannot write; an image has no room behind its end."""
        medium = self.medium
        if medium is None:
            raise MediumError("the floppy drive is empty")
        if block >= medium.block_count:
            raise MediumError(f"sector {block} of a floppy image with {medium.block_count}")
        medium.write(block, data)

    # --- Life ----------------------------------------------------------------------------------------------------------------------------------------------

    def save(self) -> DriveState:
        unnoticed = self._bay is not None and self._bay.generation != self._generation
        return attrs.evolve(self.state, changed=self.state.changed or unnoticed)

    def attach(self, state: DriveState) -> None:
        self.state = state
        self._generation = self._bay.generation if self._bay is not None else 0
