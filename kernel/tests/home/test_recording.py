"""A recording while its machine runs: begun as the machine file says, switched, and never half made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from ringone.api.config import MachineConfig, Recording
from ringone.api.errors import ConfigError, DriverError, RingOneError, StateError, UnsupportedError
from ringone.api.frontends import FrontendSpec
from ringone.api.recording import RecordingChange
from ringone.home.recording import RecordedScreen, check_new, file_of

ON, OFF = RecordingChange(enabled=True), RecordingChange(enabled=False)


@attrs.define
class Host:
    """A folder with a machine file in it, and what records."""

    folder: Path
    file: Recording = attrs.field(factory=Recording)
    log: list[str] = attrs.field(factory=list)
    failure: str = ""
    disk_is_full: bool = False

    def save(self, change: Callable[[Recording], Recording]) -> None:
        if self.disk_is_full:
            raise DriverError("no room")
        self.file = change(self.file)

    def make(self, wanted: Recording) -> Recorder:
        if wanted.fps == 0:
            raise ConfigError("no pictures")
        return Recorder(self, wanted)

    @property
    def config(self) -> MachineConfig:
        return MachineConfig(name="debian", source=self.folder / "machine.vbox")

    @property
    def offers(self) -> dict[str, FrontendSpec]:
        return {"vnc": spec("vnc"), "rdp": attrs.evolve(spec("rdp"), recorder=self.make)}

    def screen(self, wanted: Recording | None = None) -> RecordedScreen:
        session: Any = SimpleNamespace(config=self.config)
        screen = RecordedScreen(session, wanted or self.file, self.offers, self.save)
        screen.start()
        return screen


@attrs.define
class Recorder:
    host: Host
    wanted: Recording

    @property
    def file(self) -> Path:
        assert self.wanted.file is not None
        return self.wanted.file

    def start(self, session: object) -> None:
        try:
            self.file.touch(exist_ok=False)
        except OSError as error:
            raise DriverError(f"{self.file}: {error.strerror}") from error
        self.host.log.append(f"start {self.file.name}")

    def stop(self) -> None:
        self.host.log.append(f"stop {self.file.name}")

    def error(self) -> str:
        return self.host.failure


def spec(name: str) -> FrontendSpec:
    return FrontendSpec(name=name, summary="", options=object, create=lambda options: pytest.fail(name))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_it_is_made_while_the_machine_runs(host: Host, tmp_path: Path) -> None:
    host.file = Recording(enabled=True)
    screen = host.screen()
    assert screen.info().file == tmp_path / "debian.webm"
    screen.stop()
    assert host.log == ["start debian.webm", "stop debian.webm"]
    with pytest.raises(StateError, match="ends"):
        screen.change(ON)


def test_it_is_switched_on_and_off_here_and_in_the_file(host: Host, tmp_path: Path) -> None:
    screen = host.screen()
    assert (screen.info().file, host.log) == (None, [])
    assert screen.change(RecordingChange(enabled=True, file=Path("a.mp4"), fps=10)).file == tmp_path / "a.mp4"
    assert host.file == Recording(enabled=True, file=tmp_path / "a.mp4", fps=10)
    assert screen.change(OFF).file is None
    assert (host.file.enabled, host.log) == (False, ["start a.mp4", "stop a.mp4"])


def test_a_video_that_is_there_stays_and_the_next_one_has_the_time_in_its_name(host: Host, tmp_path: Path) -> None:
    (tmp_path / "debian.webm").write_text("precious")
    file = host.screen().change(ON).file
    assert file is not None
    assert file.name.startswith("debian-20")
    assert (file.suffix, file.parent) == (".webm", tmp_path)
    assert (tmp_path / "debian.webm").read_text() == "precious"
    assert host.file.file is None


def test_while_it_is_made_it_can_only_be_switched_off(host: Host, tmp_path: Path) -> None:
    screen = host.screen()
    screen.change(ON)
    screen.change(ON)
    with pytest.raises(StateError, match=r"being recorded into .*debian\.webm; accepted meanwhile: switching it off"):
        screen.change(RecordingChange(file=Path("b.mp4")))
    assert (host.log, host.file) == (["start debian.webm"], Recording(enabled=True))


def test_a_change_for_the_next_one_starts_nothing(host: Host, tmp_path: Path) -> None:
    assert host.screen().change(RecordingChange(width=640, height=480)).file is None
    assert (host.log, host.file) == ([], Recording(width=640, height=480))


def test_what_keeps_it_from_being_made_at_the_start_is_a_warning(host: Host, tmp_path: Path) -> None:
    host.file = Recording(enabled=True, fps=0)
    screen = host.screen()
    assert (screen.info().file, screen.info().error) == (None, "no pictures")
    assert screen.change(RecordingChange(enabled=True, fps=1)).error == ""
    assert host.log == ["start debian.webm"]


@pytest.mark.parametrize(
    ("change", "kind"),
    [(RecordingChange(enabled=True, file=Path("none/a.mp4")), DriverError), (RecordingChange(enabled=True, fps=0), ConfigError)],
    ids=["folder", "fps"],
)
def test_a_change_that_cannot_be_made_changes_nothing(host: Host, change: RecordingChange, kind: type[RingOneError]) -> None:
    screen = host.screen()
    with pytest.raises(kind):
        screen.change(change)
    assert (screen.info().recording, screen.info().error, host.file) == (Recording(), "", Recording())


def test_a_change_that_cannot_be_written_down_changes_nothing(host: Host) -> None:
    screen = host.screen()
    host.disk_is_full = True
    with pytest.raises(DriverError, match="no room"):
        screen.change(ON)
    assert (screen.info().file, host.file, host.log) == (None, Recording(), ["start debian.webm", "stop debian.webm"])


def test_one_that_has_ended_by_itself_says_why_and_can_be_begun_anew(host: Host) -> None:
    screen = host.screen()
    screen.change(ON)
    host.failure = "no room"
    assert (screen.info().file, screen.info().error) == (None, "no room")
    host.failure = ""
    assert screen.change(OFF).error == ""


def test_a_file_for_one_run_is_that_very_file_and_is_not_written_down(host: Host, tmp_path: Path) -> None:
    screen = host.screen()
    screen.record_to(tmp_path / "run.mp4")
    screen.start()
    assert (screen.info().file, host.file) == (tmp_path / "run.mp4", Recording())
    with pytest.raises(DriverError, match="File exists"):
        host.screen().record_to(tmp_path / "run.mp4")
    screen.change(OFF)
    assert host.file == Recording()


def test_a_new_video_is_checked_before_anything_is_made(host: Host, tmp_path: Path) -> None:
    check_new(tmp_path / "a.mp4", host.offers)
    (tmp_path / "b.mp4").touch()
    with pytest.raises(ConfigError, match="there already"):
        check_new(tmp_path / "b.mp4", host.offers)
    with pytest.raises(ConfigError, match="no folder"):
        check_new(tmp_path / "none" / "a.mp4", host.offers)
    assert [path.name for path in tmp_path.iterdir()] == ["b.mp4"]


def test_a_machine_without_a_folder_needs_a_name(host: Host) -> None:
    with pytest.raises(ConfigError, match="has no file"):
        file_of(MachineConfig(name="debian"), Recording(enabled=True))


@pytest.mark.parametrize(
    ("names", "kind", "said"), [((), UnsupportedError, "no plugin records"), (("a", "b"), ConfigError, "several frontends record screens: a, b")]
)
def test_who_records_is_never_guessed(host: Host, names: tuple[str, ...], kind: type[RingOneError], said: str) -> None:
    with pytest.raises(kind, match=said):
        check_new(Path("a.mp4"), {name: attrs.evolve(spec(name), recorder=host.make) for name in names})
