"""The latch behind port 0x80: firmware leaves its power-on self-test codes there, and drivers write to it to pass a microsecond.

Statistics show the last code. The two digits on a POST card are left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from ringone.api.devices import DeviceContext

from ringone_devices_pc.post_port.config import PostPortOptions
from ringone_devices_pc.post_port.state import PostPortState


class PostPort:
    def __init__(self, context: DeviceContext, options: PostPortOptions) -> None:
        self._state = PostPortState()
        context.map_ports(options.port, 1, read=self.read, write=self.write)
        context.stats.provide(self._statistics)

    def _statistics(self) -> Mapping[str, int]:
        return {"Code": self._state.code}

    def reset(self) -> None:
        self._state.code = 0

    def save_state(self) -> PostPortState:
        return PostPortState(self._state.code)

    def load_state(self, state: PostPortState) -> None:
        self._state = PostPortState(state.code & 0xFF)

    def read(self, offset: int, size: int) -> int:
        return self._state.code

    def write(self, offset: int, size: int, value: int) -> None:
        self._state.code = value
