"""Where running machines can be reached: one Unix-domain socket each, in a folder that is the user's alone and vanishes with the session."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

APPLICATION = "ringone"
VARIABLE = "XDG_RUNTIME_DIR"
SUFFIX = ".sock"


def runtime_folder() -> Path:
    """``$XDG_RUNTIME_DIR/ringone``; on hosts without, a folder for the user's number among the temporary files. It need not exist."""
    given = Path(os.environ.get(VARIABLE, ""))
    if given.is_absolute():
        return given / APPLICATION
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    return Path(tempfile.gettempdir()) / f"{APPLICATION}-{user}"


def socket_path(uuid: str) -> Path:
    """The socket of the machine with that UUID, while it runs."""
    return runtime_folder() / f"{uuid.strip('{}').lower()}{SUFFIX}"
