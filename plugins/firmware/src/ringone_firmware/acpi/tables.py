"""The ACPI tables of the PC board: RSDP, RSDT, FADT, FACS and DSDT (ACPI specification 1.0b, so that guests of the nineties read them too).

The machine has no APIC and no HPET, so no MADT and no HPET table: interrupts are the 8259A's. Sleep states are S0 and S5. Tables are built with table-relative
pointers first (`TableSet`); `link` fixes them to an address, and `ringone_firmware.acpi.loader` hands them to a BIOS that places them itself.
"""

from __future__ import annotations

import struct

import attrs
from ringone.api.config import MachineConfig

from ringone_firmware.acpi import aml

OEM_ID = b"RINGON"
OEM_TABLE_ID = b"RINGONE "
CREATOR_ID = b"RING"
RSDP_SIZE = 20
RSDP_CHECKSUM = 8
RSDP_RSDT = 16
TABLE_CHECKSUM = 9
HEADER_SIZE = 36

PM1A_EVT_BLK, PM1A_CNT_BLK, PM_TMR_BLK, GPE0_BLK, SMB_BASE = 0x600, 0x604, 0x608, 0xAFE0, 0x700
SMI_CMD, ACPI_ENABLE, ACPI_DISABLE, SCI_INT = 0xB2, 0xF1, 0xF0, 9
RTC_CENTURY = 0x32
FADT_FACS, FADT_DSDT = 36, 40
WBINVD, PROC_C1, SLP_BUTTON, RTC_S4 = 1 << 0, 1 << 2, 1 << 5, 1 << 7
NO_C2, NO_C3 = 0x0FFF, 0x0FFF

PCI_HOLE_LOW = 0x8000_0000
PCI_HOLE_LAST = 0xFEBF_FFFF
PIRQ_REGISTERS = 0x60
PIRQ_DISABLED = 0x80
PIRQ_CHOICES = (5, 10, 11)
LINKS = ("LNKA", "LNKB", "LNKC", "LNKD")
PM_LINK = "LNKS"
PM_SLOT = 1


@attrs.frozen
class Pointer:
    """A 32-bit field at `at` that holds the offset of a table in the set, to become an address."""

    at: int


@attrs.frozen
class Checksum:
    """A byte at `at` that makes the bytes ``[start, start + size)`` sum to zero."""

    at: int
    start: int
    size: int


@attrs.frozen(kw_only=True)
class TableSet:
    """All tables but the RSDP in one run of bytes, `alignment` 64 for the FACS at offset 0."""

    data: bytes
    pointers: tuple[Pointer, ...]
    checksums: tuple[Checksum, ...]
    rsdt: int

    def link(self, address: int) -> bytes:
        """The tables as they lie in memory at `address`."""
        linked = bytearray(self.data)
        for pointer in self.pointers:
            (offset,) = struct.unpack_from("<I", linked, pointer.at)
            struct.pack_into("<I", linked, pointer.at, address + offset)
        for checksum in self.checksums:
            linked[checksum.at] = 0
            linked[checksum.at] = checksum_byte(linked[checksum.start : checksum.start + checksum.size])
        return bytes(linked)


def checksum_byte(data: bytes | bytearray) -> int:
    return -sum(data) & 0xFF


def rsdp(rsdt_address: int) -> bytes:
    """Root System Description Pointer, revision 0."""
    pointer = bytearray(struct.pack("<8sB6sBI", b"RSD PTR ", 0, OEM_ID, 0, rsdt_address))
    pointer[RSDP_CHECKSUM] = checksum_byte(pointer)
    return bytes(pointer)


def build(config: MachineConfig) -> TableSet:
    facs = _facs()
    dsdt_at = len(facs)
    dsdt = _table(b"DSDT", 1, _dsdt(config))
    fadt_at = _aligned(dsdt_at + len(dsdt))
    fadt = _table(b"FACP", 1, _fadt_body(facs_at=0, dsdt_at=dsdt_at))
    rsdt_at = _aligned(fadt_at + len(fadt))
    rsdt = _table(b"RSDT", 1, struct.pack("<I", fadt_at))
    data = bytearray(rsdt_at + len(rsdt))
    for at, table in ((0, facs), (dsdt_at, dsdt), (fadt_at, fadt), (rsdt_at, rsdt)):
        data[at : at + len(table)] = table
    return TableSet(
        data=bytes(data),
        pointers=(Pointer(fadt_at + FADT_FACS), Pointer(fadt_at + FADT_DSDT), Pointer(rsdt_at + HEADER_SIZE)),
        checksums=tuple(Checksum(at + TABLE_CHECKSUM, at, len(table)) for at, table in ((dsdt_at, dsdt), (fadt_at, fadt), (rsdt_at, rsdt))),
        rsdt=rsdt_at,
    )


def _aligned(offset: int) -> int:
    return offset + 15 & ~15


def _table(signature: bytes, revision: int, body: bytes) -> bytes:
    return struct.pack("<4sIBB6s8sI4sI", signature, HEADER_SIZE + len(body), revision, 0, OEM_ID, OEM_TABLE_ID, 1, CREATOR_ID, 1) + body


def _facs() -> bytes:
    return struct.pack("<4sI", b"FACS", 64).ljust(64, b"\0")


def _fadt_body(facs_at: int, dsdt_at: int) -> bytes:
    return (
        struct.pack("<IIBBH", facs_at, dsdt_at, 1, 0, SCI_INT)
        + struct.pack("<IBBBB", SMI_CMD, ACPI_ENABLE, ACPI_DISABLE, 0, 0)
        + struct.pack("<8I", PM1A_EVT_BLK, 0, PM1A_CNT_BLK, 0, 0, PM_TMR_BLK, GPE0_BLK, 0)
        + struct.pack("<8B", 4, 2, 0, 4, 4, 0, 0, 0)
        + struct.pack("<HHHHBBBBB", NO_C2, NO_C3, 0, 0, 0, 0, 0, 0, RTC_CENTURY)
        + struct.pack("<HBI", 0, 0, WBINVD | PROC_C1 | SLP_BUTTON | RTC_S4)
    )


# --- DSDT -------------------------------------------------------------------------------------------------------------------------------------------------


def _dsdt(config: MachineConfig) -> bytes:
    return b"".join(
        (
            aml.scope("\\_SB", _pci_root(config), *(_link_device(link, number) for number, link in enumerate(LINKS)), _sci_link()),
            aml.name("\\_S5", aml.package(*[aml.integer(0)] * 4)),
        )
    )


def _hardware(hid: str, *descriptors: bytes, uid: int | None = None) -> tuple[bytes, ...]:
    unique = () if uid is None else (aml.name("_UID", aml.integer(uid)),)
    return (aml.name("_HID", aml.eisa_id(hid)), *unique, aml.name("_CRS", aml.resources(*descriptors)))


def _pci_root(config: MachineConfig) -> bytes:
    hole = max(PCI_HOLE_LOW, config.memory_bytes + 0xFFFF & ~0xFFFF)
    windows = (
        aml.word_range(aml.BUS_RANGE, 0, 0, 0xFF),
        aml.io(0xCF8, 8),
        aml.word_range(aml.IO_RANGE, aml.IO_ENTIRE_RANGE, 0, 0xCF7),
        aml.word_range(aml.IO_RANGE, aml.IO_ENTIRE_RANGE, 0xD00, 0xFFFF),
        aml.dword_range(aml.MEMORY_RANGE, aml.MEMORY_CACHEABLE_WRITABLE, 0xA0000, 0xBFFFF),
        aml.dword_range(aml.MEMORY_RANGE, aml.MEMORY_WRITABLE, hole, PCI_HOLE_LAST),
    )
    return aml.device(
        "PCI0",
        *_hardware("PNP0A03", *windows, uid=0),
        aml.name("_ADR", aml.integer(0)),
        aml.name("_PRT", _routing()),
        _isa_bridge(config),
        aml.device("PMRS", *_hardware("PNP0C02", aml.io(PM1A_EVT_BLK, 0x40), aml.io(SMB_BASE, 0x10), aml.io(GPE0_BLK, 4), aml.io(SMI_CMD, 2), uid=1)),
    )


def _routing() -> bytes:
    """Pin A of slot 1 is PIRQA; slots and pins rotate from there (PIIX3 boards). The power management function is hard-wired to the SCI. A package counts its
    elements in a byte, so the table ends before slot 32 has any device."""
    entries = []
    for slot in range(1, 32):
        for pin in range(4):
            link = PM_LINK if (slot, pin) == (PM_SLOT, 0) else LINKS[(slot - 1 + pin) % 4]
            entries.append(aml.package(aml.integer(slot << 16 | 0xFFFF), aml.integer(pin), aml.name_string(f"\\_SB.{link}"), aml.integer(0)))
    return aml.package(*entries)


def _isa_bridge(config: MachineConfig) -> bytes:
    pirqs = tuple((f"PRQ{letter}", 8) for letter in "ABCD")
    return aml.device(
        "ISA",
        aml.name("_ADR", aml.integer(1 << 16)),
        aml.operation_region("PIRQ", aml.PCI_CONFIG_SPACE, PIRQ_REGISTERS, 4),
        aml.scope("\\_SB", aml.field("PCI0.ISA.PIRQ", aml.FIELD_BYTE_ACCESS, *pirqs)),
        aml.device("RTC", *_hardware("PNP0B00", aml.io(0x70, 2), aml.irq(8))),
        aml.device("KBD", *_hardware("PNP0303", aml.io(0x60, 1), aml.io(0x64, 1), aml.irq(1))),
        aml.device("MOU", *_hardware("PNP0F13", aml.irq(12))),
        aml.device("FDC0", *_hardware("PNP0700", aml.io(0x3F2, 4), aml.io(0x3F7, 1), aml.irq(6), aml.dma(2))),
        *(
            aml.device(f"COM{port.slot + 1:X}", *_hardware("PNP0501", aml.io(port.io_base, 8), aml.irq(port.irq), uid=port.slot + 1))
            for port in config.serial_ports
            if 0 <= port.slot < 15
        ),
    )


def _link_device(link: str, number: int) -> bytes:
    """An interrupt link over one PIRQ routing register: bit 7 disables, bits 0-3 are the ISA interrupt."""
    register = aml.name_string(f"PRQ{'ABCD'[number]}")
    current = (
        aml.name("BUF_", aml.resources(aml.interrupts(0))),
        aml.create_dword_field(aml.name_string("BUF_"), aml.INTERRUPT_NUMBER_OFFSET, "IRQN"),
        aml.if_(aml.less(register, aml.integer(PIRQ_DISABLED)), aml.store(register, aml.name_string("IRQN"))),
        aml.return_(aml.name_string("BUF_")),
    )
    return aml.device(
        link,
        aml.name("_HID", aml.eisa_id("PNP0C0F")),
        aml.name("_UID", aml.integer(number)),
        aml.name("_PRS", aml.resources(aml.interrupts(*PIRQ_CHOICES))),
        aml.method("_STA", 0, aml.if_(aml.less(register, aml.integer(PIRQ_DISABLED)), aml.return_(aml.integer(0x0B))), aml.return_(aml.integer(0x09))),
        aml.method("_DIS", 0, aml.or_(register, aml.integer(PIRQ_DISABLED), register)),
        aml.method("_CRS", 0, *current, flags=aml.METHOD_SERIALIZED),
        aml.method(
            "_SRS",
            1,
            aml.create_dword_field(aml.arg(0), aml.INTERRUPT_NUMBER_OFFSET, "IRQN"),
            aml.store(aml.name_string("IRQN"), register),
            flags=aml.METHOD_SERIALIZED,
        ),
    )


def _sci_link() -> bytes:
    interrupt = aml.resources(aml.interrupts(SCI_INT))
    return aml.device(
        PM_LINK,
        aml.name("_HID", aml.eisa_id("PNP0C0F")),
        aml.name("_UID", aml.integer(len(LINKS))),
        aml.name("_PRS", interrupt),
        aml.name("_CRS", interrupt),
        aml.method("_STA", 0, aml.return_(aml.integer(0x0B))),
        aml.method("_DIS", 0),
        aml.method("_SRS", 1),
    )
