"""Intel 82077AA floppy disk controller."""

from ringone.api.devices import DeviceSpec

from ringone_devices_pc.i82077.config import I82077Options
from ringone_devices_pc.i82077.device import I82077
from ringone_devices_pc.i82077.state import I82077State

SPEC = DeviceSpec(
    name="i82077",
    summary="Intel 82077AA floppy disk controller with two drives",
    options=I82077Options,
    state=I82077State,
    create=I82077,
    outputs=("IRQ",),
    links=("dma",),
    slots=("drive0", "drive1"),
)
