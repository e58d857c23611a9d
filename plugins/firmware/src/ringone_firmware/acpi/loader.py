"""The fw_cfg table loader (``etc/table-loader``): a script by which a BIOS places ACPI tables and fixes their pointers and checksums.

Three commands of 128 bytes each are used: allocate a file in a zone, add a file's address to a pointer, and compute a checksum. A file's numbers are
little-endian and its names are zero-padded to 56 bytes.
"""

from __future__ import annotations

import struct

from ringone_firmware.acpi.tables import RSDP_CHECKSUM, RSDP_RSDT, RSDP_SIZE, TableSet, rsdp

ENTRY_SIZE = 128
ALLOCATE, ADD_POINTER, ADD_CHECKSUM = 1, 2, 3
ZONE_HIGH, ZONE_FSEG = 1, 2
TABLES_FILE = b"etc/acpi/tables"
RSDP_FILE = b"etc/acpi/rsdp"
FACS_ALIGNMENT = 64


def fw_cfg_files(tables: TableSet) -> dict[str, bytes]:
    script = [
        struct.pack("<I56sIB", ALLOCATE, TABLES_FILE, FACS_ALIGNMENT, ZONE_HIGH),
        struct.pack("<I56sIB", ALLOCATE, RSDP_FILE, 16, ZONE_FSEG),
        *(struct.pack("<I56s56sIB", ADD_POINTER, TABLES_FILE, TABLES_FILE, pointer.at, 4) for pointer in tables.pointers),
        *(struct.pack("<I56sIII", ADD_CHECKSUM, TABLES_FILE, checksum.at, checksum.start, checksum.size) for checksum in tables.checksums),
        struct.pack("<I56s56sIB", ADD_POINTER, RSDP_FILE, TABLES_FILE, RSDP_RSDT, 4),
        struct.pack("<I56sIII", ADD_CHECKSUM, RSDP_FILE, RSDP_CHECKSUM, 0, RSDP_SIZE),
    ]
    unsigned = bytearray(rsdp(tables.rsdt))
    unsigned[RSDP_CHECKSUM] = 0
    return {
        TABLES_FILE.decode(): tables.data,
        RSDP_FILE.decode(): bytes(unsigned),
        "etc/table-loader": b"".join(entry.ljust(ENTRY_SIZE, b"\0") for entry in script),
    }
