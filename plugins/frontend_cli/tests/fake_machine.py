"""Run as a program under a pseudo-terminal: a console on a machine that shows the scan codes it was sent. What was done to it is printed as JSON at the end."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any, cast

from ringone.api.console import Frame, TextScreen
from ringone.api.events import MachineState
from ringone_frontend_cli.console import ScreenConsole
from ringone_frontend_cli.endings import Endings, MachineWatch

PALETTE = tuple((85 * (n & 3), 85 * (n & 3), 85 * (n >> 2)) for n in range(16))


class FakeSession:
    def __init__(self, graphics: bool) -> None:
        self.config = SimpleNamespace(name="fake machine")
        self.state = MachineState.RUNNING
        self.error = None
        self.done: list[str] = []
        self.codes = ""
        self._graphics = graphics
        self._generation = 0

    def __getattr__(self, name: str) -> Any:
        def do() -> None:
            self.done.append(name)

        return do

    def pause(self) -> None:
        self.done.append("pause")
        self.state = MachineState.PAUSED

    def resume(self) -> None:
        self.done.append("resume")
        self.state = MachineState.RUNNING

    def put_scancodes(self, codes: bytes) -> None:
        self.codes += codes.hex()
        self._generation += 1

    def frame_generation(self) -> int:
        return self._generation

    def text_screen(self) -> TextScreen | None:
        if self._graphics:
            return None
        text = f"scan codes <{self.codes}>".encode().ljust(80 * 25)
        return TextScreen(80, 25, b"".join(bytes((code, 7)) for code in text), (0, 0), PALETTE)

    def frame(self) -> Frame:
        return Frame(self._generation, 32, 20, bytes(range(256)) * 7 + bytes(128))


def main() -> None:
    session = cast(Any, FakeSession("graphics" in sys.argv))
    endings = Endings(20)
    endings.start_clock()
    watch = MachineWatch(session, endings, no_reboot=False, attended=True)
    ending = ScreenConsole().serve(session, watch, endings)
    print(json.dumps({"ending": ending.kind.value, "detail": ending.detail, "done": session.done, "codes": session.codes}))


main()
