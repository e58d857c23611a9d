"""The machine's ROMs."""

from ringone.api.devices import DeviceSpec
from ringone.api.options import NoOptions

from ringone_devices_pc.system_rom.device import SystemRom
from ringone_devices_pc.system_rom.state import SystemRomState

SPEC = DeviceSpec(
    name="system_rom",
    summary="system ROM below 4 GiB and 1 MiB, option ROMs",
    options=NoOptions,
    state=SystemRomState,
    create=SystemRom,
    interfaces=("rom",),
    slots=("firmware-rom",),
)
