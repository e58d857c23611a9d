"""State of fw_cfg."""

import attrs


@attrs.define(slots=True)
class FwCfgState:
    selector: int = 0
    offset: int = 0
    """Bytes of the selected item already read."""
    dma_high: int = 0
    """Upper half of the DMA descriptor's address, written before the lower half starts the transfer."""
