"""Which format an image has, and opening a chain of images with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ringone.api.drivers import BlockDevice
from ringone.api.errors import UnknownNameError
from ringone.api.media import AccessMode, MediumFormatSpec, find_format


def open_chain(formats: Mapping[str, MediumFormatSpec], chain: Sequence[Path], name: str, mode: AccessMode, block_size: int) -> BlockDevice:
    if name and name not in formats:
        raise UnknownNameError("disk image format", name, list(formats))
    spec = formats[name] if name else find_format(formats, chain[0])
    return spec.open(chain, mode, block_size)
