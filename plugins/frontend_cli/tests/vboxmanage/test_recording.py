"""Videos of a machine in a process of its own, as a script for VBoxManage makes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ringone.api.config import Recording
from ringone_config_xml.plugin import load
from ringone_frontend_rdp.graphics import h264

from plugins.frontend_cli.tests.vboxmanage.conftest import VBoxManage
from plugins.frontend_cli.tests.vboxmanage.test_machines import facts

av = pytest.importorskip("av")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="machines are reached through Unix-domain sockets")


def pictures(path: Path) -> int:
    with av.open(str(path)) as file:
        return sum(1 for _ in file.decode(video=0))


def test_a_run_is_recorded_to_its_end(ok: VBoxManage, echo: str, tmp_path: Path) -> None:
    ok("startvm", echo, "--type", "headless", "--record", "video.mp4")
    ok("controlvm", echo, "reset")
    ok("controlvm", echo, "poweroff")
    assert pictures(tmp_path / "video.mp4") > 1


@pytest.mark.parametrize(
    ("file", "said"), [("video.avi", "accepted: files whose names end with"), ("echo.vdi", "it is there already")], ids=["suffix", "there"]
)
def test_a_video_that_cannot_be_made_keeps_the_machine_off(vbox: VBoxManage, ok: VBoxManage, echo: str, file: str, said: str) -> None:
    answer = vbox("startvm", echo, "--record", file)
    assert (answer.exit_code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert answer.err.startswith("VBoxManage: error: --record: recording into ")
    assert said in answer.err
    assert facts(ok, echo)["VMState"] == "poweroff"


def test_a_run_that_is_saved_and_goes_on_makes_two_videos(ok: VBoxManage, echo: str, tmp_path: Path) -> None:
    for name, end in (("first.mp4", "savestate"), ("second.webm", "poweroff")):
        ok("startvm", echo, "--type", "headless", "--record", name)
        ok("controlvm", echo, end)
        assert pictures(tmp_path / name) > 0


def test_without_the_extra_the_machine_stays_off(vbox: VBoxManage, ok: VBoxManage, echo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h264, "installed", lambda: False)
    answer = vbox("startvm", echo, "--record", "video.mp4")
    assert (answer.exit_code, answer.err.count("\n")) == (2, 1)
    assert "pip install 'ringone-frontend-rdp[h264]'" in answer.err
    assert facts(ok, echo)["VMState"] == "poweroff"


def test_one_video_is_of_one_machine(vbox: VBoxManage, echo: str, debian: str) -> None:
    answer = vbox("startvm", echo, debian, "--record", "video.mp4")
    assert answer.exit_code == 2
    assert "--record makes a video of one machine" in answer.err


def kept(ok: VBoxManage, name: str) -> Recording:
    """What the machine file says."""
    return load(Path(facts(ok, name)["CfgFile"])).recording


@pytest.mark.parametrize(
    "options",
    [
        ("--recording-file=a.mp4", "--recording-video-res=640x480", "--recording-video-fps=10", "--recording-video-rate=700", "--recording=on"),
        ("--recordingfile", "a.mp4", "--recordingvideores", "640", "480", "--recordingvideofps", "10", "--recordingvideorate", "700", "--recording", "on"),
        ("--videocapfile", "a.mp4", "--videocapres", "640x480", "--videocapfps", "10", "--videocaprate", "700", "--videocap", "on"),
    ],
    ids=["7", "6", "5"],
)
def test_modifyvm_has_it_in_the_words_of_three_virtualboxes(ok: VBoxManage, debian: str, tmp_path: Path, options: tuple[str, ...]) -> None:
    ok("modifyvm", debian, *options)
    assert kept(ok, debian) == Recording(enabled=True, file=tmp_path / "a.mp4", width=640, height=480, fps=10, rate_kbps=700)
    found = facts(ok, debian)
    names = ("videocap", "videocapscreens", "videocapfile", "videocapres", "videocaprate", "videocapfps")
    assert [found[name] for name in names] == ["on", "0", str(tmp_path / "a.mp4"), "640x480", "700", "10"]
    assert "Capturing:                   active\n" in ok("showvminfo", debian).out
    ok(
        "modifyvm",
        debian,
        "--recording",
        "off",
        "--recording-screens",
        "all",
        "--recording-max-time",
        "0",
        "--recording-opts",
        "vc_enabled=true,ac_enabled=false",
    )
    assert facts(ok, debian)["videocap"] == "off"


@pytest.mark.parametrize(
    ("options", "exit_code", "message"),
    [
        (("--recording-video-res", "641x480"), 2, "'641x480' for option '--recording-video-res'; accepted: even numbers from 16 to 4096, as 1024x768"),
        (("--recording-video-fps", "1000"), 2, "accepted: 1 to 60"),
        (("--recording-screens", "0,1"), 1, "machines have one screen; accepted: all, 0"),
        (("--recording-max-time", "60"), 1, "videos have no limit of their own; accepted: 0"),
        (("--recording-opts", "ac_enabled=true"), 1, "there is video and no sound; accepted: ac_enabled=false, vc_enabled=true"),
    ],
    ids=["odd", "fps", "screens", "time", "sound"],
)
def test_what_there_is_not_is_refused(vbox: VBoxManage, ok: VBoxManage, debian: str, options: tuple[str, str], exit_code: int, message: str) -> None:
    answer = vbox("modifyvm", debian, *options)
    assert answer.exit_code == exit_code
    assert message in answer.err
    assert kept(ok, debian) == Recording()


def test_it_is_switched_while_the_machine_runs(ok: VBoxManage, vbox: VBoxManage, running: str, tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    ok("controlvm", running, "recording", "filename", "a.mp4")
    ok("controlvm", running, "recording", "videores", "640x480")
    ok("controlvm", running, "recording", "screens", "all")
    assert not video.exists()
    ok("controlvm", running, "recording", "on")
    found = facts(ok, running)
    assert [found[name] for name in ("videocap", "videocapfile", "videocapres")] == ["on", str(video), "640x480"]
    assert "Capturing:                   active\n" in ok("showvminfo", running).out

    answer = vbox("controlvm", running, "recording", "filename", "b.mp4")
    assert answer.exit_code == 1
    assert f"is being recorded into {video}; accepted meanwhile: switching it off" in answer.err
    ok("controlvm", running, "recording", "off")
    assert pictures(video) > 0
    assert facts(ok, running)["videocap"] == "off"
    assert "Capturing:                   not active\n" in ok("showvminfo", running).out

    ok("controlvm", running, "recording", "start")
    second = Path(facts(ok, running)["videocapfile"])
    assert second.name.startswith("a-20")
    ok("controlvm", running, "poweroff")
    assert pictures(second) > 0
    assert kept(ok, running) == Recording(enabled=True, file=video, width=640, height=480)


@pytest.mark.parametrize(
    ("words", "exit_code", "message"),
    [
        (("fast",), 2, "Invalid parameter 'fast'; accepted: on, off, start, stop,"),
        (("on", "now"), 2, "Invalid parameter 'now'"),
        (("videofps",), 2, "Missing value for option 'recording videofps'"),
        (("start", "--wait"), 1, "recording start --wait is not supported"),
        (("attach",), 1, "recording attach is not supported"),
        (("videorate", "512"), 1, "videos have one quality"),
        (("maxfilesize", "10"), 1, "accepted: 0"),
        (("screens", "none"), 1, "machines have one screen; accepted: all, 0"),
    ],
    ids=lambda words: "-".join(words) if isinstance(words, tuple) else "",
)
def test_words_that_make_no_sense_here_are_refused(vbox: VBoxManage, echo: str, words: tuple[str, ...], exit_code: int, message: str) -> None:
    answer = vbox("controlvm", echo, "recording", *words)
    assert answer.exit_code == exit_code
    assert message in answer.err


def test_a_machine_is_recorded_as_its_file_says(ok: VBoxManage, echo: str) -> None:
    ok("modifyvm", echo, "--recording", "on")
    answer = ok("startvm", echo, "--type", "headless")
    video = Path(facts(ok, echo)["CfgFile"]).with_suffix(".webm")
    assert answer.lines[-1] == f"Recording: {video}"
    ok("controlvm", echo, "poweroff")
    assert pictures(video) > 0


def test_a_machine_runs_though_it_cannot_be_recorded(ok: VBoxManage, echo: str) -> None:
    ok("modifyvm", echo, "--recording", "on", "--recording-file", "video.avi")
    answer = ok("startvm", echo, "--type", "headless")
    assert "warning: the machine runs without being recorded: recording into " in answer.err
    found = facts(ok, echo)
    assert (found["VMState"], found["videocap"]) == ("running", "on")
    assert "accepted: files whose names end with .mp4, .webm" in found["RecordingError"]
