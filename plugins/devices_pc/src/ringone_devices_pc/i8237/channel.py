"""One channel of an 8237A: address and count registers, and the service of a device's request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ringone_devices_pc.i8237.state import ChannelState, ControllerState

if TYPE_CHECKING:
    from ringone.api.memory import PhysicalMemory

MODE_TRANSFER = 0x0C
MODE_VERIFY = 0x00
MODE_WRITE = 0x04
MODE_READ = 0x08
MODE_AUTOINITIALIZE = 1 << 4
MODE_DECREMENT = 1 << 5
MODE_SELECT = 0xC0
MODE_BLOCK = 0x80
MODE_CASCADE = 0xC0

COMMAND_DISABLE = 1 << 2


class Channel:
    """Meets `ringone.api.devices.DmaChannel`. `shift` is 1 for the 16-bit channels 5 to 7, whose address and count are in words."""

    def __init__(self, memory: PhysicalMemory, controller: ControllerState, number: int, pages: bytearray, page_register: int, shift: int) -> None:
        self._memory = memory
        self._pages = pages
        self._page_register = page_register
        self._shift = shift
        self.attach(controller, number)

    def attach(self, controller: ControllerState, number: int) -> None:
        """Use the registers of `controller`, which a reset and a load replace."""
        self._controller = controller
        self.state: ChannelState = controller.channels[number]

    @property
    def terminal_count(self) -> bool:
        return self.state.terminal_count

    @property
    def masked(self) -> bool:
        return self.state.masked or bool(self._controller.command & COMMAND_DISABLE)

    def write_memory(self, data: bytes) -> int:
        units = self._serve(len(data) >> self._shift, MODE_WRITE)
        size = units << self._shift
        if self.state.mode & MODE_TRANSFER == MODE_WRITE:
            for address, offset, length in self._runs(units):
                self._memory.write(address, self._in_order(data[offset : offset + length]))
        self._advance(units)
        return size

    def read_memory(self, size: int) -> bytes:
        units = self._serve(size >> self._shift, MODE_READ)
        if self.state.mode & MODE_TRANSFER == MODE_READ:
            data = b"".join(self._in_order(self._memory.read(address, length)) for address, _offset, length in self._runs(units))
        else:
            data = bytes(units << self._shift)
        self._advance(units)
        return data

    def run_software_request(self) -> None:
        """Count a whole block down with no device on the bus: what is written to memory is a floating bus, all ones."""
        units = self.state.count + 1
        if self.state.mode & MODE_TRANSFER == MODE_WRITE:
            for address, _offset, length in self._runs(units):
                self._memory.write(address, b"\xff" * length)
        self._advance(units)

    # --- Service -------------------------------------------------------------------------------------------------------------------------------------------

    def _serve(self, units: int, direction: int) -> int:
        """How many units this service moves: none while the channel is masked, cascaded, or programmed for the other direction."""
        s = self.state
        s.terminal_count = False
        if self.masked or s.mode & MODE_SELECT == MODE_CASCADE or s.mode & MODE_TRANSFER not in (MODE_VERIFY, direction):
            return 0
        return min(units, s.count + 1)

    def _runs(self, units: int) -> Iterator[tuple[int, int, int]]:
        """``(physical address, offset in the data, length)`` of the contiguous pieces; the address wraps within its page register's range."""
        shift = self._shift
        address = self.state.address
        page = self._pages[self._page_register] << 16 if not shift else (self._pages[self._page_register] & 0xFE) << 16
        done = 0
        while done < units:
            if self.state.mode & MODE_DECREMENT:
                run = min(units - done, address + 1)
                low = address - run + 1
                address = low - 1 & 0xFFFF
            else:
                run = min(units - done, 0x10000 - address)
                low = address
                address = address + run & 0xFFFF
            yield page + (low << shift), done << shift, run << shift
            done += run

    def _in_order(self, data: bytes) -> bytes:
        """A piece as it lies in memory: a decrementing channel fills it from the top, unit by unit."""
        if not self.state.mode & MODE_DECREMENT:
            return data
        if not self._shift:
            return data[::-1]
        return b"".join(data[at : at + 2] for at in range(len(data) - 2, -2, -2))

    def _advance(self, units: int) -> None:
        if not units:
            return
        s = self.state
        s.address = (s.address - units if s.mode & MODE_DECREMENT else s.address + units) & 0xFFFF
        s.count -= units
        if s.count >= 0:
            return
        s.count = 0xFFFF
        s.terminal_count = s.reached = True
        s.requested = False
        if s.mode & MODE_AUTOINITIALIZE:
            s.address, s.count = s.base_address, s.base_count
        else:
            s.masked = True
