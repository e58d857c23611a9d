"""Options of fw_cfg."""

import attrs
from ringone.api.options import option


@attrs.frozen(kw_only=True)
class FwCfgOptions:
    base: int = option(0x510, help="selector port; data follows at +1, DMA at +4")
    cpus: int = option(1, help="number of processors that the firmware is told of")
