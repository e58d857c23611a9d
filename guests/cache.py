"""The folder for what is built and downloaded: ``.cache/guests`` in the checkout, or ``RINGONE_GUESTS``."""

from __future__ import annotations

import os
from pathlib import Path

CACHE = Path(os.environ.get("RINGONE_GUESTS") or Path(__file__).parents[1] / ".cache" / "guests").absolute()


def write_atomically(path: Path, data: bytes) -> Path:
    """The file is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    unfinished.write_bytes(data)
    unfinished.replace(path)
    return path
