"""What a PIIX3 IDE controller and its drives remember."""

from __future__ import annotations

import enum

import attrs
from ringone.api.errors import SnapshotError


class Phase(enum.Enum):
    """Where a drive is in its command."""

    IDLE = "idle"
    COMMAND = "command"
    """BSY: the channel's timer will execute the command."""
    DATA_IN = "data-in"
    """DRQ: the host reads the buffer."""
    DATA_OUT = "data-out"
    """DRQ: the host fills the buffer."""
    DMA = "dma"
    """BSY and DRQ: waiting for, or amid, the bus master's transfer."""


@attrs.define(slots=True)
class DiskState:
    """`block_sectors` is the size of one DRQ block of the running command, `multiple` what SET MULTIPLE MODE chose (0: disabled)."""

    lba: int = 0
    sectors_left: int = 0
    block_sectors: int = 1
    multiple: int = 16
    heads: int = 16
    sectors_per_track: int = 63
    write_cache: bool = True
    standby: bool = False


@attrs.define(slots=True)
class CdromState:
    """`reply` holds what the packet command still sends from memory, `lba`/`blocks_left` what it still reads from the medium, in blocks of `block_bytes`."""

    packet: bytes = b""
    byte_limit: int = 0
    dma: bool = False
    reply: bytes = b""
    lba: int = 0
    blocks_left: int = 0
    block_bytes: int = 2048
    sense_key: int = 0
    additional_sense: int = 0
    medium_changed: bool = False
    """A unit attention is due."""
    media_event: int = 0
    """What GET EVENT STATUS NOTIFICATION reports next."""
    locked: bool = False
    tray_open: bool = False


@attrs.define(slots=True)
class DriveState:
    """The registers that LBA48 made two deep hold the older byte in bits 15:8."""

    phase: Phase = Phase.IDLE
    command: int = 0
    status: int = 0
    error: int = 0
    features: int = 0
    sector_count: int = 0
    lba_low: int = 0
    lba_mid: int = 0
    lba_high: int = 0
    interrupt_pending: bool = False
    transfer_mode: int = 0
    buffer: bytes = b""
    position: int = 0
    disk: DiskState | None = None
    cdrom: CdromState | None = None

    def check(self) -> None:
        """Raise `SnapshotError` for what no drive can have saved."""
        for name, limit in DRIVE_REGISTERS.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise SnapshotError(f"drive register {name} holds {value:#x}; accepted: 0 to {limit:#x}")
        if not 0 <= self.position <= len(self.buffer):
            raise SnapshotError(f"drive buffer position {self.position}; accepted: 0 to {len(self.buffer)}")
        if self.disk is not None and (self.disk.sectors_left < 0 or self.disk.lba < 0 or self.disk.block_sectors < 1):
            raise SnapshotError("a disk transfer's address, length and block size must not be negative")
        if self.disk is not None and (self.disk.heads < 1 or self.disk.sectors_per_track < 1):
            raise SnapshotError("a disk has at least one head and one sector a track")
        if self.cdrom is not None and (self.cdrom.blocks_left < 0 or self.cdrom.lba < 0 or self.cdrom.block_bytes not in (2048, 2352)):
            raise SnapshotError("a CD transfer's address and length must not be negative, and its blocks have 2048 or 2352 bytes")


DRIVE_REGISTERS = {
    "command": 0xFF,
    "status": 0xFF,
    "error": 0xFF,
    "transfer_mode": 0xFF,
    "features": 0xFFFF,
    "sector_count": 0xFFFF,
    "lba_low": 0xFFFF,
    "lba_mid": 0xFFFF,
    "lba_high": 0xFFFF,
}
"""Register -> the largest value that it can hold."""


@attrs.define(slots=True)
class BusMasterState:
    """`descriptor` is the next PRD's address; `address` and `bytes_left` the current one's rest."""

    command: int = 0
    status: int = 0
    table: int = 0
    descriptor: int = 0
    address: int = 0
    bytes_left: int = 0
    last: bool = False

    def check(self) -> None:
        """Raise `SnapshotError` for what no bus master can have saved."""
        for name, limit in BUS_MASTER_REGISTERS.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise SnapshotError(f"bus master register {name} holds {value:#x}; accepted: 0 to {limit:#x}")


BUS_MASTER_REGISTERS = {
    "command": 0xFF,
    "status": 0xFF,
    "table": 0xFFFF_FFFF,
    "descriptor": 0xFFFF_FFFF,
    "address": 0xFFFF_FFFF,
    "bytes_left": 0x10000,
}


@attrs.define(slots=True)
class ChannelState:
    device_head: int = 0xA0
    control: int = 0
    drives: list[DriveState | None] = attrs.field(factory=list)
    bus_master: BusMasterState = attrs.field(factory=BusMasterState)


@attrs.define(slots=True)
class Piix3IdeState:
    pci: bytes = b""
    channels: list[ChannelState] = attrs.field(factory=list)
