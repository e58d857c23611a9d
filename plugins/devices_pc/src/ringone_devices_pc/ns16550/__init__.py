"""National Semiconductor NS16550A UART."""

from ringone.api.devices import DeviceSpec

from ringone_devices_pc.ns16550.config import Ns16550Options
from ringone_devices_pc.ns16550.device import Ns16550
from ringone_devices_pc.ns16550.state import Ns16550State

SPEC = DeviceSpec(
    name="ns16550",
    summary="NS16550A UART with FIFOs",
    options=Ns16550Options,
    state=Ns16550State,
    create=Ns16550,
    outputs=("IRQ",),
    slots=("stream",),
)
