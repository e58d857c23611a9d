"""The verbs of a machine's life, on one that runs in a process of its own: a guest that says on COM1 what is typed."""

from __future__ import annotations

import os
import re
import signal
import struct
import time
from pathlib import Path

import pytest
from ringone.home import Home
from ringone.plugins import PluginRegistry

from guests.echo import READY
from plugins.frontend_cli.tests.vboxmanage.conftest import GUEST_S, Said, VBoxManage
from plugins.frontend_cli.tests.vboxmanage.test_machines import facts

pytestmark = pytest.mark.skipif(os.name != "posix", reason="machines are reached through Unix-domain sockets")


def test_a_machine_starts_takes_keys_shows_its_screen_and_is_powered_off(ok: VBoxManage, vbox: VBoxManage, echo: str, said: Said, tmp_path: Path) -> None:
    assert ok("startvm", echo, "--type", "headless").lines == [f'Waiting for VM "{echo}" to power on...', f'VM "{echo}" has been successfully started.']
    said(READY)
    assert [line.split('"')[1] for line in ok("list", "runningvms").lines] == [echo]
    found = facts(ok, echo)
    assert (found["VMState"], found["SessionName"]) == ("running", "headless")
    assert re.search(r'^VideoMode="(\d+),(\d+),(\d+)"@0,0 1$', ok("showvminfo", echo, "--machinereadable").out, re.MULTILINE)
    again = vbox("startvm", echo, "--type", "headless")
    assert again.exit_code == 1
    assert "is already locked by a session" in again.err
    assert vbox("modifyvm", echo, "--memory", 8).exit_code == 1

    ok("controlvm", echo, "keyboardputstring", "Hello,", " World")
    said("Hello, World")
    ok("controlvm", echo, "keyboardputscancode", "1e", "9e")
    said("Hello, Worlda")
    (tmp_path / "text").write_text("from a file")
    ok("controlvm", echo, "keyboardputfile", tmp_path / "text")
    said("from a file")
    ok("controlvm", echo, "mouseputstate", 5, -5, 0, 0, 1)
    ok("controlvm", echo, "screenshotpng", tmp_path / "screen.png")
    assert (tmp_path / "screen.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert READY in ok("debugvm", echo, "info", "vgatext").out

    ok("controlvm", echo, "pause")
    assert facts(ok, echo)["VMState"] == "paused"
    ok("controlvm", echo, "resume")
    assert facts(ok, echo)["VMState"] == "running"

    ok("controlvm", echo, "poweroff")
    assert facts(ok, echo)["VMState"] == "poweroff"
    assert ok("list", "runningvms").out == ""
    assert "log opened" in ok("showvminfo", echo, "--log", 0).out


def test_a_guest_that_powers_itself_off_is_off(ok: VBoxManage, running: str) -> None:
    ok("controlvm", running, "keyboardputscancode", "01", "81")
    deadline = time.monotonic() + GUEST_S
    while facts(ok, running)["VMState"] != "poweroff":
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_machine_whose_process_was_killed_is_aborted_and_starts_again(ok: VBoxManage, running: str, home: Path) -> None:
    there = Home.open(home, PluginRegistry())
    holder = there.holder(there.find(running))
    assert holder is not None
    os.kill(holder.pid, signal.SIGKILL)
    deadline = time.monotonic() + GUEST_S
    while there.holder(there.find(running)) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert facts(ok, running)["VMState"] == "aborted"
    assert ok("list", "runningvms").out == ""
    ok("startvm", running, "--type", "headless")
    assert facts(ok, running)["VMState"] == "running"


def test_a_state_is_saved_gone_on_from_and_discarded(ok: VBoxManage, running: str, said: Said, tmp_path: Path) -> None:
    ok("controlvm", running, "savestate")
    assert facts(ok, running)["VMState"] == "saved"
    assert Path(facts(ok, running)["VMStateFile"]).exists()
    (tmp_path / "com1").write_bytes(b"")
    ok("startvm", running, "--type", "headless")
    ok("controlvm", running, "keyboardputstring", "still here")
    said("still here")
    assert READY.encode() not in (tmp_path / "com1").read_bytes()
    ok("controlvm", running, "savestate")
    ok("discardstate", running)
    assert facts(ok, running)["VMState"] == "poweroff"


def test_a_running_machine_goes_back_to_a_snapshot(ok: VBoxManage, running: str, said: Said) -> None:
    ok("snapshot", running, "take", "ready", "--live")
    ok("controlvm", running, "keyboardputstring", "typed afterwards")
    said("typed afterwards")
    ok("snapshot", running, "restore", "ready")
    screen = ok("debugvm", running, "info", "vgatext").out
    assert READY in screen
    assert "typed" not in screen
    ok("snapshot", running, "edit", "ready", "--name", "set")
    ok("controlvm", running, "poweroff")
    ok("snapshot", running, "delete", "set")


def test_a_running_machine_is_looked_into(ok: VBoxManage, vbox: VBoxManage, running: str, tmp_path: Path) -> None:
    assert re.search(r"^eip +\s= 0x[0-9a-f]{8}$", ok("debugvm", running, "getregisters").out, re.MULTILINE)
    assert re.fullmatch(r"eax +\s= 0x[0-9a-f]{8}\n", ok("debugvm", running, "getregisters", "eax").out)
    assert vbox("debugvm", running, "getregisters", "xyz").exit_code == 1
    assert vbox("debugvm", running, "info", "cows").exit_code == 1
    xml = ok("debugvm", running, "statistics").out
    assert re.search(r'<Counter c="\d+" unit="" name="[^"]+"/>', xml)
    assert "<Counter" not in ok("debugvm", running, "statistics", "--pattern", "/Nothing/*").out
    ok("debugvm", running, "dumpvmcore", "--filename", "core")
    core = (tmp_path / "core").read_bytes()
    kind, _, offset, _, address, size, _, _ = struct.unpack_from("<IIQQQQQQ", core, 64)
    assert (core[:4], kind, address, size, len(core)) == (b"\x7fELF", 1, 0, 4 << 20, offset + (4 << 20))
    assert READY.encode() in core
    assert vbox("debugvm", running, "dumpvmcore", "--filename", "core").exit_code == 1


def test_the_processor_of_a_running_machine_takes_other_options(ok: VBoxManage, vbox: VBoxManage, running: str) -> None:
    ok("debugvm", running, "cpuoptions", "patching=off", "scanning=on")
    for words, named in ((["patching"], "patching"), (["patching=perhaps"], "perhaps"), (["cows=on"], "cows")):
        refused = vbox("debugvm", running, "cpuoptions", *words)
        assert refused.exit_code == 1
        assert named in refused.err


def test_a_cd_is_changed_while_the_machine_runs(ok: VBoxManage, vbox: VBoxManage, running: str, tmp_path: Path) -> None:
    (tmp_path / "cd.iso").write_bytes(bytes(2048 * 20))
    place = ("storageattach", running, "--storagectl", "IDE", "--port", 1, "--device", 0)
    ok(*place, "--type", "dvddrive", "--medium", tmp_path / "cd.iso")
    ok(*place, "--medium", "emptydrive")
    answer = vbox("storageattach", running, "--storagectl", "IDE", "--port", 0, "--device", 0, "--medium", "none")
    assert answer.exit_code == 1
    assert "The machine is running" in answer.err


@pytest.mark.parametrize("verb", ["pause", "resume", "reset", "poweroff", "savestate", "acpipowerbutton"])
def test_a_machine_that_is_off_cannot_be_controlled(vbox: VBoxManage, debian: str, verb: str) -> None:
    answer = vbox("controlvm", debian, verb)
    assert answer.exit_code == 1
    assert f"Machine '{debian}' is not currently running" in answer.err
    assert "VBOX_E_INVALID_VM_STATE" in answer.err


@pytest.mark.parametrize(
    "words",
    [
        "setlinkstate1 off",
        "natpf1 ssh,tcp,,2222,,22",
        "vrdevideochannelquality 80",
        "acpisleepbutton",
        "usbattach 1",
        "clipboard disabled",
        "nic1 nat",
        "reboot",
    ],
)
def test_what_no_machine_can_do_is_refused_by_name(vbox: VBoxManage, debian: str, words: str) -> None:
    answer = vbox("controlvm", debian, *words.split())
    assert answer.exit_code == 1
    assert f"controlvm {words.split()[0]} is not supported: " in answer.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("keyboardputscancode", "1c", "xx"), "Converting 'xx' returned an error"),
        (("keyboardputfile", "missing.txt"), "Cannot open file 'missing.txt'"),
        (("mouseputstate", "1", "much"), "Invalid mouse state 'much'"),
        (("screenshotpng", "x.png", "1"), "Invalid display '1'"),
    ],
    ids=["scan code", "file", "mouse", "display"],
)
def test_wrong_input_is_refused_before_the_machine_is_asked(vbox: VBoxManage, debian: str, words: tuple[str, ...], message: str) -> None:
    answer = vbox("controlvm", debian, *words)
    assert answer.exit_code == 1
    assert message in answer.err


def test_types_with_windows_run_without_and_say_so(ok: VBoxManage, vbox: VBoxManage, echo: str, said: Said) -> None:
    assert vbox("startvm", echo, "--type", "sdl").exit_code == 1
    answer = ok("startvm", echo)
    assert "without a window (gui)" in answer.err
    said(READY)


def test_a_machine_that_cannot_be_started_says_why(vbox: VBoxManage, ok: VBoxManage, echo: str, tmp_path: Path) -> None:
    (tmp_path / "echo.vdi").unlink()
    answer = vbox("startvm", echo, "--type", "headless")
    assert answer.exit_code == 1
    assert "echo.vdi" in answer.err
    assert facts(ok, echo)["VMState"] == "poweroff"
