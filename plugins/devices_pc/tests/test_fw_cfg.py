"""fw_cfg: items by port and by DMA."""

import struct
from collections.abc import Mapping

import pytest
from ringone.api.errors import ConfigError
from ringone.testing import DeviceHarness
from ringone.testing.devices import DeviceConformance
from ringone_devices_pc.fw_cfg import SPEC
from ringone_devices_pc.fw_cfg.items import make_items

SELECTOR, DATA, DMA_HIGH, DMA_LOW = 0x510, 0x511, 0x514, 0x518
DIRECTORY, FIRST_FILE, NO_ITEM = 0x19, 0x20, 0x3FFF
ERROR, READ, SKIP, SELECT, WRITE = 1, 2, 4, 8, 16
DESCRIPTOR, BUFFER = 0x2000, 0x3000
FILES = {"etc/b": b"second", "etc/a": b"first file", "key:0x0e": b"\1\0"}


class FakeFirmwareData:
    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def files(self) -> dict[str, bytes]:
        return dict(self._files)


def make_harness() -> DeviceHarness:
    return DeviceHarness(SPEC, drivers={"firmware": FakeFirmwareData(FILES)})


@pytest.fixture
def chip() -> DeviceHarness:
    return make_harness()


def read_item(harness: DeviceHarness, key: int, size: int) -> bytes:
    harness.write(SELECTOR, key, size=2)
    return bytes(harness.read(DATA) for _ in range(size))


def big_endian(value: int) -> int:
    return int.from_bytes(value.to_bytes(4, "big"), "little")


def run_dma(harness: DeviceHarness, control: int, length: int, address: int = BUFFER, descriptor: int = DESCRIPTOR) -> int:
    """What the control field says afterwards."""
    harness.memory.write(descriptor, struct.pack(">IIQ", control, length, address))
    harness.write(DMA_LOW, big_endian(descriptor), size=4)
    return int(struct.unpack(">I", harness.memory.read(descriptor, 4))[0])


def test_the_signature_and_both_interfaces_are_announced(chip: DeviceHarness) -> None:
    assert read_item(chip, 0x00, 4) == b"QEMU"
    assert read_item(chip, 0x01, 4) == b"\3\0\0\0"
    assert chip.read(DMA_HIGH, size=4).to_bytes(4, "little") + chip.read(DMA_LOW, size=4).to_bytes(4, "little") == b"QEMU CFG"


def test_the_directory_lists_files_in_the_order_of_their_names(chip: DeviceHarness) -> None:
    directory = read_item(chip, DIRECTORY, 4 + 2 * 64)
    assert struct.unpack_from(">I", directory) == (2,)
    entries = [struct.unpack_from(">IHxx56s", directory, 4 + 64 * index) for index in range(2)]
    assert [(size, key, name.rstrip(b"\0")) for size, key, name in entries] == [(10, FIRST_FILE, b"etc/a"), (6, FIRST_FILE + 1, b"etc/b")]


def test_numeric_names_are_items_of_that_number(chip: DeviceHarness) -> None:
    assert read_item(chip, 0x0E, 2) == b"\1\0"


def test_zeros_follow_the_end_of_an_item(chip: DeviceHarness) -> None:
    assert read_item(chip, FIRST_FILE + 1, 8) == b"second\0\0"


def test_an_item_that_does_not_exist_reads_zeros(chip: DeviceHarness) -> None:
    assert read_item(chip, NO_ITEM, 4) == bytes(4)


def test_the_data_port_can_be_read_in_wider_units(chip: DeviceHarness) -> None:
    chip.write(SELECTOR, FIRST_FILE, size=2)
    assert chip.read(DATA, size=2).to_bytes(2, "little") + chip.read(DATA, size=4).to_bytes(4, "little") == b"first "


def test_dma_selects_and_reads_an_item_at_once(chip: DeviceHarness) -> None:
    assert run_dma(chip, FIRST_FILE << 16 | SELECT | READ, 10) == 0
    assert chip.memory.read(BUFFER, 10) == b"first file"


def test_dma_goes_on_where_the_last_access_ended(chip: DeviceHarness) -> None:
    read_item(chip, FIRST_FILE, 2)
    assert run_dma(chip, SKIP, 4) == 0
    assert run_dma(chip, READ, 6) == 0
    assert chip.memory.read(BUFFER, 6) == b"file\0\0"


@pytest.mark.parametrize(("control", "address"), [(WRITE, BUFFER), (READ, 1 << 32)], ids=["items are read only", "no memory there"])
def test_dma_that_cannot_be_done_reports_an_error(chip: DeviceHarness, control: int, address: int) -> None:
    assert run_dma(chip, FIRST_FILE << 16 | SELECT | control, 4, address) == ERROR


def test_dma_of_senseless_length_ends(chip: DeviceHarness) -> None:
    chip.memory.write(BUFFER, b"\xff" * 64)
    assert run_dma(chip, FIRST_FILE << 16 | SELECT | READ, 0xFFFF_0000) == 0
    assert chip.memory.read(BUFFER, 64) == b"first file".ljust(64, b"\0")


def test_a_descriptor_above_4_gib_is_not_run(chip: DeviceHarness) -> None:
    chip.memory.write(DESCRIPTOR, struct.pack(">IIQ", READ, 4, BUFFER))
    chip.write(DMA_HIGH, big_endian(1), size=4)
    chip.write(DMA_LOW, big_endian(DESCRIPTOR), size=4)
    assert chip.memory.read(DESCRIPTOR, 4) == struct.pack(">I", READ)


@pytest.mark.parametrize(
    "name", ["key:", "key:0x10000", "key:-1", "etc/" + "x" * 52], ids=["no number", "number too large", "negative number", "name too long"]
)
def test_a_file_name_that_cannot_be_held_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="accepted"):
        make_items({name: b""}, cpus=1)


class TestConformance(DeviceConformance):
    def make_harness(self) -> DeviceHarness:
        return make_harness()

    def exercise(self, harness: DeviceHarness) -> None:
        read_item(harness, FIRST_FILE, 3)
        harness.write(DMA_HIGH, 0, size=4)
