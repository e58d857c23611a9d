"""Intel 82077AA floppy disk controller (datasheet 290166) in AT mode: DOR, MSR, FIFO, DIR and CCR, and the command, execution and result phases.

    3F2 DOR   3F3 TDR   3F4 MSR (read), DSR (write)   3F5 FIFO   3F7 DIR (read), CCR (write)      3F0 and 3F1 are not decoded in AT mode

Two drives on four units. Deleted data, scan and power-down are left out. Perpendicular mode, write precompensation and FIFO thresholds are kept and change
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs
from ringone.api.devices import DeviceContext, DmaChannel
from ringone.api.drivers import RemovableMedium
from ringone.api.errors import DiskFullError, MediumError, SnapshotError
from ringone.api.events import MediumFull

from ringone_devices_pc.i82077.config import DriveType, I82077Options
from ringone_devices_pc.i82077.drive import FloppyDrive
from ringone_devices_pc.i82077.state import UNITS, I82077State, Operation, Phase
from ringone_devices_pc.i82077.transfer import STEP_NS, Transfers

RESET_NS = 20_000

DOR = 2
TDR = 3
MSR_DSR = 4
FIFO = 5
DIR_CCR = 7

DOR_SELECT = 0x03
DOR_NOT_RESET = 1 << 2
DOR_DMA_GATE = 1 << 3

DSR_SOFTWARE_RESET = 1 << 7
DATA_RATE_SELECT = 0x03

MSR_COMMAND_BUSY = 1 << 4
MSR_NON_DMA = 1 << 5
MSR_DIO = 1 << 6
MSR_RQM = 1 << 7

DIR_DISK_CHANGE = 1 << 7

ST0_SEEK_END = 1 << 5
ST0_EQUIPMENT_CHECK = 1 << 4
ST0_ABNORMAL = 0x40
ST0_INVALID = 0x80
ST0_POLLING = 0xC0

ST3_FIXED = 0x28
ST3_TRACK_0 = 1 << 4
ST3_WRITE_PROTECTED = 1 << 6

SPECIFY_NON_DMA = 1 << 0
CONFIGURE_DEFAULT = 0x20
CONFIGURE_FIFO = 0x2F
CONFIGURE_POLLING_DISABLED = 1 << 4
LOCK = 1 << 7
RELATIVE_SEEK_IN = 1 << 6
VERSION_82077 = 0x90

DATA_PHASE_STATUS = {
    Phase.RESET: 0,
    Phase.COMMAND: MSR_RQM,
    Phase.EXECUTION: MSR_COMMAND_BUSY,
    Phase.DATA_IN: MSR_RQM | MSR_DIO | MSR_NON_DMA | MSR_COMMAND_BUSY,
    Phase.DATA_OUT: MSR_RQM | MSR_NON_DMA | MSR_COMMAND_BUSY,
    Phase.RESULT: MSR_RQM | MSR_DIO | MSR_COMMAND_BUSY,
}


class I82077:
    def __init__(self, context: DeviceContext, options: I82077Options) -> None:
        self._context = context
        self.state = I82077State()
        self.dma: DmaChannel | None = context.link("dma", DmaChannel)
        self.drives = [
            FloppyDrive(options.drive0, context.driver("drive0", RemovableMedium)),
            FloppyDrive(options.drive1, context.driver("drive1", RemovableMedium)),
            *(FloppyDrive(DriveType.NONE, None) for _ in range(UNITS - 2)),
        ]
        self._transfers = Transfers(self)
        self._irq = context.output("IRQ")
        self._operation_timer = context.timer("operation", self._transfers.sector_due)
        self._reset_timer = context.timer("reset", self._announce_reset)
        self._seek_timers = [context.timer(f"seek{unit}", partial(self._seek_ended, unit)) for unit in range(UNITS)]
        self._buffer = bytearray()
        context.map_ports(options.base, 6, read=self._read, write=self._write)
        context.map_ports(options.base + DIR_CCR, 1, read=self._read_dir, write=self._write_ccr)
        self._use(self.state)

    # --- Registers -----------------------------------------------------------------------------------------------------------------------------------------

    def _read(self, offset: int, _size: int) -> int:
        if offset == MSR_DSR:
            return self._main_status()
        if offset == FIFO:
            return self._read_fifo()
        if offset == DOR:
            return self.state.dor
        if offset == TDR:
            return self.state.tape_drive
        return 0xFF

    def _write(self, offset: int, _size: int, value: int) -> None:
        if offset == FIFO:
            self._write_fifo(value)
        elif offset == DOR:
            self._write_dor(value)
        elif offset == MSR_DSR:
            self._write_dsr(value)
        elif offset == TDR:
            self.state.tape_drive = value & 0x03

    def _main_status(self) -> int:
        s = self.state
        status = DATA_PHASE_STATUS[s.phase]
        if s.phase is Phase.COMMAND and s.command:
            status |= MSR_COMMAND_BUSY
        for unit, drive in enumerate(s.drives):
            if drive.seek_target >= 0:
                status |= 1 << unit
        return status

    def _read_dir(self, _offset: int, _size: int) -> int:
        return DIR_DISK_CHANGE if self.drives[self.state.dor & DOR_SELECT].disk_change() else 0

    def _write_ccr(self, _offset: int, _size: int, value: int) -> None:
        self.state.data_rate = value & DATA_RATE_SELECT

    def _write_dsr(self, value: int) -> None:
        self.state.data_rate = value & DATA_RATE_SELECT
        if value & DSR_SOFTWARE_RESET and self.state.dor & DOR_NOT_RESET:
            self._enter_reset()
            self._leave_reset()

    def _write_dor(self, value: int) -> None:
        was_running = self.state.dor & DOR_NOT_RESET
        self.state.dor = value
        if was_running and not value & DOR_NOT_RESET:
            self._enter_reset()
        elif value & DOR_NOT_RESET and not was_running:
            self._leave_reset()
        self._update_irq()

    def _enter_reset(self) -> None:
        s = self.state
        self._cancel_timers()
        s.phase = Phase.RESET
        s.transfer = None
        s.command = b""
        s.sense.clear()
        for drive in s.drives:
            drive.seek_target = -1
        if not s.locked:
            s.configuration = s.configuration & ~CONFIGURE_FIFO | CONFIGURE_DEFAULT
            s.precompensation_track = 0
        self._set_interrupt(False)

    def _leave_reset(self) -> None:
        """Polling finds the ready lines of all four units changed: one interrupt, four SENSE INTERRUPT STATUS."""
        s = self.state
        s.phase = Phase.COMMAND
        if not s.configuration & CONFIGURE_POLLING_DISABLED:
            s.sense[:] = [ST0_POLLING | unit for unit in range(UNITS)]
            self._reset_timer.arm_after(RESET_NS)

    def _announce_reset(self) -> None:
        if self.state.sense:
            self._set_interrupt(True)

    def _set_interrupt(self, active: bool) -> None:
        self.state.interrupt = active
        self._update_irq()

    def _update_irq(self) -> None:
        self._irq.set(self.state.interrupt and bool(self.state.dor & DOR_DMA_GATE))

    # --- FIFO ----------------------------------------------------------------------------------------------------------------------------------------------

    def _read_fifo(self) -> int:
        s = self.state
        if s.phase is not Phase.RESULT and s.phase is not Phase.DATA_IN:
            return 0
        value = self._buffer[s.position]
        s.position += 1
        if s.phase is Phase.RESULT and s.interrupt:
            self._set_interrupt(False)
        if s.position == len(self._buffer):
            self._buffer_done()
        return value

    def _write_fifo(self, value: int) -> None:
        s = self.state
        if s.phase is Phase.COMMAND:
            self._take_command_byte(value)
        elif s.phase is Phase.DATA_OUT:
            self._buffer[s.position] = value
            s.position += 1
            if s.position == len(self._buffer):
                self._buffer_done()

    def _buffer_done(self) -> None:
        s = self.state
        if s.phase is Phase.RESULT:
            s.phase = Phase.COMMAND
            self._announce_seeks()
        else:
            self._set_interrupt(False)
            s.phase = Phase.EXECUTION
            self._transfers.host_done(bytes(self._buffer))

    def _take_command_byte(self, value: int) -> None:
        s = self.state
        s.command += bytes((value,))
        command = COMMANDS[s.command[0]]
        if command is None:
            self._give_result(bytes((ST0_INVALID,)))
        elif len(s.command) == command.size:
            taken, s.command = s.command, b""
            command.run(self, taken)

    def _give_result(self, result: bytes) -> None:
        s = self.state
        s.command = b""
        s.phase = Phase.RESULT
        self._fill(bytearray(result))

    def _fill(self, data: bytearray) -> None:
        self._buffer = data
        self.state.position = 0

    # --- For transfers -------------------------------------------------------------------------------------------------------------------------------------

    @property
    def uses_dma(self) -> bool:
        return not self.state.head_load & SPECIFY_NON_DMA

    def wait(self, delay_ns: int) -> None:
        self.state.phase = Phase.EXECUTION
        self._operation_timer.arm_after(delay_ns)

    def host_reads(self, data: bytes) -> None:
        self._exchange(Phase.DATA_IN, bytearray(data))

    def host_writes(self, size: int) -> None:
        self._exchange(Phase.DATA_OUT, bytearray(size))

    def _exchange(self, phase: Phase, data: bytearray) -> None:
        self.state.phase = phase
        self._fill(data)
        self._set_interrupt(True)

    def finish(self, result: bytes) -> None:
        self._give_result(result)
        self._set_interrupt(True)

    def medium_failed(self, error: MediumError) -> None:
        self._context.log.warning("%s", error)
        if isinstance(error, DiskFullError):
            self._context.emit(MediumFull(self._context.id, str(error)))

    # --- Data commands -------------------------------------------------------------------------------------------------------------------------------------

    def _read_data(self, command: bytes) -> None:
        self._transfers.start_sectors(Operation.READ, command)

    def _write_data(self, command: bytes) -> None:
        self._transfers.start_sectors(Operation.WRITE, command)

    def _read_track(self, command: bytes) -> None:
        self._transfers.start_sectors(Operation.READ_TRACK, command)

    def _verify(self, command: bytes) -> None:
        self._transfers.start_sectors(Operation.VERIFY, command)

    def _format_track(self, command: bytes) -> None:
        self._transfers.start_format(command)

    def _read_id(self, command: bytes) -> None:
        self._transfers.start_read_id(command)

    # --- Seeks ---------------------------------------------------------------------------------------------------------------------------------------------

    def _recalibrate(self, command: bytes) -> None:
        unit = command[1] & 3
        drive = self.drives[unit]
        status = ST0_SEEK_END if drive.present else ST0_SEEK_END | ST0_ABNORMAL | ST0_EQUIPMENT_CHECK
        self._start_seek(unit, 0, status | unit)

    def _seek(self, command: bytes) -> None:
        self._start_seek(command[1] & 3, command[2], ST0_SEEK_END | command[1] & 7)

    def _relative_seek(self, command: bytes) -> None:
        unit = command[1] & 3
        track = self.state.drives[unit].track
        track = track + command[2] if command[0] & RELATIVE_SEEK_IN else track - command[2]
        self._start_seek(unit, min(max(track, 0), 0xFF), ST0_SEEK_END | command[1] & 7)

    def _start_seek(self, unit: int, track: int, status: int) -> None:
        """The command is over at once; the drive steps on its own, and an interrupt tells when it is there."""
        drive = self.state.drives[unit]
        drive.seek_target = track
        drive.seek_status = status
        steps = abs(track - drive.track)
        self._seek_timers[unit].arm_after(max(steps, 1) * STEP_NS)

    def _seek_ended(self, unit: int) -> None:
        drive = self.state.drives[unit]
        if drive.seek_target < 0:
            return
        self.drives[unit].step_to(drive.seek_target)
        drive.seek_target = -1
        sense = self.state.sense
        sense[:] = [status for status in sense if status & 3 != unit]
        sense.append(drive.seek_status)
        self._announce_seeks()

    def _announce_seeks(self) -> None:
        """A finished seek interrupts as soon as no other command is under way."""
        if self.state.phase is Phase.COMMAND and any(status & ST0_POLLING != ST0_POLLING for status in self.state.sense):
            self._set_interrupt(True)

    def _sense_interrupt_status(self, _command: bytes) -> None:
        s = self.state
        self._set_interrupt(False)
        if not s.sense:
            self._give_result(bytes((ST0_INVALID,)))
            return
        status = s.sense.pop(0)
        self._give_result(bytes((status, s.drives[status & 3].track)))

    # --- Control commands ----------------------------------------------------------------------------------------------------------------------------------

    def _specify(self, command: bytes) -> None:
        self.state.step_rate, self.state.head_load = command[1], command[2]

    def _sense_drive_status(self, command: bytes) -> None:
        drive = self.drives[command[1] & 3]
        status = ST3_FIXED | command[1] & 7
        if drive.present and drive.state.track == 0:
            status |= ST3_TRACK_0
        if drive.write_protected:
            status |= ST3_WRITE_PROTECTED
        self._give_result(bytes((status,)))

    def _configure(self, command: bytes) -> None:
        self.state.configuration, self.state.precompensation_track = command[2] & 0x7F, command[3]

    def _perpendicular_mode(self, command: bytes) -> None:
        self.state.perpendicular = command[1] & 0x3F

    def _lock(self, command: bytes) -> None:
        self.state.locked = bool(command[0] & LOCK)
        self._give_result(bytes((self.state.locked << 4,)))

    def _version(self, _command: bytes) -> None:
        self._give_result(bytes((VERSION_82077,)))

    def _dumpreg(self, _command: bytes) -> None:
        s = self.state
        tracks = [drive.track for drive in s.drives]
        locked = s.locked << 7 | s.perpendicular
        self._give_result(bytes((*tracks, s.step_rate, s.head_load, s.last_count, locked, s.configuration, s.precompensation_track)))

    # --- Life ----------------------------------------------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        self._cancel_timers()
        self._use(I82077State())
        self._update_irq()

    def _cancel_timers(self) -> None:
        for timer in (self._operation_timer, self._reset_timer, *self._seek_timers):
            timer.cancel()

    def _use(self, state: I82077State) -> None:
        self.state = state
        self._buffer = bytearray(state.buffer)
        for drive, drive_state in zip(self.drives, state.drives, strict=True):
            drive.attach(drive_state)

    def save_state(self) -> I82077State:
        s = self.state
        return attrs.evolve(
            s,
            buffer=bytes(self._buffer),
            sense=list(s.sense),
            drives=[drive.save() for drive in self.drives],
            transfer=attrs.evolve(s.transfer) if s.transfer is not None else None,
        )

    def load_state(self, state: I82077State) -> None:
        state.check()
        command = COMMANDS[state.command[0]] if state.command else None
        if state.command and (command is None or command.size <= len(state.command)):
            raise SnapshotError(f"the floppy controller has taken {state.command[:16].hex(' ')}; accepted: the beginning of a command")
        self._use(
            attrs.evolve(
                state,
                sense=list(state.sense),
                drives=[attrs.evolve(drive) for drive in state.drives],
                transfer=attrs.evolve(state.transfer) if state.transfer is not None else None,
            )
        )


@attrs.frozen
class Command:
    """`size` counts the opcode."""

    size: int
    run: Callable[[I82077, bytes], None]


OPCODES: tuple[tuple[int, int, Command], ...] = (
    # value, mask (clear where MT, MFM, SK, or a direction may be anything)
    (0x02, 0x9F, Command(9, I82077._read_track)),
    (0x03, 0xFF, Command(3, I82077._specify)),
    (0x04, 0xFF, Command(2, I82077._sense_drive_status)),
    (0x05, 0x3F, Command(9, I82077._write_data)),
    (0x06, 0x1F, Command(9, I82077._read_data)),
    (0x07, 0xFF, Command(2, I82077._recalibrate)),
    (0x08, 0xFF, Command(1, I82077._sense_interrupt_status)),
    (0x0A, 0xBF, Command(2, I82077._read_id)),
    (0x0D, 0xBF, Command(6, I82077._format_track)),
    (0x0E, 0xFF, Command(1, I82077._dumpreg)),
    (0x0F, 0xFF, Command(3, I82077._seek)),
    (0x10, 0xFF, Command(1, I82077._version)),
    (0x12, 0xFF, Command(2, I82077._perpendicular_mode)),
    (0x13, 0xFF, Command(4, I82077._configure)),
    (0x14, 0x7F, Command(1, I82077._lock)),
    (0x16, 0x1F, Command(9, I82077._verify)),
    (0x8F, 0xBF, Command(3, I82077._relative_seek)),
)

COMMANDS: tuple[Command | None, ...] = tuple(next((command for value, mask, command in OPCODES if opcode & mask == value), None) for opcode in range(256))
