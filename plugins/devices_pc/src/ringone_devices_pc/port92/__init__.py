"""System control port A."""

from ringone.api.devices import DeviceSpec

from ringone_devices_pc.port92.config import Port92Options
from ringone_devices_pc.port92.device import Port92
from ringone_devices_pc.port92.state import Port92State

SPEC = DeviceSpec(
    name="port92",
    summary="System control port A: fast A20 gate and fast reset",
    options=Port92Options,
    state=Port92State,
    create=Port92,
    outputs=("A20", "RESET"),
)
