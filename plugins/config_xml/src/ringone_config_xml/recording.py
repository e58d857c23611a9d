"""The recording of the screen, both ways: ``Hardware/VideoCapture``, and from settings version 1.19 (VirtualBox 7.0) on ``Recording`` beside the hardware.

The older element has one description for all screens, and a number with a bit for each that is recorded. The newer one has a ``Screen`` for each that differs
from a new machine's; RingOne's machines have one, number 0.
"""

from __future__ import annotations

from pathlib import Path

from ringone.api.config import Recording

from ringone_config_xml.document import Document, Element
from ringone_config_xml.editing import add, change_attributes, ensure, set_attribute
from ringone_config_xml.text import flag_text, relative, require_minor

OLD_PATH, NEW_PATH, SCREEN = "Hardware/VideoCapture", "Recording", "Screen"
OLD_MINOR, NEW_MINOR = 14, 19
NO_FILES = ("", ".")
"""VirtualBox 6.0 wrote the second one, too, where there is none."""
DEFAULTS = Recording()
NUMBERS = (("width", "horzRes"), ("height", "vertRes"), ("fps", "fps"))
OLD_RATE, NEW_RATE = "rate", "rateKbps"
NEW_SCREEN = {"id": "0", "enabled": "true", "featuresEnabled": "video", "dest": "1"}
"""Destination 1 is a file."""


def read_recording(document: Document) -> Recording:
    if document.minor < NEW_MINOR:
        element = document.find(document.machine, OLD_PATH)
        screen, rate = element, OLD_RATE
        shown = element is None or element.get("screens") is None or bool(document.number(element, "screens") & 1)
    else:
        element = document.find(document.machine, NEW_PATH)
        screen, rate = _screen(document, element), NEW_RATE
        shown = document.flag(screen, "enabled", True)
    file = document.text(screen, "file")
    return Recording(
        enabled=shown and document.flag(element, "enabled", False),
        file=None if file in NO_FILES else document.folder / file,
        **{name: document.number(screen, attribute, getattr(DEFAULTS, name)) for name, attribute in (*NUMBERS, ("rate_kbps", rate))},
    )


def write_recording(document: Document, old: Recording, new: Recording) -> None:
    if old == new:
        return
    if document.minor < NEW_MINOR:
        require_minor(document, OLD_MINOR)
        element = screen = ensure(document, document.machine, OLD_PATH)
        if new.enabled:
            set_attribute(document, element, "screens", str(document.number(element, "screens") | 1))
    else:
        element = ensure(document, document.machine, NEW_PATH)
        found = _screen(document, element)
        screen = _new_screen(document, element) if found is None else found
        if new.enabled:
            set_attribute(document, screen, "enabled", "true")
    change_attributes(document, element, {"enabled": flag_text(old.enabled)}, {"enabled": flag_text(new.enabled)})
    change_attributes(document, screen, _attributes(document, old), _attributes(document, new))


def _screen(document: Document, element: Element | None) -> Element | None:
    return next((screen for screen in document.find_all(element, SCREEN) if document.number(screen, "id") == 0), None)


def _new_screen(document: Document, element: Element) -> Element:
    screen = add(document, element, SCREEN)
    for name, value in NEW_SCREEN.items():
        set_attribute(document, screen, name, value)
    set_attribute(document, element, "screens", str(sum(1 for _ in document.find_all(element, SCREEN))))
    return screen


def _attributes(document: Document, recording: Recording) -> dict[str, str]:
    numbers = {attribute: str(getattr(recording, name)) for name, attribute in NUMBERS}
    rate = OLD_RATE if document.minor < NEW_MINOR else NEW_RATE
    return {"file": _file_text(document, recording.file), **numbers, rate: str(recording.rate_kbps)}


def _file_text(document: Document, file: Path | None) -> str:
    return "" if file is None else relative(file, document.folder)
