"""What fw_cfg holds: numbered items, and the directory that gives files their numbers (QEMU's docs/specs/fw_cfg.rst)."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from ringone.api.errors import ConfigError

KEY_SIGNATURE = 0x00
KEY_ID = 0x01
KEY_CPU_COUNT = 0x05
KEY_MAX_CPUS = 0x0F
KEY_FILE_DIRECTORY = 0x19
KEY_FIRST_FILE = 0x20
KEY_LAST_FILE = 0x3FFF

ID_TRADITIONAL = 1 << 0
ID_DMA = 1 << 1

NUMERIC_PREFIX = "key:"
_DIRECTORY_COUNT = struct.Struct(">I")
_DIRECTORY_ENTRY = struct.Struct(">IHxx56s")
NAME_BYTES = 55
"""The name field holds 56 bytes, the last one zero."""


def make_items(files: Mapping[str, bytes], *, cpus: int) -> dict[int, bytes]:
    """Items by key. Files named ``key:0xNN`` are items of that number; the others follow in the order of their names."""
    named = sorted(name for name in files if not name.startswith(NUMERIC_PREFIX))
    items = {
        KEY_SIGNATURE: b"QEMU",
        KEY_ID: (ID_TRADITIONAL | ID_DMA).to_bytes(4, "little"),
        KEY_CPU_COUNT: cpus.to_bytes(2, "little"),
        KEY_MAX_CPUS: cpus.to_bytes(2, "little"),
        KEY_FILE_DIRECTORY: _directory({name: len(files[name]) for name in named}),
    }
    items.update((KEY_FIRST_FILE + index, files[name]) for index, name in enumerate(named))
    items.update((_numeric_key(name), data) for name, data in files.items() if name.startswith(NUMERIC_PREFIX))
    return items


def _directory(sizes: Mapping[str, int]) -> bytes:
    entries = [_DIRECTORY_COUNT.pack(len(sizes))]
    for key, (name, size) in enumerate(sizes.items(), KEY_FIRST_FILE):
        encoded = name.encode()
        if len(encoded) > NAME_BYTES or key > KEY_LAST_FILE:
            raise ConfigError(f"fw_cfg cannot hold the file {name!r}; accepted: names of up to {NAME_BYTES} bytes, {KEY_LAST_FILE - KEY_FIRST_FILE + 1} files")
        entries.append(_DIRECTORY_ENTRY.pack(size, key, encoded))
    return b"".join(entries)


def _numeric_key(name: str) -> int:
    try:
        key = int(name.removeprefix(NUMERIC_PREFIX), 0)
    except ValueError:
        key = -1
    if not 0 <= key <= 0xFFFF:
        raise ConfigError(f"fw_cfg has no item {name!r}; accepted: {NUMERIC_PREFIX}0x0 to {NUMERIC_PREFIX}0xffff")
    return key
