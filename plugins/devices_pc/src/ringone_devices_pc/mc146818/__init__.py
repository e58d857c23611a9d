"""Motorola MC146818 real-time clock."""

from ringone.api.devices import DeviceSpec

from ringone_devices_pc.mc146818.config import Mc146818Options
from ringone_devices_pc.mc146818.device import Mc146818
from ringone_devices_pc.mc146818.state import Mc146818State

SPEC = DeviceSpec(
    name="mc146818",
    summary="MC146818 real-time clock with the PC's CMOS memory",
    options=Mc146818Options,
    state=Mc146818State,
    create=Mc146818,
    outputs=("IRQ", "NMI_MASK"),
    slots=("wall-clock",),
)
