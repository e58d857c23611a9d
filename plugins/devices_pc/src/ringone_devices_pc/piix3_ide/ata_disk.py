"""An ATA-6 hard disk: LBA28, LBA48 and CHS addressing, PIO, multiple and DMA transfers, write cache, power modes.

SMART, security, host protected area changes and queued commands are refused, as a disk without those feature sets does.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import attrs
from ringone.api.errors import MediumError, SnapshotError

from ringone_devices_pc.piix3_ide.ata import (
    ABRT,
    DEV,
    DEVICE_HEAD_FIXED,
    EXECUTE_DEVICE_DIAGNOSTIC,
    IDENTIFY_DEVICE,
    IDNF,
    LBA,
    SECTOR,
    SET_FEATURES,
    UNC,
    ata_string,
    identify_block,
    transfer_mode_words,
)
from ringone_devices_pc.piix3_ide.drive import READY, Cable, Drive
from ringone_devices_pc.piix3_ide.state import DiskState, DriveState, Phase

if TYPE_CHECKING:
    from ringone.api.devices import DeviceContext
    from ringone.api.drivers import BlockDevice

HEADS = 16
SECTORS_PER_TRACK = 63
MAX_CYLINDERS = 16383
MAX_LBA28 = 0x0FFF_FFFF
MAX_MULTIPLE = 16
DMA_CHUNK_SECTORS = 128

POWER_ACTIVE = 0xFF
POWER_STANDBY = 0x00


class Kind(enum.Enum):
    PIO_READ = enum.auto()
    PIO_WRITE = enum.auto()
    DMA_READ = enum.auto()
    DMA_WRITE = enum.auto()
    VERIFY = enum.auto()


@attrs.frozen
class Transfer:
    """How a command moves sectors. `multiple`: as many a DRQ block as SET MULTIPLE MODE says; `extended`: 48-bit address, 16-bit count."""

    kind: Kind
    multiple: bool = False
    extended: bool = False


TRANSFERS: Mapping[int, Transfer] = {
    0x20: Transfer(Kind.PIO_READ),
    0x21: Transfer(Kind.PIO_READ),
    0x24: Transfer(Kind.PIO_READ, extended=True),
    0x25: Transfer(Kind.DMA_READ, extended=True),
    0x29: Transfer(Kind.PIO_READ, multiple=True, extended=True),
    0x30: Transfer(Kind.PIO_WRITE),
    0x31: Transfer(Kind.PIO_WRITE),
    0x34: Transfer(Kind.PIO_WRITE, extended=True),
    0x35: Transfer(Kind.DMA_WRITE, extended=True),
    0x39: Transfer(Kind.PIO_WRITE, multiple=True, extended=True),
    0x3C: Transfer(Kind.PIO_WRITE),
    0x40: Transfer(Kind.VERIFY),
    0x41: Transfer(Kind.VERIFY),
    0x42: Transfer(Kind.VERIFY, extended=True),
    0xC4: Transfer(Kind.PIO_READ, multiple=True),
    0xC5: Transfer(Kind.PIO_WRITE, multiple=True),
    0xC8: Transfer(Kind.DMA_READ),
    0xC9: Transfer(Kind.DMA_READ),
    0xCA: Transfer(Kind.DMA_WRITE),
    0xCB: Transfer(Kind.DMA_WRITE),
}
WRITES = frozenset({Kind.PIO_WRITE, Kind.DMA_WRITE})


class AtaDisk(Drive):
    immediate = frozenset({EXECUTE_DEVICE_DIAGNOSTIC} | {opcode for opcode, transfer in TRANSFERS.items() if transfer.kind is Kind.PIO_WRITE})
    signature = (0, 0)
    status_after_reset = READY

    def __init__(self, context: DeviceContext, cable: Cable, medium: BlockDevice, serial: str) -> None:
        super().__init__(context, cable)
        self._medium = medium
        self._serial = serial
        self._sectors = medium.block_count
        self._cylinders = min(MAX_CYLINDERS, max(1, self._sectors // (HEADS * SECTORS_PER_TRACK)))
        self._disk = self.state.disk = DiskState()

    def load(self, state: DriveState) -> None:
        disk = state.disk
        if disk is None:
            raise SnapshotError("the saved drive is no hard disk; this place has one")
        if disk.sectors_left and disk.lba + disk.sectors_left > self._sectors:
            raise SnapshotError(f"a transfer up to sector {disk.lba + disk.sectors_left}; the disk has {self._sectors}")
        if state.phase is Phase.DMA and state.command not in TRANSFERS:
            raise SnapshotError(f"command {state.command:#04x} in a DMA transfer; accepted: those that use DMA")
        if state.phase is Phase.DATA_OUT and len(state.buffer) not in range(SECTOR, disk.sectors_left * SECTOR + 1, SECTOR):
            raise SnapshotError(f"the host writes {len(state.buffer)} bytes to the disk; accepted: whole sectors of the transfer")
        super().load(state)
        self._disk = self.state.disk or disk

    def power_on(self) -> None:
        self._disk = DiskState()
        self.finish_reset()

    def set_defaults(self) -> None:
        geometry = self._disk
        self._disk = self.state.disk = DiskState(heads=geometry.heads, sectors_per_track=geometry.sectors_per_track)

    def execute(self) -> None:
        command = self.state.command
        transfer = TRANSFERS.get(command)
        if transfer is not None:
            self._transfer(transfer)
            return
        handler = COMMANDS.get(command)
        if handler is None:
            self.fail()
        else:
            handler(self)

    # --- Transfers -----------------------------------------------------------------------------------------------------------------------------------------

    def _transfer(self, transfer: Transfer) -> None:
        disk = self._disk
        if transfer.multiple and not disk.multiple:
            self.fail()
            return
        if transfer.kind in WRITES and self._medium.read_only:
            self.fail()
            return
        lba = self._address(transfer.extended)
        count = self._count(transfer.extended)
        if lba is None or lba + count > self._sectors:
            self.fail(IDNF)
            return
        disk.lba = lba
        disk.sectors_left = count
        disk.standby = False
        disk.block_sectors = disk.multiple if transfer.multiple else 1
        match transfer.kind:
            case Kind.PIO_READ:
                self._offer_block()
            case Kind.PIO_WRITE:
                self._ask_block()
            case Kind.VERIFY:
                self._verify()
            case _:
                self.await_dma()

    def _address(self, extended: bool) -> int | None:
        """The first sector as the registers name it, None where CHS names none."""
        s = self.state
        low, mid, high = s.lba_low & 0xFF, s.lba_mid & 0xFF, s.lba_high & 0xFF
        head = self.cable.device_head & 0x0F
        if extended:
            return low | mid << 8 | high << 16 | (s.lba_low >> 8) << 24 | (s.lba_mid >> 8) << 32 | (s.lba_high >> 8) << 40
        if self.cable.device_head & LBA:
            return low | mid << 8 | high << 16 | head << 24
        disk = self._disk
        if not 1 <= low <= disk.sectors_per_track or head >= disk.heads:
            return None
        return ((mid | high << 8) * disk.heads + head) * disk.sectors_per_track + low - 1

    def _count(self, extended: bool) -> int:
        if extended:
            return self.state.sector_count or 0x10000
        return self.state.sector_count & 0xFF or 0x100

    def _show_address(self, lba: int) -> None:
        """Where a command stands, in the registers and in the addressing of the command."""
        s = self.state
        transfer = TRANSFERS.get(s.command)
        if transfer is not None and transfer.extended:
            s.lba_low = lba & 0xFF | lba >> 16 & 0xFF00
            s.lba_mid = lba >> 8 & 0xFF | lba >> 24 & 0xFF00
            s.lba_high = lba >> 16 & 0xFF | lba >> 32 & 0xFF00
            return
        head = lba >> 24 & 0x0F
        if not self.cable.device_head & LBA:
            track, sector = divmod(lba, self._disk.sectors_per_track)
            cylinder, head = divmod(track, self._disk.heads)
            lba = sector + 1 | cylinder << 8
        self.cable.device_head = self.cable.device_head & ~0x0F | head
        s.lba_low, s.lba_mid, s.lba_high = lba & 0xFF, lba >> 8 & 0xFF, lba >> 16 & 0xFF

    def _advance(self, sectors: int) -> None:
        disk = self._disk
        disk.lba += sectors
        disk.sectors_left -= sectors
        self.state.sector_count = disk.sectors_left
        self._show_address(disk.lba - 1)

    def _read(self, sectors: int) -> bytes | None:
        """The next sectors from the medium, None after a medium error, which has then ended the command."""
        try:
            data = self._medium.read(self._disk.lba, sectors)
        except MediumError as error:
            self.medium_failed(error)
            self._show_address(self._disk.lba)
            self.fail(UNC)
            return None
        self._advance(sectors)
        return data

    def _write(self, data: bytes | bytearray) -> bool:
        """The next sectors to the medium; False after a medium error, which has then ended the command."""
        try:
            self._medium.write(self._disk.lba, data)
        except MediumError as error:
            self.medium_failed(error)
            self._show_address(self._disk.lba)
            self.fail(ABRT)
            return False
        self._advance(len(data) // SECTOR)
        return True

    def _offer_block(self) -> None:
        data = self._read(min(self._disk.block_sectors, self._disk.sectors_left))
        if data is not None:
            self.offer(data)

    def block_read(self) -> None:
        if self._disk.sectors_left:
            self._offer_block()
        else:
            self.settle()

    def _ask_block(self) -> None:
        self.accept(min(self._disk.block_sectors, self._disk.sectors_left) * SECTOR)

    def block_written(self) -> None:
        if not self._write(self.data):
            return
        if self._disk.sectors_left:
            self._ask_block()
            self.interrupt()
        else:
            self.complete()

    def _verify(self) -> None:
        while self._disk.sectors_left:
            if self._read(min(DMA_CHUNK_SECTORS, self._disk.sectors_left)) is None:
                return
        self.complete()

    def run_dma(self) -> None:
        if TRANSFERS[self.state.command].kind is Kind.DMA_READ:
            self._dma_read()
        else:
            self._dma_write()

    def _dma_read(self) -> None:
        bus_master = self.cable.bus_master
        while True:
            if self.position == len(self.data):
                if not self._disk.sectors_left:
                    self.complete()
                    return
                data = self._read(min(DMA_CHUNK_SECTORS, self._disk.sectors_left))
                if data is None:
                    return
                self._set_buffer(data)
            self.position += bus_master.to_memory(memoryview(self.data)[self.position :])
            if self.position < len(self.data):
                return

    def _dma_write(self) -> None:
        bus_master = self.cable.bus_master
        while self._disk.sectors_left:
            size = min(DMA_CHUNK_SECTORS, self._disk.sectors_left) * SECTOR
            self.data = bytes(self.data) + bus_master.from_memory(size - len(self.data))
            if len(self.data) < size:
                return
            if not self._write(self.data):
                return
            self._set_buffer(b"")
        self.complete()

    # --- Other commands ------------------------------------------------------------------------------------------------------------------------------------

    def _identify(self) -> None:
        self.offer(self._identify_data())

    def _identify_data(self) -> bytes:
        disk = self._disk
        capacity = min(self._sectors, MAX_LBA28)
        current_cylinders = min(0xFFFF, self._sectors // (disk.heads * disk.sectors_per_track))
        current = current_cylinders * disk.heads * disk.sectors_per_track
        words = {
            0: 0x0040,
            1: self._cylinders,
            3: HEADS,
            6: SECTORS_PER_TRACK,
            20: 3,
            21: MAX_MULTIPLE,
            22: 4,
            47: 0x8000 | MAX_MULTIPLE,
            48: 0x0001,
            49: 0x0F00,
            50: 0x4000,
            51: 0x0200,
            52: 0x0200,
            53: 0x0007,
            54: current_cylinders,
            55: disk.heads,
            56: disk.sectors_per_track,
            57: current & 0xFFFF,
            58: current >> 16 & 0xFFFF,
            59: 0x0100 | disk.multiple if disk.multiple else 0,
            60: capacity & 0xFFFF,
            61: capacity >> 16,
            **transfer_mode_words(self.state.transfer_mode),
            64: 0x0003,
            65: 120,
            66: 120,
            67: 120,
            68: 120,
            80: 0x007E,
            82: 0x4028,
            83: 0x7400,
            84: 0x4000,
            85: 0x4008 | disk.write_cache << 5,
            86: 0x3400,
            87: 0x4000,
            93: 0x6001,
            100: self._sectors & 0xFFFF,
            101: self._sectors >> 16 & 0xFFFF,
            102: self._sectors >> 32 & 0xFFFF,
            103: self._sectors >> 48 & 0xFFFF,
        }
        return identify_block(words, {10: ata_string(self._serial, 20), 23: ata_string("1.0", 8), 27: ata_string("RingOne HARDDISK", 40)})

    def _set_multiple(self) -> None:
        count = self.state.sector_count & 0xFF
        if count > MAX_MULTIPLE or count & (count - 1):
            self.fail()
            return
        self._disk.multiple = count
        self.complete()

    def _set_features(self) -> None:
        subcommand = self.state.features & 0xFF
        if subcommand == 0x03:
            accepted = self.set_transfer_mode(self.state.sector_count & 0xFF)
        elif subcommand in (0x02, 0x82):
            self._disk.write_cache = subcommand == 0x02
            accepted = True
        else:
            accepted = subcommand in (0x55, 0xAA, 0x66, 0xCC)
        if accepted:
            self.complete()
        else:
            self.fail()

    def _initialize_parameters(self) -> None:
        sectors = self.state.sector_count & 0xFF
        if not sectors:
            self.fail()
            return
        self._disk.heads = (self.cable.device_head & 0x0F) + 1
        self._disk.sectors_per_track = sectors
        self.complete()

    def _recalibrate(self) -> None:
        self.state.lba_mid = self.state.lba_high = 0
        self.complete()

    def _seek(self) -> None:
        lba = self._address(extended=False)
        if lba is None or lba >= self._sectors:
            self.fail(IDNF)
        else:
            self.complete()

    def _flush(self) -> None:
        try:
            self._medium.flush()
        except MediumError as error:
            self.medium_failed(error)
            self.fail()
        else:
            self.complete()

    def _read_native_max(self) -> None:
        self.state.lba_low = self.state.lba_mid = self.state.lba_high = 0
        lba = min(self._sectors, MAX_LBA28) - 1
        self.cable.device_head = self.cable.device_head & (DEVICE_HEAD_FIXED | DEV) | LBA
        self._show_address(lba)
        self.complete()

    def _read_native_max_ext(self) -> None:
        lba = self._sectors - 1
        s = self.state
        s.lba_low = lba & 0xFF | lba >> 16 & 0xFF00
        s.lba_mid = lba >> 8 & 0xFF | lba >> 24 & 0xFF00
        s.lba_high = lba >> 16 & 0xFF | lba >> 32 & 0xFF00
        self.complete()

    def _standby(self) -> None:
        self._disk.standby = True
        self._flush()

    def _idle(self) -> None:
        self._disk.standby = False
        self.complete()

    def _check_power_mode(self) -> None:
        self.state.sector_count = POWER_STANDBY if self._disk.standby else POWER_ACTIVE
        self.complete()


def _commands() -> dict[int, Callable[[AtaDisk], None]]:
    table: dict[int, Callable[[AtaDisk], None]] = {
        0x27: AtaDisk._read_native_max_ext,
        0x91: AtaDisk._initialize_parameters,
        0xC6: AtaDisk._set_multiple,
        0xE7: AtaDisk._flush,
        0xEA: AtaDisk._flush,
        0xF8: AtaDisk._read_native_max,
        IDENTIFY_DEVICE: AtaDisk._identify,
        SET_FEATURES: AtaDisk._set_features,
    }
    table |= dict.fromkeys(range(0x10, 0x20), AtaDisk._recalibrate)
    table |= dict.fromkeys(range(0x70, 0x80), AtaDisk._seek)
    table |= dict.fromkeys((0xE0, 0x94, 0xE2, 0x96, 0xE6, 0x99), AtaDisk._standby)
    table |= dict.fromkeys((0xE1, 0x95, 0xE3, 0x97), AtaDisk._idle)
    table |= dict.fromkeys((0xE5, 0x98), AtaDisk._check_power_mode)
    return table


COMMANDS: Mapping[int, Callable[[AtaDisk], None]] = _commands()
