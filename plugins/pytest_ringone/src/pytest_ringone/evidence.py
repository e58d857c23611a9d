"""What is kept of a machine when a test in it has failed: its screen as a picture and as text, its serial port, its events."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import attrs
from ringone.api.errors import RingOneError

from pytest_ringone.shared import SharedMachine

if TYPE_CHECKING:
    from ringone.client import Machine

T = TypeVar("T")

SHOWN_CHARACTERS = 20_000
"""Of a serial port, at its end; the file has all of it."""
_NOT_TEXT = re.compile(r"[^\t\n\x20-\x7e\xa0-\U0010ffff]")


@attrs.frozen(kw_only=True)
class Evidence:
    """`sections` are titles and texts for a report. `png` is empty where there is no picture."""

    sections: tuple[tuple[str, str], ...]
    png: bytes = b""


def gather(machine: Machine, shared: SharedMachine, folder: Path) -> Evidence:
    """Files go to `folder`. What cannot be had is left out, with the reason in its place."""
    sections: list[tuple[str, str]] = []
    png = _try(machine.screen.png, sections, "machine screen")
    text = _try(machine.screen.text, [], "") or ""
    serial = _try(lambda: _serial(machine, shared), sections, "machine serial port")
    folder.mkdir(parents=True, exist_ok=True)
    if png is not None:
        (folder / "screen.png").write_bytes(png)
        sections.append(("machine screen", f"{folder / 'screen.png'}\n{text}".rstrip()))
    if serial:
        (folder / "serial.log").write_bytes(serial)
        sections.append(("machine serial port", f"{folder / 'serial.log'}\n{_readable(serial)}"))
    events = "\n".join(f"{event.kind} {' '.join(f'{name}={value}' for name, value in event.fields.items())}".rstrip() for event in tuple(shared.events))
    if events:
        sections.append(("machine events", events))
    return Evidence(sections=tuple(sections), png=png or b"")


def _serial(machine: Machine, shared: SharedMachine) -> bytes:
    position, machine.serial.position = machine.serial.position, shared.serial_start
    try:
        return machine.serial.read()
    finally:
        machine.serial.position = position


def _readable(said: bytes) -> str:
    text = said.decode("utf-8", "replace").replace("\r\n", "\n")[-SHOWN_CHARACTERS:]
    return _NOT_TEXT.sub("�", text).rstrip()


def _try(get: Callable[[], T], sections: list[tuple[str, str]], title: str) -> T | None:
    try:
        return get()
    except RingOneError as error:
        sections.append((title, f"not to be had: {error}"))
        return None
