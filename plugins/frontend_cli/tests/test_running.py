from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from ringone.api.config import DeviceConfig, MachineConfig
from ringone.api.devices import DeviceContext, DeviceSpec
from ringone.api.errors import ConfigError, DeviceError
from ringone.api.events import MediumFull
from ringone.api.frontends import FrontendSpec, VmSession
from ringone.api.hooks import hookimpl
from ringone.api.options import NoOptions, option
from ringone.machine import load_config
from ringone.plugins import PluginRegistry
from ringone_frontend_cli.arguments import MachineArguments, machine_config
from ringone_frontend_cli.endings import EndKind, explain
from ringone_frontend_cli.logs import CliLog
from ringone_frontend_cli.running import RunOptions, run_machine
from ringone_frontend_cli.watching import TextSearch, Unconnected, WatchedStream, watch_for

UNATTENDED = RunOptions(display="none", timeout_s=20)


@attrs.define(slots=True)
class NoState:
    pass


class Troublemaker:
    """A device that does `trouble` a millisecond after power-on, or at reset."""

    def __init__(self, context: DeviceContext, options: Any) -> None:
        self._context = context
        self._timer = context.timer("trouble", self._make_trouble)

    def reset(self) -> None:
        self._timer.arm_after(1_000_000)

    def _make_trouble(self) -> None:
        raise ZeroDivisionError("out of order")

    def save_state(self) -> NoState:
        return NoState()

    def load_state(self, state: NoState) -> None:
        pass


class FailsAtReset(Troublemaker):
    def reset(self) -> None:
        raise ZeroDivisionError("out of order")


class FullDisk(Troublemaker):
    def _make_trouble(self) -> None:
        self._context.emit(MediumFull("ide", "no space left"))


@attrs.frozen(kw_only=True)
class FakeOptions:
    port: int = option(1, help="port")


class FakeFrontend:
    calls: list[str]

    def __init__(self, options: FakeOptions) -> None:
        self.calls.append(f"port {options.port}")

    def start(self, session: VmSession) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")


class Plugin:
    @hookimpl
    def ringone_device_types(self) -> Iterable[DeviceSpec]:
        for device in (Troublemaker, FailsAtReset, FullDisk):
            yield DeviceSpec(name=device.__name__, summary="", options=NoOptions, state=NoState, create=device)

    @hookimpl
    def ringone_frontends(self) -> Iterable[FrontendSpec]:
        yield FrontendSpec(name="fake", summary="", options=FakeOptions, create=FakeFrontend)


@pytest.fixture(scope="module")
def registry() -> PluginRegistry:
    return PluginRegistry([Plugin()])


@pytest.fixture
def log() -> Iterator[CliLog]:
    log = CliLog()
    log.install()
    yield log
    log.remove()


def machine_with(device: type) -> MachineConfig:
    return attrs.evolve(machine_config(MachineArguments(memory="4M")), devices=(DeviceConfig(id="bad", type=device.__name__),))


def test_a_machine_that_aborts_says_why_in_one_line(registry: PluginRegistry, log: CliLog, capsys: pytest.CaptureFixture[str]) -> None:
    report = run_machine(machine_with(Troublemaker), registry, UNATTENDED, log)
    assert report.ending.kind is EndKind.ABORTED
    assert report.ending.exit_code == 1
    assert "device bad failed" in report.ending.detail
    assert "ZeroDivisionError: out of order" in report.ending.detail
    assert capsys.readouterr().err.count("\n") == 1


def test_a_machine_that_cannot_start_raises_what_is_wrong(registry: PluginRegistry, log: CliLog) -> None:
    with pytest.raises(DeviceError, match="device bad failed in reset") as raised:
        run_machine(machine_with(FailsAtReset), registry, UNATTENDED, log)
    assert explain(raised.value) == "device bad failed in reset (ZeroDivisionError: out of order)"


def test_nobody_resumes_a_machine_that_paused_for_want_of_room(registry: PluginRegistry, log: CliLog) -> None:
    report = run_machine(machine_with(FullDisk), registry, UNATTENDED, log)
    assert (report.ending.kind, report.ending.exit_code) == (EndKind.PAUSED, 1)
    assert "no space left" in report.ending.detail


def test_frontends_live_as_long_as_the_run(registry: PluginRegistry, log: CliLog) -> None:
    FakeFrontend.calls = []
    run_machine(machine_with(Troublemaker), registry, attrs.evolve(UNATTENDED, frontends=["fake:port=7"]), log)
    assert FakeFrontend.calls == ["port 7", "start", "stop"]


def test_a_machine_file_runs(registry: PluginRegistry, log: CliLog, tmp_path: Path) -> None:
    file = tmp_path / "empty.vbox"
    file.write_text(
        '<VirtualBox xmlns="http://www.virtualbox.org/" version="1.12-linux">'
        '<Machine uuid="{00000000-0000-0000-0000-000000000001}" name="empty"><Hardware><Memory RAMSize="16"/></Hardware></Machine></VirtualBox>'
    )
    report = run_machine(load_config(file, registry), registry, attrs.evolve(UNATTENDED, timeout_s=0.3), log)
    assert (report.machine, report.ending.kind) == ("empty", EndKind.TIMEOUT)


def test_a_run_leaves_no_thread_and_no_socket_behind(registry: PluginRegistry, log: CliLog, tmp_path: Path) -> None:
    threads = set(threading.enumerate())
    config = machine_config(MachineArguments(serial=(f"unix:{tmp_path / 'com1'}", f"file:{tmp_path / 'com2'}")))
    run_machine(config, registry, attrs.evolve(UNATTENDED, timeout_s=0.3, until="never"), log)
    assert set(threading.enumerate()) <= threads
    assert [path.name for path in tmp_path.iterdir()] == ["com2"]


def test_watching_needs_a_first_serial_port(registry: PluginRegistry) -> None:
    config = attrs.evolve(machine_config(MachineArguments()), serial_ports=())
    with pytest.raises(ConfigError, match="serial port 1"):
        watch_for("x", config, registry, lambda: None)


@pytest.mark.parametrize("pieces", [[b"login:"], [b"log", b"in:"], [bytes((byte,)) for byte in b"\r\nlogin: "], [b"lologin:login:"]])
def test_a_watched_text_is_found_once_however_it_comes(pieces: list[bytes]) -> None:
    found: list[bool] = []
    stream = WatchedStream(Unconnected(), TextSearch(b"login:", lambda: found.append(True)))
    for piece in pieces:
        stream.write(piece)
    stream.write(b"login:")
    assert found == [True]


def test_log_lines_are_held_while_a_screen_is_shown(log: CliLog, capsys: pytest.CaptureFixture[str]) -> None:
    latest = log.hold()
    logging.getLogger("ringone.machine.com1").warning("connected to %s", "/dev/pts/9")
    logging.getLogger("ringone.machine.com1").info("not asked for")
    assert capsys.readouterr().err == ""
    assert latest() == "ringone: warning: machine.com1: connected to /dev/pts/9"
    assert latest() == ""
    log.let_go()
    assert capsys.readouterr().err == "ringone: warning: machine.com1: connected to /dev/pts/9\n"
