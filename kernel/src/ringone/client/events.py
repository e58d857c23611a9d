"""Server-sent events (WHATWG HTML, section 9.2), as much as the control API uses: named events with JSON data."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ringone.client.answers import Event

MAX_EVENT_BYTES = 1 << 20


class EventDecoder:
    """Bytes in any pieces to events."""

    def __init__(self) -> None:
        self._line = b""
        self._kind = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[Event]:
        *lines, self._line = (self._line + piece).split(b"\n")
        if len(self._line) > MAX_EVENT_BYTES:
            raise ValueError(f"an event of more than {MAX_EVENT_BYTES} bytes")
        for line in lines:
            yield from self._take(line.rstrip(b"\r").decode())

    def _take(self, line: str) -> Iterator[Event]:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if self._data:
                yield Event(kind=self._kind, fields=json.loads("\n".join(self._data)))
            self._kind, self._data = "", []
        elif name == "event":
            self._kind = value
        elif name == "data":
            self._data.append(value)
