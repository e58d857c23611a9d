"""Register numbers and bits of the VGA (IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem") and of the Bochs VBE extensions ("VBE_DISPI")."""

from __future__ import annotations

# --- Miscellaneous output (3C2, read at 3CC) ---------------------------------------------------------------------------------------------------------------
MISC_COLOUR = 1 << 0
"""CRTC and status at 3D4, 3D5, 3DA; clear: at 3B4, 3B5, 3BA."""
MISC_CLOCK_SHIFT = 2
MISC_CLOCK_MASK = 0x0C

INPUT_STATUS_0_SENSE = 1 << 4
INPUT_STATUS_1_DISPLAY_DISABLED = 1 << 0
INPUT_STATUS_1_VERTICAL_RETRACE = 1 << 3

# --- Sequencer (3C4, 3C5) ----------------------------------------------------------------------------------------------------------------------------------
SEQ_RESET, SEQ_CLOCKING_MODE, SEQ_MAP_MASK, SEQ_CHARACTER_MAP, SEQ_MEMORY_MODE = range(5)
SEQ_WRITABLE = (0x03, 0x3D, 0x0F, 0x3F, 0x0E)
SEQ_INDEX_MASK = 0x07

CLOCKING_8_DOTS = 1 << 0
CLOCKING_HALF_RATE = 1 << 3
CLOCKING_SCREEN_OFF = 1 << 5

MEMORY_EXTENDED = 1 << 1
MEMORY_SEQUENTIAL = 1 << 2
"""Clear: even CPU addresses write planes 0 and 2, odd ones planes 1 and 3."""
MEMORY_CHAIN_4 = 1 << 3

# --- Graphics controller (3CE, 3CF) ------------------------------------------------------------------------------------------------------------------------
(
    GC_SET_RESET,
    GC_ENABLE_SET_RESET,
    GC_COLOUR_COMPARE,
    GC_DATA_ROTATE,
    GC_READ_MAP,
    GC_MODE,
    GC_MISCELLANEOUS,
    GC_COLOUR_DONT_CARE,
    GC_BIT_MASK,
) = range(9)
GC_WRITABLE = (0x0F, 0x0F, 0x0F, 0x1F, 0x03, 0x7B, 0x0F, 0x0F, 0xFF)
GC_INDEX_MASK = 0x0F

ROTATE_COUNT_MASK = 0x07
ROTATE_FUNCTION_SHIFT = 3

MODE_WRITE_MASK = 0x03
MODE_READ_COMPARE = 1 << 3
MODE_ODD_EVEN = 1 << 4
MODE_SHIFT_INTERLEAVE = 1 << 5
MODE_SHIFT_256 = 1 << 6

GC_GRAPHICS = 1 << 0
GC_MEMORY_MAP_SHIFT = 2
GC_MEMORY_MAP_A0000_64K = 1 << GC_MEMORY_MAP_SHIFT

# --- CRT controller (3D4, 3D5 or 3B4, 3B5) -----------------------------------------------------------------------------------------------------------------
CRTC_REGISTERS = 25
CRTC_INDEX_MASK = 0x3F

CRTC_HORIZONTAL_TOTAL = 0x00
CRTC_HORIZONTAL_DISPLAY_END = 0x01
CRTC_VERTICAL_TOTAL = 0x06
CRTC_OVERFLOW = 0x07
CRTC_PRESET_ROW_SCAN = 0x08
CRTC_MAXIMUM_SCAN_LINE = 0x09
CRTC_CURSOR_START = 0x0A
CRTC_CURSOR_END = 0x0B
CRTC_START_ADDRESS_HIGH = 0x0C
CRTC_START_ADDRESS_LOW = 0x0D
CRTC_CURSOR_LOCATION_HIGH = 0x0E
CRTC_CURSOR_LOCATION_LOW = 0x0F
CRTC_VERTICAL_RETRACE_START = 0x10
CRTC_VERTICAL_RETRACE_END = 0x11
CRTC_VERTICAL_DISPLAY_END = 0x12
CRTC_OFFSET = 0x13
CRTC_UNDERLINE = 0x14
CRTC_MODE_CONTROL = 0x17
CRTC_LINE_COMPARE = 0x18

OVERFLOW_LINE_COMPARE_8 = 1 << 4
RETRACE_END_PROTECT = 1 << 7
"""Registers 0 to 7 are read only, but for line compare's bit 8."""
PRESET_BYTE_PANNING_SHIFT = 5
MAXIMUM_DOUBLE_SCAN = 1 << 7
SCAN_LINE_MASK = 0x1F
CURSOR_OFF = 1 << 5
MODE_CONTROL_BYTE_MODE = 1 << 6
MODE_CONTROL_ROW_SCAN_MASK = 0x03
"""Bits 0 and 1, when clear, let row scan bits 0 and 1 replace address bits 13 and 14 (as on the CGA and Hercules)."""

# --- Attribute controller (3C0, 3C1) -----------------------------------------------------------------------------------------------------------------------
ATTRIBUTE_INDEX_MASK = 0x1F
ATTRIBUTE_VIDEO_ENABLE = 1 << 5
ATTRIBUTE_WRITABLE = (0x3F,) * 16 + (0xEF, 0xFF, 0x3F, 0x0F, 0x0F)
ATTRIBUTE_MODE, ATTRIBUTE_OVERSCAN, ATTRIBUTE_PLANE_ENABLE, ATTRIBUTE_PANNING, ATTRIBUTE_COLOUR_SELECT = range(0x10, 0x15)

ATTRIBUTE_LINE_GRAPHICS = 1 << 2
ATTRIBUTE_BLINK = 1 << 3
ATTRIBUTE_P5_P4_SELECT = 1 << 7

# --- Palette (3C6 to 3C9) ----------------------------------------------------------------------------------------------------------------------------------
DAC_BYTES = 768
DAC_STATE_READ = 3
"""Read at 3C7 after the read address was written there; 0 after the write address was written at 3C8."""

# --- Bochs VBE extensions (1CE, 1CF) -----------------------------------------------------------------------------------------------------------------------
(
    VBE_ID,
    VBE_XRES,
    VBE_YRES,
    VBE_BPP,
    VBE_ENABLE,
    VBE_BANK,
    VBE_VIRT_WIDTH,
    VBE_VIRT_HEIGHT,
    VBE_X_OFFSET,
    VBE_Y_OFFSET,
    VBE_VIDEO_MEMORY_64K,
) = range(11)

VBE_ID_FIRST = 0xB0C0
VBE_ID_LAST = 0xB0C5

VBE_ENABLED = 1 << 0
VBE_GETCAPS = 1 << 1
VBE_8BIT_DAC = 1 << 5
VBE_LFB_ENABLED = 1 << 6
VBE_NOCLEARMEM = 1 << 7

VBE_MAX_XRES = 3840
VBE_MAX_YRES = 2400
VBE_MAX_BPP = 32
VBE_DEPTHS = (4, 8, 15, 16, 24, 32)

ISA_FRAME_BUFFER = 0xE000_0000
"""VBE_DISPI_LFB_PHYSICAL_ADDRESS: where software without PCI looks for the frame buffer."""
