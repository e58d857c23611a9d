"""The port writes that turn a PC from its reset state into one an operating system expects: what every BIOS does and a direct boot has to do too.

Programs are lists of `Out`; whoever uses them chooses who executes them (a 32-bit stub before a kernel, the built-in BIOS's service loop). VGA values are
those of IBM's mode 3 with 400 lines (VGA technical reference), PCI registers those of the PIIX3/PIIX4 datasheets.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class Out:
    """One write of `size` bytes to an I/O port."""

    port: int
    value: int
    size: int = 1


PCI_CONFIG_ADDRESS, PCI_CONFIG_DATA = 0xCF8, 0xCFC
PORT92, PORT92_A20 = 0x92, 0x02
DMA2_MODE, DMA2_MASK, DMA_CASCADE_CHANNEL_0 = 0xD6, 0xD4, 0xC0
ELCR2 = 0x4D1
ISA_SLOT = 1
IDE_FUNCTION, PM_FUNCTION = 1, 3
PCI_COMMAND, PCI_COMMAND_IO, PCI_COMMAND_BUS_MASTER = 0x04, 1, 4
IDE_BUS_MASTER_BASE = 0xC000
PIRQ_ROUTES = (10, 10, 11, 11)

MISC_WRITE, SEQUENCER, GRAPHICS, CRTC, ATTRIBUTE, INPUT_STATUS_1 = 0x3C2, 0x3C4, 0x3CE, 0x3D4, 0x3C0, 0x3DA
DAC_MASK, DAC_READ_INDEX, DAC_WRITE_INDEX, DAC_DATA = 0x3C6, 0x3C7, 0x3C8, 0x3C9


@attrs.frozen(kw_only=True)
class VgaMode:
    """Register values of one mode, in register order."""

    miscellaneous: int
    sequencer: bytes
    crtc: bytes
    graphics: bytes
    attribute: bytes


EGA_ATTRIBUTES = "0001020304051407 38393a3b3c3d3e3f"
MODE_1 = VgaMode(
    miscellaneous=0x67,
    sequencer=bytes.fromhex("0308030002"),
    crtc=bytes.fromhex("2d2728902ba0bf1f004f0d0e00000000 9c8e8f141f96b9a3ff"),
    graphics=bytes.fromhex("0000000000100e00ff"),
    attribute=bytes.fromhex(EGA_ATTRIBUTES + "0c000f0800"),
)
MODE_3 = VgaMode(
    miscellaneous=0x67,
    sequencer=bytes.fromhex("0300030002"),
    crtc=bytes.fromhex("5f4f50825581bf1f004f0d0e00000000 9c8e8f281f96b9a3ff"),
    graphics=bytes.fromhex("0000000000100e00ff"),
    attribute=bytes.fromhex(EGA_ATTRIBUTES + "0c000f0800"),
)
MODE_12 = VgaMode(
    miscellaneous=0xE3,
    sequencer=bytes.fromhex("03010f0006"),
    crtc=bytes.fromhex("5f4f508254800b3e0040000000000000 ea8cdf2800e704e3ff"),
    graphics=bytes.fromhex("00000000000005" + "0fff"),
    attribute=bytes.fromhex(EGA_ATTRIBUTES + "01000f0000"),
)
MODE_13 = VgaMode(
    miscellaneous=0x63,
    sequencer=bytes.fromhex("03010f000e"),
    crtc=bytes.fromhex("5f4f50825480bf1f0041000000000000 9c8e8f284096b9a3ff"),
    graphics=bytes.fromhex("00000000004005" + "0fff"),
    attribute=bytes.fromhex("000102030405060708090a0b0c0d0e0f" + "41000f0000"),
)


def _indexed(port: int, values: bytes) -> list[Out]:
    return [Out(port, index | value << 8, 2) for index, value in enumerate(values)]


def vga_mode(mode: VgaMode) -> list[Out]:
    """All registers of a mode; the screen is off while they change. The attribute controller's flip-flop must be in its index state: read port 3DAh first."""
    return [
        Out(SEQUENCER, 0x0100, 2),
        Out(MISC_WRITE, mode.miscellaneous),
        *_indexed(SEQUENCER, mode.sequencer)[1:],
        Out(SEQUENCER, 0x0300, 2),
        Out(CRTC, 0x0011, 2),
        *_indexed(CRTC, mode.crtc),
        *_indexed(GRAPHICS, mode.graphics),
        *(out for index, value in enumerate(mode.attribute) for out in (Out(ATTRIBUTE, index), Out(ATTRIBUTE, value))),
        Out(ATTRIBUTE, 0x20),
    ]


def dac(colours: list[tuple[int, int, int]]) -> list[Out]:
    """Load the colour registers from 0 on with 6-bit values."""
    return [Out(DAC_MASK, 0xFF), Out(DAC_WRITE_INDEX, 0), *(Out(DAC_DATA, part) for colour in colours for part in colour)]


def ega_colours() -> list[tuple[int, int, int]]:
    """The 64 colours of six-bit rgbRGB codes that the attribute palettes of text modes index."""
    return [tuple(0x2A * (code >> bit & 1) + 0x15 * (code >> bit + 3 & 1) for bit in (2, 1, 0)) for code in range(64)]  # type: ignore[misc]


def vga_colours() -> list[tuple[int, int, int]]:
    """Mode 13h's palette: sixteen colours, sixteen greys, and three rounds of a 24-step hue circle at three saturations; the last eight are black."""
    sixteen = [ega_colours()[code] for code in bytes.fromhex(EGA_ATTRIBUTES)]
    greys = [(grey, grey, grey) for grey in (0, 5, 8, 11, 14, 17, 20, 24, 28, 32, 36, 40, 45, 50, 56, 63)]
    wheel = [_hue(step, low, high) for high, lows in ((63, (0, 31, 45)), (28, (0, 14, 20)), (16, (0, 8, 11))) for low in lows for step in range(24)]
    return sixteen + greys + wheel + [(0, 0, 0)] * 8


def _hue(step: int, low: int, high: int) -> tuple[int, int, int]:
    """Colour `step` of 24 on the circle blue, magenta, red, yellow, green, cyan."""
    rise = low + (high - low) * (step % 4) // 4
    fall = high - (high - low) * (step % 4) // 4
    return ((rise, low, high), (high, low, fall), (high, rise, low), (fall, high, low), (low, high, rise), (low, fall, high))[step // 4]


FONT_PLANE_OPEN = [Out(SEQUENCER, value, 2) for value in (0x0100, 0x0402, 0x0704, 0x0300)] + [Out(GRAPHICS, value, 2) for value in (0x0204, 0x0005, 0x0406)]
"""Make plane 2, which holds the text mode's font, writable at A0000h; each character has 32 bytes there."""
FONT_PLANE_CLOSE = [Out(SEQUENCER, value, 2) for value in (0x0100, 0x0302, 0x0304, 0x0300)] + [Out(GRAPHICS, value, 2) for value in (0x0004, 0x1005, 0x0E06)]


def pci_write(slot: int, function: int, register: int, value: int, size: int) -> list[Out]:
    """A type 1 configuration write on bus 0."""
    address = 1 << 31 | slot << 11 | function << 8 | register & 0xFC
    return [Out(PCI_CONFIG_ADDRESS, address, 4), Out(PCI_CONFIG_DATA + (register & 3), value, size)]


def piix() -> list[Out]:
    """PCI interrupt routes (level-triggered), IDE channels at their legacy ports, and the power management block where the ACPI tables say it is."""
    from ringone_firmware.acpi.tables import PM1A_EVT_BLK, SCI_INT, SMB_BASE

    routes = int.from_bytes(bytes(PIRQ_ROUTES), "little")
    return [
        *pci_write(ISA_SLOT, 0, 0x60, routes, 4),
        Out(ELCR2, sum(1 << (line - 8) for line in set(PIRQ_ROUTES))),
        *pci_write(ISA_SLOT, IDE_FUNCTION, 0x20, IDE_BUS_MASTER_BASE, 4),
        *pci_write(ISA_SLOT, IDE_FUNCTION, 0x40, 0x80008000, 4),
        *pci_write(ISA_SLOT, IDE_FUNCTION, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_BUS_MASTER, 2),
        *pci_write(ISA_SLOT, PM_FUNCTION, 0x3C, SCI_INT, 1),
        *pci_write(ISA_SLOT, PM_FUNCTION, 0x40, PM1A_EVT_BLK | 1, 4),
        *pci_write(ISA_SLOT, PM_FUNCTION, 0x80, 1, 1),
        *pci_write(ISA_SLOT, PM_FUNCTION, 0x90, SMB_BASE | 1, 4),
        *pci_write(ISA_SLOT, PM_FUNCTION, 0xD2, 0x09, 1),
    ]


def board() -> list[Out]:
    """What a kernel that is entered without a BIOS takes for granted: A20 open, the DMA cascade, the PIIX."""
    return [Out(PORT92, PORT92_A20), Out(DMA2_MODE, DMA_CASCADE_CHANNEL_0), Out(DMA2_MASK, 0), *piix()]
