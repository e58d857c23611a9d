"""Calls become requests, answers become values, problems become the errors that they were. Synchronous and asynchronous machines are asked the same."""

from __future__ import annotations

import asyncio
import builtins
import inspect
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone.api.errors import ConfigError, DriverError, PluginError, RingOneError, StateError, UnknownNameError, WaitTimeoutError
from ringone.api.events import MachineState
from ringone.client import AsyncMachine, Event, Machine, MachineInfo, Match, RecordingInfo, RemoteDisplayInfo, Snapshot
from ringone.client.events import EventDecoder
from ringone.client.places import RunningPlace
from ringone.client.problems import KINDS, error_of

from kernel.tests.client.stub_server import Answer, Asked, StubServer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs Unix-domain sockets")

INFO: dict[str, Any] = {
    "name": "debian",
    "uuid": "12ab",
    "os_type": "Debian",
    "memory_bytes": 128 << 20,
    "state": "running",
    "reason": "",
    "error": None,
    "pid": 4711,
    "backend": "recompiler",
    "virtual_ns": 5,
    "uptime_s": 1.5,
}
SNAPSHOT: dict[str, Any] = {"uuid": "34cd", "name": "first", "description": "", "online": True, "parent": None, "current": True}
DISPLAY: dict[str, Any] = {
    "enabled": True,
    "port": 5000,
    "address": "127.0.0.1",
    "fingerprint": "ab:cd",
    "error": "",
    "clients": [{"address": "127.0.0.1", "user": "alice"}],
    "clients_so_far": 2,
    "sent_bytes": 4000,
    "received_bytes": 300,
    "properties": {"TCP/Ports": "5000"},
}
RECORDING: dict[str, Any] = {"enabled": True, "recording": True, "file": "/a.mp4", "width": 640, "height": 480, "fps": 10, "error": ""}
MATCH = {"text": "login:", "groups": [], "start": 10, "end": 16, "virtual_ns": 7}


@pytest.fixture
def server() -> Iterator[StubServer]:
    with tempfile.TemporaryDirectory() as folder, StubServer(Path(folder) / "s") as server:
        server.answers["GET /machine"] = Answer.json(INFO)
        yield server


@pytest.fixture
def vm(server: StubServer) -> Iterator[Machine]:
    with Machine(RunningPlace(server.socket)) as machine:
        yield machine


CALLS: dict[str, tuple[Callable[[Any], Any], Asked, Answer, object]] = {
    "pause": (lambda vm: vm.pause(), Asked("POST", "/machine/pause", b""), Answer(), None),
    "info": (
        lambda vm: vm.info(),
        Asked("GET", "/machine", b""),
        Answer.json({**INFO, "news": True}),
        MachineInfo(**INFO),
    ),
    "type": (lambda vm: vm.keyboard.type("root\n"), Asked("POST", "/keyboard/text", {"text": "root\n", "layout": "us"}), Answer(), None),
    "press": (lambda vm: vm.keyboard.press("down", "enter"), Asked("POST", "/keyboard/keys", {"keys": ["down", "enter"], "layout": "us"}), Answer(), None),
    "mouse": (lambda vm: vm.mouse.move(3, -4), Asked("POST", "/mouse", {"dx": 3, "dy": -4, "wheel": 0, "buttons": 0}), Answer(), None),
    "png": (lambda vm: vm.screen.png(), Asked("GET", "/screen.png", b""), Answer(b"\x89PNG", kind="image/png"), b"\x89PNG"),
    "text": (lambda vm: vm.screen.text(), Asked("GET", "/screen/text", b""), Answer("größe".encode(), kind="text/plain; charset=utf-8"), "größe"),
    "wait": (
        lambda vm: vm.screen.wait_for("login:", 5),
        Asked("POST", "/wait", {"text": "login:", "timeout_s": 5, "clock": "guest"}),
        Answer.json(MATCH),
        Match(text="login:", groups=(), start=10, end=16, virtual_ns=7),
    ),
    "memory": (
        lambda vm: vm.read_memory(0x400, 2),
        Asked("GET", "/memory?address=1024&size=2", b""),
        Answer(b"\xf8\x03", kind="application/octet-stream"),
        b"\xf8\x03",
    ),
    "serial write": (lambda vm: vm.serial.write("ls\n"), Asked("POST", "/serial/0", b"ls\n"), Answer(), None),
    "snapshots": (
        lambda vm: vm.snapshots.all(),
        Asked("GET", "/snapshots", b""),
        Answer.json([{**SNAPSHOT, "taken": "2026-01-01T00:00:00Z"}]),
        [Snapshot(**SNAPSHOT, taken="2026-01-01T00:00:00+00:00")],
    ),
    "remote display": (lambda vm: vm.remote_display.info(), Asked("GET", "/remote-display", b""), Answer.json(DISPLAY), RemoteDisplayInfo(**DISPLAY)),
    "remote display off": (
        lambda vm: vm.remote_display.change(enabled=False),
        Asked("PATCH", "/remote-display", {"enabled": False}),
        Answer.json(DISPLAY),
        RemoteDisplayInfo(**DISPLAY),
    ),
    "remote display port": (
        lambda vm: vm.remote_display.change(properties={"TCP/Ports": "5000"}),
        Asked("PATCH", "/remote-display", {"properties": {"TCP/Ports": "5000"}}),
        Answer.json(DISPLAY),
        RemoteDisplayInfo(**DISPLAY),
    ),
    "recording": (lambda vm: vm.recording.info(), Asked("GET", "/recording", b""), Answer.json(RECORDING), RecordingInfo(**RECORDING)),
    "recording into a file": (
        lambda vm: vm.recording.change(enabled=True, file=Path("/a.mp4"), width=640, height=480, fps=10),
        Asked("PATCH", "/recording", {"enabled": True, "file": "/a.mp4", "width": 640, "height": 480, "fps": 10}),
        Answer.json(RECORDING),
        RecordingInfo(**RECORDING),
    ),
    "snapshot name": (lambda vm: vm.snapshots.restore("a/b ü"), Asked("POST", "/snapshots/a%2Fb%20%C3%BC/restore", b""), Answer(), None),
}


@pytest.mark.parametrize(("call", "asked", "answer", "value"), CALLS.values(), ids=[*CALLS])
def test_a_call_asks_and_understands(server: StubServer, vm: Machine, call: Callable[[Any], Any], asked: Asked, answer: Answer, value: object) -> None:
    server.answers[f"{asked.method} {asked.path.partition('?')[0]}"] = answer
    assert call(vm) == value
    assert server.asked == [asked]


@pytest.mark.parametrize(("call", "asked", "answer", "value"), CALLS.values(), ids=[*CALLS])
def test_an_awaited_call_is_the_same(server: StubServer, call: Callable[[Any], Any], asked: Asked, answer: Answer, value: object) -> None:
    server.answers[f"{asked.method} {asked.path.partition('?')[0]}"] = answer

    async def main() -> object:
        async with AsyncMachine(RunningPlace(server.socket)) as machine:
            return await call(machine)

    assert asyncio.run(main()) == value
    assert server.asked == [asked]


def test_a_call_keeps_its_signature_and_its_explanation(vm: Machine) -> None:
    assert str(inspect.signature(vm.keyboard.type)) == "(text: 'str', layout: 'str' = 'us') -> 'Call[None]'"
    assert inspect.getdoc(vm.keyboard.type)


def test_the_state_is_asked_for_every_time(server: StubServer, vm: Machine) -> None:
    states = [vm.state]
    server.answers["GET /machine"] = Answer.json({**INFO, "state": "paused"})
    states.append(vm.state)
    assert states == [MachineState.RUNNING, MachineState.PAUSED]


# --- serial ports


def test_waiting_goes_on_behind_the_last_match(server: StubServer, vm: Machine) -> None:
    server.answers["POST /wait"] = Answer.json(MATCH)
    vm.serial.wait_for("login:")
    vm.serial.wait_for("login:")
    assert [asked.body["since"] for asked in server.asked] == [0, 16]


def test_reading_goes_on_where_it_ended(server: StubServer, vm: Machine) -> None:
    server.answers["GET /serial/0"] = Answer(b"hello", headers={"Serial-Position": "100"})
    assert vm.serial.read() == b"hello"
    vm.serial.read()
    assert [asked.path for asked in server.asked] == ["/serial/0?since=0", "/serial/0?since=105"]


def test_ports_are_read_each_for_itself(server: StubServer, vm: Machine) -> None:
    server.answers["GET /serial/0"] = server.answers["GET /serial/1"] = Answer(b"hello", headers={"Serial-Position": "0"})
    vm.serial.read()
    vm.serial_port(1).read()
    assert vm.serial_port(0) is vm.serial
    assert [asked.path for asked in server.asked] == ["/serial/0?since=0", "/serial/1?since=0"]


# --- checkpoints


@pytest.fixture
def checkpoints(server: StubServer) -> None:
    server.answers["POST /checkpoints"] = Answer.json({"id": 3})
    server.answers["POST /checkpoints/3/roll-back"] = Answer.json({"id": 3, "serial_positions": {"0": 42}})
    server.answers["DELETE /checkpoints/3"] = Answer()


@pytest.mark.usefixtures("checkpoints")
def test_a_checkpoint_is_rolled_back_to_and_dropped_whatever_happens(server: StubServer, vm: Machine) -> None:
    with pytest.raises(ZeroDivisionError), vm.checkpoint() as checkpoint:
        raise ZeroDivisionError
    assert checkpoint == 3
    assert [f"{asked.method} {asked.path}" for asked in server.asked] == ["POST /checkpoints", "POST /checkpoints/3/roll-back", "DELETE /checkpoints/3"]


@pytest.mark.usefixtures("checkpoints")
def test_after_rolling_back_serial_ports_are_read_from_their_end(server: StubServer, vm: Machine) -> None:
    vm.take_checkpoint()
    vm.roll_back()
    assert vm.serial.position == 42


def test_rolling_back_needs_a_checkpoint(vm: Machine) -> None:
    with pytest.raises(StateError, match="no checkpoint was taken here"):
        vm.roll_back()


# --- errors


def test_a_problem_is_raised_as_the_error_that_it_was(server: StubServer, vm: Machine) -> None:
    problem = {"type": "WaitTimeoutError", "title": "Timeout", "status": 408, "detail": "'login:' was not on the screen", "screen": "panic"}
    server.answers["POST /wait"] = Answer.json(problem, 408, "application/problem+json")
    with pytest.raises(WaitTimeoutError, match=r"^'login:' was not on the screen$") as caught:
        vm.screen.wait_for("login:")
    assert caught.value.screen == "panic"


@pytest.mark.parametrize("name", KINDS)
def test_every_error_survives_the_journey(name: str) -> None:
    error = error_of({"type": f"https://example.org/errors/{name}", "detail": "what failed"}, 400)
    assert type(error) is KINDS[name]
    assert str(error) == "what failed"
    assert error.exit_code == KINDS[name].exit_code
    if isinstance(error, ConfigError):
        assert error.message == "what failed"


@pytest.mark.parametrize(
    "problem", [None, [], "x", {}, {"type": 7}, {"type": "SystemExit", "detail": "no"}, {"type": "WaitTimeoutError", "detail": "", "screen": 5}], ids=repr
)
def test_any_answer_with_a_bad_status_is_an_error(problem: object) -> None:
    assert isinstance(error_of(problem, 500), RingOneError)


def test_an_answer_of_another_shape_is_no_success(server: StubServer, vm: Machine) -> None:
    server.answers["GET /machine"] = Answer.json({"name": "x"})
    with pytest.raises(DriverError, match="GET /machine: the machine's answer is not understood"):
        vm.info()


def test_a_machine_that_does_not_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="no machine answers there"):
        Machine(RunningPlace(tmp_path / "none.sock")).info()


def test_without_httpx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name == "httpx":
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PluginError, match=r"install ringone-kernel\[client\]"):
        Machine(RunningPlace(tmp_path / "s"))


# --- events

STREAM = b'event: StateChanged\ndata: {"old": "running",\ndata: "new": "paused"}\n\n: keep alive\n\nevent: MachineReset\r\ndata:{"cause":"x"}\r\n\r\n'
EVENTS = [Event(kind="StateChanged", fields={"old": "running", "new": "paused"}), Event(kind="MachineReset", fields={"cause": "x"})]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_events_are_read_however_they_are_cut(cuts: list[int]) -> None:
    ends = [*sorted(cuts), len(STREAM)]
    decoder = EventDecoder()
    pieces = [STREAM[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert [event for piece in pieces for event in decoder.feed(piece)] == EVENTS


def test_events_are_iterated_over(server: StubServer, vm: Machine) -> None:
    server.answers["GET /events"] = Answer(STREAM, kind="text/event-stream")
    assert list(vm.events()) == EVENTS


def test_events_are_iterated_over_asynchronously(server: StubServer) -> None:
    server.answers["GET /events"] = Answer(STREAM, kind="text/event-stream")

    async def main() -> list[Event]:
        async with AsyncMachine(RunningPlace(server.socket)) as machine:
            return [event async for event in machine.events()]

    assert asyncio.run(main()) == EVENTS


def test_an_unknown_key_is_the_same_error_as_in_process(server: StubServer, vm: Machine) -> None:
    server.answers["POST /keyboard/keys"] = Answer.json({"type": "UnknownNameError", "detail": "unknown key 'entr'"}, 422, "application/problem+json")
    with pytest.raises(UnknownNameError, match="unknown key 'entr'"):
        vm.keyboard.press("entr")
