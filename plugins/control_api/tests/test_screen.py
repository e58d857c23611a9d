from __future__ import annotations

import io

from PIL import Image
from ringone.api.console import Frame
from ringone_control_api import screen
from ringone_control_api.screen import Pictures, cells, png

from plugins.control_api.tests.fake_session import text_screen

PIXELS = bytes(range(48))


def test_a_png_has_the_frames_pixels() -> None:
    image = Image.open(io.BytesIO(png(Frame(1, 4, 4, PIXELS))))
    assert (image.format, image.mode, image.size, image.tobytes()) == ("PNG", "RGB", (4, 4), PIXELS)


def test_an_unchanged_screen_is_compressed_once() -> None:
    pictures = Pictures()
    first = pictures.png(Frame(1, 4, 4, PIXELS))
    assert pictures.png(Frame(1, 4, 4, PIXELS)) is first
    assert pictures.png(Frame(2, 4, 4, PIXELS[::-1])) == screen.png(Frame(2, 4, 4, PIXELS[::-1]))


def test_cells_hold_every_character_and_attribute() -> None:
    shown = cells(text_screen("Hi", columns=4, rows=2, cursor=(2, 0)))
    assert shown["rows"] == ["Hi  ", "    "]
    assert shown["attributes"] == ["07070707", "07070707"]
    assert shown["cursor"] == {"column": 2, "row": 0}
    assert shown["columns"] == 4
    assert len(shown["palette"]) == 16
    assert shown["palette"][0] == "#000000"


def test_a_hidden_cursor_is_null() -> None:
    assert cells(text_screen("", cursor=None))["cursor"] is None
