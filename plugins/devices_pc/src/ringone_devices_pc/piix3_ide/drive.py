"""What ATA disks and ATAPI drives have in common: task file, status, and the buffer behind the data port.

A drive raises nothing for what a guest does; it answers with ERR and a bit of the error register.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Protocol

import attrs
from ringone.api.errors import DiskFullError, MediumError
from ringone.api.events import MediumFull

from ringone_devices_pc.piix3_ide.ata import (
    ABRT,
    BSY,
    DIAGNOSTIC_PASSED,
    DRDY,
    DRQ,
    DSC,
    ERR,
    MODES_BY_KIND,
    TRANSFER_MODE_MULTIWORD_DMA,
)
from ringone_devices_pc.piix3_ide.state import DriveState, Phase

if TYPE_CHECKING:
    from ringone.api.devices import DeviceContext

    from ringone_devices_pc.piix3_ide.bus_master import BusMaster

READY = DRDY | DSC

_get_u16 = struct.Struct("<H").unpack_from
_get_u32 = struct.Struct("<I").unpack_from
_put_u16 = struct.Struct("<H").pack_into
_put_u32 = struct.Struct("<I").pack_into


class Cable(Protocol):
    """What a drive sees of its channel."""

    bus_master: BusMaster
    device_head: int

    def update_intrq(self) -> None: ...
    def execute_later(self) -> None:
        """Call `execute` after the time that a command takes."""
        ...

    def dma_requested(self) -> None:
        """The drive has entered `Phase.DMA`; its `run_dma` is called when the bus master is started, too."""
        ...


class Drive(ABC):
    """A drive on a channel. `immediate` are the commands that answer without a wait: those that first take data from the host."""

    immediate: ClassVar[frozenset[int]]
    signature: ClassVar[tuple[int, int]]
    """Cylinder low and high after reset."""
    status_after_reset: ClassVar[int]

    def __init__(self, context: DeviceContext, cable: Cable) -> None:
        self._context = context
        self.cable = cable
        self.state = DriveState()
        self.data: bytes | bytearray = b""
        self.position = 0
        self._room = bytearray()
        """`data` while the host fills it."""

    # --- What the channel calls ----------------------------------------------------------------------------------------------------------------------------

    @abstractmethod
    def execute(self) -> None:
        """Carry out `state.command`."""

    @abstractmethod
    def run_dma(self) -> None:
        """Move data between the medium and the bus master until either has no more."""

    @abstractmethod
    def block_read(self) -> None:
        """The host has taken the whole buffer."""

    @abstractmethod
    def block_written(self) -> None:
        """The host has filled the buffer."""

    @abstractmethod
    def set_defaults(self) -> None:
        """Back to the settings that a software reset restores."""

    def start(self, command: int) -> None:
        """The host wrote the command register."""
        s = self.state
        s.command = command
        s.error = 0
        s.interrupt_pending = False
        s.status = BSY | READY
        s.phase = Phase.COMMAND
        self._set_buffer(b"")

    @abstractmethod
    def power_on(self) -> None:
        """Forget everything, then `finish_reset`."""

    def hold_in_reset(self) -> None:
        s = self.state
        s.phase = Phase.IDLE
        s.status = BSY
        s.interrupt_pending = False
        self._set_buffer(b"")

    def finish_reset(self) -> None:
        """Show the signature, as after power-on, SRST and EXECUTE DEVICE DIAGNOSTIC."""
        s = self.state
        self.set_defaults()
        self._set_buffer(b"")
        s.phase = Phase.IDLE
        s.interrupt_pending = False
        s.transfer_mode = TRANSFER_MODE_MULTIWORD_DMA | 2
        s.status = self.status_after_reset
        s.error = DIAGNOSTIC_PASSED
        s.features = 0
        self.show_signature()

    def show_signature(self) -> None:
        s = self.state
        s.sector_count = s.lba_low = 1
        s.lba_mid, s.lba_high = self.signature

    # --- Data port -----------------------------------------------------------------------------------------------------------------------------------------

    def read_data(self, size: int) -> int:
        if self.state.phase is not Phase.DATA_IN:
            return 0
        data = self.data
        position = self.position
        end = position + size
        if end > len(data):
            return self._read_rest()
        self.position = end
        if size == 2:
            value: int = _get_u16(data, position)[0]
        elif size == 4:
            value = _get_u32(data, position)[0]
        else:
            value = data[position]
        if end == len(data):
            self.block_read()
        return value

    def _read_rest(self) -> int:
        value = int.from_bytes(self.data[self.position :], "little")
        self.position = len(self.data)
        self.block_read()
        return value

    def write_data(self, size: int, value: int) -> None:
        if self.state.phase is not Phase.DATA_OUT:
            return
        data = self._room
        position = self.position
        end = position + size
        if end > len(data):
            end = len(data)
            data[position:end] = (value & 0xFFFF_FFFF).to_bytes(4, "little")[: end - position]
        elif size == 2:
            _put_u16(data, position, value & 0xFFFF)
        elif size == 4:
            _put_u32(data, position, value & 0xFFFF_FFFF)
        else:
            data[position] = value & 0xFF
        self.position = end
        if end == len(data):
            self.block_written()

    def _set_buffer(self, data: bytes | bytearray) -> None:
        self.data = data
        self.position = 0

    # --- For the drives ------------------------------------------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        self.state.interrupt_pending = True
        self.cable.update_intrq()

    def offer(self, data: bytes) -> None:
        """Put a block up for the host to read."""
        self._set_buffer(data)
        self.state.phase = Phase.DATA_IN
        self.state.status = READY | DRQ
        self.interrupt()

    def accept(self, size: int) -> None:
        """Ask the host for a block."""
        self._room = bytearray(size)
        self._set_buffer(self._room)
        self.state.phase = Phase.DATA_OUT
        self.state.status = READY | DRQ

    def await_dma(self) -> None:
        self._set_buffer(b"")
        self.state.phase = Phase.DMA
        self.state.status = BSY | READY | DRQ
        self.cable.dma_requested()

    def settle(self) -> None:
        """The command is over and nobody is told: the last block of a PIO read."""
        self._set_buffer(b"")
        self.state.phase = Phase.IDLE
        self.state.status = READY

    def complete(self) -> None:
        self.settle()
        self.interrupt()

    def fail(self, error: int = ABRT) -> None:
        self.settle()
        self.state.status = READY | ERR
        self.state.error = error
        self.interrupt()

    def medium_failed(self, error: MediumError) -> None:
        """Log a host error; a full host disk also tells the machine's owner."""
        self._context.log.warning("%s", error)
        if isinstance(error, DiskFullError):
            self._context.emit(MediumFull(self._context.id, str(error)))

    def set_transfer_mode(self, mode: int) -> bool:
        """SET FEATURES subcommand 03h; False for a mode there is not."""
        if mode & 7 >= MODES_BY_KIND.get(mode & 0xF8, 0):
            return False
        self.state.transfer_mode = mode
        return True

    # --- Life ----------------------------------------------------------------------------------------------------------------------------------------------

    def save(self) -> DriveState:
        s = self.state
        return attrs.evolve(
            s,
            buffer=bytes(self.data),
            position=self.position,
            disk=attrs.evolve(s.disk) if s.disk else None,
            cdrom=attrs.evolve(s.cdrom) if s.cdrom else None,
        )

    def load(self, state: DriveState) -> None:
        state.check()
        self._room = bytearray(state.buffer) if state.phase is Phase.DATA_OUT else bytearray()
        self.data = self._room if state.phase is Phase.DATA_OUT else state.buffer
        self.position = state.position
        self.state = attrs.evolve(
            state,
            buffer=b"",
            position=0,
            disk=attrs.evolve(state.disk) if state.disk else None,
            cdrom=attrs.evolve(state.cdrom) if state.cdrom else None,
        )
