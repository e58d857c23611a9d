"""What the floppy controller and its drives remember."""

from __future__ import annotations

import enum

import attrs
from ringone.api.errors import SnapshotError

UNITS = 4
"""Drives that the controller can address; the PC connects two."""


class Phase(enum.Enum):
    RESET = "reset"
    COMMAND = "command"
    EXECUTION = "execution"
    """Waiting for the medium."""
    DATA_IN = "data-in"
    """Without DMA: the host reads a sector."""
    DATA_OUT = "data-out"
    """Without DMA: the host writes a sector."""
    RESULT = "result"


class Operation(enum.Enum):
    READ = "read"
    WRITE = "write"
    VERIFY = "verify"
    READ_TRACK = "read-track"
    FORMAT = "format"
    READ_ID = "read-id"


@attrs.define(slots=True)
class DriveState:
    """`track` is the controller's PCN and the head's place in one. `seek_target` is -1 while the drive does not seek."""

    track: int = 0
    changed: bool = True
    seek_target: int = -1
    seek_status: int = 0
    """ST0 at the end of the seek."""


@attrs.define(slots=True)
class TransferState:
    """The data command under way; `cylinder`, `id_head`, `sector` and `size_code` are the ID that is looked for. `sectors_left` 0: until TC or the end."""

    operation: Operation
    unit: int
    head: int = 0
    multi_track: bool = False
    cylinder: int = 0
    id_head: int = 0
    sector: int = 1
    size_code: int = 2
    last_sector: int = 0
    sectors_left: int = 0
    filler: int = 0

    def check(self) -> None:
        if not (0 <= self.unit < UNITS and self.head in (0, 1)):
            raise SnapshotError(f"unit {self.unit}, head {self.head}; accepted: units 0 to 3, heads 0 and 1")
        for name in ("cylinder", "id_head", "sector", "size_code", "last_sector", "filler"):
            if not 0 <= getattr(self, name) <= 0xFF:
                raise SnapshotError(f"{name} of a floppy command is {getattr(self, name):#x}; accepted: a byte")


@attrs.define(slots=True)
class I82077State:
    phase: Phase = Phase.RESET
    interrupt: bool = False
    dor: int = 0
    tape_drive: int = 0
    data_rate: int = 2
    step_rate: int = 0
    head_load: int = 0
    configuration: int = 0x20
    precompensation_track: int = 0
    perpendicular: int = 0
    locked: bool = False
    last_count: int = 0
    """SC or EOT of the last command, for DUMPREG."""
    rotation: int = 0
    """The sector that READ ID has seen last."""
    command: bytes = b""
    buffer: bytes = b""
    position: int = 0
    sense: list[int] = attrs.field(factory=list)
    """ST0 values that SENSE INTERRUPT STATUS will give."""
    drives: list[DriveState] = attrs.field(factory=lambda: [DriveState() for _ in range(UNITS)])
    transfer: TransferState | None = None

    def check(self) -> None:
        """Raise `SnapshotError` for what no controller can have saved."""
        if len(self.drives) != UNITS:
            raise SnapshotError(f"{len(self.drives)} floppy drives in the saved state; expected {UNITS}")
        if len(self.sense) > UNITS or any(not 0 <= status <= 0xFF for status in self.sense):
            raise SnapshotError(f"pending floppy interrupts {self.sense[: UNITS + 1]}; accepted: up to {UNITS} status bytes")
        if any(not 0 <= drive.track <= 0xFF or not -1 <= drive.seek_target <= 0xFF for drive in self.drives):
            raise SnapshotError("a floppy drive's track is not between 0 and 255")
        if self.phase in (Phase.DATA_IN, Phase.DATA_OUT, Phase.RESULT) and not 0 <= self.position < len(self.buffer):
            raise SnapshotError(f"floppy buffer position {self.position}; accepted: 0 to {len(self.buffer) - 1}")
        if self.phase in (Phase.EXECUTION, Phase.DATA_IN, Phase.DATA_OUT) and self.transfer is None:
            raise SnapshotError(f"the floppy controller is in its {self.phase.value} phase without a data command")
        if any(not 0 <= drive.seek_status <= 0xFF for drive in self.drives):
            raise SnapshotError("a floppy drive's seek status is no byte")
        if self.transfer is not None:
            self.transfer.check()
        for name in ("dor", "tape_drive", "data_rate", "step_rate", "head_load", "configuration", "precompensation_track", "perpendicular", "last_count"):
            if not 0 <= getattr(self, name) <= 0xFF:
                raise SnapshotError(f"floppy register {name} holds {getattr(self, name):#x}; accepted: a byte")
