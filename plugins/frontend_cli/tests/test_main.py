from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from ringone_frontend_cli.main import app, run_command_line
from typer.testing import CliRunner

RINGONE = (sys.executable, "-m", "ringone_frontend_cli.main")

PRINT = bytes.fromhex("fc 31c0 8ed8 be807c ac 84c0 7406 baf803 ee ebf5")
"""Sends the text at 0x7C80 to COM1."""
ENDINGS = {
    "power off": bytes.fromhex("ba0406 b80020 ef f4"),  # SLP_EN into PIIX4's PMCNTRL
    "reset": bytes.fromhex("b0fe e664 f4"),  # pulse of the keyboard controller's reset line
    "halt": bytes.fromhex("fa f4 ebfc"),
    "triple fault": bytes.fromhex("0f011e407c cc"),  # an interrupt without an interrupt table
}


@pytest.fixture
def guest(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A floppy whose boot sector says ``ready`` on COM1 and then ends as the test's parameter says."""
    code = (PRINT + ENDINGS[request.param]).ljust(0x80, b"\0") + b"guest is ready\r\n\0"
    image = tmp_path / "guest.img"
    image.write_bytes((code.ljust(510, b"\0") + b"\x55\xaa").ljust(1440 << 10, b"\0"))
    return image


@pytest.mark.parametrize(
    ("guest", "options", "exit_code", "ending"),
    [
        ("power off", ["--no-reboot"], 0, "powered off"),
        ("reset", ["--no-reboot"], 0, "the guest was reset"),
        ("triple fault", ["--no-reboot"], 1, "stuck"),
        ("halt", ["--until", "is ready"], 0, "the text appeared"),
        ("halt", ["--until", "never", "--timeout", "1.5"], 124, "timeout"),
    ],
    indirect=["guest"],
)
def test_a_run_ends_as_the_guest_or_the_options_say(
    guest: Path, options: list[str], exit_code: int, ending: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    serial = tmp_path / "serial.log"
    arguments = ["run", "--fda", f"{guest},mode=read-only", "--display", "none", "--serial", f"file:{serial}", "--timeout", "20", "--json", *options]
    assert run_command_line(arguments) == exit_code
    report = json.loads(capfd.readouterr().out)
    assert report["ending"] == ending
    assert report["statistics"]["IOM/PortWrites"] > 0
    assert "guest is ready" in serial.read_text()


@pytest.mark.parametrize("guest", ["power off"], indirect=True)
def test_a_serial_line_on_stdio_leaves_the_report_to_standard_error(guest: Path) -> None:
    done = subprocess.run([*RINGONE, "run", "--fda", guest, "--throw-away", "--serial", "stdio"], input="", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "guest is ready" in done.stdout
    assert "powered off" not in done.stdout
    assert re.match(r"machine: powered off: .*\n  time +[0-9.]+ s", done.stderr)


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_with_a_report(number: signal.Signals, exit_code: int) -> None:
    process = subprocess.Popen([*RINGONE, "run", "--debugcon", "stdio"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == exit_code
    assert errors.startswith(f"machine: interrupted: {number.name}\n")


def mistakes(tmp_path: Path) -> dict[str, tuple[list[str], str]]:
    text = tmp_path / "text"
    text.write_text("no kernel\n" * 100)
    vbox = tmp_path / "broken.vbox"
    vbox.write_text("<VirtualBox><Machine")
    return {
        "no such disk": (["run", "--hda", str(tmp_path / "none.img")], "none.img does not exist"),
        "a folder as CD": (["run", "--cdrom", str(tmp_path)], "is a directory"),
        "no such kernel": (["run", "--kernel", str(tmp_path / "none")], "none does not exist"),
        "a kernel without end": (["run", "--kernel", os.devnull], "is a device, not a file"),
        "no kernel": (["run", "--kernel", str(text)], "is no kernel"),
        "unknown format": (["run", "--hda", f"{text},format=qed"], "unknown medium format 'qed'; known:"),
        "unknown backend": (["run", "--cpu", "abacus"], "unknown CPU backend 'abacus'; known: .*recompiler"),
        "unknown backend option": (["run", "--cpu", "recompiler:colour=red"], "unknown option 'colour'"),
        "unknown firmware": (["run", "--firmware", "coreboot"], "unknown firmware 'coreboot'"),
        "unknown frontend": (["run", "--frontend", "hologram"], "unknown frontend 'hologram'"),
        "size": (["run", "--memory", "lots"], "'lots' is not a size"),
        "too much memory": (["run", "--memory", "64G"], "memory of 68719476736 bytes; accepted are"),
        "display": (["run", "--display", "hologram"], "'hologram' is no display"),
        "no terminal": (["run", "--display", "terminal"], "are no terminal"),
        "timeout": (["run", "--timeout", "-1"], "is no time"),
        "no text": (["run", "--until", ""], "the text to wait for is empty"),
        "unknown option": (["run", "--hdx", "x"], "No such option: --hdx"),
        "unknown command": (["fly"], "No such command 'fly'"),
        "missing argument": (["devices", "show"], "Missing argument 'name'"),
        "no such file": (["startvm", str(tmp_path / "none.vbox")], "none.vbox does not exist"),
        "unknown file type": (["startvm", str(text)], "no plugin reads machine files"),
        "broken file": (["startvm", str(vbox)], "broken.vbox"),
        "unknown device": (["devices", "show", "i9999"], "unknown device type 'i9999'"),
    }


def test_every_mistake_is_one_clear_line_and_exit_code_2(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name, (arguments, message) in mistakes(tmp_path).items():
        exit_code = run_command_line(arguments)
        captured = capfd.readouterr()
        assert exit_code == 2, (name, captured)
        assert re.fullmatch(f"ringone: error: .*{message}.*\n", captured.err), (name, captured.err)
        assert captured.out == "", name


def test_a_port_in_use_is_a_mistake_of_the_command_line(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert run_command_line(["run", "--serial", f"tcp:127.0.0.1:{port}"]) == 2
    assert re.fullmatch(f"ringone: error: .*127.0.0.1:{port}: Address already in use.*\n", capfd.readouterr().err)


def test_debug_adds_the_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["--debug", "run", "--cpu", "abacus"]) == 2
    assert "Traceback" in capfd.readouterr().err


def commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path]
    for name, command in getattr(group, "commands", {}).items():
        found += commands(command, (*path, name))
    return found


@pytest.mark.parametrize("command", commands(typer.main.get_command(app)), ids=" ".join)
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    assert "Usage" in result.output


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["plugins", "list"], "frontend-cli"),
        (["devices", "list"], "i8259"),
        (["cpus", "list"], "recompiler"),
        (["firmwares", "list"], "seabios"),
        (["drivers", "list"], "stdio"),
        (["boards", "list"], "pc"),
        (["media", "formats"], "raw"),
    ],
    ids=" ".join,
)
def test_what_is_listed_is_listed_as_json_too(arguments: list[str], name: str) -> None:
    assert name in CliRunner().invoke(app, arguments).output
    listed = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert name in [row["name"] for row in listed]


def test_a_device_is_shown_with_its_pins_and_options() -> None:
    assert "elcr" in CliRunner().invoke(app, ["devices", "show", "i8259"]).output
    shown = json.loads(CliRunner().invoke(app, ["devices", "show", "i8259", "--json"]).output)
    assert shown["outputs"] == ["INT"]
    assert "base" in [option["name"] for option in shown["options"]]


def test_the_installed_plugins_are_sound() -> None:
    result = CliRunner().invoke(app, ["plugins", "check"])
    assert result.exit_code == 0
    assert "0 problems" in result.output


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from ringone_frontend_cli.main import run_command_line; code = run_command_line(['run', '--help']);"
        "print([name for name in ('unicorn', 'lxml', 'PIL', 'capstone', 'rich', 'ringone.machine', 'termios') if name in sys.modules]); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("[]\n")


def test_the_version_is_the_kernels() -> None:
    assert re.fullmatch(r"ringone \d+\.\d+\.\d+\S*\n", CliRunner().invoke(app, ["--version"]).output)
