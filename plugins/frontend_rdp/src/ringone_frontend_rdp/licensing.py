"""Licensing ([MS-RDPELE]) as [MS-RDPBCGR] 2.2.1.12 lets it be cut short: every client is a valid one."""

from __future__ import annotations

import struct

SEC_LICENSE_PKT = 0x0080
ERROR_ALERT, PREAMBLE_VERSION_3_0 = 0xFF, 0x03
STATUS_VALID_CLIENT, ST_NO_TRANSITION, BB_ERROR_BLOB = 7, 2, 4


def valid_client() -> bytes:
    message = struct.pack("<IIHH", STATUS_VALID_CLIENT, ST_NO_TRANSITION, BB_ERROR_BLOB, 0)
    return struct.pack("<HHBBH", SEC_LICENSE_PKT, 0, ERROR_ALERT, PREAMBLE_VERSION_3_0, 4 + len(message)) + message
