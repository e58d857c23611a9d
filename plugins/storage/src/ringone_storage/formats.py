"""The disk image formats of this package."""

from __future__ import annotations

from ringone.api.media import MediumFormatSpec

from ringone_storage.raw import is_iso9660, open_raw
from ringone_storage.raw_tools import RawTools
from ringone_storage.vdi.disk import open_vdi
from ringone_storage.vdi.header import is_vdi
from ringone_storage.vdi.tools import VdiTools

RAW = MediumFormatSpec(
    name="raw",
    summary="plain image or host device (read-only), sector by sector",
    suffixes=(".img", ".raw", ".dd", ".ima", ".flp"),
    probe=lambda path, head: True,
    open=open_raw,
    tools=RawTools("raw"),
)
ISO = MediumFormatSpec(
    name="iso",
    summary="ISO 9660 CD or DVD image, read-only in CD drives",
    suffixes=(".iso", ".cdr"),
    probe=is_iso9660,
    open=open_raw,
    tools=RawTools("iso"),
)
VDI = MediumFormatSpec(
    name="vdi",
    summary="VirtualBox disk image: dynamic, fixed or differencing",
    suffixes=(".vdi",),
    probe=lambda path, head: is_vdi(head),
    open=open_vdi,
    tools=VdiTools(),
)
