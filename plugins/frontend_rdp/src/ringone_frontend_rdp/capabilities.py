"""Capability sets ([MS-RDPBCGR] 2.2.7): what the server offers in Demand Active, and what counts of a client's answer.

Drawing orders, glyphs, caches and surface commands are not offered: the picture goes out as bitmaps, which every client draws.
"""

from __future__ import annotations

import enum
import struct

import attrs

from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.wire import Reader

MOST_SETS = 64

OSMAJORTYPE_UNIX, PROTOCOL_VERSION = 4, 0x0200
FASTPATH_OUTPUT_SUPPORTED, LONG_CREDENTIALS_SUPPORTED, NO_BITMAP_COMPRESSION_HDR = 0x0001, 0x0004, 0x0400
DRAW_ALLOW_SKIP_ALPHA = 0x08
NEGOTIATE_ORDER_SUPPORT, ZERO_BOUNDS_DELTAS_SUPPORT = 0x0002, 0x0008
INPUT_FLAG_SCANCODES, INPUT_FLAG_MOUSEX, INPUT_FLAG_FASTPATH_INPUT, INPUT_FLAG_UNICODE, INPUT_FLAG_FASTPATH_INPUT2 = 0x0001, 0x0004, 0x0008, 0x0010, 0x0020
POINTER_CACHE_SIZE = 25
FONTSUPPORT_FONTLIST = 0x0001
CHANNEL_CHUNK_SIZE = 1600
LARGEST_FRAGMENTED_UPDATE = 65535


class Set(enum.IntEnum):
    GENERAL = 1
    BITMAP = 2
    ORDER = 3
    POINTER = 8
    SHARE = 9
    INPUT = 13
    FONT = 14
    VIRTUAL_CHANNEL = 20
    MULTIFRAGMENT_UPDATE = 26


@attrs.frozen(kw_only=True)
class ClientCapabilities:
    fastpath_output: bool
    desktop_resize: bool
    skip_alpha: bool


def server_sets(width: int, height: int, depth: int) -> tuple[int, bytes]:
    """How many, and all of them one after the other."""
    extra = FASTPATH_OUTPUT_SUPPORTED | LONG_CREDENTIALS_SUPPORTED | NO_BITMAP_COMPRESSION_HDR
    input_flags = INPUT_FLAG_SCANCODES | INPUT_FLAG_MOUSEX | INPUT_FLAG_FASTPATH_INPUT | INPUT_FLAG_UNICODE | INPUT_FLAG_FASTPATH_INPUT2
    contents = {
        Set.GENERAL: struct.pack("<9H2B", OSMAJORTYPE_UNIX, 0, PROTOCOL_VERSION, 0, 0, extra, 0, 0, 0, 1, 1),
        Set.BITMAP: struct.pack("<9H2B2H", depth, 1, 1, 1, width, height, 0, 1, 1, 0, DRAW_ALLOW_SKIP_ALPHA, 1, 0),
        Set.ORDER: struct.pack("<16sI6H32s2H2I4H", b"", 0, 1, 20, 0, 1, 0, NEGOTIATE_ORDER_SUPPORT | ZERO_BOUNDS_DELTAS_SUPPORT, b"", 0, 0, 0, 0, 0, 0, 0, 0),
        Set.POINTER: struct.pack("<3H", 1, POINTER_CACHE_SIZE, POINTER_CACHE_SIZE),
        Set.SHARE: struct.pack("<2H", 0, 0),
        Set.INPUT: struct.pack("<2H4I64s", input_flags, 0, 0, 0, 0, 0, b""),
        Set.FONT: struct.pack("<2H", FONTSUPPORT_FONTLIST, 0),
        Set.VIRTUAL_CHANNEL: struct.pack("<2I", 0, CHANNEL_CHUNK_SIZE),
        Set.MULTIFRAGMENT_UPDATE: struct.pack("<I", LARGEST_FRAGMENTED_UPDATE),
    }
    return len(contents), b"".join(struct.pack("<HH", kind, 4 + len(content)) + content for kind, content in contents.items())


def parse_client_sets(reader: Reader, count: int) -> ClientCapabilities:
    if count > MOST_SETS:
        raise ProtocolError(f"Confirm Active: {count} capability sets; accepted: {MOST_SETS}")
    sets: dict[int, bytes] = {}
    for _ in range(count):
        kind, size = reader.u16(), reader.u16()
        if size < 4:
            raise ProtocolError(f"Confirm Active: capability set {kind} of {size} bytes")
        sets[kind] = reader.take(size - 4)
    general = sets.get(Set.GENERAL, b"").ljust(20, b"\0")
    bitmap = sets.get(Set.BITMAP, b"").ljust(24, b"\0")
    (extra,) = struct.unpack_from("<H", general, 10)
    (resize,) = struct.unpack_from("<H", bitmap, 14)
    return ClientCapabilities(
        fastpath_output=bool(extra & FASTPATH_OUTPUT_SUPPORTED), desktop_resize=bool(resize), skip_alpha=bool(bitmap[19] & DRAW_ALLOW_SKIP_ALPHA)
    )
