"""Intel 82371AB function 3: power management of the board."""

from ringone.api.devices import DeviceSpec

from ringone_devices_pc.piix4_pm.config import Piix4PmOptions
from ringone_devices_pc.piix4_pm.device import Piix4Pm
from ringone_devices_pc.piix4_pm.state import Piix4PmState

SPEC = DeviceSpec(
    name="piix4_pm",
    summary="Intel 82371AB power management: ACPI fixed hardware, PM timer, power button, soft off",
    options=Piix4PmOptions,
    state=Piix4PmState,
    create=Piix4Pm,
    outputs=("SCI", "POWER_OFF"),
    interfaces=("power-button",),
    links=("pci",),
)
