"""Options of the recompiler backend."""

from __future__ import annotations

import attrs
from ringone.api.options import option


@attrs.frozen(kw_only=True)
class RecompilerOptions:
    tsc_mhz: int = option(
        1000, help="frequency that the time-stamp counter counts at, in virtual time", unit="MHz", validator=attrs.validators.in_(range(1, 10001))
    )
