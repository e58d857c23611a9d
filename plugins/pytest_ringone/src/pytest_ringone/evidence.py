"""What is kept of a machine when a test in it has failed: its screen as a picture and as text, its serial port, its events."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import attrs
from ringone.api.errors import RingOneError

if TYPE_CHECKING:
    from ringone.client import Event, Machine

T = TypeVar("T")

SCREEN = "machine screen"
SERIAL_PORT = "machine serial port"
SHOWN_CHARACTERS = 20_000
"""Of a serial port, at its end; the file has all of it."""
_NOT_TEXT = re.compile(r"[^\t\n\x20-\x7e\xa0-\U0010ffff]")


@attrs.frozen(kw_only=True)
class Capture:
    """A machine at one moment. What could not be had is empty, and `missing` has the reasons by title."""

    png: bytes = b""
    text: str = ""
    serial: bytes = b""
    missing: tuple[tuple[str, str], ...] = ()


@attrs.frozen(kw_only=True)
class Evidence:
    """`sections` are titles and texts for a report. `png` is empty where there is no picture."""

    sections: tuple[tuple[str, str], ...]
    png: bytes = b""


def capture(machine: Machine, serial_start: int) -> Capture:
    missing: list[tuple[str, str]] = []
    return Capture(
        png=_try(machine.screen.png, missing, SCREEN) or b"",
        text=_try(machine.screen.text, [], SCREEN) or "",
        serial=_try(lambda: _serial(machine, serial_start), missing, SERIAL_PORT) or b"",
        missing=tuple(missing),
    )


def keep(captured: Capture, events: Iterable[Event], folder: Path) -> Evidence:
    """Files go to `folder`."""
    sections = list(captured.missing)
    folder.mkdir(parents=True, exist_ok=True)
    if captured.png:
        (folder / "screen.png").write_bytes(captured.png)
        sections.append((SCREEN, f"{folder / 'screen.png'}\n{captured.text}".rstrip()))
    if captured.serial:
        (folder / "serial.log").write_bytes(captured.serial)
        sections.append((SERIAL_PORT, f"{folder / 'serial.log'}\n{_readable(captured.serial)}"))
    told = "\n".join(f"{event.kind} {' '.join(f'{name}={value}' for name, value in event.fields.items())}".rstrip() for event in events)
    if told:
        sections.append(("machine events", told))
    return Evidence(sections=tuple(sections), png=captured.png)


def _serial(machine: Machine, start: int) -> bytes:
    position, machine.serial.position = machine.serial.position, start
    try:
        return machine.serial.read()
    finally:
        machine.serial.position = position


def _readable(said: bytes) -> str:
    text = said.decode("utf-8", "replace").replace("\r\n", "\n")[-SHOWN_CHARACTERS:]
    return _NOT_TEXT.sub("�", text).rstrip()


def _try(get: Callable[[], T], missing: list[tuple[str, str]], title: str) -> T | None:
    try:
        return get()
    except RingOneError as error:
        missing.append((title, f"not to be had: {error}"))
        return None
