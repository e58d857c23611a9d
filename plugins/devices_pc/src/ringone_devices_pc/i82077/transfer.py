"""The execution phase of the floppy controller's data commands: sector after sector, by DMA or through the FIFO register.

Every sector takes `SECTOR_NS` of virtual time, which is much less than a real one. Deleted data marks and sector sizes other than 512 bytes are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ringone.api.errors import MediumError

from ringone_devices_pc.i82077.drive import SECTOR, SIZE_CODE, FloppyDrive, Format
from ringone_devices_pc.i82077.state import I82077State, Operation, TransferState

if TYPE_CHECKING:
    from ringone.api.devices import DmaChannel

SECTOR_NS = 100_000
STEP_NS = 50_000

ST0_ABNORMAL = 0x40

ST1_MISSING_ADDRESS_MARK = 1 << 0
ST1_NOT_WRITABLE = 1 << 1
ST1_NO_DATA = 1 << 2
ST1_OVERRUN = 1 << 4
ST1_DATA_ERROR = 1 << 5
ST1_END_OF_CYLINDER = 1 << 7

ST2_WRONG_CYLINDER = 1 << 4
ST2_DATA_ERROR_IN_DATA = 1 << 5

CONFIGURE_IMPLIED_SEEK = 1 << 6
VERIFY_ENABLE_COUNT = 1 << 7
MULTI_TRACK = 1 << 7
ID_BYTES = 4

Fault = tuple[int, int]
"""ST1 and ST2 of a command that ends abnormally."""

NOTHING_THERE: Fault = (ST1_MISSING_ADDRESS_MARK, 0)
UNREADABLE: Fault = (ST1_DATA_ERROR, ST2_DATA_ERROR_IN_DATA)
OVERRUN: Fault = (ST1_OVERRUN, 0)
WRITE_PROTECTED: Fault = (ST1_NOT_WRITABLE, 0)


class Controller(Protocol):
    """What a transfer sees of its controller."""

    state: I82077State
    dma: DmaChannel | None

    @property
    def drives(self) -> Sequence[FloppyDrive]: ...
    @property
    def uses_dma(self) -> bool: ...
    def wait(self, delay_ns: int) -> None:
        """Execution phase: call `sector_due` later."""
        ...

    def host_reads(self, data: bytes) -> None:
        """Put bytes up in the FIFO register; `host_done` is called when they are taken."""
        ...

    def host_writes(self, size: int) -> None: ...
    def finish(self, result: bytes) -> None: ...
    def medium_failed(self, error: MediumError) -> None: ...


class Transfers:
    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    # --- Commands ------------------------------------------------------------------------------------------------------------------------------------------

    def start_sectors(self, operation: Operation, command: bytes) -> None:
        """READ DATA, WRITE DATA, READ TRACK and VERIFY: nine bytes."""
        opcode, select, cylinder, head, sector, size_code, last_sector, _gap, count = command
        transfer = TransferState(
            operation=operation,
            unit=select & 3,
            head=select >> 2 & 1,
            multi_track=bool(opcode & MULTI_TRACK) and operation is not Operation.READ_TRACK,
            cylinder=cylinder,
            id_head=head,
            sector=1 if operation is Operation.READ_TRACK else sector,
            size_code=size_code,
            last_sector=last_sector,
            sectors_left=count if operation is Operation.VERIFY and select & VERIFY_ENABLE_COUNT else 0,
        )
        self._begin(transfer, self._implied_seek(transfer))

    def start_format(self, command: bytes) -> None:
        _opcode, select, size_code, count, _gap, filler = command
        transfer = TransferState(Operation.FORMAT, select & 3, head=select >> 2 & 1, size_code=size_code, last_sector=count, filler=filler)
        self._begin(transfer, count * SECTOR_NS)

    def start_read_id(self, command: bytes) -> None:
        select = command[1]
        self._begin(TransferState(Operation.READ_ID, select & 3, head=select >> 2 & 1), 0)

    def _begin(self, transfer: TransferState, delay_ns: int) -> None:
        state = self._controller.state
        state.transfer = transfer
        state.last_count = transfer.last_sector
        self._controller.wait(delay_ns + SECTOR_NS)

    def _implied_seek(self, transfer: TransferState) -> int:
        """Where CONFIGURE asks for it, step to the cylinder; returns how long that takes."""
        drive = self._controller.drives[transfer.unit]
        if not self._controller.state.configuration & CONFIGURE_IMPLIED_SEEK:
            return 0
        layout = drive.format
        track = min(transfer.cylinder * (layout.step if layout else 1), 0xFF)
        steps = abs(track - drive.state.track)
        drive.step_to(track)
        return steps * STEP_NS

    # --- Execution -----------------------------------------------------------------------------------------------------------------------------------------

    def sector_due(self) -> None:
        """The timer: the sector has come under the head."""
        t = self._controller.state.transfer
        if t is None:
            return
        drive = self._controller.drives[t.unit]
        layout = drive.format
        if layout is None or layout.rate != self._controller.state.data_rate or t.head >= layout.heads:
            self._fail(t, NOTHING_THERE)
        elif t.operation is Operation.READ_ID:
            self._read_id(t, drive, layout)
        elif t.operation is Operation.FORMAT:
            self._format(t, drive)
        else:
            self._sector(t, drive, layout)

    def _sector(self, t: TransferState, drive: FloppyDrive, layout: Format) -> None:
        fault = _search(t, drive, layout)
        if fault is not None:
            self._fail(t, fault)
        elif t.operation is not Operation.WRITE:
            self._read_sector(t, drive, layout)
        elif drive.write_protected:
            self._fail(t, WRITE_PROTECTED)
        elif self._controller.uses_dma:
            self._write_by_dma(t)
        else:
            self._controller.host_writes(SECTOR)

    def _read_sector(self, t: TransferState, drive: FloppyDrive, layout: Format) -> None:
        try:
            data = drive.read(_block(t, layout))
        except MediumError as error:
            self._controller.medium_failed(error)
            self._fail(t, UNREADABLE)
            return
        if t.operation is Operation.VERIFY:
            t.sectors_left -= 1
            self._next(t, finished=t.sectors_left == 0)
        elif self._controller.uses_dma:
            self._read_by_dma(t, data)
        else:
            self._controller.host_reads(data)

    def _read_by_dma(self, t: TransferState, data: bytes) -> None:
        dma = self._controller.dma
        taken = dma.write_memory(data) if dma is not None else 0
        terminal_count = dma is not None and dma.terminal_count
        if taken < len(data) and not terminal_count:
            self._fail(t, OVERRUN)
        else:
            self._next(t, finished=terminal_count)

    def _write_by_dma(self, t: TransferState) -> None:
        data, terminal_count = self._fetch(SECTOR)
        if len(data) < SECTOR and not terminal_count:
            self._fail(t, OVERRUN)
        else:
            self._write_sector(t, data.ljust(SECTOR, b"\x00"), finished=terminal_count)

    def _fetch(self, size: int) -> tuple[bytes, bool]:
        dma = self._controller.dma
        if dma is None:
            return b"", False
        return dma.read_memory(size), dma.terminal_count

    def _write_sector(self, t: TransferState, data: bytes, *, finished: bool) -> None:
        drive = self._controller.drives[t.unit]
        layout = drive.format
        if layout is None:
            self._fail(t, NOTHING_THERE)
        elif self._store(drive, _block(t, layout), data):
            self._next(t, finished=finished)
        else:
            self._fail(t, UNREADABLE)

    def _store(self, drive: FloppyDrive, block: int, data: bytes) -> bool:
        try:
            drive.write(block, data)
        except MediumError as error:
            self._controller.medium_failed(error)
            return False
        return True

    def host_done(self, data: bytes) -> None:
        """The host has read, or written, what the FIFO register held."""
        t = self._controller.state.transfer
        if t is None:
            return
        if t.operation is Operation.WRITE:
            self._write_sector(t, data, finished=False)
        elif t.operation is Operation.FORMAT:
            self._write_track(t, data)
        else:
            self._next(t, finished=False)

    def _next(self, t: TransferState, *, finished: bool) -> None:
        """Go on to the next ID, or end: normally after terminal count, with "end of cylinder" where there is no next."""
        at_end = _advance(t)
        if finished or (at_end and t.operation in (Operation.VERIFY, Operation.READ_TRACK)):
            self._finish(t, 0, 0, 0)
        elif at_end:
            self._fail(t, (ST1_END_OF_CYLINDER, 0))
        else:
            self._controller.wait(SECTOR_NS)

    # --- FORMAT TRACK and READ ID --------------------------------------------------------------------------------------------------------------------------

    def _format(self, t: TransferState, drive: FloppyDrive) -> None:
        size = t.last_sector * ID_BYTES
        if drive.write_protected:
            self._fail(t, WRITE_PROTECTED)
        elif not self._controller.uses_dma and size:
            self._controller.host_writes(size)
        else:
            data, terminal_count = self._fetch(size) if size else (b"", True)
            if len(data) < size and not terminal_count:
                self._fail(t, OVERRUN)
            else:
                self._write_track(t, data)

    def _write_track(self, t: TransferState, ids: bytes) -> None:
        """`ids` are C, H, R, N of every sector; a sector that the image's format does not have cannot be made."""
        drive = self._controller.drives[t.unit]
        layout = drive.format
        if layout is None:
            self._fail(t, NOTHING_THERE)
            return
        for at in range(0, len(ids) - ID_BYTES + 1, ID_BYTES):
            t.cylinder, t.id_head, t.sector, t.size_code = ids[at : at + ID_BYTES]
            if _search(t, drive, layout) is not None or not self._store(drive, _block(t, layout), bytes((t.filler,)) * SECTOR):
                self._fail(t, UNREADABLE)
                return
        self._finish(t, 0, 0, 0)

    def _read_id(self, t: TransferState, drive: FloppyDrive, layout: Format) -> None:
        cylinder = drive.cylinder(layout)
        if not 0 <= cylinder < layout.cylinders:
            self._fail(t, NOTHING_THERE)
            return
        state = self._controller.state
        state.rotation = state.rotation % layout.sectors + 1
        t.cylinder, t.id_head, t.sector, t.size_code = cylinder, t.head, state.rotation, SIZE_CODE
        self._finish(t, 0, 0, 0)

    # --- Results -------------------------------------------------------------------------------------------------------------------------------------------

    def _fail(self, t: TransferState, fault: Fault) -> None:
        self._finish(t, ST0_ABNORMAL, *fault)

    def _finish(self, t: TransferState, st0: int, st1: int, st2: int) -> None:
        self._controller.state.transfer = None
        self._controller.finish(bytes((st0 | t.head << 2 | t.unit, st1, st2, t.cylinder, t.id_head, t.sector, t.size_code)))


def _search(t: TransferState, drive: FloppyDrive, layout: Format) -> Fault | None:
    """Whether an ID as `t` asks for passes the head."""
    cylinder = drive.cylinder(layout)
    if not 0 <= cylinder < layout.cylinders:
        return NOTHING_THERE
    if t.cylinder != cylinder:
        return (ST1_NO_DATA, ST2_WRONG_CYLINDER)
    if t.id_head != t.head or t.size_code != SIZE_CODE or not 1 <= t.sector <= layout.sectors:
        return (ST1_NO_DATA, 0)
    return None


def _block(t: TransferState, layout: Format) -> int:
    return (t.cylinder * layout.heads + t.head) * layout.sectors + t.sector - 1


def _advance(t: TransferState) -> bool:
    """To the next ID, as the result table of the data sheet has it; True where the command's last sector is behind."""
    if t.sector != t.last_sector:
        t.sector = t.sector + 1 & 0xFF
        return False
    t.sector = 1
    if not t.multi_track:
        t.cylinder = t.cylinder + 1 & 0xFF
        return True
    t.head ^= 1
    t.id_head ^= 1
    if t.head:
        return False
    t.cylinder = t.cylinder + 1 & 0xFF
    return True
