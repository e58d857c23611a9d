"""Appliances: machines packed up with their disks, to be carried to another host. The words are those of OVF, the DMTF's Open Virtualization Format.

A format is the description alone, the *envelope*; files, archives and checksums are the business of whoever imports and exports.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ringone.api.config import MachineConfig


@attrs.frozen(kw_only=True)
class ApplianceDisk:
    """`file` is the name beside the envelope, "" for a disk that is empty; `format` a disk image format; `format_uri` what the envelope says of it."""

    id: str
    file: str
    format: str
    format_uri: str = ""
    capacity_bytes: int = 0
    file_bytes: int | None = None
    uuid: str = ""


@attrs.frozen(kw_only=True)
class ApplianceDrive:
    """Where in a machine a disk goes; `bus` is the word of ``storagectl --add`` (``ide``, ``sata`` ...)."""

    disk: str
    bus: str
    port: int
    device: int


@attrs.frozen(kw_only=True)
class ApplianceSystem:
    """A machine. Its disks are in `drives`; `config.drives` has its CD and floppy drives. `absent` is hardware that RingOne does not have, in words."""

    config: MachineConfig
    drives: tuple[ApplianceDrive, ...] = ()
    absent: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Appliance:
    disks: tuple[ApplianceDisk, ...]
    systems: tuple[ApplianceSystem, ...]

    def disk(self, id: str) -> ApplianceDisk:
        return next(disk for disk in self.disks if disk.id == id)


@attrs.frozen(kw_only=True)
class ApplianceFormat:
    """`read` gets an envelope's bytes, which nobody vouches for, and a name for messages; it raises `ConfigError`. `write` makes an envelope."""

    suffix: str
    read: Callable[[bytes, str], Appliance]
    write: Callable[[Appliance], bytes]
