"""Keyboard layouts: which key gives which character.

A layout is drawn as the keyboard looks: four rows of keys, once for each level that Shift and AltGr select. What is engraved on keyboards and the same under
Windows and Linux stands here, and where those two differ, what Linux has. Dead keys are named beside the table; accented letters that have no key of their own
are typed with them.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping

import attrs

from ringone.api.errors import UnknownNameError

SHIFT = b"\x2a"
ALTGR = b"\xe0\x38"
BREAK = 0x80

NOTHING = "□"
"""Stands for a key that gives nothing on a level."""

_KEYS = (
    # make codes of the rows, from left to right
    bytes((0x29, *range(0x02, 0x0E))),
    bytes(range(0x10, 0x1C)),
    bytes((*range(0x1E, 0x29), 0x2B)),
    bytes((0x56, *range(0x2C, 0x36))),
)
_JAPANESE_KEYS = (_KEYS[0] + b"\x7d", _KEYS[1], _KEYS[2], _KEYS[3] + b"\x73")

COMBINING = {"\u0300": "`", "\u0301": "´", "\u0302": "^ˆ", "\u0303": "~", "\u0308": "¨", "\u030a": "°", "\u0327": "¸"}
"""What a dead key has engraved, by the mark that it puts on the next letter. ``ˆ`` is for keyboards that have a living ``^`` too."""


def undone(make: bytes) -> bytes:
    """The break codes of make codes, in reverse order."""
    return b"".join(code[:-1] + bytes((code[-1] | BREAK,)) for code in reversed(re.findall(rb"\xe0?[^\xe0]", make, re.DOTALL)))


@attrs.frozen
class Stroke:
    """One key, pressed and released, with what is held meanwhile."""

    code: int
    shift: bool = False
    altgr: bool = False

    def codes(self) -> bytes:
        codes = bytes((self.code, self.code | BREAK))
        for modifier in self.modifiers():
            codes = modifier + codes + undone(modifier)
        return codes

    def modifiers(self) -> list[bytes]:
        return [make for make, held in ((ALTGR, self.altgr), (SHIFT, self.shift)) if held]


SPACE = Stroke(0x39)


@attrs.frozen
class Layout:
    """`table` has a line for each row of keys, with what they give without a modifier, with Shift, with AltGr and with both. Characters of `dead` are on
    dead keys."""

    name: str
    title: str
    table: str
    dead: str = ""
    keys: tuple[bytes, ...] = _KEYS

    @functools.cached_property
    def direct(self) -> Mapping[str, Stroke]:
        """Characters that one key gives."""
        return {character: stroke for character, stroke in self._engraved() if character not in self.dead} | {" ": SPACE}

    @functools.cached_property
    def accents(self) -> Mapping[str, Stroke]:
        """Dead keys."""
        return {character: stroke for character, stroke in self._engraved() if character in self.dead}

    def strokes(self, character: str) -> tuple[Stroke, ...]:
        """Empty for what the layout cannot type."""
        if character in self.direct:
            return (self.direct[character],)
        if character in self.accents:
            return self.accents[character], SPACE
        parts = unicodedata.normalize("NFD", character)
        if len(parts) != 2 or parts[0] not in self.direct:
            return ()
        dead = next((self.accents[mark] for mark in COMBINING.get(parts[1], "") if mark in self.accents), None)
        return () if dead is None else (dead, self.direct[parts[0]])

    def _engraved(self) -> Iterator[tuple[str, Stroke]]:
        """The lower level last, so that it wins where a character is on several."""
        rows = [line.split() for line in self.table.strip().splitlines()]
        for level in reversed(range(len(rows[0]))):
            for codes, row in zip(self.keys, rows, strict=True):
                for code, character in zip(codes, row[level], strict=True):
                    if character != NOTHING:
                        yield character, Stroke(code, shift=bool(level & 1), altgr=bool(level & 2))


_ALL = (
    Layout(
        "us",
        "English (US)",
        r"""
        `1234567890-=  ~!@#$%^&*()_+
        qwertyuiop[]   QWERTYUIOP{}
        asdfghjkl;'\   ASDFGHJKL:"|
        □zxcvbnm,./    □ZXCVBNM<>?
        """,
    ),
    Layout(
        "uk",
        "English (UK)",
        r"""
        `1234567890-=  ¬!"£$%^&*()_+  □□□□€□□□□□□□□
        qwertyuiop[]   QWERTYUIOP{}   □□□□□□□□□□□□
        asdfghjkl;'#   ASDFGHJKL:@~   □□□□□□□□□□□□
        \zxcvbnm,./    |ZXCVBNM<>?    □□□□□□□□□□□
        """,
    ),
    Layout(
        "de",
        "German",
        r"""
        ^1234567890ß´  °!"§$%&/()=?`  □□²³□□□{[]}\□
        qwertzuiopü+   QWERTZUIOPÜ*   @□€□□□□□□□□~
        asdfghjklöä#   ASDFGHJKLÖÄ'   □□□□□□□□□□□□
        <yxcvbnm,.-    >YXCVBNM;:_    |□□□□□□µ□□□
        """,
        dead="^´`",
    ),
    Layout(
        "fr",
        "French",
        r"""
        ²&é"'(-è_çà)=  □1234567890°+  □□~#{[|`\^@]}
        azertyuiopˆ$   AZERTYUIOP¨£   □□€□□□□□□□□¤
        qsdfghjklmù*   QSDFGHJKLM%µ   □□□□□□□□□□□□
        <wxcvbn,;:!    >WXCVBN?./§    □□□□□□□□□□□
        """,
        dead="ˆ¨",
    ),
    Layout(
        "es",
        "Spanish",
        r"""
        º1234567890'¡  ª!"·$%&/()=?¿  \|@#~□¬□□□□□□
        qwertyuiop`+   QWERTYUIOP^*   □□€□□□□□□□[]
        asdfghjklñ´ç   ASDFGHJKLÑ¨Ç   □□□□□□□□□□{}
        <zxcvbnm,.-    >ZXCVBNM;:_    □□□□□□□□□□□
        """,
        dead="`´^¨",
    ),
    Layout(
        "it",
        "Italian",
        r"""
        \1234567890'ì  |!"£$%&/()=?^  □□□□□□□□□□□`~  □□□□□□□□□□□□□
        qwertyuiopè+   QWERTYUIOPé*   □□€□□□□□□□[]   □□□□□□□□□□{}
        asdfghjklòàù   ASDFGHJKLç°§   □□□□□□□□□@#□   □□□□□□□□□□□□
        <zxcvbnm,.-    >ZXCVBNM;:_    □□□□□□□□□□□    □□□□□□□□□□□
        """,
    ),
    Layout(
        "se",
        "Swedish",
        r"""
        §1234567890+´  ½!"#¤%&/()=?`  □□@£$□□{[]}\□
        qwertyuiopå¨   QWERTYUIOPÅ^   □□€□□□□□□□□~
        asdfghjklöä'   ASDFGHJKLÖÄ*   □□□□□□□□□□□□
        <zxcvbnm,.-    >ZXCVBNM;:_    |□□□□□□µ□□□
        """,
        dead="´`¨^~",
    ),
    Layout(
        "ch",
        "German (Switzerland)",
        r"""
        §1234567890'^  °+"*ç%&/()=?`  □|@#□□¬□¢□□´~
        qwertzuiopü¨   QWERTZUIOPè!   □□€□□□□□□□[]
        asdfghjklöä$   ASDFGHJKLéà£   □□□□□□□□□□{}
        <yxcvbnm,.-    >YXCVBNM;:_    \□□□□□□□□□□
        """,
        dead="^`¨´~",
    ),
    Layout(
        "jp106",
        "Japanese (106 keys)",
        r"""
        □1234567890-^□  □!"#$%&'()□=~|
        qwertyuiop@[    QWERTYUIOP`{
        asdfghjkl;:]    ASDFGHJKL+*}
        □zxcvbnm,./\    □ZXCVBNM<>?_
        """,
        keys=_JAPANESE_KEYS,
    ),
)

LAYOUTS: Mapping[str, Layout] = {layout.name: layout for layout in _ALL}
ALIASES: Mapping[str, str] = {"en": "us", "gb": "uk", "jp": "jp106"}


def pick(layout: Layout | str) -> Layout:
    """A layout by name."""
    if isinstance(layout, Layout):
        return layout
    found = LAYOUTS.get(ALIASES.get(layout, layout))
    if found is None:
        raise UnknownNameError("keyboard layout", layout, [*LAYOUTS])
    return found
