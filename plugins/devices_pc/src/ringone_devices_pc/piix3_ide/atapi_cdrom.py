"""An ATAPI CD-ROM drive: how packets and their data cross the ATA interface (SFF-8020i, ATA/ATAPI-6 chapter 9.8). What they mean is in `mmc`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ringone.api.errors import MediumError, SnapshotError

from ringone_devices_pc.piix3_ide.ata import (
    ABRT,
    BSY,
    DEVICE_RESET,
    EXECUTE_DEVICE_DIAGNOSTIC,
    IDENTIFY_DEVICE,
    IDENTIFY_PACKET_DEVICE,
    PACKET,
    SET_FEATURES,
    ata_string,
    identify_block,
    transfer_mode_words,
)
from ringone_devices_pc.piix3_ide.drive import READY, Cable, Drive
from ringone_devices_pc.piix3_ide.mmc import ILLEGAL_REQUEST, MEDIUM_ERROR, UNRECOVERED_READ_ERROR, Blocks, CdLogicalUnit, Sense
from ringone_devices_pc.piix3_ide.state import DriveState, Phase

if TYPE_CHECKING:
    from ringone.api.devices import DeviceContext
    from ringone.api.drivers import RemovableMedium

PACKET_BYTES = 12
FEATURE_DMA = 1 << 0

REASON_COMMAND = 1 << 0
REASON_TO_HOST = 1 << 1

LARGEST_BYTE_LIMIT = 0xFFFE
DMA_CHUNK_BLOCKS = 32
POWER_ACTIVE = 0xFF

IDENTIFY_WORDS = {
    0: 0x85C0,
    49: 0x0B00,
    53: 0x0006,
    64: 0x0003,
    65: 120,
    66: 120,
    67: 120,
    68: 120,
    71: 30,
    72: 30,
    80: 0x007E,
    82: 0x4210,
    83: 0x4000,
    84: 0x4000,
    85: 0x4210,
    87: 0x4000,
    93: 0x6001,
}


class AtapiCdrom(Drive):
    """`state.sector_count` is the interrupt reason, cylinder low and high the byte count."""

    immediate = frozenset({PACKET, DEVICE_RESET, EXECUTE_DEVICE_DIAGNOSTIC})
    signature = (0x14, 0xEB)
    status_after_reset = 0

    def __init__(self, context: DeviceContext, cable: Cable, drive: RemovableMedium | None, serial: str) -> None:
        super().__init__(context, cable)
        self._serial = serial
        self._unit = CdLogicalUnit(drive)

    # --- Life ----------------------------------------------------------------------------------------------------------------------------------------------

    def power_on(self) -> None:
        self._unit.power_on()
        self.finish_reset()

    def set_defaults(self) -> None:
        self._forget_command()

    def save(self) -> DriveState:
        saved = super().save()
        saved.cdrom = self._unit.save()
        return saved

    def load(self, state: DriveState) -> None:
        if state.cdrom is None:
            raise SnapshotError("the saved drive is no CD-ROM drive; this place has one")
        if len(state.cdrom.packet) not in (0, PACKET_BYTES):
            raise SnapshotError(f"a packet of {len(state.cdrom.packet)} bytes; accepted: {PACKET_BYTES}")
        if state.phase is Phase.DATA_OUT and len(state.buffer) != PACKET_BYTES:
            raise SnapshotError(f"the host writes {len(state.buffer)} bytes to the CD-ROM drive; accepted: {PACKET_BYTES}")
        if not 1 < state.cdrom.byte_limit <= LARGEST_BYTE_LIMIT and state.cdrom.packet:
            raise SnapshotError(f"byte count limit {state.cdrom.byte_limit}; accepted: 2 to {LARGEST_BYTE_LIMIT}")
        super().load(state)
        if self.state.cdrom is not None:
            self._unit.load(self.state.cdrom)
        self.state.cdrom = None

    def _forget_command(self) -> None:
        cd = self._unit.state
        cd.packet = b""
        cd.reply = b""
        cd.blocks_left = 0

    # --- ATA commands --------------------------------------------------------------------------------------------------------------------------------------

    def start(self, command: int) -> None:
        super().start(command)
        self._forget_command()

    def execute(self) -> None:
        handler = COMMANDS.get(self.state.command)
        if handler is None:
            self.fail()
        else:
            handler(self)

    def _device_reset(self) -> None:
        self.finish_reset()
        self.cable.update_intrq()

    def _identify_packet_device(self) -> None:
        words = IDENTIFY_WORDS | transfer_mode_words(self.state.transfer_mode)
        strings = {10: ata_string(self._serial, 20), 23: ata_string("1.0", 8), 27: ata_string("RingOne CD-ROM", 40)}
        self.offer(identify_block(words, strings))

    def _refuse_with_signature(self) -> None:
        self.show_signature()
        self.fail()

    def _set_features(self) -> None:
        if self.state.features & 0xFF == 0x03 and not self.set_transfer_mode(self.state.sector_count & 0xFF):
            self.fail()
        else:
            self.complete()

    def _check_power_mode(self) -> None:
        self.state.sector_count = POWER_ACTIVE
        self.complete()

    # --- PACKET --------------------------------------------------------------------------------------------------------------------------------------------

    def _packet(self) -> None:
        if self._unit.state.packet:
            self._run_packet()
        else:
            self._ask_packet()

    def _ask_packet(self) -> None:
        s, cd = self.state, self._unit.state
        limit = (s.lba_mid & 0xFF | (s.lba_high & 0xFF) << 8) & ~1
        cd.byte_limit = limit or LARGEST_BYTE_LIMIT
        cd.dma = bool(s.features & FEATURE_DMA)
        s.sector_count = REASON_COMMAND
        self.accept(PACKET_BYTES)

    def block_written(self) -> None:
        self._unit.state.packet = bytes(self.data)
        self._set_buffer(b"")
        self.state.status = BSY | READY
        self.state.phase = Phase.COMMAND
        self.cable.execute_later()

    def _run_packet(self) -> None:
        cd = self._unit.state
        outcome = self._unit.execute(cd.packet)
        if isinstance(outcome, Sense):
            self._check_condition(outcome)
            return
        cd.sense_key = cd.additional_sense = 0
        if isinstance(outcome, Blocks):
            cd.lba, cd.blocks_left, cd.block_bytes = outcome.lba, outcome.count, outcome.size
        else:
            cd.reply = outcome
        if not cd.reply and not cd.blocks_left:
            self._finish()
        elif cd.dma:
            self.await_dma()
        else:
            self._offer_part()

    def _finish(self) -> None:
        self.state.sector_count = REASON_COMMAND | REASON_TO_HOST
        self.complete()

    def _check_condition(self, sense: Sense) -> None:
        self._forget_command()
        self._unit.state.sense_key = sense.key
        self._unit.state.additional_sense = sense.code
        self.state.sector_count = REASON_COMMAND | REASON_TO_HOST
        self.fail(sense.key << 4 | (ABRT if sense.key == ILLEGAL_REQUEST else 0))

    def _take(self, size: int) -> bytes | None:
        """Up to `size` bytes of what the command still has to send; None after an error, which has then ended the command."""
        cd = self._unit.state
        missing = size - len(cd.reply)
        if missing > 0 and cd.blocks_left:
            count = min(cd.blocks_left, -(-missing // cd.block_bytes))
            data = self._read_blocks(Blocks(cd.lba, count, cd.block_bytes))
            if data is None:
                return None
            cd.lba += count
            cd.blocks_left -= count
            cd.reply += data
        part, cd.reply = cd.reply[:size], cd.reply[size:]
        return part

    def _read_blocks(self, blocks: Blocks) -> bytes | None:
        try:
            data = self._unit.read_blocks(blocks)
        except MediumError as error:
            self.medium_failed(error)
            data = Sense(MEDIUM_ERROR, UNRECOVERED_READ_ERROR)
        if isinstance(data, Sense):
            self._check_condition(data)
            return None
        return data

    def _offer_part(self) -> None:
        part = self._take(self._unit.state.byte_limit)
        if part is None:
            return
        s = self.state
        s.lba_mid, s.lba_high = len(part) & 0xFF, len(part) >> 8
        s.sector_count = REASON_TO_HOST
        self.offer(part)

    def block_read(self) -> None:
        cd = self._unit.state
        if self.state.command != PACKET:
            self.settle()
        elif cd.reply or cd.blocks_left:
            self._offer_part()
        else:
            self._finish()

    def run_dma(self) -> None:
        while True:
            if self.position == len(self.data):
                part = self._take(DMA_CHUNK_BLOCKS * self._unit.state.block_bytes)
                if part is None:
                    return
                if not part:
                    self._finish()
                    return
                self._set_buffer(part)
            self.position += self.cable.bus_master.to_memory(memoryview(self.data)[self.position :])
            if self.position < len(self.data):
                return


def _commands() -> dict[int, Callable[[AtapiCdrom], None]]:
    table: dict[int, Callable[[AtapiCdrom], None]] = {
        0x20: AtapiCdrom._refuse_with_signature,
        0xE5: AtapiCdrom._check_power_mode,
        DEVICE_RESET: AtapiCdrom._device_reset,
        IDENTIFY_DEVICE: AtapiCdrom._refuse_with_signature,
        IDENTIFY_PACKET_DEVICE: AtapiCdrom._identify_packet_device,
        PACKET: AtapiCdrom._packet,
        SET_FEATURES: AtapiCdrom._set_features,
    }
    return table | dict.fromkeys((0xE0, 0xE1, 0xE2, 0xE3, 0xE6), AtapiCdrom.complete)


COMMANDS: Mapping[int, Callable[[AtapiCdrom], None]] = _commands()
