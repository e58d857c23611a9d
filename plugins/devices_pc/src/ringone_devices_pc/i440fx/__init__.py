"""Intel 82441FX: the host bridge of the board."""

from ringone.api.devices import DeviceSpec

from ringone_devices_pc.i440fx.config import I440fxOptions
from ringone_devices_pc.i440fx.device import I440fx
from ringone_devices_pc.i440fx.state import I440fxState

SPEC = DeviceSpec(
    name="i440fx",
    summary="Intel 82441FX host bridge: PCI configuration ports, BIOS shadow",
    options=I440fxOptions,
    state=I440fxState,
    create=I440fx,
    interfaces=("pci",),
    links=("rom",),
)
