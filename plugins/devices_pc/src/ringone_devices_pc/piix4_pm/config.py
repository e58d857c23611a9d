"""Options of the PIIX4 power management function."""

import attrs
from ringone.api.options import option


@attrs.frozen(kw_only=True)
class Piix4PmOptions:
    device: int = option(1, help="PCI device number; power management is function 3")
    preset_pm_base: int | None = option(None, help="PM registers are decoded here from reset on, for kernels entered without a BIOS; SeaBIOS chooses 0x600")
    gpe_base: int = option(0xAFE0, help="first of the four ports of general purpose event block 0")
    apm_base: int = option(0xB2, help="first of the two APM (SMI command and status) ports")
