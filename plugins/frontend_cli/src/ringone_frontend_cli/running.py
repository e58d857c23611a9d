"""A run: the machine is assembled, started, attended to and taken apart, and what became of it goes into a report."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

import attrs
from ringone.api.config import MachineConfig
from ringone.api.errors import ConfigError, DriverError, RingOneError
from ringone.api.frontends import Frontend, VmSession
from ringone.home.recording import RecordedScreen, check_new
from ringone.home.remotedisplay import ServedDisplay
from ringone.machine import create_session
from ringone.options import bind_options
from ringone.plugins import PluginRegistry

from ringone_frontend_cli import arguments, console, watching
from ringone_frontend_cli.endings import Ending, Endings, EndKind, MachineWatch
from ringone_frontend_cli.logs import CliLog
from ringone_frontend_cli.report import Report
from ringone_frontend_cli.vboxmanage.vrde import served_at

DISPLAYS = ("auto", "terminal", "none")
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


@attrs.frozen(kw_only=True)
class RunOptions:
    display: str = "auto"
    no_reboot: bool = False
    until: str | None = None
    timeout_s: float | None = None
    frontends: Sequence[str] = ()
    record: Path | None = None
    """A video file."""


def run_machine(config: MachineConfig, registry: PluginRegistry, options: RunOptions, log: CliLog) -> Report:
    """Run `config` to its end. Raises what keeps it from running."""
    arguments.check_timeout(options.timeout_s)
    if options.record is not None:
        check_new(options.record, registry.frontends())
    attendant = choose_console(config, options.display, log)
    endings = Endings(options.timeout_s)
    started = time.monotonic()
    with signals_end(endings):
        config, registry = _watched(config, registry, options, endings)
        with attendant.connected(), assembled(config, registry) as session:
            ending = _attend(session, attendant, endings, registry, options, log)
            return _report(session, ending, time.monotonic() - started)


def choose_console(config: MachineConfig, display: str, log: CliLog) -> console.Console:
    if display not in DISPLAYS:
        raise ConfigError(f"--display: {display!r} is no display; accepted: {', '.join(DISPLAYS)}")
    stdio = arguments.uses_stdio(config)
    if display == "terminal":
        if stdio:
            raise ConfigError("--display terminal and a line on stdio both want the terminal; connect one of them to something else")
        console.require_terminal()
    if (display == "none" and not stdio) or not console.has_terminal():
        return console.Unattended()
    return console.LineConsole() if stdio else console.ScreenConsole(log.hold())


def _watched(config: MachineConfig, registry: PluginRegistry, options: RunOptions, endings: Endings) -> tuple[MachineConfig, PluginRegistry]:
    if options.until is None:
        return config, registry
    text = options.until
    config, plugin = watching.watch_for(text, config, registry, lambda: endings.put(EndKind.UNTIL, repr(text)))
    return config, registry.extended([plugin])


@contextlib.contextmanager
def assembled(config: MachineConfig, registry: PluginRegistry) -> Iterator[VmSession]:
    """A machine that is taken apart at the end."""
    try:
        session = create_session(config, registry)
    except DriverError as error:
        raise ConfigError(str(error)) from error
    try:
        yield session
    finally:
        session.close()


def _attend(session: VmSession, attendant: console.Console, endings: Endings, registry: PluginRegistry, options: RunOptions, log: CliLog) -> Ending:
    watch = MachineWatch(session, endings, no_reboot=options.no_reboot, attended=not isinstance(attendant, console.Unattended))
    session.subscribe(watch)
    frontends = [_frontend(text, registry) for text in options.frontends]
    with contextlib.ExitStack() as stack:
        for frontend in frontends:
            frontend.start(session)
            stack.callback(frontend.stop)
        recording = _recording(session, registry, options.record, stack)
        endings.start_clock()
        session.start()
        recording.start()
        _serve_remote_display(session, registry, log, stack)
        return attendant.serve(session, watch, endings)


def _serve_remote_display(session: VmSession, registry: PluginRegistry, log: CliLog, stack: contextlib.ExitStack) -> None:
    """As the machine's description says, until `stack` ends. A remote display that cannot be served is a warning."""
    session.remote_display = display = ServedDisplay(session, session.config.remote_display, registry.frontends(), _for_this_run)
    stack.callback(display.stop)
    display.start()
    endpoint = display.info().endpoint
    if endpoint is not None:
        log.tell(f"Remote display: {served_at(endpoint)}")


def _recording(session: VmSession, registry: PluginRegistry, file: Path | None, stack: contextlib.ExitStack) -> RecordedScreen:
    """Records into `file`, where one is given, until `stack` ends."""
    session.recording = recording = RecordedScreen(session, session.config.recording, registry.frontends(), _for_this_run)
    stack.callback(recording.stop)
    if file is not None:
        try:
            recording.record_to(file)
        except DriverError as error:
            raise ConfigError(str(error)) from error
    return recording


def _for_this_run(change: object) -> None:
    """A machine that runs in the foreground has no lock on its file, which is left alone."""


def _frontend(text: str, registry: PluginRegistry) -> Frontend:
    name, options = arguments.named(text, "--frontend")
    spec = registry.frontends().pick(name, source="--frontend")
    return spec.create(bind_options(spec.options, options, source=f"--frontend {name}"))


def _report(session: VmSession, ending: Ending, wall_s: float) -> Report:
    virtual_ns, statistics = counted(session)
    return Report(machine=session.config.name, ending=ending, wall_s=wall_s, virtual_ns=virtual_ns, statistics=statistics)


def counted(session: VmSession) -> tuple[int, Mapping[str, int]]:
    """Virtual time and statistics."""
    try:
        return session.virtual_ns(), dict(session.statistics())
    except RingOneError:  # the part that aborted the machine may be the one that counts
        return 0, {}


@contextlib.contextmanager
def signals_end(endings: Endings) -> Iterator[None]:
    """Signals end the run; a second one has its usual effect, in case the first one does not get through."""
    previous = {getattr(signal, name): signal.getsignal(getattr(signal, name)) for name in SIGNALS if hasattr(signal, name)}

    def interrupted(number: int, _frame: FrameType | None) -> None:
        endings.interrupt(number, signal.Signals(number).name)
        signal.signal(number, previous[number])

    for number in previous:
        signal.signal(number, interrupted)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
