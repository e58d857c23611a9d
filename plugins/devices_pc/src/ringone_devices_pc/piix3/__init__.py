"""Intel 82371SB: the ISA bridge of the board."""

from ringone.api.devices import DeviceSpec

from ringone_devices_pc.piix3.config import Piix3Options
from ringone_devices_pc.piix3.device import IRQS, PIRQS, Piix3
from ringone_devices_pc.piix3.state import Piix3State

SPEC = DeviceSpec(
    name="piix3",
    summary="Intel 82371SB ISA bridge: PCI interrupt routing, reset control",
    options=Piix3Options,
    state=Piix3State,
    create=Piix3,
    inputs=PIRQS,
    outputs=(*(f"IRQ{irq}" for irq in IRQS), "RESET"),
    links=("pci",),
)
