"""The recording over the API: shown, switched and changed by whoever keeps it for the machine."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from ringone.api.config import Recording
from ringone.api.errors import ConfigError, StateError
from ringone.api.recording import RecordingChange, RecordingInfo

from .conftest import ServedGuest

OFF = {"enabled": False, "recording": False, "file": "", "width": 1024, "height": 768, "fps": 25, "error": ""}


@attrs.define
class Control:
    """`ringone.api.recording.RecordingControl`, which records into the machine's folder."""

    recording: Recording = attrs.field(factory=Recording)

    def info(self) -> RecordingInfo:
        file = Path("/machines/debian") / (self.recording.file or "debian.webm")
        return RecordingInfo(recording=self.recording, file=file if self.recording.enabled else None)

    def change(self, change: RecordingChange) -> RecordingInfo:
        if change.file == Path("video.avi"):
            raise ConfigError("recording into video.avi; accepted: files whose names end with .mp4, .webm")
        if self.recording.enabled and change.enabled is not False:
            raise StateError("'debian' is being recorded")
        fields = {name: value for name, value in attrs.asdict(change).items() if value is not None}
        self.recording = attrs.evolve(self.recording, **fields)
        return self.info()


@pytest.fixture
def control(off: ServedGuest) -> Control:
    off.session.recording = control = Control()
    return control


def test_it_is_switched_on_and_off_and_tells_which_file_is_written(off: ServedGuest, control: Control) -> None:
    assert off.http.get("/recording").json() == OFF
    answer = off.http.patch("/recording", json={"enabled": True, "width": 640, "height": 480, "fps": 10})
    assert answer.json() == off.http.get("/recording").json()
    on = {"enabled": True, "recording": True, "file": "/machines/debian/debian.webm", "width": 640, "height": 480, "fps": 10, "error": ""}
    assert answer.json() == on
    assert off.http.patch("/recording", json={"enabled": False}).json() == {**on, "enabled": False, "recording": False, "file": ""}


def test_the_next_video_is_named(off: ServedGuest, control: Control) -> None:
    assert off.http.patch("/recording", json={"file": "a.mp4"}).json() == {**OFF, "file": "a.mp4"}


def test_why_there_is_none_is_told(off: ServedGuest, control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Control, "info", lambda control: RecordingInfo(recording=Recording(enabled=True), error="no room"))
    assert off.http.get("/recording").json() == {**OFF, "enabled": True, "error": "no room"}


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"file": "video.avi"}, 422, "accepted: files whose names end with .mp4, .webm"),
        ({"file": ""}, 422, "at least 1 character"),
        ({"file": "a\0b"}, 422, "match pattern"),
        ({"width": 641}, 422, "multiple of 2"),
        ({"height": 8}, 422, "greater than or equal to 16"),
        ({"fps": 1000}, 422, "less than or equal to 60"),
        ({"on": True}, 422, "on: Extra inputs"),
    ],
    ids=["suffix", "no-name", "nul", "odd", "small", "fps", "field"],
)
def test_what_cannot_be_is_a_problem_and_changes_nothing(off: ServedGuest, control: Control, body: object, status: int, detail: str) -> None:
    answer = off.http.patch("/recording", json=body)
    assert answer.status_code == status
    assert detail in answer.json()["detail"]
    assert control.recording == Recording()


def test_while_a_video_is_made_it_stays_as_it_is(off: ServedGuest, control: Control) -> None:
    off.http.patch("/recording", json={"enabled": True})
    answer = off.http.patch("/recording", json={"fps": 10})
    assert (answer.status_code, answer.json()["type"]) == (409, "StateError")


def test_a_machine_that_nobody_sees_to_has_none(off: ServedGuest) -> None:
    answer = off.http.get("/recording")
    assert (answer.status_code, answer.json()["type"]) == (409, "StateError")
