"""State of the PIIX3 ISA bridge."""

import attrs


@attrs.define(slots=True)
class Piix3State:
    reset_control: int
    config: bytes
