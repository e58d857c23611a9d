"""The server's end of the graphics pipeline ([MS-RDPEGFX] 3.3): one surface that is the desktop, and frames that wait for the client's acknowledgements.

A client may advertise its capabilities again at any time, to recover from an error: everything begins anew then.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from ringone_frontend_rdp.errors import ProtocolError
from ringone_frontend_rdp.graphics import pdus
from ringone_frontend_rdp.graphics.pdus import CacheImportOffer, CapsAdvertise, CapsSet, FrameAcknowledge, Version

CHANNEL = "Microsoft::Windows::RDS::Graphics"
SURFACE = 0
MOST_FRAMES_UNDER_WAY = 2


class Pipeline:
    """A listener of its dynamic channel. `send` takes messages of that channel; `changed` is called when there is something else to do for the caller: `ready`
    or `refused` has become true, everything is to be drawn anew, or another frame may go out."""

    def __init__(self, send: Callable[[bytes], None], changed: Callable[[], None]) -> None:
        self.caps: CapsSet | None = None
        self.refused = False
        self.epoch = 0
        """Grows whenever the client has forgotten everything."""
        self._send, self._changed = send, changed
        self._size: tuple[int, int] | None = None
        self._numbers = itertools.count(1)
        self._under_way: set[int] = set()
        self._acknowledges = True

    @property
    def ready(self) -> bool:
        return self.caps is not None

    @property
    def may_send(self) -> bool:
        return self.ready and len(self._under_way) < MOST_FRAMES_UNDER_WAY

    def resize(self, width: int, height: int) -> None:
        """Nothing where the desktop has this size."""
        if self._size == (width, height):
            return
        old = [] if self._size is None else [pdus.delete_surface(SURFACE)]
        self._size = (width, height)
        new = [pdus.reset_graphics(width, height), pdus.create_surface(SURFACE, width, height), pdus.map_surface_to_output(SURFACE)]
        self._send_all(old + new)

    def send_frame(self, commands: Sequence[bytes], milliseconds: int) -> None:
        """`milliseconds` of the day."""
        number = next(self._numbers) & 0xFFFFFFFF
        if self._acknowledges:
            self._under_way.add(number)
        seconds, fraction = divmod(milliseconds, 1000)
        minutes, second = divmod(seconds, 60)
        hour, minute = divmod(minutes, 60)
        timestamp = hour << 22 | minute << 16 | second << 10 | fraction
        self._send_all([pdus.start_frame(number, timestamp), *commands, pdus.end_frame(number)])

    # --- of the dynamic channel

    def opened(self) -> None:
        """The client speaks first."""

    def closed(self) -> None:
        self.caps = None
        self.refused = True
        self._changed()

    def received(self, message: bytes) -> None:
        for pdu in pdus.parse(message):
            match pdu:
                case CapsAdvertise(sets):
                    self._agree(sets)
                case FrameAcknowledge(queue_depth, frame):
                    self._acknowledged(queue_depth, frame)
                case CacheImportOffer():
                    self._send_all([pdus.cache_import_reply()])

    def _agree(self, sets: Sequence[CapsSet]) -> None:
        known = [each for each in sets if each.version in set(Version)]
        if not known:
            raise ProtocolError(f"graphics versions {', '.join(f'{each.version:#x}' for each in sets) or 'none'}; accepted: 8.0 to 10.7")
        self.caps = max(known, key=lambda each: each.version)
        self._send_all([pdus.caps_confirm(self.caps)])
        self._size = None
        self._under_way.clear()
        self._acknowledges = True
        self.epoch += 1
        self._changed()

    def _acknowledged(self, queue_depth: int, frame: int) -> None:
        """A client that does not want to acknowledge gets frames as fast as it reads them, until it acknowledges one again."""
        self._acknowledges = queue_depth != pdus.SUSPEND_FRAME_ACKNOWLEDGEMENT
        if self._acknowledges:
            self._under_way.discard(frame)
        else:
            self._under_way.clear()
        self._changed()

    def _send_all(self, commands: Sequence[bytes]) -> None:
        for message in pdus.messages(commands):
            self._send(message)
