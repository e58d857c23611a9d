"""The header of a Linux kernel image (Documentation/arch/x86/boot.rst, "The real-mode kernel header")."""

from __future__ import annotations

import struct

import attrs
from ringone.api.errors import ConfigError

BOOT_FLAG_OFFSET, BOOT_FLAG = 0x1FE, 0xAA55
HEADER_MAGIC_OFFSET, HEADER_MAGIC = 0x202, b"HdrS"
HEADER_START = 0x1F1
HEADER_LIMIT = 0x290
"""The setup header may not reach beyond this offset, where boot_params continues with other things."""
SECTOR = 512
DEFAULT_SETUP_SECTORS = 4
OLDEST_PROTOCOL = 0x202
OLDEST_32BIT_PROTOCOL = 0x206
"""Earlier kernels rely on what their 16-bit setup code learns from the BIOS."""
LOADED_HIGH = 1 << 0
HIGH_MEMORY = 0x100000
DEFAULT_INITRD_ADDR_MAX = 0x37FFFFFF
DEFAULT_CMDLINE_SIZE = 255


@attrs.frozen(kw_only=True)
class BzImage:
    """A parsed kernel. `setup` is the real-mode part with its boot sector, `payload` the protected-mode part.

    Fields that the image's protocol version lacks have the protocol's defaults.
    """

    setup: bytes
    payload: bytes
    header_end: int
    version: int
    loadflags: int
    code32_start: int
    initrd_addr_max: int
    cmdline_size: int
    relocatable: bool
    kernel_alignment: int
    pref_address: int
    init_size: int

    @property
    def has_32bit_entry(self) -> bool:
        return self.version >= OLDEST_32BIT_PROTOCOL and bool(self.loadflags & LOADED_HIGH) and self.code32_start >= HIGH_MEMORY


def looks_like(data: bytes) -> bool:
    return data[HEADER_MAGIC_OFFSET : HEADER_MAGIC_OFFSET + 4] == HEADER_MAGIC and data[BOOT_FLAG_OFFSET : BOOT_FLAG_OFFSET + 2] == BOOT_FLAG.to_bytes(
        2, "little"
    )


def parse(data: bytes, name: str) -> BzImage:
    """Read the header of a kernel file; `name` is for messages. Raises `ConfigError` for what is no kernel that can be booted."""
    if not looks_like(data):
        raise ConfigError(f"{name} is no Linux kernel image: there is no 'HdrS' at offset 0x202 (a bzImage is accepted, protocol 2.02 or later)")
    setup_size = ((data[HEADER_START] or DEFAULT_SETUP_SECTORS) + 1) * SECTOR
    if len(data) <= setup_size:
        raise ConfigError(f"{name} ends after {len(data)} bytes, before its protected-mode part at {setup_size}: the file is damaged or cut")
    field = _Fields(data, version=struct.unpack_from("<H", data, 0x206)[0])
    if field.version < OLDEST_PROTOCOL:
        raise ConfigError(f"{name} speaks boot protocol {field.version >> 8}.{field.version & 0xFF:02}; 2.02 or later is accepted")
    header_end = HEADER_MAGIC_OFFSET + data[0x201]
    if not HEADER_MAGIC_OFFSET + 4 <= header_end <= min(HEADER_LIMIT, setup_size):
        raise ConfigError(f"{name} has a setup header that ends at offset {header_end:#x}; at most {min(HEADER_LIMIT, setup_size):#x} is possible")
    return BzImage(
        setup=data[:setup_size],
        payload=data[setup_size:],
        header_end=header_end,
        version=field.version,
        loadflags=data[0x211],
        code32_start=field.since(OLDEST_PROTOCOL, "<I", 0x214, HIGH_MEMORY),
        initrd_addr_max=field.since(0x203, "<I", 0x22C, DEFAULT_INITRD_ADDR_MAX),
        cmdline_size=field.since(0x206, "<I", 0x238, DEFAULT_CMDLINE_SIZE),
        relocatable=bool(field.since(0x205, "<B", 0x234, 0)),
        kernel_alignment=field.since(0x205, "<I", 0x230, 0),
        pref_address=field.since(0x20A, "<Q", 0x258, 0),
        init_size=field.since(0x20A, "<I", 0x260, 0),
    )


@attrs.frozen
class _Fields:
    data: bytes
    version: int

    def since(self, version: int, form: str, offset: int, default: int) -> int:
        """A header field that exists from `version` on."""
        if self.version < version or offset + struct.calcsize(form) > len(self.data):
            return default
        (value,) = struct.unpack_from(form, self.data, offset)
        return int(value)
