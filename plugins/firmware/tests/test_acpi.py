"""ACPI: the encoder's bytes, the tables' structure, and both ways to place them."""

import struct

import pytest
from ringone.api.config import MachineConfig, SerialPort
from ringone_firmware.acpi import aml, loader, tables

PC = MachineConfig(name="pc", serial_ports=(SerialPort(slot=0, io_base=0x3F8, irq=4), SerialPort(slot=1, io_base=0x2F8, irq=3)))
ADDRESS = 0x7FF0000


@pytest.mark.parametrize(
    ("term", "code"),
    [
        (aml.integer(0), "00"),
        (aml.integer(1), "01"),
        (aml.integer(0x42), "0a42"),
        (aml.integer(0x1234), "0b3412"),
        (aml.integer(0x12345678), "0c78563412"),
        (aml.string("hi"), "0d686900"),
        (aml.name_string("\\_SB.PCI0"), "5c2e5f53425f50434930"),
        (aml.name_string("^A"), "5e415f5f5f"),
        (aml.name_string("A.B.C"), "2f03415f5f5f425f5f5f435f5f5f"),
        (aml.eisa_id("PNP0A03"), "0c41d00a03"),
        (aml.package(aml.integer(0), aml.integer(2)), "120502000a02"),
        (aml.buffer(b"xyz"), "11060a0378797a"),
        (aml.name("_ADR", aml.integer(0)), "085f41445200"),
        (aml.io(0x60, 1), "470160006000 0101".replace(" ", "")),
        (aml.irq(4), "221000"),
        (aml.dma(2), "2a0400"),
        (aml.method("_DIS", 0), "14065f44495300"),
        (aml.return_(aml.arg(1)), "a469"),
    ],
)
def test_terms(term: bytes, code: str) -> None:
    assert term.hex() == code


@pytest.mark.parametrize(("body", "encoded"), [(0, "01"), (62, "3f"), (63, "4104"), (0xFFD, "4fff"), (0xFFE, "810001"), (0xFFFFC, "8fffff")])
def test_package_lengths_count_themselves(body: int, encoded: str) -> None:
    assert aml.package_length(body).hex() == encoded


@pytest.mark.parametrize("segment", ["", "TOOLONG", "1ABC", "low", "A-B"])
def test_bad_name_segments_are_refused(segment: str) -> None:
    with pytest.raises(ValueError, match="no ACPI name segment"):
        aml.device(f"A.{segment}")


# --- Tables -----------------------------------------------------------------------------------------------------------------------------------------------


def linked_tables(config: MachineConfig) -> tuple[bytes, tables.TableSet]:
    built = tables.build(config)
    return built.link(ADDRESS), built


def table_at(memory: bytes, address: int) -> bytes:
    start = address - ADDRESS
    (size,) = struct.unpack_from("<I", memory, start + 4)
    return memory[start : start + size]


def test_every_table_can_be_reached_and_sums_to_zero() -> None:
    memory, built = linked_tables(PC)
    rsdt = table_at(memory, ADDRESS + built.rsdt)
    fadt = table_at(memory, struct.unpack_from("<I", rsdt, 36)[0])
    facs, dsdt = (table_at(memory, address) for address in struct.unpack_from("<II", fadt, 36))
    assert [table[:4] for table in (rsdt, fadt, facs, dsdt)] == [b"RSDT", b"FACP", b"FACS", b"DSDT"]
    assert [sum(table) & 0xFF for table in (rsdt, fadt, dsdt)] == [0, 0, 0]
    assert (len(fadt), len(facs)) == (116, 64)


def test_the_root_pointer_sums_to_zero_and_leads_to_the_rsdt() -> None:
    pointer = tables.rsdp(0x12345678)
    assert (pointer[:8], len(pointer), sum(pointer) & 0xFF) == (b"RSD PTR ", 20, 0)
    assert struct.unpack_from("<I", pointer, 16) == (0x12345678,)


def test_the_fadt_names_the_power_management_block() -> None:
    memory, built = linked_tables(PC)
    fadt = table_at(memory, struct.unpack_from("<I", memory, built.rsdt + 36)[0])
    assert struct.unpack_from("<H", fadt, 46) == (9,)
    assert struct.unpack_from("<IBB", fadt, 48) == (0xB2, 0xF1, 0xF0)
    assert struct.unpack_from("<8I", fadt, 56) == (0x600, 0, 0x604, 0, 0, 0x608, 0xAFE0, 0)
    assert tuple(fadt[88:93]) == (4, 2, 0, 4, 4)


def test_the_dsdt_lists_the_configured_serial_ports_only() -> None:
    with_ports, without = tables.build(PC).data, tables.build(MachineConfig(name="none")).data
    assert b"COM1" in with_ports and b"COM2" in with_ports and b"COM3" not in with_ports
    assert b"COM1" not in without


def test_the_pci_window_begins_behind_large_memory() -> None:
    data = tables.build(MachineConfig(name="big", memory_bytes=0xC0000000)).data
    assert struct.pack("<II", 0xC0000000, tables.PCI_HOLE_LAST) in data


# --- The table loader -------------------------------------------------------------------------------------------------------------------------------------


def run_loader(files: dict[str, bytes], places: dict[bytes, int]) -> dict[bytes, bytearray]:
    """What a BIOS does with ``etc/table-loader``, with `places` for what it allocates."""
    script = files["etc/table-loader"]
    memory: dict[bytes, bytearray] = {}
    for at in range(0, len(script), loader.ENTRY_SIZE):
        (command,) = struct.unpack_from("<I", script, at)
        name = script[at + 4 : at + 60].rstrip(b"\0")
        if command == loader.ALLOCATE:
            memory[name] = bytearray(files[name.decode()])
        elif command == loader.ADD_POINTER:
            source = script[at + 60 : at + 116].rstrip(b"\0")
            (offset,) = struct.unpack_from("<I", script, at + 116)
            (value,) = struct.unpack_from("<I", memory[name], offset)
            struct.pack_into("<I", memory[name], offset, value + places[source])
        elif command == loader.ADD_CHECKSUM:
            offset, start, size = struct.unpack_from("<III", script, at + 60)
            memory[name][offset] = -sum(memory[name][start : start + size]) & 0xFF
    return memory


def test_a_bios_that_runs_the_loader_gets_the_linked_tables() -> None:
    built = tables.build(PC)
    placed = run_loader(loader.fw_cfg_files(built), {loader.TABLES_FILE: ADDRESS, loader.RSDP_FILE: 0xF0000})
    assert bytes(placed[loader.TABLES_FILE]) == built.link(ADDRESS)
    assert bytes(placed[loader.RSDP_FILE]) == tables.rsdp(ADDRESS + built.rsdt)
