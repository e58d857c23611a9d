"""PDUs of the graphics pipeline ([MS-RDPEGFX] 2.2.2): those that this server sends, written, and those that a client sends, read.

Everything to the client is wrapped in RDP_SEGMENTED_DATA ([MS-RDPEGFX] 2.2.5), whose compression is left out: pictures are compressed already.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable, Iterator, Sequence

import attrs

from ringone_frontend_rdp.codecs.dirty import Rect
from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.wire import Reader

HEADER_SIZE = 8
RESET_GRAPHICS_SIZE = 340
MONITOR_PRIMARY = 1
XRGB_8888 = 0x20
MOST_CAPS_SETS = 64
SUSPEND_FRAME_ACKNOWLEDGEMENT = 0xFFFFFFFF

SEGMENTED_SINGLE, SEGMENTED_MULTIPART, NOT_COMPRESSED = 0xE0, 0xE1, 0x04
LARGEST_SEGMENT = 65535

CAPS_AVC420_ENABLED, CAPS_AVC_DISABLED = 0x10, 0x20


class Command(enum.IntEnum):
    WIRE_TO_SURFACE_1 = 0x01
    SOLID_FILL = 0x04
    SURFACE_TO_SURFACE = 0x05
    CREATE_SURFACE = 0x09
    DELETE_SURFACE = 0x0A
    START_FRAME = 0x0B
    END_FRAME = 0x0C
    FRAME_ACKNOWLEDGE = 0x0D
    RESET_GRAPHICS = 0x0E
    MAP_SURFACE_TO_OUTPUT = 0x0F
    CACHE_IMPORT_OFFER = 0x10
    CACHE_IMPORT_REPLY = 0x11
    CAPS_ADVERTISE = 0x12
    CAPS_CONFIRM = 0x13
    QOE_FRAME_ACKNOWLEDGE = 0x16


class Codec(enum.IntEnum):
    UNCOMPRESSED = 0x0
    PLANAR = 0xA
    AVC420 = 0xB


class Version(enum.IntEnum):
    """Of the capability sets that this server answers to. 10.1 has none of its own flags and is always offered with others."""

    V8 = 0x00080004
    V8_1 = 0x00080105
    V10 = 0x000A0002
    V10_2 = 0x000A0200
    V10_3 = 0x000A0301
    V10_4 = 0x000A0400
    V10_5 = 0x000A0502
    V10_6 = 0x000A0600
    V10_7 = 0x000A0701


@attrs.frozen
class CapsSet:
    version: int
    flags: int

    @property
    def avc420(self) -> bool:
        """Versions before 8.1 have no H.264; 8.1 says that it is there, 10 and later that it is not."""
        if self.version < Version.V8_1:
            return False
        if self.version == Version.V8_1:
            return bool(self.flags & CAPS_AVC420_ENABLED)
        return not self.flags & CAPS_AVC_DISABLED


# --- what a client sends


@attrs.frozen
class CapsAdvertise:
    sets: tuple[CapsSet, ...]


@attrs.frozen
class FrameAcknowledge:
    queue_depth: int
    frame: int


@attrs.frozen
class CacheImportOffer:
    pass


@attrs.frozen
class QoeFrameAcknowledge:
    pass


ClientPdu = CapsAdvertise | FrameAcknowledge | CacheImportOffer | QoeFrameAcknowledge


def parse(message: bytes) -> list[ClientPdu]:
    reader = Reader(message, "graphics PDU")
    found: list[ClientPdu] = []
    while reader.remaining:
        command = reader.u16()
        reader.u16()
        size = reader.u32()
        if size < HEADER_SIZE:
            raise ProtocolError(f"graphics PDU {command:#x} of {size} bytes")
        found.append(_parse(command, reader.part(size - HEADER_SIZE, f"graphics PDU {command:#x}")))
    return found


def _parse(command: int, body: Reader) -> ClientPdu:
    match command:
        case Command.CAPS_ADVERTISE:
            return _caps_advertise(body)
        case Command.FRAME_ACKNOWLEDGE:
            return FrameAcknowledge(body.u32(), body.u32())
        case Command.CACHE_IMPORT_OFFER:
            return CacheImportOffer()
        case Command.QOE_FRAME_ACKNOWLEDGE:
            return QoeFrameAcknowledge()
    raise ProtocolError(f"graphics PDU {command:#x} is none that a client sends")


def _caps_advertise(body: Reader) -> CapsAdvertise:
    count = body.u16()
    if count > MOST_CAPS_SETS:
        raise ProtocolError(f"{body.what}: {count} capability sets; accepted: {MOST_CAPS_SETS}")
    sets = []
    for _ in range(count):
        version, size = body.u32(), body.u32()
        content = body.take(size)
        sets.append(CapsSet(version, int.from_bytes(content[:4], "little")))
    return CapsAdvertise(tuple(sets))


# --- what the server sends


def caps_confirm(chosen: CapsSet) -> bytes:
    return _pdu(Command.CAPS_CONFIRM, struct.pack("<III", chosen.version, 4, chosen.flags))


def cache_import_reply() -> bytes:
    """Nothing is taken over from a client's cache."""
    return _pdu(Command.CACHE_IMPORT_REPLY, bytes(2))


def reset_graphics(width: int, height: int) -> bytes:
    body = struct.pack("<III4iI", width, height, 1, 0, 0, width - 1, height - 1, MONITOR_PRIMARY)
    return _pdu(Command.RESET_GRAPHICS, body.ljust(RESET_GRAPHICS_SIZE - HEADER_SIZE, b"\0"))


def create_surface(surface: int, width: int, height: int) -> bytes:
    return _pdu(Command.CREATE_SURFACE, struct.pack("<HHHB", surface, width, height, XRGB_8888))


def delete_surface(surface: int) -> bytes:
    return _pdu(Command.DELETE_SURFACE, struct.pack("<H", surface))


def map_surface_to_output(surface: int) -> bytes:
    return _pdu(Command.MAP_SURFACE_TO_OUTPUT, struct.pack("<HHII", surface, 0, 0, 0))


def start_frame(frame: int, timestamp: int) -> bytes:
    return _pdu(Command.START_FRAME, struct.pack("<II", timestamp, frame))


def end_frame(frame: int) -> bytes:
    return _pdu(Command.END_FRAME, struct.pack("<I", frame))


def wire_to_surface(surface: int, codec: Codec, rect: Rect, data: bytes) -> bytes:
    return _pdu(Command.WIRE_TO_SURFACE_1, struct.pack("<HHB", surface, codec, XRGB_8888) + rect16(rect) + struct.pack("<I", len(data)) + data)


def solid_fill(surface: int, colour: Sequence[int], rects: Sequence[Rect]) -> bytes:
    """`colour` is red, green, blue."""
    red, green, blue = colour
    head = struct.pack("<H4BH", surface, blue, green, red, 0xFF, len(rects))
    return _pdu(Command.SOLID_FILL, head + b"".join(map(rect16, rects)))


def surface_to_surface(surface: int, source: Rect, left: int, top: int) -> bytes:
    """Within one surface; the two places may overlap."""
    return _pdu(Command.SURFACE_TO_SURFACE, struct.pack("<HH", surface, surface) + rect16(source) + struct.pack("<Hhh", 1, left, top))


def avc420(rect: Rect, quantizer: int, stream: bytes) -> bytes:
    """RFX_AVC420_BITMAP_STREAM: all of `rect` is to be shown."""
    quality = 100 - 100 * quantizer // 51
    return struct.pack("<I", 1) + rect16(rect) + struct.pack("<BB", quantizer, quality) + stream


def rect16(rect: Rect) -> bytes:
    """Right and bottom are beyond the last pixel."""
    return struct.pack("<4H", rect.left, rect.top, rect.left + rect.width, rect.top + rect.height)


def messages(commands: Iterable[bytes]) -> Iterator[bytes]:
    """Wrapped, as many in one message as a segment can hold."""
    batch: list[bytes] = []
    size = 0
    for command in commands:
        if size + len(command) > LARGEST_SEGMENT and batch:
            yield segmented(b"".join(batch))
            batch, size = [], 0
        batch.append(command)
        size += len(command)
    if batch:
        yield segmented(b"".join(batch))


def segmented(data: bytes) -> bytes:
    if len(data) <= LARGEST_SEGMENT:
        return bytes((SEGMENTED_SINGLE, NOT_COMPRESSED)) + data
    segments = [data[start : start + LARGEST_SEGMENT] for start in range(0, len(data), LARGEST_SEGMENT)]
    head = struct.pack("<BHI", SEGMENTED_MULTIPART, len(segments), len(data))
    return head + b"".join(struct.pack("<IB", 1 + len(segment), NOT_COMPRESSED) + segment for segment in segments)


def _pdu(command: Command, body: bytes) -> bytes:
    return struct.pack("<HHI", command, 0, HEADER_SIZE + len(body)) + body
