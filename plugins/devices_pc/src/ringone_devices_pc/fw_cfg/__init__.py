"""QEMU firmware configuration device."""

from ringone.api.devices import DeviceSpec

from ringone_devices_pc.fw_cfg.config import FwCfgOptions
from ringone_devices_pc.fw_cfg.device import FwCfg
from ringone_devices_pc.fw_cfg.state import FwCfgState

SPEC = DeviceSpec(
    name="fw_cfg",
    summary="QEMU firmware configuration: files for the firmware, by port and by DMA",
    options=FwCfgOptions,
    state=FwCfgState,
    create=FwCfg,
    slots=("firmware",),
)
