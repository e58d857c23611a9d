"""One IDE channel: the command block with its two drives, device control, soft reset and INTRQ (ATA-6, chapters 7 and 9).

Writes reach both drives' registers, reads come from the selected one. Where no drive answers, every register reads 0: drivers see that nothing is there.
A command shows BSY for `COMMAND_NS` of virtual time; blocks after the first of a PIO transfer follow without a wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ringone.api.errors import SnapshotError

from ringone_devices_pc.piix3_ide.ata import BSY, DEV, DEVICE_HEAD_FIXED, DEVICE_RESET, DRQ, EXECUTE_DEVICE_DIAGNOSTIC, HOB, NIEN, SRST
from ringone_devices_pc.piix3_ide.bus_master import BusMaster
from ringone_devices_pc.piix3_ide.state import ChannelState, Phase

if TYPE_CHECKING:
    from ringone.api.devices import DeviceContext

    from ringone_devices_pc.piix3_ide.drive import Cable, Drive

COMMAND_NS = 20_000

DATA = 0
ERROR_FEATURES = 1
SECTOR_COUNT = 2
LBA_LOW = 3
LBA_MID = 4
LBA_HIGH = 5
DEVICE_HEAD = 6
STATUS_COMMAND = 7

DriveFactory = Callable[["Cable"], "Drive"]


class Channel:
    """Meets `Cable`."""

    def __init__(self, context: DeviceContext, number: int, drives: Sequence[DriveFactory | None], *, command_base: int, control_port: int, intrq: str) -> None:
        self.bus_master = BusMaster(context.memory, self._bus_master_started)
        self.device_head = DEVICE_HEAD_FIXED
        self._control = 0
        self._intrq_level = False
        self._intrq = context.output(intrq)
        self._timer = context.timer(f"channel{number}", self._work)
        self._drives: list[Drive | None] = [factory(self) if factory else None for factory in drives]
        self._selected = self._drives[0]
        context.map_ports(command_base, 8, read=self.read, write=self.write, widths=(1, 2, 4), name=f"channel {number} command block")
        context.map_ports(control_port, 1, read=self.read_alternate_status, write=self.write_device_control, name=f"channel {number} control block")

    # --- Registers -----------------------------------------------------------------------------------------------------------------------------------------

    def read(self, offset: int, size: int) -> int:
        drive = self._selected
        if not offset:
            return drive.read_data(size) if drive is not None else 0
        value = self._read_register(offset, drive)
        for at in range(1, size):
            if offset + at <= STATUS_COMMAND:
                value |= self._read_register(offset + at, drive) << 8 * at
        return value

    def _read_register(self, offset: int, drive: Drive | None) -> int:
        if drive is None:
            return 0
        s = drive.state
        if offset == STATUS_COMMAND:
            if s.interrupt_pending:
                s.interrupt_pending = False
                self.update_intrq()
            return s.status
        if offset == DEVICE_HEAD:
            return self.device_head
        shift = 8 if self._control & HOB else 0
        if offset == ERROR_FEATURES:
            return s.error
        if offset == SECTOR_COUNT:
            return s.sector_count >> shift & 0xFF
        if offset == LBA_LOW:
            return s.lba_low >> shift & 0xFF
        if offset == LBA_MID:
            return s.lba_mid >> shift & 0xFF
        return s.lba_high >> shift & 0xFF

    def read_alternate_status(self, _offset: int, _size: int) -> int:
        drive = self._selected
        return drive.state.status if drive is not None else 0

    def write(self, offset: int, size: int, value: int) -> None:
        if not offset:
            drive = self._selected
            if drive is not None:
                drive.write_data(size, value)
            return
        for at in range(offset, min(offset + size, STATUS_COMMAND + 1)):
            self._write_register(at, value & 0xFF)
            value >>= 8

    def _write_register(self, offset: int, value: int) -> None:
        if offset == STATUS_COMMAND:
            self._write_command(value)
            return
        selected = self._selected
        if selected is not None and selected.state.status & (BSY | DRQ):
            return
        self._control &= ~HOB
        if offset == DEVICE_HEAD:
            self._select(value)
            return
        for drive in self._drives:
            if drive is not None:
                _shift_in(drive, offset, value)

    def _select(self, device_head: int) -> None:
        self.device_head = device_head | DEVICE_HEAD_FIXED
        self._selected = self._drives[bool(device_head & DEV)]
        self.update_intrq()

    def write_device_control(self, _offset: int, _size: int, value: int) -> None:
        was_reset = self._control & SRST
        self._control = value
        if value & SRST and not was_reset:
            self._timer.cancel()
            for drive in self._drives:
                if drive is not None:
                    drive.hold_in_reset()
        elif was_reset and not value & SRST:
            self._finish_reset()
        self.update_intrq()

    def _finish_reset(self) -> None:
        for drive in self._drives:
            if drive is not None:
                drive.finish_reset()
        self._select(0)

    # --- Commands ------------------------------------------------------------------------------------------------------------------------------------------

    def _write_command(self, command: int) -> None:
        drive = self._selected
        if drive is None or self._control & SRST:
            return
        if drive.state.status & (BSY | DRQ) and command != DEVICE_RESET:
            return
        self._control &= ~HOB
        self._timer.cancel()
        if command == EXECUTE_DEVICE_DIAGNOSTIC:
            self._finish_reset()
            if self._selected is not None:
                self._selected.interrupt()
            return
        drive.start(command)
        self.update_intrq()
        if command in drive.immediate:
            drive.execute()
        else:
            self.execute_later()

    def _work(self) -> None:
        """The timer: a command's wait is over, or drive and bus master are both ready."""
        for drive in self._drives:
            if drive is None:
                continue
            if drive.state.phase is Phase.COMMAND:
                drive.execute()
            elif drive.state.phase is Phase.DMA and self.bus_master.active:
                drive.run_dma()

    # --- Cable ---------------------------------------------------------------------------------------------------------------------------------------------

    def update_intrq(self) -> None:
        drive = self._selected
        level = drive is not None and drive.state.interrupt_pending and not self._control & NIEN
        if level and not self._intrq_level:
            self.bus_master.interrupted()
        self._intrq_level = level
        self._intrq.set(level)

    def execute_later(self) -> None:
        self._timer.arm_after(COMMAND_NS)

    def dma_requested(self) -> None:
        if self.bus_master.active:
            self._timer.arm_after(COMMAND_NS)

    def _bus_master_started(self) -> None:
        if any(drive is not None and drive.state.phase is Phase.DMA for drive in self._drives):
            self._timer.arm_after(COMMAND_NS)

    # --- Life ----------------------------------------------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        self._timer.cancel()
        self._control = 0
        self.bus_master.reset()
        for drive in self._drives:
            if drive is not None:
                drive.power_on()
        self._select(0)

    def save(self) -> ChannelState:
        return ChannelState(
            device_head=self.device_head,
            control=self._control,
            drives=[drive.save() if drive is not None else None for drive in self._drives],
            bus_master=self.bus_master.save(),
        )

    def load(self, state: ChannelState) -> None:
        if [drive is None for drive in state.drives] != [drive is None for drive in self._drives]:
            raise SnapshotError("the saved IDE channel has its drives in other places")
        for drive, saved in zip(self._drives, state.drives, strict=True):
            if drive is not None and saved is not None:
                drive.load(saved)
        self.bus_master.load(state.bus_master)
        self.device_head = state.device_head & 0xFF | DEVICE_HEAD_FIXED
        self._control = state.control & 0xFF
        selected = self._drives[bool(self.device_head & DEV)]
        self._selected = selected
        self._intrq_level = selected is not None and selected.state.interrupt_pending and not self._control & NIEN


def _shift_in(drive: Drive, offset: int, value: int) -> None:
    """A register write moves the byte before it one deeper, where LBA48 commands find it."""
    s = drive.state
    if offset == ERROR_FEATURES:
        s.features = s.features << 8 & 0xFF00 | value
    elif offset == SECTOR_COUNT:
        s.sector_count = s.sector_count << 8 & 0xFF00 | value
    elif offset == LBA_LOW:
        s.lba_low = s.lba_low << 8 & 0xFF00 | value
    elif offset == LBA_MID:
        s.lba_mid = s.lba_mid << 8 & 0xFF00 | value
    else:
        s.lba_high = s.lba_high << 8 & 0xFF00 | value
