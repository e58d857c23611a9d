"""State of the PIIX4 power management function."""

import attrs


@attrs.define(slots=True)
class Piix4PmState:
    status: int = 0
    """PMSTS without TMROF_STS, which follows from the clock."""
    enable: int = 0
    control: int = 0
    overflow_seen: int = 0
    """Number of half periods of the PM timer up to the last one that the guest acknowledged."""
    gpe_enable: int = 0
    apm_control: int = 0
    apm_status: int = 0
    smbus: bytes = b""
    config: bytes = b""
