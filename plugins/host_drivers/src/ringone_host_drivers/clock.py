"""The host's civil time, for the real-time clock."""

from __future__ import annotations

import time

import attrs
from ringone.api.drivers import DriverContext
from ringone.api.options import option

_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1_000_000


@attrs.frozen(kw_only=True)
class WallClockOptions:
    base_unix_ns: int | None = option(None, help="time at power-on, since 1970-01-01 00:00 UTC (default: the host's)", unit="ns")
    offset_ms: int = option(0, help="added to the host's time", unit="ms")
    local_time: bool = option(False, help="the guest's clock runs in the host's time zone")


class HostWallClock:
    """Meets `ringone.api.drivers.WallClock`."""

    def __init__(self, _context: DriverContext, options: WallClockOptions) -> None:
        base = time.time_ns() + options.offset_ms * _NS_PER_MS if options.base_unix_ns is None else options.base_unix_ns
        if options.local_time:
            base += time.localtime(base // _NS_PER_S).tm_gmtoff * _NS_PER_S
        self._base_ns = base

    def base_ns(self) -> int:
        return self._base_ns
