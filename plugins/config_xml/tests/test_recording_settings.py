"""The recording of a machine file, as VirtualBox 4.3 to 6.1 and as VirtualBox 7 writes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from ringone.api.config import Recording
from ringone.api.errors import ConfigError
from ringone.api.settings import MachineSettings
from ringone_config_xml.plugin import load
from ringone_config_xml.settings import load_machine, save_machine
from vbox_files import install, write

OLD, NEW = "1.16-linux", "1.19-linux"
FULL = Recording(enabled=True, file=Path("/videos/a.webm"), width=640, height=480, fps=10, rate_kbps=700)


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ("", Recording()),
        ('<VideoCapture enabled="true" screens="18446744073709551615" horzRes="1024" vertRes="768" rate="512" fps="25"/>', Recording(enabled=True)),
        ('<VideoCapture enabled="true"/>', Recording(enabled=True)),
        ('<VideoCapture enabled="true" screens="2"/>', Recording()),
        ('<VideoCapture screens="1" file="."><Screen id="0" enabled="true"/></VideoCapture>', Recording()),
        ('<VideoCapture enabled="true" file="/videos/a.webm" horzRes="640" vertRes="480" rate="700" fps="10"/>', FULL),
    ],
    ids=["none", "all-screens", "short", "another-screen", "without-file", "full"],
)
def test_before_virtualbox_7_it_is_one_element_of_the_hardware(tmp_path: Path, element: str, expected: Recording) -> None:
    assert load(write(tmp_path, element, version=OLD)).recording == expected


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ("", Recording()),
        ('<Recording enabled="true"/>', Recording(enabled=True)),
        ('<Recording enabled="true" screens="1"><Screen id="0" enabled="false"/></Recording>', Recording()),
        ('<Recording enabled="true" screens="1"><Screen id="1" enabled="true" fps="7"/></Recording>', Recording(enabled=True)),
        (
            '<Recording enabled="true" screens="1"><Screen id="0" enabled="true" featuresEnabled="video" dest="1" file="/videos/a.webm" horzRes="640" '
            'vertRes="480" rateKbps="700" fps="10"/></Recording>',
            FULL,
        ),
    ],
    ids=["none", "short", "off", "another-screen", "full"],
)
def test_virtualbox_7_has_it_beside_the_hardware_screen_by_screen(tmp_path: Path, element: str, expected: Recording) -> None:
    assert load(write(tmp_path, machine=element, version=NEW)).recording == expected


def test_a_relative_file_is_one_of_the_machines_folder(tmp_path: Path) -> None:
    assert load(write(tmp_path, '<VideoCapture file="a.webm"/>')).recording.file == tmp_path / "a.webm"


@pytest.mark.parametrize("attribute", ["fps", "horzRes", "screens"])
def test_what_is_no_number_is_refused(tmp_path: Path, attribute: str) -> None:
    with pytest.raises(ConfigError, match=f"{attribute} is 'many'"):
        load(write(tmp_path, f'<VideoCapture {attribute}="many"/>'))


def with_recording(recording: Recording) -> Callable[[MachineSettings], MachineSettings]:
    return lambda settings: attrs.evolve(settings, config=attrs.evolve(settings.config, recording=recording))


def saved(path: Path, change: Callable[[MachineSettings], MachineSettings]) -> str:
    save_machine(change(load_machine(path)), path)
    return path.read_text()


def test_a_change_is_written_as_the_files_version_has_it(tmp_path: Path) -> None:
    old = saved(write(tmp_path, version=OLD), with_recording(FULL))
    assert '<VideoCapture screens="1" enabled="true" file="/videos/a.webm" horzRes="640" vertRes="480" fps="10" rate="700"/>' in old
    new = saved(write(tmp_path, version=NEW), with_recording(FULL))
    assert '<Recording screens="1" enabled="true">' in new
    assert '<Screen id="0" enabled="true" featuresEnabled="video" dest="1" file="/videos/a.webm" horzRes="640" vertRes="480" fps="10" rateKbps="700"/>' in new
    assert new.index("</Hardware>") < new.index("<Recording")


def test_other_screens_and_what_is_not_understood_stay(tmp_path: Path) -> None:
    machine = '<Recording enabled="false" screens="2"><Screen id="1" fps="7"/><Screen id="0" enabled="false" maxTimeS="60" audioCodec="none"/></Recording>'
    text = saved(write(tmp_path, machine=machine, version=NEW), with_recording(Recording(enabled=True)))
    expected = '<Recording enabled="true" screens="2"><Screen id="1" fps="7"/><Screen id="0" enabled="true" maxTimeS="60" audioCodec="none"/></Recording>'
    assert expected in text
    text = saved(write(tmp_path, '<VideoCapture screens="2" maxTime="60"/>'), with_recording(Recording(enabled=True)))
    assert '<VideoCapture screens="3" maxTime="60" enabled="true"/>' in text


def test_a_name_can_be_taken_away(tmp_path: Path) -> None:
    path = write(tmp_path, '<VideoCapture file="a.webm" fps="9"/>')
    assert '<VideoCapture fps="9"/>' in saved(path, with_recording(Recording(fps=9)))


@pytest.mark.parametrize("version", ["settings-1.14", "settings-1.19"])
def test_snapshots_have_their_own(tmp_path: Path, version: str) -> None:
    path = install(tmp_path, version)
    saved(path, with_recording(FULL))
    settings = load_machine(path)
    assert settings.config.recording == FULL
    assert {record.config.recording for record in settings.snapshots()} == {Recording()}
