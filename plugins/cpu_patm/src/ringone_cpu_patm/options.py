"""Options of the raw-mode backend."""

from __future__ import annotations

import attrs
from ringone.api.options import option


@attrs.frozen(kw_only=True)
class PatmOptions:
    scanning: bool = option(True, help="scan kernel code so that it may run deprivileged; off: the guest's ring 0 runs on the recompiler, its ring 3 directly")
    patching: bool = option(True, help="replace instructions that trap or misbehave at ring 1; off: each of them traps and is emulated")
    hits: bool = option(False, help="count how often each kind of patch runs (PATM/Hits/...), which makes patches up to a third slower")
    tsc_mhz: int = option(
        1000, help="frequency that the time-stamp counter counts at, in virtual time", unit="MHz", validator=attrs.validators.in_(range(1, 10001))
    )
