"""A client's end of the graphics pipeline, only as far as tests speak it: it draws on a surface of its own and acknowledges frames."""

from __future__ import annotations

import struct

import attrs
import numpy as np
from ringone_frontend_rdp.codecs import Picture

from plugins.frontend_rdp.tests.test_planar import decode

V8, V8_1, V10 = 0x00080004, 0x00080105, 0x000A0002


def pdu(command: int, body: bytes = b"") -> bytes:
    return struct.pack("<HHI", command, 0, 8 + len(body)) + body


def caps_advertise(*sets: tuple[int, int]) -> bytes:
    return pdu(0x12, struct.pack("<H", len(sets)) + b"".join(struct.pack("<III", version, 4, flags) for version, flags in sets))


def acknowledge(frame: int, queue_depth: int = 0) -> bytes:
    return pdu(0x0D, struct.pack("<III", queue_depth, frame, frame))


def unwrapped(message: bytes) -> bytes:
    """RDP_SEGMENTED_DATA without compression."""
    if message[0] == 0xE0:
        assert message[1] == 0x04
        return message[2:]
    assert message[0] == 0xE1
    count, size = struct.unpack_from("<HI", message, 1)
    data, place = b"", 7
    for _ in range(count):
        (length,) = struct.unpack_from("<I", message, place)
        assert message[place + 4] == 0x04
        assert length <= 65536
        data += message[place + 5 : place + 4 + length]
        place += 4 + length
    assert (len(data), place) == (size, len(message))
    return data


def commands_in(data: bytes) -> list[tuple[int, bytes]]:
    found, place = [], 0
    while place < len(data):
        command, flags, size = struct.unpack_from("<HHI", data, place)
        assert flags == 0
        found.append((command, data[place + 8 : place + size]))
        place += size
    return found


@attrs.define
class Screen:
    picture: Picture = attrs.field(factory=lambda: np.zeros((0, 0, 3), np.uint8))
    frames: list[int] = attrs.field(factory=list)
    drawn: list[int] = attrs.field(factory=list)
    """Commands, by number."""

    def receive(self, message: bytes) -> None:
        self.draw(unwrapped(message))

    def draw(self, data: bytes) -> None:
        for command, body in commands_in(data):
            self.drawn.append(command)
            match command:
                case 0x01:
                    self._wire_to_surface(body)
                case 0x04:
                    self._fill(body)
                case 0x05:
                    self._move(body)
                case 0x09:
                    _, width, height, _ = struct.unpack("<HHHB", body)
                    self.picture = np.zeros((height, width, 3), np.uint8)
                case 0x0C:
                    self.frames += struct.unpack("<I", body)

    def _wire_to_surface(self, body: bytes) -> None:
        _, codec, pixel_format, left, top, right, bottom, size = struct.unpack_from("<HHB4HI", body)
        data = body[17:]
        assert (pixel_format, size) == (0x20, len(data))
        height, width = bottom - top, right - left
        if codec == 0x0A:
            pixels = np.array(decode(data, height, width), np.uint8).transpose(1, 2, 0)
        else:
            assert codec == 0
            pixels = np.frombuffer(data, np.uint8).reshape(height, width, 4)[:, :, 2::-1]
        self.picture[top:bottom, left:right] = pixels

    def _fill(self, body: bytes) -> None:
        _, blue, green, red, _, count = struct.unpack_from("<H4BH", body)
        assert len(body) == 8 + 8 * count
        for number in range(count):
            left, top, right, bottom = struct.unpack_from("<4H", body, 8 + 8 * number)
            self.picture[top:bottom, left:right] = (red, green, blue)

    def _move(self, body: bytes) -> None:
        _, _, left, top, right, bottom, count, to_left, to_top = struct.unpack("<6HHhh", body)
        assert count == 1
        moved = self.picture[top:bottom, left:right].copy()
        self.picture[to_top : to_top + bottom - top, to_left : to_left + right - left] = moved
