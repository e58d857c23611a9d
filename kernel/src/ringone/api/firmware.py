"""Firmware: what the processor finds at its reset vector, or a kernel that is entered without any."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from ringone.api import API_VERSION
from ringone.api.cpu import CpuState

if TYPE_CHECKING:
    from ringone.api.config import MachineConfig


@attrs.frozen(kw_only=True)
class MemoryImage:
    """Bytes laid into guest-physical RAM at every reset."""

    address: int
    data: bytes


@attrs.frozen(kw_only=True)
class FirmwareImage:
    """What a firmware plugin makes for one machine.

    `rom` ends at 4 GiB and its last 128 KiB appear below 1 MiB; b"" for none. `option_roms` maps addresses below 1 MiB to ROM bytes; `fw_cfg` are named files
    (``etc/...``, ``opt/...``) and ``key:0xNN`` entries for the fw_cfg chip. `ram` is written and `entry`, where given, loaded into the processor at every
    reset: how a kernel is entered without a BIOS.
    """

    name: str
    rom: bytes = b""
    option_roms: Mapping[int, bytes] = attrs.field(factory=dict)
    fw_cfg: Mapping[str, bytes] = attrs.field(factory=dict)
    ram: tuple[MemoryImage, ...] = ()
    entry: CpuState | None = None
    service_device: str = ""
    """Type name of a device that the board adds with id ``firmware`` and gives every disk, or ""."""
    service_options: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class FirmwareSpec:
    """Yielded by the hook ``ringone_firmwares``.

    `available` says cheaply whether it can be loaded here, with the reason where not (""= yes); with ``firmware=auto`` the kernel takes the available one with
    the highest `preference`. `load` raises `ConfigError` for a missing or senseless file.
    """

    name: str
    summary: str
    options: type[Any]
    preference: int
    available: Callable[[Any], str]
    load: Callable[[MachineConfig, Any], FirmwareImage]
    api_version: int = API_VERSION
