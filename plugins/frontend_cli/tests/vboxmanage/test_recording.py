"""Videos of a machine in a process of its own, as a script for VBoxManage makes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
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
