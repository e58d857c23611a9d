"""Disk image formats."""

from __future__ import annotations

import enum
from collections.abc import Callable
from pathlib import Path

import attrs

from ringone.api import API_VERSION
from ringone.api.drivers import BlockDevice


class AccessMode(enum.Enum):
    """How an attachment treats its image."""

    PERSISTENT = "persistent"
    READ_ONLY = "read-only"
    THROW_AWAY = "throw-away"
    """Writes are kept in memory and forgotten with the machine."""


@attrs.frozen(kw_only=True)
class MediumFormatSpec:
    """Yielded by the hook ``ringone_media_formats``.

    `probe` gets the first 4 KiB and the path and says whether the file is of this format. `open` returns the device or raises `MediumError`; `block_size` is
    512 for disks and floppies, 2048 for CDs.
    """

    name: str
    summary: str
    suffixes: tuple[str, ...]
    probe: Callable[[Path, bytes], bool]
    open: Callable[[Path, AccessMode, int], BlockDevice]
    api_version: int = API_VERSION
