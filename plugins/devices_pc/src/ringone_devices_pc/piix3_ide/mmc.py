"""A CD-ROM drive as a SCSI logical unit: the packet commands of SFF-8020i and MMC-3 that operating systems use to read data discs.

One data track in one session. Audio, sub-channels and writing are left out. A reply is cut to the host's allocation length; a refusal is a `Sense`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import attrs

from ringone_devices_pc.piix3_ide.state import CdromState

if TYPE_CHECKING:
    from ringone.api.drivers import BlockDevice, RemovableMedium

BLOCK_BYTES = 2048
RAW_BLOCK_BYTES = 2352

NO_SENSE = 0x0
NOT_READY = 0x2
MEDIUM_ERROR = 0x3
ILLEGAL_REQUEST = 0x5
UNIT_ATTENTION = 0x6

UNRECOVERED_READ_ERROR = 0x1100
INVALID_COMMAND_OPERATION_CODE = 0x2000
LOGICAL_BLOCK_ADDRESS_OUT_OF_RANGE = 0x2100
INVALID_FIELD_IN_PACKET = 0x2400
NOT_READY_TO_READY = 0x2800
SAVING_PARAMETERS_NOT_SUPPORTED = 0x3900
NO_MEDIUM_TRAY_CLOSED = 0x3A01
NO_MEDIUM_TRAY_OPEN = 0x3A02
MEDIUM_REMOVAL_PREVENTED = 0x5302

EVENT_NEW_MEDIA = 2
EVENT_MEDIA_REMOVAL = 3
MEDIA_EVENT_CLASS = 4

PROFILE_CD_ROM = 0x0008
PROFILE_DVD_ROM = 0x0010
LARGEST_CD_BLOCKS = 80 * 60 * 75

MEDIUM_TYPE_DATA_120MM = 0x01
MEDIUM_TYPE_NO_DISC = 0x70
MEDIUM_TYPE_TRAY_OPEN = 0x71

LEAD_OUT_TRACK = 0xAA
DATA_TRACK = 0x14
SPEED_KB = 24 * 176

INQUIRY_DATA = b"\x05\x80\x00\x21\x1f\x00\x00\x00" + b"RingOne CD-ROM          1.0 "


@attrs.frozen
class Sense:
    """Why a command ended with CHECK CONDITION: sense key, and additional sense code with its qualifier."""

    key: int
    code: int


@attrs.frozen
class Blocks:
    """Data that comes from the medium, `size` bytes a block."""

    lba: int
    count: int
    size: int = BLOCK_BYTES


Outcome = bytes | Sense | Blocks

INVALID_FIELD = Sense(ILLEGAL_REQUEST, INVALID_FIELD_IN_PACKET)
OUT_OF_RANGE = Sense(ILLEGAL_REQUEST, LOGICAL_BLOCK_ADDRESS_OUT_OF_RANGE)


def _be16(packet: bytes, at: int) -> int:
    return packet[at] << 8 | packet[at + 1]


def _be32(packet: bytes, at: int) -> int:
    return int.from_bytes(packet[at : at + 4], "big")


def _msf(lba: int) -> bytes:
    """Minute, second, frame of a block; the disc starts two seconds in."""
    seconds, frame = divmod(lba + 150, 75)
    return bytes((seconds // 60 & 0xFF, seconds % 60, frame))


class CdLogicalUnit:
    """`state` is shared with the drive that carries the packets."""

    def __init__(self, drive: RemovableMedium | None) -> None:
        self._drive = drive
        self._generation = drive.generation if drive is not None else 0
        self.state = CdromState()

    # --- Medium --------------------------------------------------------------------------------------------------------------------------------------------

    @property
    def medium(self) -> BlockDevice | None:
        return self._drive.medium if self._drive is not None else None

    def not_ready(self) -> Sense:
        return Sense(NOT_READY, NO_MEDIUM_TRAY_OPEN if self.state.tray_open else NO_MEDIUM_TRAY_CLOSED)

    def read_blocks(self, blocks: Blocks) -> bytes | Sense:
        """Raises `MediumError` where the host cannot read."""
        medium = self.medium
        if medium is None:
            return self.not_ready()
        if blocks.lba + blocks.count > medium.block_count:
            return OUT_OF_RANGE
        data = medium.read(blocks.lba, blocks.count)
        if blocks.size == BLOCK_BYTES:
            return data
        return b"".join(_raw_block(blocks.lba + n, data[n * BLOCK_BYTES : (n + 1) * BLOCK_BYTES]) for n in range(blocks.count))

    def _notice_change(self) -> None:
        if self._drive is None or self._drive.generation == self._generation:
            return
        self._note_change(self.state)
        self._generation = self._drive.generation

    def _note_change(self, state: CdromState) -> None:
        present = self.medium is not None
        state.medium_changed = present
        state.media_event = EVENT_NEW_MEDIA if present else EVENT_MEDIA_REMOVAL
        if present:
            state.tray_open = False

    # --- Life ----------------------------------------------------------------------------------------------------------------------------------------------

    def power_on(self) -> None:
        """A medium that is in the drive at power-on is no news."""
        self.state = CdromState()
        self._generation = self._drive.generation if self._drive is not None else 0

    def save(self) -> CdromState:
        state = attrs.evolve(self.state)
        if self._drive is not None and self._drive.generation != self._generation:
            self._note_change(state)
        return state

    def load(self, state: CdromState) -> None:
        self.state = state
        self._generation = self._drive.generation if self._drive is not None else 0

    # --- Commands ------------------------------------------------------------------------------------------------------------------------------------------

    def execute(self, packet: bytes) -> Outcome:
        self._notice_change()
        state = self.state
        command = COMMANDS.get(packet[0])
        if command is None:
            return Sense(ILLEGAL_REQUEST, INVALID_COMMAND_OPERATION_CODE)
        if state.medium_changed and not command.despite_attention:
            state.medium_changed = False
            return Sense(UNIT_ATTENTION, NOT_READY_TO_READY)
        if command.needs_medium and self.medium is None:
            return self.not_ready()
        return command.run(self, packet)

    def _block_count(self) -> int:
        medium = self.medium
        return medium.block_count if medium is not None else 0

    def _nothing(self, packet: bytes) -> Outcome:
        return b""

    def _request_sense(self, packet: bytes) -> Outcome:
        state = self.state
        key, code = state.sense_key, state.additional_sense
        if key == NO_SENSE and state.medium_changed:
            state.medium_changed = False
            key, code = UNIT_ATTENTION, NOT_READY_TO_READY
        data = bytes((0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code >> 8, code & 0xFF, 0, 0, 0, 0))
        return data[: packet[4]]

    def _inquiry(self, packet: bytes) -> Outcome:
        if packet[1] & 1 or packet[2]:
            return INVALID_FIELD
        return INQUIRY_DATA[: _be16(packet, 3)]

    def _start_stop_unit(self, packet: bytes) -> Outcome:
        start, load_eject = packet[4] & 1, packet[4] & 2
        state = self.state
        if not load_eject:
            return b""
        if start:
            state.tray_open = False
            return b""
        if state.locked:
            return Sense(ILLEGAL_REQUEST, MEDIUM_REMOVAL_PREVENTED)
        if self._drive is not None:
            self._drive.eject()
        state.tray_open = True
        return b""

    def _prevent_allow_medium_removal(self, packet: bytes) -> Outcome:
        self.state.locked = bool(packet[4] & 1)
        return b""

    def _read_capacity(self, packet: bytes) -> Outcome:
        return (self._block_count() - 1 & 0xFFFF_FFFF).to_bytes(4, "big") + BLOCK_BYTES.to_bytes(4, "big")

    def _blocks(self, lba: int, count: int, size: int = BLOCK_BYTES) -> Outcome:
        if lba + count > self._block_count():
            return OUT_OF_RANGE
        return Blocks(lba, count, size) if count else b""

    def _read_10(self, packet: bytes) -> Outcome:
        return self._blocks(_be32(packet, 2), _be16(packet, 7))

    def _read_12(self, packet: bytes) -> Outcome:
        return self._blocks(_be32(packet, 2), _be32(packet, 6))

    def _read_cd(self, packet: bytes) -> Outcome:
        count = int.from_bytes(packet[6:9], "big")
        fields = packet[9] & 0xF8
        if fields == 0 or not count:
            return b""
        if fields not in READ_CD_BLOCK_BYTES:
            return INVALID_FIELD
        return self._blocks(_be32(packet, 2), count, READ_CD_BLOCK_BYTES[fields])

    def _seek(self, packet: bytes) -> Outcome:
        return OUT_OF_RANGE if _be32(packet, 2) >= self._block_count() else b""

    # --- Tables of contents --------------------------------------------------------------------------------------------------------------------------------

    def _read_toc(self, packet: bytes) -> Outcome:
        msf = packet[1] & 2
        toc_format = packet[2] & 0x0F or packet[9] >> 6
        if toc_format == 0:
            reply = self._toc(packet[6], self._msf_address if msf else self._lba_address)
        elif toc_format == 1:
            address = self._msf_address(0) if msf else self._lba_address(0)
            reply = b"\x00\x0a\x01\x01" + bytes((0, DATA_TRACK, 1, 0)) + address
        elif toc_format == 2:
            reply = self._full_toc()
        else:
            reply = None
        return INVALID_FIELD if reply is None else reply[: _be16(packet, 7)]

    def _toc(self, first: int, address: Callable[[int], bytes]) -> bytes | None:
        if first > 1 and first != LEAD_OUT_TRACK:
            return None
        tracks = [(1, 0), (LEAD_OUT_TRACK, self._block_count())]
        descriptors = b"".join(bytes((0, DATA_TRACK, track, 0)) + address(lba) for track, lba in tracks if track >= first)
        return (len(descriptors) + 2).to_bytes(2, "big") + b"\x01\x01" + descriptors

    @staticmethod
    def _lba_address(lba: int) -> bytes:
        return lba.to_bytes(4, "big")

    @staticmethod
    def _msf_address(lba: int) -> bytes:
        return b"\x00" + _msf(lba)

    def _full_toc(self) -> bytes:
        points = ((0xA0, b"\x01\x00\x00"), (0xA1, b"\x01\x00\x00"), (0xA2, _msf(self._block_count())), (1, _msf(0)))
        descriptors = b"".join(bytes((1, DATA_TRACK, 0, point, 0, 0, 0, 0)) + value for point, value in points)
        return (len(descriptors) + 2).to_bytes(2, "big") + b"\x01\x01" + descriptors

    # --- What the drive says of itself ---------------------------------------------------------------------------------------------------------------------

    def _mode_pages(self) -> dict[int, bytes]:
        speed, buffer_kb = SPEED_KB.to_bytes(2, "big"), (512).to_bytes(2, "big")
        mechanism = 0x29 | self.state.locked << 1
        return {
            0x01: b"\x01\x06\x00\x05\x00\x00\x00\x00",
            0x0E: b"\x0e\x0e\x04\x00\x00\x00\x00\x00\x01\xff\x02\xff\x00\x00\x00\x00",
            0x2A: bytes((0x2A, 0x12, 0x3B, 0, 0x70, 0, mechanism, 0)) + speed + b"\x00\x00" + buffer_kb + speed + b"\x00\x00\x00\x00",
        }

    def _selected_pages(self, packet: bytes) -> bytes | Sense:
        control, code = packet[2] >> 6, packet[2] & 0x3F
        if control == 3:
            return Sense(ILLEGAL_REQUEST, SAVING_PARAMETERS_NOT_SUPPORTED)
        pages = self._mode_pages()
        if code != 0x3F and code not in pages:
            return INVALID_FIELD
        chosen = tuple(pages.values()) if code == 0x3F else (pages[code],)
        if control == 1:
            chosen = tuple(page[:2] + bytes(len(page) - 2) for page in chosen)
        return b"".join(chosen)

    def _medium_type(self) -> int:
        if self.medium is not None:
            return MEDIUM_TYPE_DATA_120MM
        return MEDIUM_TYPE_TRAY_OPEN if self.state.tray_open else MEDIUM_TYPE_NO_DISC

    def _mode_sense_6(self, packet: bytes) -> Outcome:
        pages = self._selected_pages(packet)
        if isinstance(pages, Sense):
            return pages
        return (bytes((len(pages) + 3, self._medium_type(), 0, 0)) + pages)[: packet[4]]

    def _mode_sense_10(self, packet: bytes) -> Outcome:
        pages = self._selected_pages(packet)
        if isinstance(pages, Sense):
            return pages
        header = (len(pages) + 6).to_bytes(2, "big") + bytes((self._medium_type(), 0, 0, 0, 0, 0))
        return (header + pages)[: _be16(packet, 7)]

    def _profile(self) -> int:
        if self.medium is None:
            return 0
        return PROFILE_DVD_ROM if self._block_count() > LARGEST_CD_BLOCKS else PROFILE_CD_ROM

    def _get_configuration(self, packet: bytes) -> Outcome:
        requested, first = packet[1] & 3, _be16(packet, 2)
        if requested == 3:
            return INVALID_FIELD
        features = self._features()
        if requested == 2:
            features = [feature for feature in features if feature.code == first]
        else:
            features = [feature for feature in features if feature.code >= first and (feature.current or not requested)]
        body = b"\x00\x00" + self._profile().to_bytes(2, "big") + b"".join(feature.encode() for feature in features)
        return (len(body).to_bytes(4, "big") + body)[: _be16(packet, 7)]

    def _features(self) -> list[Feature]:
        profile = self._profile()
        cd, dvd = profile == PROFILE_CD_ROM, profile == PROFILE_DVD_ROM
        profiles = bytes((0, PROFILE_DVD_ROM, dvd, 0, 0, PROFILE_CD_ROM, cd, 0))
        return [
            Feature(0x0000, profiles, current=True, persistent=True),
            Feature(0x0001, b"\x00\x00\x00\x02", current=True, persistent=True),
            Feature(0x0003, b"\x29\x00\x00\x00", current=True, persistent=True),
            Feature(0x0010, BLOCK_BYTES.to_bytes(4, "big") + b"\x00\x01\x00\x00", current=profile != 0),
            Feature(0x001E, b"\x00\x00\x00\x00", current=cd, version=2),
            Feature(0x001F, b"", current=dvd),
        ]

    def _get_event_status_notification(self, packet: bytes) -> Outcome:
        if not packet[1] & 1:
            return INVALID_FIELD
        length = _be16(packet, 7)
        state = self.state
        if not packet[4] & 1 << MEDIA_EVENT_CLASS:
            return bytes((0, 2, 0x80, 1 << MEDIA_EVENT_CLASS))[:length]
        status = state.tray_open | (self.medium is not None) << 1
        reply = bytes((0, 6, MEDIA_EVENT_CLASS, 1 << MEDIA_EVENT_CLASS, state.media_event, status, 0, 0))
        if length > 4:
            state.media_event = 0
        return reply[:length]

    def _mechanism_status(self, packet: bytes) -> Outcome:
        return bytes((0, self.state.tray_open << 4, 0, 0, 0, 1, 0, 0))[: _be16(packet, 8)]

    def _read_disc_information(self, packet: bytes) -> Outcome:
        if packet[1] & 7:
            return INVALID_FIELD
        return (bytes((0, 32, 0x0E, 1, 1, 1, 1, 0x20)) + bytes(26))[: _be16(packet, 7)]


@attrs.frozen
class Feature:
    """A feature descriptor of GET CONFIGURATION."""

    code: int
    data: bytes
    current: bool
    persistent: bool = False
    version: int = 0

    def encode(self) -> bytes:
        return self.code.to_bytes(2, "big") + bytes((self.version << 2 | self.persistent << 1 | self.current, len(self.data))) + self.data


@attrs.frozen
class PacketCommand:
    """`despite_attention`: runs while a unit attention is due, which stays."""

    run: Callable[[CdLogicalUnit, bytes], Outcome]
    needs_medium: bool = False
    despite_attention: bool = False


COMMANDS: Mapping[int, PacketCommand] = {
    0x00: PacketCommand(CdLogicalUnit._nothing, needs_medium=True),
    0x03: PacketCommand(CdLogicalUnit._request_sense, despite_attention=True),
    0x12: PacketCommand(CdLogicalUnit._inquiry, despite_attention=True),
    0x1A: PacketCommand(CdLogicalUnit._mode_sense_6),
    0x1B: PacketCommand(CdLogicalUnit._start_stop_unit),
    0x1E: PacketCommand(CdLogicalUnit._prevent_allow_medium_removal),
    0x25: PacketCommand(CdLogicalUnit._read_capacity, needs_medium=True),
    0x28: PacketCommand(CdLogicalUnit._read_10, needs_medium=True),
    0x2B: PacketCommand(CdLogicalUnit._seek, needs_medium=True),
    0x43: PacketCommand(CdLogicalUnit._read_toc, needs_medium=True),
    0x46: PacketCommand(CdLogicalUnit._get_configuration, despite_attention=True),
    0x4A: PacketCommand(CdLogicalUnit._get_event_status_notification, despite_attention=True),
    0x51: PacketCommand(CdLogicalUnit._read_disc_information, needs_medium=True),
    0x5A: PacketCommand(CdLogicalUnit._mode_sense_10),
    0xA8: PacketCommand(CdLogicalUnit._read_12, needs_medium=True),
    0xBB: PacketCommand(CdLogicalUnit._nothing),
    0xBD: PacketCommand(CdLogicalUnit._mechanism_status),
    0xBE: PacketCommand(CdLogicalUnit._read_cd, needs_medium=True),
}

READ_CD_BLOCK_BYTES = {0x10: BLOCK_BYTES, 0xF8: RAW_BLOCK_BYTES}
"""Bits 7:3 of READ CD's byte 9: user data alone, or everything from the sync field to the error correction."""


def _raw_block(lba: int, data: bytes) -> bytes:
    """A mode 1 block with sync and header; its error correction fields are zero."""
    minute, second, frame = (value // 10 << 4 | value % 10 for value in _msf(lba))
    return b"\x00" + b"\xff" * 10 + b"\x00" + bytes((minute & 0xFF, second, frame, 1)) + data + bytes(RAW_BLOCK_BYTES - BLOCK_BYTES - 16)
