"""Intel 8042 keyboard controller with a PS/2 keyboard and mouse."""

from ringone.api.devices import DeviceSpec

from ringone_devices_pc.i8042.config import I8042Options
from ringone_devices_pc.i8042.device import I8042
from ringone_devices_pc.i8042.state import I8042State

SPEC = DeviceSpec(
    name="i8042",
    summary="8042 keyboard controller with PS/2 keyboard and wheel mouse",
    options=I8042Options,
    state=I8042State,
    create=I8042,
    outputs=("IRQ1", "IRQ12", "A20", "RESET"),
    interfaces=("keyboard", "mouse"),
)
