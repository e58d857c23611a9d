"""The PC's two 8237A DMA controllers with their page registers."""

from ringone.api.devices import DeviceSpec
from ringone.api.options import NoOptions

from ringone_devices_pc.i8237.device import I8237
from ringone_devices_pc.i8237.state import I8237State

SPEC = DeviceSpec(
    name="i8237",
    summary="Pair of Intel 8237A DMA controllers with page registers",
    options=NoOptions,
    state=I8237State,
    create=I8237,
    interfaces=tuple(f"channel{number}" for number in range(8)),
)
