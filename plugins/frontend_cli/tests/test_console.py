from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

FAKE_MACHINE = str(Path(__file__).with_name("fake_machine.py"))
RINGONE = ("-m", "ringone_frontend_cli.main")
CTRL_RIGHT_BRACKET = b"\x1d"

Start = Callable[..., Any]


def result(terminal: Any) -> dict[str, Any]:
    assert terminal.end() == 0
    found: dict[str, Any] = json.loads(terminal.plain[terminal.plain.index("{") :])
    return found


def test_keys_go_to_the_guest_and_its_screen_comes_back(start_terminal: Start) -> None:
    terminal = start_terminal(FAKE_MACHINE)
    terminal.see("scan codes <>")
    terminal.type(b"a\x1b[A\x03")
    terminal.see("<1e9ee048e0c81d2eae9d>")
    terminal.type(b"\x1b")
    terminal.see("<1e9ee048e0c81d2eae9d0181>")
    terminal.type(CTRL_RIGHT_BRACKET + b"q")
    assert result(terminal)["detail"] == "by the user"
    assert "\x1b[?1049l" in terminal.output
    assert terminal.restored()


def test_the_menu_does_what_it_says(start_terminal: Start, tmp_path: Path) -> None:
    terminal = start_terminal(FAKE_MACHINE, cwd=str(tmp_path))
    terminal.see("scan codes")
    terminal.type(CTRL_RIGHT_BRACKET)
    terminal.see("p pause/resume")
    terminal.type(b"?")
    terminal.see("opens this menu")
    terminal.type(CTRL_RIGHT_BRACKET + b"p")
    terminal.see("paused")
    terminal.type(CTRL_RIGHT_BRACKET + b"p" + CTRL_RIGHT_BRACKET + b"r" + CTRL_RIGHT_BRACKET + b"b")
    terminal.see("power button pressed")
    terminal.type(CTRL_RIGHT_BRACKET + b"d" + CTRL_RIGHT_BRACKET + CTRL_RIGHT_BRACKET)
    terminal.see("<1d38e053e0d3b89d1d1b9b9d>")
    terminal.type(CTRL_RIGHT_BRACKET + b"s")
    terminal.see("saved")
    terminal.type(CTRL_RIGHT_BRACKET + b"q")
    assert result(terminal)["done"] == ["pause", "resume", "reset", "press_power_button"]
    (screenshot,) = tmp_path.glob("fake_machine-*.png")
    assert screenshot.read_bytes().startswith(b"\x89PNG")


def test_graphics_are_shown_as_half_blocks(start_terminal: Start) -> None:
    terminal = start_terminal(FAKE_MACHINE, "graphics")
    terminal.read_until(lambda: "▀" in terminal.plain)
    terminal.see("graphics, 32x20")
    terminal.type(CTRL_RIGHT_BRACKET + b"q")
    result(terminal)


def test_seabios_on_a_terminal(start_terminal: Start) -> None:
    terminal = start_terminal(*RINGONE, "run", "--timeout", "25")
    terminal.see("No bootable device")
    terminal.type(CTRL_RIGHT_BRACKET + b"q")
    assert terminal.end() == 0
    assert "machine: powered off: by the user" in terminal.plain
    assert terminal.restored()


def test_a_hangup_restores_the_terminal_and_is_reported(start_terminal: Start) -> None:
    terminal = start_terminal(*RINGONE, "run", "--timeout", "25")
    terminal.see("SeaBIOS")
    terminal.signal(signal.SIGHUP)
    assert terminal.end() == 128 + signal.SIGHUP
    assert "\x1b[?1049l" in terminal.output
    assert "machine: interrupted: SIGHUP" in terminal.plain
    assert terminal.restored()


def test_a_line_on_stdio_has_the_menu_too(start_terminal: Start) -> None:
    terminal = start_terminal(*RINGONE, "run", "--debugcon", "stdio", "--timeout", "25")
    terminal.see("Found QEMU fw_cfg")
    terminal.type(b"abc" + CTRL_RIGHT_BRACKET)
    terminal.see("p pause/resume")
    terminal.type(b"q")
    assert terminal.end() == 0
    assert "machine: powered off: by the user" in terminal.plain
    assert terminal.restored()
