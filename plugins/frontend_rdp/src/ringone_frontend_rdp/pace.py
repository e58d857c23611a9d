"""How much work one client may make for the server and the machine. Who asks for more is listened to less often; who does so without end is disconnected.

A mouse that tells a thousand movements in a second is listened to every three milliseconds. What piles up while the machine is busy is taken in within seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import attrs

from ringone_frontend_rdp.errors import ProtocolError

PDU_S = 0.0002
"""What reading a PDU counts for: some ten times what it takes."""
EVENT_S = 0.0001
"""Of the keyboard or the mouse."""
REQUEST_S = 0.0025
"""What it counts for to make the machine's thread leave the guest."""
MESSAGE_S = 0.001
"""Of a static channel: the pump looks whether there is something to draw."""
REDRAW_S = 0.25
"""A whole screen, because the client has forgotten it."""
BURST_S = 0.25
READ_BYTES = 16 << 10
"""So much is read at once. Who always has as much again to say sends without heed of what becomes of it."""
LONGEST_FLOOD_S = 30


@attrs.define
class Pace:
    _now: Callable[[], float] = time.monotonic
    _paid_until: float = attrs.field(default=float("-inf"), init=False)
    _floods_since: float | None = attrs.field(default=None, init=False)

    def spend(self, work_s: float, read: int) -> float:
        """How long the client is not to be listened to after so much work that came in so many bytes."""
        now = self._now()
        self._paid_until = max(self._paid_until, now - BURST_S) + work_s
        if read < READ_BYTES:
            self._floods_since = None
        elif self._floods_since is None:
            self._floods_since = now
        elif now - self._floods_since > LONGEST_FLOOD_S:
            raise ProtocolError(f"for {LONGEST_FLOOD_S} seconds, more than the server takes from one client")
        return max(0.0, self._paid_until - now)
