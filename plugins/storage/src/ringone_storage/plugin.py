"""What storage offers to RingOne. Imports nothing heavy: parts are imported when they are created."""

from __future__ import annotations

from collections.abc import Iterable

from ringone.api.drivers import HostDriverSpec
from ringone.api.hooks import hookimpl
from ringone.api.media import MediumFormatSpec

from ringone_storage.drivers import DISK_IMAGE, REMOVABLE_IMAGE
from ringone_storage.foreign import FOREIGN
from ringone_storage.formats import ISO, RAW, VDI


@hookimpl
def ringone_media_formats() -> Iterable[MediumFormatSpec]:
    return (RAW, ISO, VDI, *FOREIGN)


@hookimpl
def ringone_host_drivers() -> Iterable[HostDriverSpec]:
    return (DISK_IMAGE, REMOVABLE_IMAGE)
