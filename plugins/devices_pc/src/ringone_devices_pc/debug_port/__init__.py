"""Firmware debug console."""

from ringone.api.devices import DeviceSpec

from ringone_devices_pc.debug_port.config import DebugPortOptions
from ringone_devices_pc.debug_port.device import DebugPort
from ringone_devices_pc.debug_port.state import DebugPortState

SPEC = DeviceSpec(
    name="debug_port",
    summary="Debug console of SeaBIOS (0x402) and Bochs (0xE9)",
    options=DebugPortOptions,
    state=DebugPortState,
    create=DebugPort,
    slots=("stream",),
)
