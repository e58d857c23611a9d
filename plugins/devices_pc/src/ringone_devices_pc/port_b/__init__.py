"""System control port B."""

from ringone.api.devices import DeviceSpec

from ringone_devices_pc.port_b.config import PortBOptions
from ringone_devices_pc.port_b.device import PortB
from ringone_devices_pc.port_b.state import PortBState

SPEC = DeviceSpec(
    name="port_b",
    summary="System control port B: speaker, timer gate, refresh toggle",
    options=PortBOptions,
    state=PortBState,
    create=PortB,
    inputs=("OUT2",),
    outputs=("GATE2", "SPEAKER"),
    links=("out2",),
)
