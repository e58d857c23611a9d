"""A program under a pseudo-terminal, for tests of what a person sees and types."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

LIMIT_S = 30.0
SEQUENCE = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


class TerminalProcess:
    """`output` is all that the program has written, `plain` the same without control sequences."""

    def __init__(self, command: list[str], columns: int, lines: int, cwd: str | None) -> None:
        import fcntl
        import struct
        import termios

        self._terminal, other = os.openpty()
        self._keep = other
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.settings = termios.tcgetattr(other)
        self.output = ""
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self.process = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=environment, cwd=cwd, start_new_session=True)

    @property
    def plain(self) -> str:
        return SEQUENCE.sub("", self.output)

    def restored(self) -> bool:
        import termios

        return termios.tcgetattr(self._keep) == self.settings

    def type(self, data: bytes) -> None:
        os.write(self._terminal, data)

    def read_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, self.plain
            self._read(0.1)

    def see(self, text: str) -> None:
        """Wait until `text` has been shown; what was shown before it is forgotten."""
        self.read_until(lambda: text in self.plain or self.process.poll() is not None)
        assert text in self.plain
        self.output = ""

    def end(self) -> int:
        """Wait for the program's end; its exit code."""
        self.read_until(lambda: self.process.poll() is not None)
        while self._read(0):
            pass
        return self.process.returncode

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for descriptor in (self._terminal, self._keep):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _read(self, timeout_s: float) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], timeout_s)
        if ready:
            self.output += os.read(self._terminal, 65536).decode(errors="replace")
        return bool(ready)


StartTerminal = Callable[..., TerminalProcess]


@pytest.fixture
def start_terminal() -> Iterator[StartTerminal]:
    """``start_terminal(*python_arguments, columns=, lines=, cwd=)``"""
    pytest.importorskip("termios", reason="terminals are POSIX")
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, columns: int = 100, lines: int = 30, cwd: str | None = None) -> TerminalProcess:
            process = TerminalProcess([sys.executable, *arguments], columns, lines, cwd)
            stack.callback(process.close)
            return process

        yield start
