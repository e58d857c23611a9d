"""What the display adapter shows: text screens, pictures of every kind of mode, and when they count as changed."""

from __future__ import annotations

import pickle

import attrs
import pytest
from ringone.api.console import Display, Frame, TextScreen
from ringone.testing import DeviceHarness
from ringone_devices_pc.vga import SPEC
from ringone_devices_pc.vga.config import VgaOptions

FRAME_BUFFER = 0xE000_0000
TEXT = 0xB8000
FONT_BYTES_IN_PLANE = 32
XRES, YRES, BPP, ENABLE, VIRT_WIDTH, X_OFFSET, Y_OFFSET = 1, 2, 3, 4, 6, 8, 9
BLACK, BLUE, GREEN, RED, BROWN, GREY, YELLOW, WHITE = (
    (0, 0, 0),
    (0, 0, 170),
    (0, 170, 0),
    (170, 0, 0),
    (170, 85, 0),
    (170, 170, 170),
    (255, 255, 85),
    (255, 255, 255),
)


@attrs.frozen
class Mode:
    """Register values of a BIOS mode, as the BIOS's parameter table has them."""

    misc: int
    sequencer: bytes
    crtc: bytes
    graphics: bytes
    attribute: bytes

    @classmethod
    def of(cls, misc: int, sequencer: str, crtc: str, graphics: str, attribute: str) -> Mode:
        return cls(misc, bytes.fromhex(sequencer), bytes.fromhex(crtc), bytes.fromhex(graphics), bytes.fromhex(attribute))


EGA_PALETTE = "000102030405140738393a3b3c3d3e3f"
CGA_PALETTE = "00131517020406071011121314151617"
STRAIGHT_PALETTE = "000102030405060708090a0b0c0d0e0f"
MODE_03 = Mode.of(0x67, "0300030002", "5f4f50825581bf1f004f0d0e000000009c8e8f281f96b9a3ff", "0000000000100e00ff", EGA_PALETTE + "0c000f0800")
MODE_04 = Mode.of(0x63, "0309030002", "2d2728902b80bf1f00c10000000000009c8e8f140096b9a2ff", "0000000000300f00ff", CGA_PALETTE + "0100030000")
MODE_06 = Mode.of(0x63, "0301010006", "5f4f50825480bf1f00c10000000000009c8e8f280096b9c2ff", "0000000000000d00ff", "00" + "17" * 15 + "0100010000")
MODE_0D = Mode.of(0x63, "03090f0006", "2d2728902b80bf1f00c00000000000009c8e8f140096b9e3ff", "0000000000000500ff", EGA_PALETTE + "01000f0000")
MODE_12 = Mode.of(0xE3, "03010f0006", "5f4f508254800b3e0040000000000000ea8cdf2800e704e3ff", "000000000000050fff", EGA_PALETTE + "01000f0000")
MODE_13 = Mode.of(0x63, "03010f000e", "5f4f50825480bf1f00410000000000009c8e8f284096b9a3ff", "000000000040050fff", STRAIGHT_PALETTE + "41000f0000")


def write_crtc(vga: DeviceHarness, index: int, value: int) -> None:
    vga.write(0x3D4, value << 8 | index, size=2)


def write_attribute(vga: DeviceHarness, index: int, value: int) -> None:
    vga.read(0x3DA)
    vga.write(0x3C0, index)
    vga.write(0x3C0, value)
    vga.write(0x3C0, 0x20)


def write_sequencer(vga: DeviceHarness, index: int, value: int) -> None:
    vga.write(0x3C4, value << 8 | index, size=2)


def set_mode(vga: DeviceHarness, mode: Mode) -> None:
    vga.write(0x3C2, mode.misc)
    write_crtc(vga, 0x11, 0)
    for index, value in enumerate(mode.crtc):
        write_crtc(vga, index, value)
    for index, value in enumerate(mode.sequencer):
        write_sequencer(vga, index, value)
    for index, value in enumerate(mode.graphics):
        vga.write(0x3CE, value << 8 | index, size=2)
    for index, value in enumerate(mode.attribute):
        write_attribute(vga, index, value)


def ega_colours(vga: DeviceHarness) -> None:
    """DAC entry rgbRGB (the low three bits two thirds, the high ones a third) for entries 0-63, as the BIOS loads it for the EGA-compatible modes."""
    vga.write(0x3C8, 0)
    for entry in range(64):
        for gun in (2, 1, 0):
            vga.write(0x3C9, (entry >> gun & 1) * 42 + (entry >> gun + 3 & 1) * 21)


def put_colour(vga: DeviceHarness, entry: int, rgb: tuple[int, int, int]) -> None:
    vga.write(0x3C8, entry)
    for gun in rgb:
        vga.write(0x3C9, gun >> 2)


def vbe_write(vga: DeviceHarness, index: int, value: int) -> None:
    vga.write(0x1CE, index, size=2)
    vga.write(0x1CF, value, size=2)


def vbe_mode(vga: DeviceHarness, width: int, height: int, bpp: int) -> None:
    for index, value in ((ENABLE, 0), (XRES, width), (YRES, height), (BPP, bpp), (ENABLE, 0x41)):
        vbe_write(vga, index, value)
    vga.read(0x3DA)
    vga.write(0x3C0, 0x20)


@pytest.fixture
def vga() -> DeviceHarness:
    return make_vga()


def make_vga() -> DeviceHarness:
    vga = DeviceHarness(SPEC, options=VgaOptions(vram_bytes=8 << 20, pci=False))
    ega_colours(vga)
    return vga


@pytest.fixture
def text_vga(vga: DeviceHarness) -> DeviceHarness:
    set_mode(vga, MODE_03)
    return vga


def display(vga: DeviceHarness) -> Display:
    provided: Display = vga.provided("display")
    return provided


def screen(vga: DeviceHarness) -> TextScreen:
    text = display(vga).text()
    assert text is not None
    return text


def put_text(vga: DeviceHarness, cell: int, text: bytes, attribute: int = 0x07) -> None:
    for at, character in enumerate(text):
        vga.mmio_write(TEXT + 2 * (cell + at), attribute << 8 | character, size=2)


def put_glyph(vga: DeviceHarness, character: int, rows: list[str], font: int = 0) -> None:
    """A glyph drawn with # and ., into plane 2 of the font at that plane address."""
    for line, row in enumerate(rows):
        dots = int(row.replace("#", "1").replace(".", "0"), 2)
        vga.memory.write(FRAME_BUFFER + 4 * (font + FONT_BYTES_IN_PLANE * character + line) + 2, bytes((dots,)))


def put_planes(vga: DeviceHarness, address: int, *planes: int) -> None:
    vga.memory.write(FRAME_BUFFER + 4 * address, bytes(planes) + bytes(4 - len(planes)))


def pixels(frame: Frame, x: int, y: int, count: int) -> list[tuple[int, int, int]]:
    at = 3 * (y * frame.width + x)
    data = frame.pixels[at : at + 3 * count]
    return list(zip(data[0::3], data[1::3], data[2::3], strict=True))


def drawn(frame: Frame, x: int, y: int, width: int, height: int, lit: tuple[int, int, int]) -> list[str]:
    """A piece of the picture with # for `lit` and . for everything else."""
    return ["".join("#" if pixel == lit else "." for pixel in pixels(frame, x, y + line, width)) for line in range(height)]


# --- Text screens ------------------------------------------------------------------------------------------------------------------------------------------


def test_text_is_what_the_guest_wrote(text_vga: DeviceHarness) -> None:
    put_text(text_vga, 0, b"Hello")
    put_text(text_vga, 81, b"World", 0x1E)
    text = screen(text_vga)
    assert (text.columns, text.rows, text.text()) == (80, 25, "Hello\n World")
    assert text.cells[162:166] == b"W\x1eo\x1e"


def test_the_palette_goes_through_the_attribute_controller(text_vga: DeviceHarness) -> None:
    assert screen(text_vga).palette[:8:2] == (BLACK, GREEN, RED, BROWN)
    write_attribute(text_vga, 2, 0x3F)
    assert screen(text_vga).palette[2] == WHITE


def test_colour_select_can_replace_the_upper_palette_bits(text_vga: DeviceHarness) -> None:
    write_attribute(text_vga, 0x14, 0x03)
    write_attribute(text_vga, 0x10, 0x8C)
    assert screen(text_vga).palette[1] == (85, 85, 170)


def test_attribute_bit_7_is_background_brightness_only_where_it_does_not_blink(text_vga: DeviceHarness) -> None:
    put_text(text_vga, 0, b"x", 0x9F)
    assert screen(text_vga).cells[1] == 0x1F
    write_attribute(text_vga, 0x10, 0x04)
    assert screen(text_vga).cells[1] == 0x9F


@pytest.mark.parametrize(
    ("start", "end", "location", "cursor"),
    [(13, 14, 85, (5, 1)), (0x2D, 14, 85, None), (14, 13, 85, None), (13, 14, 2000, None), (13, 14, 1999, (79, 24))],
    ids=["shown", "switched off", "no lines", "below the screen", "last cell"],
)
def test_cursor(text_vga: DeviceHarness, start: int, end: int, location: int, cursor: tuple[int, int] | None) -> None:
    for index, value in ((0x0A, start), (0x0B, end), (0x0E, location >> 8), (0x0F, location & 0xFF)):
        write_crtc(text_vga, index, value)
    assert screen(text_vga).cursor == cursor


def test_the_start_address_scrolls(text_vga: DeviceHarness) -> None:
    put_text(text_vga, 160, b"third row")
    write_crtc(text_vga, 0x0D, 160)
    assert screen(text_vga).text() == "third row"


def test_the_offset_register_is_the_pitch(text_vga: DeviceHarness) -> None:
    put_text(text_vga, 100, b"row of 100")
    write_crtc(text_vga, 0x13, 50)
    assert screen(text_vga).text() == "\nrow of 100"


def test_line_compare_starts_again_at_address_0(text_vga: DeviceHarness) -> None:
    put_text(text_vga, 0, b"status line")
    put_text(text_vga, 2000, b"scrolled")
    write_crtc(text_vga, 0x0C, 2000 >> 8)
    write_crtc(text_vga, 0x0D, 2000 & 0xFF)
    write_crtc(text_vga, 0x07, 0x0F)
    write_crtc(text_vga, 0x09, 0x0F)
    write_crtc(text_vga, 0x18, 2 * 16 - 1)
    assert screen(text_vga).text() == "scrolled\n\nstatus line"


def test_rows_that_do_not_fit_are_not_text(text_vga: DeviceHarness) -> None:
    write_crtc(text_vga, 0x09, 0x4F - 2)
    assert screen(text_vga).rows == 28


def test_there_is_no_text_in_graphics_modes(vga: DeviceHarness) -> None:
    set_mode(vga, MODE_13)
    assert display(vga).text() is None
    assert display(vga).frame().text is None


# --- Text pictures -----------------------------------------------------------------------------------------------------------------------------------------

LETTER = ["..##....", ".#..#...", "#....#..", "######..", "#....#.#"]


def test_characters_are_drawn_with_the_guests_font(text_vga: DeviceHarness) -> None:
    put_glyph(text_vga, ord("A"), LETTER)
    put_text(text_vga, 81, b"A", 0x14)
    frame = display(text_vga).frame()
    assert (frame.width, frame.height) == (720, 400)
    assert drawn(frame, 9, 16, 9, 6, RED) == [*[row + "." for row in LETTER], "........."]
    assert pixels(frame, 9, 16, 3) == [BLUE, BLUE, RED]
    assert frame.text == screen(text_vga)


def test_eight_dot_cells_are_eight_pixels_wide(text_vga: DeviceHarness) -> None:
    put_glyph(text_vga, ord("A"), LETTER)
    put_text(text_vga, 1, b"A")
    write_sequencer(text_vga, 1, 0x01)
    frame = display(text_vga).frame()
    assert frame.width == 640
    assert drawn(frame, 8, 0, 8, 5, GREY) == LETTER


@pytest.mark.parametrize(("character", "ninth"), [(0xC4, "#"), (0xB3, "."), (0xE0, ".")])
def test_line_drawing_characters_reach_the_ninth_dot(text_vga: DeviceHarness, character: int, ninth: str) -> None:
    put_glyph(text_vga, character, ["########"])
    put_text(text_vga, 0, bytes((character,)))
    assert drawn(display(text_vga).frame(), 0, 0, 9, 1, GREY) == ["########" + ninth]


def test_attribute_bit_3_chooses_between_two_fonts(text_vga: DeviceHarness) -> None:
    put_glyph(text_vga, ord("A"), ["#......."], font=0x0000)
    put_glyph(text_vga, ord("A"), [".#......"], font=0x6000)
    write_sequencer(text_vga, 3, 0x20 | 1 << 2)
    put_text(text_vga, 0, b"A", 0x07)
    put_text(text_vga, 1, b"A", 0x0F)
    frame = display(text_vga).frame()
    assert (drawn(frame, 0, 0, 9, 1, GREY), drawn(frame, 9, 0, 9, 1, WHITE)) == (["#........"], [".#......."])


def test_the_cursor_fills_its_scan_lines(text_vga: DeviceHarness) -> None:
    put_text(text_vga, 2, b" ", 0x0E)
    write_crtc(text_vga, 0x0F, 2)
    assert drawn(display(text_vga).frame(), 18, 12, 9, 4, YELLOW) == ["." * 9, "#" * 9, "#" * 9, "." * 9]


def test_underlined_attributes_are_underlined(text_vga: DeviceHarness) -> None:
    write_crtc(text_vga, 0x14, 0x0D)
    put_text(text_vga, 0, b"  ", 0x01)
    put_text(text_vga, 1, b" ", 0x02)
    assert drawn(display(text_vga).frame(), 8, 13, 2, 1, BLUE) == ["#."]


def test_pel_panning_shifts_text_by_dots(text_vga: DeviceHarness) -> None:
    put_glyph(text_vga, ord("A"), ["#......."])
    put_text(text_vga, 1, b"A")
    write_attribute(text_vga, 0x13, 0x02)
    assert drawn(display(text_vga).frame(), 5, 0, 3, 1, GREY) == [".#."]


def test_preset_row_scan_shifts_text_by_lines(text_vga: DeviceHarness) -> None:
    put_glyph(text_vga, ord("A"), LETTER)
    put_text(text_vga, 0, b"A")
    write_crtc(text_vga, 0x08, 3)
    assert drawn(display(text_vga).frame(), 0, 0, 8, 2, GREY) == LETTER[3:]


@pytest.mark.parametrize("blanked", [lambda vga: vga.write(0x3C0, 0x00), lambda vga: write_sequencer(vga, 1, 0x20)], ids=["video enable", "screen off"])
def test_a_blanked_screen_is_black_and_keeps_its_size(text_vga: DeviceHarness, blanked: object) -> None:
    put_text(text_vga, 0, b" ", 0x70)
    display(text_vga).frame()
    text_vga.read(0x3DA)
    blanked(text_vga)  # type: ignore[operator]
    frame = display(text_vga).frame()
    assert (frame.width, frame.height, set(frame.pixels), frame.text) == (720, 400, {0}, None)


# --- Graphics modes ----------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "size"),
    [(MODE_04, (320, 200)), (MODE_06, (640, 200)), (MODE_0D, (320, 200)), (MODE_12, (640, 480)), (MODE_13, (320, 200))],
    ids=["04", "06", "0D", "12", "13"],
)
def test_picture_sizes(vga: DeviceHarness, mode: Mode, size: tuple[int, int]) -> None:
    set_mode(vga, mode)
    frame = display(vga).frame()
    assert (frame.width, frame.height) == size
    assert len(frame.pixels) == 3 * size[0] * size[1]


@pytest.mark.parametrize(("mode", "pitch"), [(MODE_0D, 40), (MODE_12, 80)], ids=["0D", "12"])
def test_planes_are_the_bits_of_a_pixel(vga: DeviceHarness, mode: Mode, pitch: int) -> None:
    set_mode(vga, mode)
    put_planes(vga, 3 * pitch + 1, 0b1000_0001, 0b0100_0001, 0b0010_0001, 0b0001_0001)
    assert pixels(display(vga).frame(), 8, 3, 8) == [BLUE, GREEN, RED, (85, 85, 85), BLACK, BLACK, BLACK, WHITE]


def test_disabled_planes_are_not_seen(vga: DeviceHarness) -> None:
    set_mode(vga, MODE_12)
    put_planes(vga, 0, 0x80, 0x00, 0x80, 0x00)
    write_attribute(vga, 0x12, 0b1011)
    assert pixels(display(vga).frame(), 0, 0, 1) == [BLUE]


def test_pel_panning_shifts_planes_by_pixels(vga: DeviceHarness) -> None:
    set_mode(vga, MODE_12)
    put_planes(vga, 1, 0x80)
    write_attribute(vga, 0x13, 3)
    assert pixels(display(vga).frame(), 4, 0, 3) == [BLACK, BLUE, BLACK]


def test_cga_rows_lie_in_two_halves_with_two_bits_a_pixel(vga: DeviceHarness) -> None:
    set_mode(vga, MODE_04)
    for entry, rgb in ((0x13, GREEN), (0x15, RED), (0x17, WHITE)):
        put_colour(vga, entry, rgb)
    vga.mmio_write(TEXT + 80, 0b00_01_10_11)
    vga.mmio_write(TEXT + 0x2000 + 81, 0b11_00_00_00)
    frame = display(vga).frame()
    assert pixels(frame, 0, 2, 4) == [BLACK, GREEN, RED, WHITE]
    assert pixels(frame, 4, 3, 2) == [WHITE, BLACK]


def test_cga_two_colours(vga: DeviceHarness) -> None:
    set_mode(vga, MODE_06)
    put_colour(vga, 0x17, WHITE)
    vga.mmio_write(TEXT + 0x2000 + 80, 0b0100_0000)
    assert pixels(display(vga).frame(), 0, 3, 3) == [BLACK, WHITE, BLACK]


def test_mode_13h_is_a_byte_a_pixel(vga: DeviceHarness) -> None:
    set_mode(vga, MODE_13)
    vga.memory.write(0xA0000 + 320 * 5 + 3, bytes((4, 2)))
    assert pixels(display(vga).frame(), 3, 5, 2) == [RED, GREEN]


def test_mode_x_is_the_same_picture_without_chain_4(vga: DeviceHarness) -> None:
    set_mode(vga, MODE_13)
    write_sequencer(vga, 4, 0x06)
    write_crtc(vga, 0x14, 0x00)
    write_crtc(vga, 0x17, 0xE3)
    write_sequencer(vga, 2, 0b1000)
    vga.mmio_write(0xA0000 + 80 * 5, 4)
    assert pixels(display(vga).frame(), 2, 5, 2) == [BLACK, RED]


def test_the_pel_mask_selects_palette_bits(vga: DeviceHarness) -> None:
    set_mode(vga, MODE_13)
    vga.memory.write(0xA0000, bytes((0x86,)))
    vga.write(0x3C6, 0x04)
    assert pixels(display(vga).frame(), 0, 0, 1) == [RED]


def test_display_memory_wraps_after_64k_addresses(vga: DeviceHarness) -> None:
    set_mode(vga, MODE_12)
    put_planes(vga, 0, 0x80)
    write_crtc(vga, 0x0C, 0xFF)
    write_crtc(vga, 0x0D, 0xFF)
    assert pixels(display(vga).frame(), 8, 0, 1) == [BLUE]


# --- VBE ---------------------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bpp", "memory", "seen"),
    [
        (8, bytes((4,)), RED),
        (15, (0b0_11111_00001_10000).to_bytes(2, "little"), (255, 8, 132)),
        (15, (0b0_00000_11010_00000).to_bytes(2, "little"), (0, 214, 0)),
        (16, (0b11111_000001_10000).to_bytes(2, "little"), (255, 4, 132)),
        (16, (0b00001_111010_00000).to_bytes(2, "little"), (8, 235, 0)),
        (24, bytes((1, 2, 3)), (3, 2, 1)),
        (32, bytes((1, 2, 3, 0xFF)), (3, 2, 1)),
    ],
)
def test_vbe_pixel_formats(vga: DeviceHarness, bpp: int, memory: bytes, seen: tuple[int, int, int]) -> None:
    vbe_mode(vga, 640, 400, bpp)
    vga.memory.write(FRAME_BUFFER + (640 * 7 + 5) * len(memory), memory)
    frame = display(vga).frame()
    assert (frame.width, frame.height) == (640, 400)
    assert pixels(frame, 4, 7, 3) == [BLACK, seen, BLACK]


def test_vbe_four_bit_modes_are_planar(vga: DeviceHarness) -> None:
    set_mode(vga, MODE_12)
    vbe_mode(vga, 800, 600, 4)
    put_planes(vga, 100 * 2 + 1, 0, 0x40)
    assert pixels(display(vga).frame(), 8, 2, 2) == [BLACK, GREEN]


def test_vbe_offsets_move_the_visible_part(vga: DeviceHarness) -> None:
    vbe_mode(vga, 640, 400, 8)
    vbe_write(vga, VIRT_WIDTH, 1000)
    vbe_write(vga, X_OFFSET, 11)
    vbe_write(vga, Y_OFFSET, 300)
    vga.memory.write(FRAME_BUFFER + 1000 * 302 + 14, b"\x04")
    assert pixels(display(vga).frame(), 3, 2, 1) == [RED]


def test_offsets_beyond_memory_wrap(vga: DeviceHarness) -> None:
    vbe_mode(vga, 640, 400, 32)
    vbe_write(vga, Y_OFFSET, 0xFFFF)
    assert len(display(vga).frame().pixels) == 640 * 400 * 3


def test_eight_bit_dac_colours_are_not_widened(vga: DeviceHarness) -> None:
    vbe_mode(vga, 640, 400, 8)
    vbe_write(vga, ENABLE, 0x61)
    vga.write(0x3C8, 0)
    for value in (200, 100, 50):
        vga.write(0x3C9, value)
    assert pixels(display(vga).frame(), 0, 0, 1) == [(200, 100, 50)]


# --- Changes -----------------------------------------------------------------------------------------------------------------------------------------------


def draw_directly(vga: DeviceHarness) -> None:
    vga.memory.write(0xA0123, b"\x04")


CHANGES = {
    "text cell": (MODE_03, lambda vga: put_text(vga, 7, b"!")),
    "text cell through the frame buffer": (MODE_03, lambda vga: vga.memory.write(FRAME_BUFFER + 4 * 7, b"!")),
    "cursor": (MODE_03, lambda vga: write_crtc(vga, 0x0F, 9)),
    "start address": (MODE_03, lambda vga: write_crtc(vga, 0x0D, 80)),
    "glyph": (MODE_03, lambda vga: put_glyph(vga, 0, ["#......."])),
    "palette": (MODE_03, lambda vga: write_attribute(vga, 0, 5)),
    "mapped memory": (MODE_13, draw_directly),
    "plane": (MODE_12, lambda vga: vga.mmio_write(0xA0123, 0xFF)),
    "mode": (MODE_03, lambda vga: set_mode(vga, MODE_12)),
}


@pytest.mark.parametrize(("mode", "change"), CHANGES.values(), ids=CHANGES)
def test_the_generation_rises_with_a_visible_change(vga: DeviceHarness, mode: Mode, change: object) -> None:
    set_mode(vga, mode)
    before = display(vga).frame()
    assert display(vga).generation == before.generation
    change(vga)  # type: ignore[operator]
    assert display(vga).generation > before.generation
    assert display(vga).frame().generation == display(vga).generation


def test_the_generation_stays_without_one(text_vga: DeviceHarness) -> None:
    before = display(text_vga).frame()
    text_vga.mmio_write(TEXT + 2 * 3000, 0x0741, size=2)
    text_vga.read(0x3DA)
    text_vga.advance(20_000_000)
    assert display(text_vga).generation == before.generation
    assert display(text_vga).frame() is before


def test_rows_that_did_not_change_are_drawn_right_again(text_vga: DeviceHarness) -> None:
    put_glyph(text_vga, ord("A"), LETTER)
    put_text(text_vga, 80, b"A")
    before = display(text_vga).frame()
    put_text(text_vga, 160, b"A")
    write_crtc(text_vga, 0x0D, 80)
    write_crtc(text_vga, 0x0F, 80)
    after = display(text_vga).frame()
    assert drawn(after, 0, 0, 8, 5, GREY) == drawn(before, 0, 16, 8, 5, GREY) == LETTER
    assert drawn(after, 0, 16, 8, 5, GREY) == LETTER


@pytest.mark.parametrize("mode", [MODE_03, MODE_12, MODE_13], ids=["03", "12", "13"])
def test_a_restored_adapter_shows_the_same_picture(vga: DeviceHarness, mode: Mode) -> None:
    set_mode(vga, mode)
    vga.memory.write(FRAME_BUFFER, bytes(range(256)) * 64)
    restored = make_vga()
    restored.load(vga.save())
    assert display(restored).frame().pixels == display(vga).frame().pixels


@pytest.mark.parametrize("mode", [MODE_03, MODE_12, MODE_13], ids=["03", "12", "13"])
def test_a_picture_can_be_painted_in_another_process(vga: DeviceHarness, mode: Mode) -> None:
    set_mode(vga, mode)
    for content in (bytes(range(256)) * 64, bytes(256) + bytes(range(256)) * 63):
        vga.memory.write(FRAME_BUFFER, content)
        frame = display(vga).frame()
        paint = pickle.loads(pickle.dumps(frame.source))
        assert callable(paint)
        assert paint() == frame.pixels
