"""Intel 8259A programmable interrupt controller."""

from ringone.api.devices import DeviceSpec

from ringone_devices_pc.i8259.config import I8259Options
from ringone_devices_pc.i8259.device import I8259
from ringone_devices_pc.i8259.state import I8259State

SPEC = DeviceSpec(
    name="i8259",
    summary="Intel 8259A programmable interrupt controller with PIIX3's edge/level register",
    options=I8259Options,
    state=I8259State,
    create=I8259,
    inputs=("IR0", "IR1", "IR2", "IR3", "IR4", "IR5", "IR6", "IR7"),
    outputs=("INT",),
    interfaces=("inta",),
    links=("slave",),
)
