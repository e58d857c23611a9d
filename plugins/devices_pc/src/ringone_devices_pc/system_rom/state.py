"""State of the ROMs: none, their bytes are memory blocks of the machine."""

import attrs


@attrs.define(slots=True)
class SystemRomState:
    pass
