"""From power-on to the first sector, kind by kind."""

import struct
from collections.abc import Callable
from typing import Any

import pytest
from ringone.api.errors import SnapshotError
from ringone.testing.media import MemoryDisk, MemoryDrive
from ringone_firmware import chipset
from ringone_firmware.builtin import boot, layout
from ringone_firmware.builtin.config import DEFAULT_BASE, BiosServicesOptions
from ringone_firmware.builtin.operations import Opcode
from ringone_firmware.builtin.rom import build, program

from .rom_loop import STEP_PORT, Guest, bench, booted

BOOT_SECTOR = b"\xeb\xfe".ljust(510, b"\x90") + b"\x55\xaa"
FLOPPY_SECTORS = 2880


def floppy(data: bytes = BOOT_SECTOR) -> MemoryDrive:
    return MemoryDrive(MemoryDisk(data.ljust(FLOPPY_SECTORS * 512, b"\0")))


def disk(data: bytes = BOOT_SECTOR) -> MemoryDisk:
    return MemoryDisk(data.ljust(1 << 20, b"\0"))


def el_torito(image: bytes = b"image", /, **entry: int) -> MemoryDrive:
    """A CD whose boot image lies in block 20; `entry` are fields of its default entry."""
    fields = {"indicator": 0x88, "media": 0, "segment": 0, "count": 4} | entry
    blocks = bytearray(2048 * 800)
    blocks[17 * 2048 : 17 * 2048 + 30] = boot.EL_TORITO
    blocks[17 * 2048 + 0x47 : 17 * 2048 + 0x4B] = struct.pack("<I", 19)
    blocks[19 * 2048 : 19 * 2048 + 32] = b"\x01".ljust(0x1E, b"\0") + b"\x55\xaa"
    blocks[19 * 2048 + 32 : 19 * 2048 + 44] = struct.pack("<BBHBBHI", fields["indicator"], fields["media"], fields["segment"], 0, 0, fields["count"], 20)
    blocks[20 * 2048 : 20 * 2048 + len(image)] = image
    return MemoryDrive(MemoryDisk(blocks, block_size=2048, read_only=True))


# --- The ROM ----------------------------------------------------------------------------------------------------------------------------------------------


def test_the_rom_begins_with_the_root_pointer_and_sums_to_zero() -> None:
    rom = build(DEFAULT_BASE, b"RSD PTR ")
    assert rom.startswith(b"RSD PTR ") and len(rom) == 64 << 10
    assert sum(rom) & 0xFF == 0


def test_the_reset_vector_jumps_to_post() -> None:
    rom = build(DEFAULT_BASE, b"")
    assert rom[0xFFF0:0xFFF5] == b"\xea" + struct.pack("<HH", program(DEFAULT_BASE).labels["post"], 0xF000)
    assert rom[0xFFFE] == layout.MODEL_AT


def test_the_old_font_address_holds_a_font() -> None:
    letter = build(DEFAULT_BASE, b"")[layout.FONT_8X8_OFFSET + 8 * ord("A") :][:8]
    assert any(letter)


# --- POST -------------------------------------------------------------------------------------------------------------------------------------------------


def test_post_fills_the_vectors_and_the_data_area() -> None:
    guest = booted(bench(floppies=(floppy(),), disks=(disk(), disk())))
    labels = program(DEFAULT_BASE).labels
    assert struct.unpack("<HH", guest.memory.read(4 * 0x10, 4)) == (labels["int10"], 0xF000)
    assert struct.unpack("<HH", guest.memory.read(4 * 0x55, 4)) == (layout.DUMMY_IRET, 0xF000)
    assert guest.memory.read(4 * 0x80, 4) == bytes(4)
    assert guest.byte(layout.EQUIPMENT, 2) & 0xC1 == 1
    assert guest.byte(layout.DISK_COUNT) == 2
    assert guest.byte(layout.MEMORY_SIZE, 2) == 639
    assert (guest.byte(layout.VIDEO_MODE), guest.byte(layout.VIDEO_COLUMNS, 2), guest.byte(layout.VIDEO_ROWS)) == (3, 80, 24)


def test_post_sets_up_interrupt_controllers_timer_and_text_mode() -> None:
    guest = Guest()
    guest.ports[0x71] = [0]
    guest.call(layout.VECTOR_POST)
    first_pic = [value for port, value in guest.writes if port in (0x20, 0x21)]
    assert first_pic[:5] == [0x11, 0x08, 0x04, 0x01, 0xB8]
    assert (0x43, 0x36) in guest.writes
    assert (chipset.MISC_WRITE, 0x67) in guest.writes
    assert guest.video[0x18000:0x18002] == b"\x20\x07"


def test_post_finds_serial_ports_by_their_registers() -> None:
    guest = Guest()
    guest.ports |= {0x71: [0], 0x2F9: 2, 0x2FA: 2}
    guest.call(layout.VECTOR_POST)
    assert (guest.byte(layout.COM_PORTS, 2), guest.byte(layout.COM_PORTS + 2, 2)) == (0x2F8, 0)


def test_post_takes_the_time_of_day_from_the_clock() -> None:
    guest = Guest()
    guest.ports[0x71] = [0, 0x12, 0x34, 0x56]
    guest.call(layout.VECTOR_POST)
    seconds = (12 * 60 + 34) * 60 + 56
    assert guest.byte(layout.TIMER_TICKS, 4) == seconds * 1193182 // 65536


def test_post_places_pci_bars_and_routes_interrupts() -> None:
    guest = PciGuest()
    guest.ports[0x71] = [0]
    guest.call(layout.VECTOR_POST)
    function = guest.space[2, 0]
    assert function[0x10:0x14] == struct.pack("<I", 0xE0000008), "the frame buffer"
    assert function[0x14:0x18] == struct.pack("<I", 0xC001), "the ports"
    assert function[0x04] & 7 == 7
    assert function[0x3C] == 10 + (2 - 1) // 2, "pin A of slot 2 is PIRQB"


class PciGuest(Guest):
    """With one function 2.0: 16 MiB of memory at BAR 0, 32 ports at BAR 1, interrupt pin A."""

    def __init__(self) -> None:
        super().__init__()
        self.address = 0
        function = bytearray(256)
        struct.pack_into("<I", function, 0, 0x11111234)
        struct.pack_into("<I", function, 8, 0x03000000)
        function[0x3D] = 1
        self.space = {(2, 0): function}

    def _function(self) -> bytearray | None:
        return self.space.get((self.address >> 11 & 0x1F, self.address >> 8 & 7))

    def _in(self, port: int, size: int) -> int:
        function = self._function()
        if not 0xCF8 <= port < 0xD00 or function is None:
            return super()._in(port, size)
        at = (self.address & 0xFC) + port - 0xCFC
        return int.from_bytes(function[at : at + size], "little")

    def operate(self, opcode: Opcode, argument: int) -> None:
        before = len(self.writes)
        super().operate(opcode, argument)
        for port, value in self.writes[before:]:
            if port == 0xCF8:
                self.address = value
            elif 0xCFC <= port < 0xD00 and self._function() is not None:
                self._configure((self.address & 0xFC) + port - 0xCFC, value)

    def _configure(self, at: int, value: int) -> None:
        function = self._function()
        assert function is not None
        masks = {0x10: (0xFF000000, 8), 0x14: (0xFFFFFFE0, 1)}
        if at in masks:
            mask, fixed = masks[at]
            struct.pack_into("<I", function, at, value & mask | fixed)
        elif at in (0x04, 0x3C):
            function[at] = value & 0xFF


# --- Boot -------------------------------------------------------------------------------------------------------------------------------------------------


def test_a_floppy_boots_at_7c00_with_its_number_in_dl() -> None:
    guest = booted(bench(floppies=(floppy(),), disks=(disk(),)))
    after = guest.call(layout.VECTOR_BOOT)
    assert (after.cs, after.ip, after.dl) == (0, 0x7C00, 0x00)
    assert guest.memory.read(0x7C00, 512) == BOOT_SECTOR
    assert guest.line(0) == "Booting from Floppy..."


def test_a_floppy_without_signature_is_passed_over() -> None:
    guest = booted(bench(floppies=(floppy(bytes(512)),), disks=(disk(),)))
    after = guest.call(layout.VECTOR_BOOT)
    assert (after.ip, after.dl) == (0x7C00, 0x80)
    assert [guest.line(row) for row in range(4)] == ["Booting from Floppy...", "Boot failed: not a bootable disk", "", "Booting from Hard Disk..."]


def test_an_empty_drive_and_a_bad_sector_are_passed_over() -> None:
    broken = disk()
    broken.failing.add(0)
    guest = booted(bench(floppies=(MemoryDrive(),), disks=(broken,)))
    guest.call(layout.VECTOR_BOOT)
    assert any(guest.line(row) == "No bootable device." for row in range(10))


def test_a_machine_with_nothing_to_boot_idles() -> None:
    guest = booted()
    after = guest.call(layout.VECTOR_BOOT)
    assert guest.line(0) == "No bootable device."
    assert (after.cs, after.ip) == (0xF000, program(DEFAULT_BASE).labels["idle"])


def test_what_gives_up_with_int_18h_is_followed_by_the_next() -> None:
    guest = booted(bench(floppies=(floppy(),), disks=(disk(),)))
    guest.call(layout.VECTOR_BOOT)
    assert guest.call(layout.VECTOR_NEXT_BOOT).dl == 0x80
    guest.call(layout.VECTOR_NEXT_BOOT)
    assert guest.line(2) == "No bootable device."


def test_the_boot_order_is_the_options() -> None:
    guest = booted(bench(floppies=(floppy(),), disks=(disk(),), options=BiosServicesOptions(boot_order="disk, floppy")))
    assert guest.call(layout.VECTOR_BOOT).dl == 0x80


def test_a_kernel_is_entered_through_the_rom() -> None:
    guest = booted(bench(options=BiosServicesOptions(boot_order="kernel")))
    assert guest.call(layout.VECTOR_BOOT).ip == program(DEFAULT_BASE).labels["enter_setup"]


def test_an_el_torito_image_is_loaded_with_as_many_sectors_as_its_entry_says() -> None:
    guest = booted(bench(cds=(el_torito(b"A" * 4096),)))
    after = guest.call(layout.VECTOR_BOOT)
    assert (after.cs, after.ip, after.dl) == (0, 0x7C00, 0xE0)
    assert guest.memory.read(0x7C00, 2049) == b"A" * 2048 + b"\0"


def test_an_el_torito_image_may_name_its_segment() -> None:
    guest = booted(bench(cds=(el_torito(segment=0x2000),)))
    after = guest.call(layout.VECTOR_BOOT)
    assert (after.cs, after.ip) == (0x2000, 0)
    assert guest.memory.read(0x20000, 5) == b"image"


@pytest.mark.parametrize("entry", [{"indicator": 0}, {"media": 4}, {"count": 0}, {"segment": 0x9FFF}], ids=str)
def test_el_torito_entries_that_cannot_be_booted_are_passed_over(entry: dict[str, int]) -> None:
    guest = booted(bench(cds=(el_torito(**entry),)))
    guest.call(layout.VECTOR_BOOT)
    assert guest.line(1).startswith("Boot failed")


def test_a_floppy_image_on_a_cd_becomes_drive_0_and_moves_the_floppy_up() -> None:
    guest = booted(bench(cds=(el_torito(BOOT_SECTOR + b"second", media=2),), floppies=(floppy(b"no signature"),)))
    after = guest.call(layout.VECTOR_BOOT)
    assert after.dl == 0
    guest.call(0x13, ah=2, al=1, cx=2, dl=0, es=0x1000)
    assert guest.memory.read(0x10000, 6) == b"second"
    assert guest.call(0x13, ah=3, al=1, cx=2, dl=0, es=0x1000).ah == 0x03, "it is write-protected"
    assert guest.call(0x13, ah=8, dl=1).dl == 2, "floppies in all"


def test_the_emulation_can_be_asked_for_and_ended() -> None:
    guest = booted(bench(cds=(el_torito(BOOT_SECTOR, media=2),)))
    guest.call(layout.VECTOR_BOOT)
    guest.call(0x13, ax=0x4B01, dl=0, ds=0x1000)
    assert guest.memory.read(0x10000, 8) == struct.pack("<BBBBI", 19, 2, 0, 0, 20)
    assert not guest.call(0x13, ax=0x4B00, dl=0, ds=0x1000).carry
    assert guest.call(0x13, ah=2, al=1, cx=1, dl=0, es=0x1000).carry, "the drive is gone"


def test_a_snapshot_in_the_middle_of_a_boot_goes_on() -> None:
    guest = booted(bench(floppies=(floppy(),)))
    guest.begin(layout.VECTOR_BOOT)
    step = guest.harness.read(STEP_PORT, 4)
    saved = guest.harness.save()
    guest.harness.reset()
    guest.harness.load(saved)
    while step & 0xFF != Opcode.DONE:
        guest.operate(Opcode(step & 0xFF), step >> 16)
        step = guest.harness.read(STEP_PORT, 4)
    assert guest.end(Opcode.DONE).ip == 0x7C00
    assert guest.line(0) == "Booting from Floppy..."


def unfinished() -> tuple[Guest, dict[str, Any]]:
    """In the midst of POST, with some operations answered."""
    guest = Guest(bench(floppies=(floppy(),)))
    guest.begin(layout.VECTOR_POST)
    for _ in range(20):
        step = guest.harness.read(STEP_PORT, 4)
        guest.operate(Opcode(step & 0xFF), step >> 16)
    return guest, guest.harness.save()


@pytest.mark.parametrize(
    "changed",
    [lambda state: state["answers"].pop(), lambda state: state["answers"].append({"base64": ""}), lambda state: state.update(frame=0)],
    ids=["fewer", "shorter", "elsewhere"],
)
def test_a_saved_call_that_does_not_fit_ends_or_goes_on_but_harms_nobody(changed: Callable[[dict[str, Any]], object]) -> None:
    guest, saved = unfinished()
    changed(saved["state"])
    guest.harness.load(saved)
    for _ in range(5000):
        step = guest.harness.read(STEP_PORT, 4)
        if step & 0xFF == Opcode.DONE:
            return
        guest.operate(Opcode(step & 0xFF), step >> 16)
    raise AssertionError("the call does not end")


@pytest.mark.parametrize("changed", [{"operand": -1}, {"data": -1}, {"answer": 1 << 32}, {"floppy_generations": [0]}], ids=str)
def test_a_state_that_no_bios_saves_is_refused(changed: dict[str, Any]) -> None:
    guest, saved = unfinished()
    saved["state"].update(changed)
    with pytest.raises(SnapshotError, match="this is no state of the built-in BIOS"):
        guest.harness.load(saved)
