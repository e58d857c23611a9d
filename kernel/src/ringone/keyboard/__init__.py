"""Keys and layouts of a PC keyboard: from names and text to scan codes of set 1. Data and pure functions, for everybody who types into a machine."""

from ringone.keyboard.keys import KEYS, chord, press, release, together
from ringone.keyboard.layouts import LAYOUTS, Layout, Stroke, pick
from ringone.keyboard.text import strokes

__all__ = ["KEYS", "LAYOUTS", "Layout", "Stroke", "chord", "pick", "press", "release", "strokes", "together"]
