"""Characters instead of keys: clients with keyboards on a screen send them, and a clipboard holds them. A layout, which is to be the guest's, says which keys
they are."""

from __future__ import annotations

import logging

import attrs
from ringone.api.errors import UnsupportedError
from ringone.keyboard import Layout, strokes

MOST_LOGGED = 64

_log = logging.getLogger("ringone.rdp")


@attrs.define
class Characters:
    """What the layout lacks is logged once and not typed."""

    layout: Layout
    _lacking: set[str] = attrs.field(factory=set, init=False)

    def codes(self, character: str, *, capitals: bool) -> bytes:
        """`capitals`: the guest's Caps Lock is on, and turns letters around."""
        if character in self._lacking:
            return b""
        turned = character.swapcase() if capitals else character
        try:
            return b"".join(strokes(turned if len(turned) == 1 else character, self.layout))
        except UnsupportedError:
            self._lacking.add(character)
            if len(self._lacking) <= MOST_LOGGED:
                _log.warning("keyboard layout %s cannot type U+%04X", self.layout.name, ord(character))
            return b""
