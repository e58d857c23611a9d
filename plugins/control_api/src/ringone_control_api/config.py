"""Options of the frontend ``control-api``."""

from __future__ import annotations

from pathlib import Path

import attrs
from ringone.api.options import option


@attrs.frozen(kw_only=True)
class ControlApiOptions:
    socket: Path = option(help="where the Unix-domain socket is made; its folder must belong to the user and be closed to others (mode 0700)")
    log: Path | None = option(None, help="the machine's log file, served as /log")
