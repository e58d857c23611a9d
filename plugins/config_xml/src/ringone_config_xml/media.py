"""MediaRegistry: which file an image's UUID stands for.

Locations are relative to the folder of the file that holds the registry. Before settings version 1.11 (VirtualBox 4.0) that is the global ``VirtualBox.xml``,
two folders above the machine file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
from ringone.api.errors import ConfigError
from ringone.api.media import AccessMode

from ringone_config_xml.document import Document, Element, parse_root, read_bytes

OWN_REGISTRY_MINOR = 11
LISTS = (("HardDisks", "HardDisk"), ("DVDImages", "Image"), ("FloppyImages", "Image"))
MODES = {
    "normal": AccessMode.PERSISTENT,
    "writethrough": AccessMode.PERSISTENT,
    "immutable": AccessMode.THROW_AWAY,
    "readonly": AccessMode.READ_ONLY,
}
TYPES = {AccessMode.PERSISTENT: "Normal", AccessMode.THROW_AWAY: "Immutable", AccessMode.READ_ONLY: "Readonly"}


@attrs.frozen(eq=False)
class RegisteredImage:
    """`kind` is the list that it stands in; `parent` is what a differencing image builds on."""

    uuid: str
    location: Path
    kind: str
    format: str
    type: str
    auto_reset: bool
    parent: RegisteredImage | None
    element: Element

    @property
    def is_reset_child(self) -> bool:
        """A differencing image that VirtualBox empties at every start: the guest sees its immutable parent."""
        return self.auto_reset and self.parent is not None and self.parent.type.lower() == "immutable"


def bare_uuid(text: str) -> str:
    return text.strip().strip("{}").lower()


def registry(document: Document) -> dict[str, RegisteredImage]:
    """Every registered image by its UUID."""
    images = dict(_images(document, document.find(document.machine, "MediaRegistry"), document.folder))
    if document.minor < OWN_REGISTRY_MINOR:
        for uuid, image in _global_images(document):
            images.setdefault(uuid, image)
    return images


def _global_images(document: Document) -> Iterator[tuple[str, RegisteredImage]]:
    path = document.global_file
    if not path.is_file():
        return
    try:
        root = parse_root(path, read_bytes(path))
    except ConfigError as error:
        document.problems.append(error)
        return
    yield from _images(document, document.find(root, "Global/MediaRegistry"), path.parent)


def _images(document: Document, element: Element | None, folder: Path) -> Iterator[tuple[str, RegisteredImage]]:
    for list_name, item in LISTS:
        for found in document.find_all(element, f"{list_name}/{item}"):
            yield from _with_children(document, found, list_name, folder)


def _with_children(document: Document, top: Element, kind: str, folder: Path) -> Iterator[tuple[str, RegisteredImage]]:
    waiting: list[tuple[Element, RegisteredImage | None]] = [(top, None)]
    while waiting:
        element, parent = waiting.pop()
        image = RegisteredImage(
            uuid=bare_uuid(document.text(element, "uuid")),
            location=folder / document.text(element, "location", "."),
            kind=kind,
            format=document.text(element, "format").lower(),
            type=document.text(element, "type", "Normal"),
            auto_reset=document.flag(element, "autoReset", False),
            parent=parent,
            element=element,
        )
        yield image.uuid, image
        waiting += [(child, image) for child in document.find_all(element, "HardDisk")]
