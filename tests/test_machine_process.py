"""A machine in a process of its own: how it comes, how it goes, what it leaves behind, and what it says when it cannot come."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import httpx
import pytest
from ringone.api.errors import BackendError, ConfigError, DriverError, LockedError, NotFoundError, RingOneError, UnknownNameError
from ringone.api.events import MachineState, StateChanged
from ringone.api.hooks import hookimpl
from ringone.api.media import NewMedium, clone_medium
from ringone.api.settings import MachineSettings
from ringone.client.launch import MachineProcess, launch
from ringone.home import Home, RegisteredMachine, headless
from ringone.home.runtime import runtime_folder
from ringone.machine import Session
from ringone.plugins import PluginRegistry

from guests.echo import READY, machine, write_image

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Unix-domain sockets and signals")
ESCAPE = [0x01, 0x81]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory, registry: PluginRegistry) -> Path:
    """The guest's, as VDI, on which snapshots can stand."""
    folder = tmp_path_factory.mktemp("echo")
    formats = registry.media_formats()
    path = folder / "echo.vdi"
    clone_medium(formats["raw"], [write_image(folder / "echo.img")], formats["vdi"], NewMedium(path=path))
    return path


@attrs.frozen
class Echo:
    """A machine of a home of the test's own."""

    home: Home
    folder: Path
    registered: RegisteredMachine
    processes: list[MachineProcess] = attrs.field(factory=list)

    def launch(self, *arguments: str) -> MachineProcess:
        process = launch("echo", self.folder, arguments)
        self.processes.append(process)
        return process

    @property
    def log(self) -> str:
        return (self.registered.logs / "VBox.log").read_text()

    @property
    def aborted(self) -> bool:
        return self.home.load(self.registered).aborted


@pytest.fixture
def echo(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, disk: Path, registry: PluginRegistry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Echo]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("r")))
    folder = tmp_path / "home"
    home = Home.open(folder, registry)
    own = Path(shutil.copy(disk, tmp_path / "echo.vdi"))
    echo = Echo(home, folder, home.register(home.create(MachineSettings(config=machine(own)))))
    yield echo
    for process in echo.processes:
        process.terminate()
        process.finish()


def client(process: MachineProcess) -> httpx.Client:
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(process.socket)), base_url="http://machine", timeout=60)


def wait(http: httpx.Client, **condition: object) -> httpx.Response:
    return http.post("/wait", json={"timeout_s": 30, "clock": "wall", **condition})


def nothing_is_left(echo: Echo) -> None:
    assert echo.home.holder(echo.registered) is None
    assert list(runtime_folder().iterdir()) == []
    assert not [path for path in echo.registered.folder.iterdir() if path.name.startswith(".")]


# --- coming and going


def test_a_machine_runs_until_it_is_powered_off_and_leaves_nothing_but_its_log(echo: Echo) -> None:
    process = echo.launch()
    with client(process) as http:
        assert http.get("/machine").json()["pid"] == process.pid != os.getpid()
        assert str(process.pid) in str(echo.home.holder(echo.registered))
        assert wait(http, serial=READY).is_success
        assert "poweroff -> running" in http.get("/log").text
        assert http.post("/machine/power-off").json()["state"] == "poweroff"
    process.finish()
    assert process.exit_code == 0
    nothing_is_left(echo)
    assert not echo.aborted
    assert "the process ends: the machine is poweroff" in echo.log


def test_the_process_ends_when_the_guest_powers_off_and_those_who_waited_are_told(echo: Echo) -> None:
    process = echo.launch()
    with client(process) as http, ThreadPoolExecutor() as pool:
        wait(http, serial=READY)
        off, never = pool.submit(wait, http, state="poweroff"), pool.submit(wait, http, text="never")
        http.post("/keyboard/scancodes", json={"codes": ESCAPE})
        assert (off.result().status_code, never.result().status_code) == (200, 409)
    process.finish()
    assert process.exit_code == 0
    nothing_is_left(echo)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_signals_power_the_machine_off(echo: Echo, number: signal.Signals) -> None:
    process = echo.launch()
    os.kill(process.pid, number)
    process.finish()
    assert process.exit_code == 0
    assert f"the process ends: {number.name}" in echo.log
    assert "running -> poweroff" in echo.log
    assert not echo.aborted
    nothing_is_left(echo)


def test_a_killed_machine_is_aborted_and_starts_again(echo: Echo) -> None:
    process = echo.launch()
    os.kill(process.pid, signal.SIGKILL)
    process.finish()
    assert process.exit_code == -signal.SIGKILL
    assert process.socket.exists()
    assert echo.aborted
    second = echo.launch()
    with client(second) as http:
        assert wait(http, serial=READY).is_success
        http.post("/machine/power-off")
    second.finish()
    assert not echo.aborted
    nothing_is_left(echo)
    assert {path.name for path in echo.registered.logs.iterdir()} == {"VBox.log", "VBox.log.1"}


def test_a_crash_leaves_its_story_in_the_log(echo: Echo) -> None:
    process = echo.launch()
    os.kill(process.pid, signal.SIGSEGV)
    process.finish()
    assert process.exit_code == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in echo.log
    assert echo.aborted
    process.socket.unlink()


def test_a_process_that_is_to_stay_can_roll_a_machine_back_that_is_off(echo: Echo) -> None:
    process = echo.launch("--after-power-off", "stay")
    with client(process) as http:
        wait(http, serial=READY)
        checkpoint = http.post("/checkpoints").json()["id"]
        http.post("/keyboard/scancodes", json={"codes": ESCAPE})
        assert wait(http, state="poweroff").is_success
        http.post(f"/checkpoints/{checkpoint}/roll-back")
        assert http.post("/machine/resume").json()["state"] == "running"
    process.terminate()
    process.finish()
    assert process.exit_code == 0


def test_of_two_starts_at_once_one_wins_and_the_other_says_who_has_the_machine(echo: Echo) -> None:
    def start() -> MachineProcess | LockedError:
        try:
            return echo.launch()
        except LockedError as error:
            return error

    with ThreadPoolExecutor() as pool:
        outcomes = [future.result() for future in (pool.submit(start), pool.submit(start))]
    (process,) = (outcome for outcome in outcomes if isinstance(outcome, MachineProcess))
    (error,) = (outcome for outcome in outcomes if isinstance(outcome, LockedError))
    assert re.search(rf"'echo' is already locked for a session: process {process.pid} is running it since", str(error))
    with client(process) as http:
        assert http.get("/machine").json()["state"] == "running"


class Breaks:
    """A plugin whose machine breaks as soon as it runs."""

    @hookimpl
    def ringone_machine_assembled(self, session: Session) -> None:
        def observe(event: object) -> None:
            if isinstance(event, StateChanged) and event.new is MachineState.RUNNING:
                session._machine.abort(BackendError("patm", "it broke"))

        session.subscribe(observe)


def test_a_machine_that_a_part_breaks_is_aborted_and_its_log_says_why(echo: Echo, registry: PluginRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headless, "PluginRegistry", lambda: registry.extended([Breaks()]))
    assert headless.run(headless.ProcessOptions(machine="echo", home=echo.folder), headless.Foreground()) == 1
    assert echo.aborted
    assert "aborted: CPU backend patm: it broke" in echo.log
    nothing_is_left(echo)


# --- what cannot come


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (("--frontend", "teleprinter"), UnknownNameError, "--frontend: unknown frontend 'teleprinter'"),
        (("--frontend", "control-api:colour=red"), RingOneError, "--frontend control-api: unknown option 'colour'"),
        (("--frontend", "control-api:socket=/nowhere/at/all"), DriverError, "/nowhere/at: cannot make the folder of the socket: No such file"),
    ],
    ids=["frontend", "option", "socket"],
)
def test_a_process_that_cannot_serve_says_why_and_leaves_nothing(echo: Echo, arguments: tuple[str, ...], kind: type[RingOneError], message: str) -> None:
    with pytest.raises(kind) as caught:
        echo.launch(*arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert message in echo.log
    runtime_folder().mkdir(exist_ok=True)
    nothing_is_left(echo)


def test_a_machine_without_its_disk_says_so_and_leaves_nothing(echo: Echo) -> None:
    (echo.folder.parent / "echo.vdi").unlink()
    with pytest.raises(ConfigError, match=r"disk at ide port 0 device 0: .*echo\.vdi does not exist"):
        echo.launch()
    runtime_folder().mkdir(exist_ok=True)
    nothing_is_left(echo)
    assert not echo.aborted


def test_an_unknown_machine_is_not_found(echo: Echo) -> None:
    with pytest.raises(NotFoundError, match="Could not find a registered machine named 'nobody'"):
        launch("nobody", echo.folder)


def test_a_start_that_takes_too_long_is_given_up(echo: Echo) -> None:
    with pytest.raises(DriverError, match=r"machine 'echo' did not run within 0\.05 s; its process was killed"):
        launch("echo", echo.folder, timeout_s=0.05)


def test_a_process_that_cannot_even_begin_is_told_of_with_what_it_said(echo: Echo) -> None:
    with pytest.raises(DriverError, match=r"(?s)ended with status 2 before the machine ran: .*unrecognized arguments: --nonsense"):
        launch("echo", echo.folder, ["--nonsense"])


def test_in_the_foreground_the_process_speaks_to_a_person(echo: Echo) -> None:
    command = [sys.executable, "-m", "ringone.home.headless", "--home", str(echo.folder), "--machine", "echo"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert re.match(r"echo: running; socket .*\.sock, log .*VBox\.log\n", process.stderr.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    failed = subprocess.run([*command[:-1], "nobody"], capture_output=True, text=True)
    assert (failed.returncode, failed.stderr) == (1, "error: Could not find a registered machine named 'nobody'\n")


# --- states on disk, over HTTP


def test_snapshots_are_taken_listed_edited_restored_and_deleted(echo: Echo) -> None:
    process = echo.launch()
    with client(process) as http:
        wait(http, serial=READY)
        first = http.post("/snapshots", json={"name": "ready", "description": "just booted"}).json()
        assert (first["name"], first["description"], first["online"], first["parent"], first["current"]) == ("ready", "just booted", True, None, True)
        http.post("/keyboard/text", json={"text": "changed"})
        wait(http, text="changed")
        second = http.post("/snapshots", json={"name": "typed"}).json()
        assert second["parent"] == first["uuid"]
        assert http.patch("/snapshots/typed", json={"name": "later"}).json()["name"] == "later"
        assert http.post(f"/snapshots/{first['uuid']}/restore").status_code == 204
        assert "changed" not in http.get("/screen/text").text
        assert [(each["name"], each["current"]) for each in http.get("/snapshots").json()] == [("ready", True), ("later", False)]
        assert http.delete("/snapshots/later").status_code == 204
        assert http.post("/snapshots/later/restore").json()["type"] == "UnknownNameError"
        assert http.get("/machine").json()["state"] == "running"


def test_progress_is_told_while_a_snapshot_is_taken(echo: Echo) -> None:
    process = echo.launch()
    lines: list[str] = []
    with client(process) as http, http.stream("GET", "/events") as stream:
        reader = threading.Thread(target=lambda: lines.extend(stream.iter_lines()))
        reader.start()
        http.post("/snapshots", json={"name": "one"})
        http.post("/machine/power-off")
        reader.join(30)
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert names[-1] == "StateChanged"
    assert names.count("OperationProgress") >= 1
    assert "SnapshotTaken" in names


def test_a_saved_machine_goes_on_where_it_was(echo: Echo) -> None:
    first = echo.launch()
    with client(first) as http:
        wait(http, serial=READY)
        http.post("/keyboard/text", json={"text": "before"})
        wait(http, text="before")
        assert http.post("/machine/save").status_code == 204
    first.finish()
    assert first.exit_code == 0
    assert echo.home.load(echo.registered).state_file is not None
    second = echo.launch()
    with client(second) as http:
        assert "before" in http.get("/screen/text").text
        http.post("/keyboard/text", json={"text": "after"})
        assert wait(http, text="beforeafter").is_success
