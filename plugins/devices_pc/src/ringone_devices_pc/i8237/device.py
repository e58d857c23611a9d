"""The PC's two Intel 8237A DMA controllers (datasheet 231466) and their page registers (74LS612), as the DMA part of PIIX3.

    00-0F        controller 1, channels 0 to 3, 8 bits           page registers  ch0 87  ch1 83  ch2 81  ch3 82
    C0-DE even   controller 2, channels 4 to 7, 16 bits                          ch4 8F  ch5 8B  ch6 89  ch7 8A

A device pushes or pulls a run of bytes at a time, so single and demand mode differ from block mode in nothing the guest can see. Memory-to-memory transfers
(impossible on a PC), priorities and bus timing are left out, and channels 0 to 3 do not wait for channel 4, their cascade, to be unmasked.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from ringone.api.devices import DeviceContext
from ringone.api.errors import SnapshotError
from ringone.api.options import NoOptions

from ringone_devices_pc.i8237.channel import MODE_BLOCK, MODE_SELECT, Channel
from ringone_devices_pc.i8237.state import ControllerState, I8237State

PAGE_REGISTERS = (0x7, 0x3, 0x1, 0x2, 0xF, 0xB, 0x9, 0xA)
"""Channel -> offset from port 0x80."""

STATUS_COMMAND = 0x8
REQUEST = 0x9
SINGLE_MASK = 0xA
MODE = 0xB
CLEAR_FLIP_FLOP = 0xC
MASTER_CLEAR = 0xD
CLEAR_MASK = 0xE
ALL_MASKS = 0xF

SET = 1 << 2
CHANNEL_SELECT = 0x03


class Controller:
    """One 8237A: the register file over four channels."""

    def __init__(self, state: ControllerState, channels: list[Channel]) -> None:
        self._channels = channels
        self.attach(state)
        self._writers: dict[int, Callable[[int], None]] = {
            STATUS_COMMAND: self._write_command,
            REQUEST: self._write_request,
            SINGLE_MASK: self._write_single_mask,
            MODE: self._write_mode,
            CLEAR_FLIP_FLOP: self._clear_flip_flop,
            MASTER_CLEAR: self._master_clear,
            CLEAR_MASK: self._clear_mask,
            ALL_MASKS: self._write_all_masks,
        }

    def attach(self, state: ControllerState) -> None:
        self._s = state
        for number, channel in enumerate(self._channels):
            channel.attach(state, number)

    def read(self, register: int) -> int:
        if register < STATUS_COMMAND:
            return self._read_channel(register)
        if register == STATUS_COMMAND:
            return self._read_status()
        if register == ALL_MASKS:
            return 0xF0 | sum(channel.masked << number for number, channel in enumerate(self._s.channels))
        return 0

    def _read_channel(self, register: int) -> int:
        s = self._s
        channel = s.channels[register >> 1]
        value = channel.count if register & 1 else channel.address
        shift = 8 if s.high_byte else 0
        s.high_byte = not s.high_byte
        return value >> shift & 0xFF

    def _read_status(self) -> int:
        status = 0
        for number, channel in enumerate(self._s.channels):
            status |= channel.reached << number | channel.requested << number + 4
            channel.reached = False
        return status

    def write(self, register: int, value: int) -> None:
        if register < STATUS_COMMAND:
            self._write_channel(register, value)
        else:
            self._writers[register](value)

    def _write_channel(self, register: int, value: int) -> None:
        s = self._s
        channel = s.channels[register >> 1]
        base = channel.base_count if register & 1 else channel.base_address
        base = base & 0x00FF | value << 8 if s.high_byte else base & 0xFF00 | value
        s.high_byte = not s.high_byte
        if register & 1:
            channel.base_count = channel.count = base
        else:
            channel.base_address = channel.address = base

    def _write_command(self, value: int) -> None:
        self._s.command = value

    def _write_request(self, value: int) -> None:
        number = value & CHANNEL_SELECT
        channel = self._s.channels[number]
        channel.requested = bool(value & SET)
        if channel.requested and channel.mode & MODE_SELECT == MODE_BLOCK:
            self._channels[number].run_software_request()

    def _write_single_mask(self, value: int) -> None:
        self._s.channels[value & CHANNEL_SELECT].masked = bool(value & SET)

    def _write_mode(self, value: int) -> None:
        self._s.channels[value & CHANNEL_SELECT].mode = value & ~CHANNEL_SELECT

    def _clear_flip_flop(self, _value: int) -> None:
        self._s.high_byte = False

    def _master_clear(self, _value: int) -> None:
        self._s.command = 0
        self._s.high_byte = False
        for channel in self._s.channels:
            channel.requested = channel.reached = False
            channel.masked = True

    def _clear_mask(self, _value: int) -> None:
        self._write_all_masks(0)

    def _write_all_masks(self, value: int) -> None:
        for number, channel in enumerate(self._s.channels):
            channel.masked = bool(value >> number & 1)


class I8237:
    def __init__(self, context: DeviceContext, _options: NoOptions) -> None:
        self._pages = bytearray(16)
        state = I8237State()
        channels = [
            Channel(context.memory, state.controllers[number >> 2], number & 3, self._pages, PAGE_REGISTERS[number], number >> 2) for number in range(8)
        ]
        self._controllers = [Controller(state.controllers[0], channels[:4]), Controller(state.controllers[1], channels[4:])]
        self._state = state
        context.map_ports(0x00, 16, read=self._read_first, write=self._write_first, name="controller 1")
        context.map_ports(0xC0, 32, read=self._read_second, write=self._write_second, name="controller 2")
        context.map_ports(0x81, 15, read=self._read_page, write=self._write_page, name="page registers")
        for number, channel in enumerate(channels):
            context.provide(f"channel{number}", channel)

    def _read_first(self, offset: int, _size: int) -> int:
        return self._controllers[0].read(offset)

    def _write_first(self, offset: int, _size: int, value: int) -> None:
        self._controllers[0].write(offset, value)

    def _read_second(self, offset: int, _size: int) -> int:
        return 0xFF if offset & 1 else self._controllers[1].read(offset >> 1)

    def _write_second(self, offset: int, _size: int, value: int) -> None:
        if not offset & 1:
            self._controllers[1].write(offset >> 1, value)

    def _read_page(self, offset: int, _size: int) -> int:
        return self._pages[offset + 1]

    def _write_page(self, offset: int, _size: int, value: int) -> None:
        self._pages[offset + 1] = value

    def reset(self) -> None:
        self._use(I8237State())

    def save_state(self) -> I8237State:
        return I8237State(pages=bytes(self._pages), controllers=[_copy(controller) for controller in self._state.controllers])

    def load_state(self, state: I8237State) -> None:
        if len(state.pages) != 16 or len(state.controllers) != 2 or any(len(controller.channels) != 4 for controller in state.controllers):
            raise SnapshotError("the saved DMA state is not that of two controllers with four channels each and 16 page registers")
        for controller in state.controllers:
            for channel in controller.channels:
                channel.check()
        self._use(I8237State(pages=state.pages, controllers=[_copy(controller) for controller in state.controllers]))

    def _use(self, state: I8237State) -> None:
        self._state = state
        self._pages[:] = state.pages
        for controller, registers in zip(self._controllers, state.controllers, strict=True):
            controller.attach(registers)


def _copy(state: ControllerState) -> ControllerState:
    return attrs.evolve(state, channels=[attrs.evolve(channel) for channel in state.channels])
