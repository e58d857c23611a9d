"""``python -m ringone.home.headless --machine NAME``: one machine of a home in a process of its own, from power-on (or a saved state) to power-off.

The process has the machine's lock, its log and its frontends, of which the control API is always one. It ends with the machine: 0 when that was powered off,
by the guest, over the API or by a signal; 1 when it was aborted. A machine that is stuck is left to be looked at.
"""

from __future__ import annotations

import argparse
import contextlib
import enum
import faulthandler
import json
import logging
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import attrs

from ringone.api.errors import ConfigError, RingOneError, StateError
from ringone.api.events import MachineState, StateChanged
from ringone.api.frontends import Frontend
from ringone.home.home import Home
from ringone.home.locks import LockMode
from ringone.home.machine_log import machine_log
from ringone.home.paths import HOME_VARIABLE
from ringone.home.recording import RecordedScreen, check_new
from ringone.home.remotedisplay import ServedDisplay
from ringone.home.running import MachineRun, prepare_to_run
from ringone.home.runtime import socket_path
from ringone.machine import Session, create_shared_session
from ringone.options import bind_options
from ringone.plugins import PluginRegistry

CONTROL_API = "control-api"
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")

_log = logging.getLogger("ringone.process")


class AfterPowerOff(enum.Enum):
    EXIT = "exit"
    STAY = "stay"
    """Serve on until a signal comes: a machine that is off can still be rolled back to a checkpoint."""


@attrs.frozen(kw_only=True)
class ProcessOptions:
    """`machine` is a name or UUID. `frontends` maps names to options as text; the control API gets what it needs by itself."""

    machine: str
    home: Path | None = None
    frontends: Mapping[str, Mapping[str, str]] = attrs.field(factory=dict)
    after_power_off: AfterPowerOff = AfterPowerOff.EXIT
    remote_display: bool = False
    """Serve the remote display, whether or not the machine file says so."""
    record: Path | None = None
    """A video file to be made of this run, whatever the machine file says."""
    input: int | None = None
    """A file's descriptor: where given, the process ends when the file does."""


class Foreground:
    """How the process is getting on, for a person at a terminal."""

    def running(self, name: str, socket: Path, log: Path) -> None:
        print(f"{name}: running; socket {socket}, log {log}", file=sys.stderr, flush=True)  # noqa: T201

    def failed(self, error: RingOneError) -> None:
        print(f"error: {error}", file=sys.stderr, flush=True)  # noqa: T201


class Announced:
    """How the process is getting on, for the one that started it (`ringone.client.launch`): one line of JSON on standard output, whose other end is then
    free to go. What is said on standard error afterwards, by a crash, goes to the log."""

    def running(self, name: str, socket: Path, log: Path) -> None:
        with log.open("ab") as file:
            os.dup2(file.fileno(), sys.stderr.fileno())
        self._say({"pid": os.getpid(), "socket": str(socket)})

    def failed(self, error: RingOneError) -> None:
        self._say({"type": type(error).__name__, "detail": str(error)})

    def _say(self, what: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps(what) + "\n")
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())


class Endings:
    """What ends the process: the machine, a signal, or its starter's end. The first one counts."""

    def __init__(self, after_power_off: AfterPowerOff) -> None:
        ends = {MachineState.ABORTED: 1}
        if after_power_off is AfterPowerOff.EXIT:
            ends[MachineState.POWERED_OFF] = 0
        self._ends = ends
        self._queue: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()

    def observe(self, event: object) -> None:
        """The machine's observer."""
        if isinstance(event, StateChanged) and event.new in self._ends:
            self._queue.put((self._ends[event.new], f"the machine is {event.new.value}"))

    def interrupt(self, number: int) -> None:
        """From a signal handler."""
        self._queue.put((0, signal.Signals(number).name))

    def watch(self, descriptor: int) -> None:
        """Take the end of a file for an end of the process."""

        def read() -> None:
            while os.read(descriptor, 4096):
                pass
            self._queue.put((0, "standard input has ended"))

        threading.Thread(target=read, name="end of standard input", daemon=True).start()

    def wait(self) -> int:
        """Until something ends the process; returns its exit code."""
        exit_code, cause = self._queue.get()
        _log.info("the process ends: %s", cause)
        return exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ringone.home.headless", description="Run one machine of a home.")
    parser.add_argument("--machine", required=True, metavar="NAME|UUID", help="the machine")
    parser.add_argument("--home", type=Path, metavar="FOLDER", help="the home that it is in (default: $RINGONE_HOME, or the user's)")
    parser.add_argument("--frontend", action="append", default=[], metavar="NAME[:OPTION=VALUE,...]", help=f"a frontend beside {CONTROL_API}")
    parser.add_argument("--remote-display", action="store_true", help="serve the remote display, even where the machine file says that it is off")
    parser.add_argument("--record", type=Path, metavar="FILE", help="make a video of the screen; FILE must not be there yet")
    parser.add_argument("--after-power-off", choices=[each.value for each in AfterPowerOff], default="exit", help="whether the process ends (default: exit)")
    parser.add_argument("--until-input-ends", action="store_true", help="end with standard input, as it does when whoever holds its other end is gone")
    parser.add_argument("--announce", action="store_true", help="say in one line of JSON on standard output that the machine runs, or why it does not")
    given = parser.parse_args(arguments)
    report = Announced() if given.announce else Foreground()
    faulthandler.enable()
    if given.home is not None:  # who keeps something beside the home's settings finds them by it
        os.environ[HOME_VARIABLE] = str(given.home.expanduser().absolute())
    try:
        frontends = dict(_named(text) for text in given.frontend)
        options = ProcessOptions(
            machine=given.machine,
            home=given.home,
            frontends=frontends,
            remote_display=given.remote_display,
            record=given.record,
            after_power_off=AfterPowerOff(given.after_power_off),
            input=sys.stdin.fileno() if given.until_input_ends else None,
        )
        return run(options, report)
    except RingOneError as error:
        report.failed(error)
        return error.exit_code
    except Exception as error:
        traceback.print_exc()
        report.failed(RingOneError(f"the machine's process failed: {type(error).__name__}: {error}"))
        return RingOneError.exit_code


def run(options: ProcessOptions, report: Foreground | Announced) -> int:
    """Returns the exit code. Raises what keeps the machine from running."""
    endings = Endings(options.after_power_off)
    if options.input is not None:
        endings.watch(options.input)
    registry = PluginRegistry()
    with _signals_end(endings), contextlib.ExitStack() as stack:
        home = Home.open(options.home, registry)
        machine = home.find(options.machine)
        lock = stack.enter_context(home.lock(machine, LockMode.RUN, "running it"))
        log = stack.enter_context(machine_log(machine.logs, home.settings().log_history_count, f"{machine.name} {{{machine.uuid}}}, process {os.getpid()}"))
        stack.enter_context(_logged())
        if options.record is not None:
            check_new(options.record, registry.frontends())
        prepared = prepare_to_run(home, machine, lock, registry.media_formats())
        control_api = {"socket": str(socket_path(machine.uuid)), "log": str(log), **options.frontends.get(CONTROL_API, {})}
        frontends = _frontends({**options.frontends, CONTROL_API: control_api}, registry)
        session = create_shared_session(prepared.config, registry)
        stack.callback(_finish, prepared, session)
        session.subscribe(endings.observe)
        for frontend in frontends:
            frontend.start(session)
            stack.callback(frontend.stop)
        recording = RecordedScreen(session, prepared.config.recording, registry.frontends(), lambda change: keeper.change_recording(change))
        stack.callback(recording.stop)
        if options.record is not None:
            recording.record_to(options.record)
        keeper = prepared.start(session)
        session.recording = recording
        recording.start()
        wanted = prepared.config.remote_display
        wanted = attrs.evolve(wanted, enabled=wanted.enabled or options.remote_display)
        session.remote_display = display = ServedDisplay(session, wanted, registry.frontends(), keeper.change_remote_display)
        stack.callback(display.stop)
        display.start()
        report.running(machine.name, Path(control_api["socket"]), log)
        exit_code = endings.wait()
        with contextlib.suppress(StateError):  # so that clients see how it ended
            session.power_off()
        return exit_code


def _finish(prepared: MachineRun, session: Session) -> None:
    session.close()
    prepared.finish(session)


def _frontends(wanted: Mapping[str, Mapping[str, str]], registry: PluginRegistry) -> list[Frontend]:
    specs = [(registry.frontends().pick(name, source="--frontend"), text) for name, text in wanted.items()]
    return [spec.create(bind_options(spec.options, text, source=f"--frontend {spec.name}")) for spec, text in specs]


def _named(text: str) -> tuple[str, dict[str, str]]:
    """``NAME[:key=value,...]``"""
    name, _, rest = text.partition(":")
    pairs = [part.partition("=") for part in rest.split(",") if part]
    if not name or not all(key and equals for key, equals, _ in pairs):
        raise ConfigError(f"--frontend: {text!r}; accepted: NAME[:option=value,...]")
    return name, {key: value for key, _, value in pairs}


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    try:
        yield
    except RingOneError as error:
        _log.error("%s", error)
        raise
    except Exception:
        _log.exception("the machine's process failed")
        raise


@contextlib.contextmanager
def _signals_end(endings: Endings) -> Iterator[None]:
    """Signals power the machine off; a second one has its usual effect, in case the first one does not get through."""
    previous = {getattr(signal, name): signal.getsignal(getattr(signal, name)) for name in SIGNALS if hasattr(signal, name)}

    def interrupted(number: int, _frame: FrameType | None) -> None:
        endings.interrupt(number)
        signal.signal(number, previous[number])

    for number in previous:
        signal.signal(number, interrupted)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
