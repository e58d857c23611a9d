"""Intel 8254 programmable interval timer."""

from ringone.api.devices import DeviceSpec

from ringone_devices_pc.i8254.config import I8254Options
from ringone_devices_pc.i8254.device import I8254
from ringone_devices_pc.i8254.state import I8254State

SPEC = DeviceSpec(
    name="i8254",
    summary="Intel 8254 programmable interval timer at 1.193 MHz",
    options=I8254Options,
    state=I8254State,
    create=I8254,
    inputs=("GATE0", "GATE1", "GATE2"),
    outputs=("OUT0", "OUT1", "OUT2"),
    interfaces=("out0", "out1", "out2"),
)
