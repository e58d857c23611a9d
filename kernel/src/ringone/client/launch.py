"""Starting a machine's process: it goes on when whoever started it has gone."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ringone.api.errors import DriverError
from ringone.client.problems import error_of

START_S = 300.0
"""Loading a saved state takes a while."""
END_S = 30.0
UNTIL_INPUT_ENDS = "--until-input-ends"
COMPLAINT_BYTES = 2000


class MachineProcess:
    """A machine's process, which `launch` has started and which answers on `socket`."""

    def __init__(self, process: subprocess.Popen[bytes], socket: Path) -> None:
        self.socket = socket
        self.pid = process.pid
        self._process = process
        threading.Thread(target=process.wait, name=f"end of process {process.pid}", daemon=True).start()

    @property
    def exit_code(self) -> int | None:
        """None while the process runs; negative where a signal killed it."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask the process to power off and go; nothing where it has gone."""
        self._process.terminate()

    def finish(self) -> None:
        """After power-off: wait until the process is gone, and see to it that it goes."""
        for end in (self._process.terminate, self._process.kill):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_S)
                return
            end()
        self._process.wait()


def launch(machine: str, home: Path | None = None, arguments: Sequence[str] = (), *, timeout_s: float = START_S) -> MachineProcess:
    """Start the machine (name or UUID) and return when it runs. Raises the error that kept it from running; nothing is left behind then.

    `arguments` are more ones of ``python -m ringone.home.headless``; with `UNTIL_INPUT_ENDS` the process ends with this one, however that ends.
    """
    command = [sys.executable, "-m", "ringone.home.headless", "--announce", "--machine", machine, *arguments]
    if home is not None:
        command += ["--home", str(home)]
    with tempfile.TemporaryFile() as complaints:
        process = _start(command, subprocess.PIPE if UNTIL_INPUT_ENDS in arguments else subprocess.DEVNULL, complaints)
        answer = _answer(process, timeout_s)
        if answer is None:
            raise DriverError(f"machine {machine!r} did not run within {timeout_s:g} s; its process was killed")
        if "socket" in answer:
            return MachineProcess(process, Path(answer["socket"]))
        process.wait()
        if answer:
            raise error_of(answer, 0)
        complaints.seek(0)
        said = complaints.read()[-COMPLAINT_BYTES:].decode("utf-8", "replace").strip()
    raise DriverError(f"the process of machine {machine!r} ended with status {process.returncode} before the machine ran{': ' if said else ''}{said}")


def _start(command: Sequence[str], stdin: int, complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=complaints, start_new_session=True)
    except OSError as error:
        raise DriverError(f"{command[0]}: cannot start the machine's process: {error.strerror or error}") from error


def _answer(process: subprocess.Popen[bytes], timeout_s: float) -> Mapping[str, Any] | None:
    """What the process says, nothing where it ends before; None where it took too long and was killed."""
    assert process.stdout is not None
    too_late = threading.Event()

    def give_up() -> None:
        too_late.set()
        process.kill()

    timer = threading.Timer(timeout_s, give_up)
    timer.start()
    try:
        with process.stdout:
            line = process.stdout.readline()
    finally:
        timer.cancel()
        timer.join()
    if too_late.is_set():
        process.wait()
        return None
    return _understood(line)


def _understood(line: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
