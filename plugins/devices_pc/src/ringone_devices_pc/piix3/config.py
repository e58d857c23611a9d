"""Options of the PIIX3 ISA bridge."""

import attrs
from ringone.api.options import option


@attrs.frozen(kw_only=True)
class Piix3Options:
    device: int = option(1, help="PCI device number; the bridge is function 0")
