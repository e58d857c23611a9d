"""State of the i440FX."""

import attrs


@attrs.define(slots=True)
class I440fxState:
    address: int
    """CONFADD, port 0xCF8."""
    config: bytes
