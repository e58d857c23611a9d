"""Debug consoles of firmware: what is written to port 0x402 (SeaBIOS) or 0xE9 (Bochs) goes to the stream, byte by byte.

Both ports read 0xE9 where a stream is connected, by which guests know that somebody listens, and float high where none is.
"""

from __future__ import annotations

from ringone.api.devices import DeviceContext
from ringone.api.drivers import CharStream

from ringone_devices_pc.debug_port.config import DebugPortOptions
from ringone_devices_pc.debug_port.state import DebugPortState

PRESENT = 0xE9
ONE_BYTE = tuple(bytes([value]) for value in range(256))


class DebugPort:
    def __init__(self, context: DeviceContext, options: DebugPortOptions) -> None:
        stream = context.driver("stream", CharStream)
        if stream is None:
            return
        self._send = stream.write
        context.map_ports(options.seabios_port, 1, read=self.read, write=self.write, name="seabios")
        context.map_ports(options.bochs_port, 1, read=self.read, write=self.write, name="bochs")

    def reset(self) -> None:
        pass

    def save_state(self) -> DebugPortState:
        return DebugPortState()

    def load_state(self, state: DebugPortState) -> None:
        pass

    def read(self, offset: int, size: int) -> int:
        return PRESENT

    def write(self, offset: int, size: int, value: int) -> None:
        self._send(ONE_BYTE[value])
