"""Kernels without a BIOS: what is accepted, where it lands, what the kernel is told."""

import gzip
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ringone.api.config import LinuxBoot, MachineConfig
from ringone.api.errors import ConfigError
from ringone.api.firmware import FirmwareImage
from ringone.api.options import NoOptions
from ringone_firmware import e820
from ringone_firmware.directboot import bzimage, elf32, firmware, multiboot, placement
from ringone_firmware.directboot.entry import STUB

MIB = 1 << 20
SETUP_SECTORS = 2
PAYLOAD = b"\xf4" + b"payload" * 100


def kernel_file(**fields: int) -> bytes:
    """A bzImage with a header of protocol 2.12; `fields` are values by name."""
    image = bytearray((SETUP_SECTORS + 1) * 512) + bytearray(PAYLOAD)
    image[0x1F1] = SETUP_SECTORS
    struct.pack_into("<H", image, 0x1FE, 0xAA55)
    image[0x201] = 0x66
    image[0x202:0x206] = b"HdrS"
    values = {
        "version": 0x20C,
        "loadflags": 1,
        "code32": 0x100000,
        "initrd_max": 0x37FFFFFF,
        "cmdline": 255,
        "relocatable": 1,
        "preferred": 16 * MIB,
        "init_size": 2 * MIB,
    }
    values |= fields
    struct.pack_into("<H", image, 0x206, values["version"])
    image[0x211] = values["loadflags"]
    struct.pack_into("<I", image, 0x214, values["code32"])
    struct.pack_into("<I", image, 0x22C, values["initrd_max"])
    image[0x234] = values["relocatable"]
    struct.pack_into("<I", image, 0x238, values["cmdline"])
    struct.pack_into("<QI", image, 0x258, values["preferred"], values["init_size"])
    return bytes(image)


def elf_file(physical: int = MIB, data: bytes = b"code", memory_size: int = 0x1000, body: bytes = b"") -> bytes:
    """A 32-bit executable with one segment, linked at 3 GiB above its physical address."""
    offset = 0x80
    header = elf32.HEADER.pack(b"\x7fELF\x01\x01\x01".ljust(16, b"\0"), 2, 3, 1, physical + 0xC0000000, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    program = elf32.PROGRAM_HEADER.pack(1, offset, physical + 0xC0000000, physical, len(data), memory_size, 5, 4096)
    return (header + program).ljust(offset, b"\0") + data + body


def multiboot_header(flags: int = 0) -> bytes:
    return struct.pack("<III", multiboot.HEADER_MAGIC, flags, -(multiboot.HEADER_MAGIC + flags) & 0xFFFFFFFF)


@pytest.fixture
def machine(tmp_path: Path) -> "Machine":
    return Machine(tmp_path)


class Machine:
    """Loads kernels for a machine of 64 MiB."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, kernel: bytes, initrd: bytes = b"", append: str = "", acpi: bool = True) -> FirmwareImage:
        path = self._folder / "kernel"
        path.write_bytes(kernel)
        initrd_path = None
        if initrd:
            initrd_path = self._folder / "initrd"
            initrd_path.write_bytes(initrd)
        boot = LinuxBoot(kernel=path, initrd=initrd_path, append=append)
        return firmware.load(MachineConfig(name="m", memory_bytes=64 * MIB, linux=boot, acpi=acpi), NoOptions())


def ram_at(image: FirmwareImage, address: int) -> bytes:
    (data,) = (part.data for part in image.ram if part.address == address)
    return data


def number(data: bytes, offset: int, size: int = 4) -> int:
    return int.from_bytes(data[offset : offset + size], "little")


# --- Linux ------------------------------------------------------------------------------------------------------------------------------------------------


def test_the_protected_mode_part_lands_at_one_mib(machine: Machine) -> None:
    assert ram_at(machine.load(kernel_file()), 0x100000) == PAYLOAD


def test_the_processor_starts_in_flat_protected_mode_with_interrupts_off(machine: Machine) -> None:
    entry = machine.load(kernel_file()).entry
    assert entry is not None
    assert (entry.eip, entry.cs.selector, entry.ds.selector, entry.cs.limit, entry.cs.base) == (STUB, 0x10, 0x18, 0xFFFFFFFF, 0)
    assert entry.cr0 & (1 << 31 | 1) == 1
    assert not entry.eflags & 1 << 9


def test_boot_params_carry_the_header_the_command_line_and_the_memory_map(machine: Machine) -> None:
    kernel = kernel_file()
    image = machine.load(kernel, append="console=ttyS0")
    params = ram_at(image, placement.INFO)
    assert params[0x201:0x210] == kernel[0x201:0x210]
    assert params[0x210] == 0xFF, "type of loader"
    assert ram_at(image, number(params, 0x228)) == b"console=ttyS0\0"
    assert (params[0x06], params[0x07], params[0x0E], params[0x0F]) == (3, 80, 25, 1), "a VGA in mode 3"
    entries = [struct.unpack_from("<QQI", params, 0x2D0 + 20 * index) for index in range(params[0x1E8])]
    assert entries[0] == (0, 0x9FC00, 1)
    assert entries[-1][2] == e820.RangeType.ACPI_NVS
    assert sum(entries[-1][:2]) == 64 * MIB


def test_the_root_pointer_is_where_boot_params_and_the_rom_say(machine: Machine) -> None:
    image = machine.load(kernel_file())
    address = number(ram_at(image, placement.INFO), 0x70, 8)
    (acpi,) = (part for part in image.ram if part.address <= address < part.address + len(part.data))
    assert acpi.data[address - acpi.address :].startswith(b"RSD PTR ")
    assert image.rom.startswith(b"RSD PTR ") and len(image.rom) == 64 << 10


def test_a_machine_without_acpi_has_all_its_memory(machine: Machine) -> None:
    image = machine.load(kernel_file(), acpi=False)
    params = ram_at(image, placement.INFO)
    assert (image.rom, number(params, 0x70, 8), params[0x1E8]) == (b"", 0, 4)


def test_the_initrd_lies_as_high_as_it_may_on_a_page(machine: Machine) -> None:
    image = machine.load(kernel_file(initrd_max=0x2FFFFFF), initrd=b"i" * 5000)
    params = ram_at(image, placement.INFO)
    assert (number(params, 0x218), number(params, 0x21C)) == (0x3000000 - 0x2000, 5000)
    assert ram_at(image, 0x3000000 - 0x2000) == b"i" * 5000


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (b"#!/bin/sh\n" + bytes(9000), "is no kernel: a Linux bzImage, a 32-bit vmlinux and a file with a Multiboot 1 header"),
        (b"", "is no kernel"),
        (kernel_file(version=0x201), r"speaks boot protocol 2\.01; 2\.02 or later is accepted"),
        (kernel_file()[:1000], "ends after 1000 bytes, before its protected-mode part at 1536"),
        (kernel_file(init_size=63 * MIB), r"needs memory up to 0x4f00000, but usable memory ends at 0x3ff0000: give the machine at least \d+ MiB more"),
        (gzip.compress(kernel_file(), mtime=0)[:-20], "is a damaged gzip file"),
    ],
    ids=["script", "empty", "old protocol", "cut short", "too much memory", "damaged gzip"],
)
def test_what_cannot_be_booted_is_refused_with_the_reason(kernel: bytes, message: str, machine: Machine) -> None:
    with pytest.raises(ConfigError, match=message):
        machine.load(kernel)


def test_a_command_line_that_the_kernel_would_cut_is_refused(machine: Machine) -> None:
    with pytest.raises(ConfigError, match=r"the command line has 300 bytes; kernel .* accepts 255"):
        machine.load(kernel_file(), append="x" * 300)


def test_an_initrd_that_does_not_fit_is_refused(machine: Machine) -> None:
    with pytest.raises(ConfigError, match=r"initrd .* needs memory up to"):
        machine.load(kernel_file(), initrd=bytes(60 * MIB))


def test_a_missing_kernel_is_named(tmp_path: Path) -> None:
    config = MachineConfig(name="m", linux=LinuxBoot(kernel=tmp_path / "gone"))
    with pytest.raises(ConfigError, match=r"kernel .*gone cannot be read: No such file"):
        firmware.load(config, NoOptions())


def test_a_gzipped_kernel_is_unpacked(machine: Machine) -> None:
    assert ram_at(machine.load(gzip.compress(kernel_file(), mtime=0)), 0x100000) == PAYLOAD


@pytest.mark.parametrize("fields", [{"version": 0x203}, {"code32": 0}], ids=["an old protocol", "no 32-bit entry"])
def test_images_that_start_in_real_mode_come_with_a_bios(fields: dict[str, int], machine: Machine) -> None:
    image = machine.load(kernel_file(**fields))
    assert image.name in ("seabios", "builtin")
    assert image.entry is None and image.rom


def test_an_unpacked_vmlinux_is_entered_at_its_physical_address(machine: Machine) -> None:
    image = machine.load(elf_file(16 * MIB, data=b"Linux version 6.1"))
    assert ram_at(image, 16 * MIB).startswith(b"Linux version")
    assert struct.pack("<IH", 16 * MIB, 0x10) in ram_at(image, STUB)
    assert ram_at(image, placement.INFO)[0x202:0x206] == b"HdrS"


@settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(changes=st.lists(st.tuples(st.integers(0x1F1, 0x270), st.integers(0, 255)), max_size=6), cut=st.integers(0x200, 3000))
def test_a_damaged_header_is_loaded_or_refused_but_never_breaks(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(kernel_file())
    for offset, value in changes:
        data[offset] = value
    try:
        kernel = bzimage.parse(bytes(data[:cut]), "kernel")
    except ConfigError as error:
        assert str(error).startswith("kernel")
        return
    assert kernel.payload and bzimage.HEADER_MAGIC_OFFSET < kernel.header_end <= bzimage.HEADER_LIMIT


@settings(max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(changes=st.lists(st.tuples(st.integers(0, 0x53), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_elf_header_is_loaded_or_refused_but_never_breaks(changes: list[tuple[int, int]]) -> None:
    data = bytearray(elf_file())
    for offset, value in changes:
        data[offset] = value
    try:
        executable = elf32.parse(bytes(data), "kernel")
    except ConfigError as error:
        assert str(error).startswith("kernel")
        return
    assert all(len(segment.data) <= segment.memory_size for segment in executable.segments)


# --- Multiboot --------------------------------------------------------------------------------------------------------------------------------------------


def test_a_multiboot_elf_kernel_lands_at_its_physical_addresses_with_zeroed_rest(machine: Machine) -> None:
    image = machine.load(elf_file(2 * MIB, data=b"code", memory_size=0x2000, body=multiboot_header()))
    assert ram_at(image, 2 * MIB) == b"code".ljust(0x2000, b"\0")


def test_the_multiboot_address_fields_replace_an_executable_format(machine: Machine) -> None:
    flags = multiboot.HEADER_ADDRESS_FIELDS
    fields = struct.pack("<5I", 2 * MIB + 0x10, 2 * MIB, 0, 2 * MIB + 0x3000, 2 * MIB + 0x40)
    kernel = b"junk".ljust(0x20, b"\0") + multiboot_header(flags) + fields + b"rest"
    image = machine.load(kernel)
    loaded = ram_at(image, 2 * MIB)
    assert loaded == kernel[0x10:].ljust(0x3000, b"\0")
    assert struct.pack("<IH", 2 * MIB + 0x40, 0x10) in ram_at(image, STUB)


def test_multiboot_information_names_memory_command_line_and_module(machine: Machine) -> None:
    image = machine.load(elf_file(body=multiboot_header(3)), initrd=b"module", append="verbose")
    info = ram_at(image, placement.INFO)
    assert number(info, 0) == 0x24D
    assert ram_at(image, number(info, 16)).endswith(b"kernel verbose\0")
    assert number(info, 20) == 1
    start, end = struct.unpack_from("<II", info, number(info, 24) - placement.INFO)
    assert ram_at(image, start) == b"module" and end == start + 6 and start % 4096 == 0
    size, address = struct.unpack_from("<II", info, 44)
    first = struct.unpack_from("<IQQI", info, address - placement.INFO)
    assert first == (20, 0, 0x9FC00, 1) and size % 24 == 0


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (elf_file(body=multiboot_header(1 << 5)), "demands Multiboot features 0x0020; known are 0x0007"),
        (elf_file(0x8000, body=multiboot_header()), "wants to be loaded at 0x8000; addresses from 0x100000 on are accepted"),
        (elf_file(63 * MIB, memory_size=2 * MIB, body=multiboot_header()), "needs memory up to 0x4100000"),
        (multiboot_header() + bytes(100), "is no ELF file"),
    ],
)
def test_multiboot_kernels_that_do_not_fit_are_refused(kernel: bytes, message: str, machine: Machine) -> None:
    with pytest.raises(ConfigError, match=message):
        machine.load(kernel)
