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
from ringone.api.settings import MediumType

from ringone_config_xml.document import Document, Element, HomeDocument, SettingsFile, read_bytes

OWN_REGISTRY_MINOR = 11
LISTS = (("HardDisks", "HardDisk"), ("DVDImages", "Image"), ("FloppyImages", "Image"))
MODES = {
    MediumType.NORMAL: AccessMode.PERSISTENT,
    MediumType.WRITETHROUGH: AccessMode.PERSISTENT,
    MediumType.SHAREABLE: AccessMode.PERSISTENT,
    MediumType.IMMUTABLE: AccessMode.THROW_AWAY,
    MediumType.MULTIATTACH: AccessMode.THROW_AWAY,
    MediumType.READONLY: AccessMode.READ_ONLY,
}
"""How a disk is opened where nobody adds differencing images at power-on."""
TYPES = {AccessMode.PERSISTENT: MediumType.NORMAL, AccessMode.THROW_AWAY: MediumType.IMMUTABLE, AccessMode.READ_ONLY: MediumType.READONLY}
TYPE_WORDS = {type.value.lower(): type for type in MediumType}


@attrs.frozen(eq=False)
class RegisteredImage:
    """`kind` is the list that it stands in; `parent` is what a differencing image builds on."""

    uuid: str
    location: Path
    kind: str
    format: str
    type: MediumType
    auto_reset: bool
    parent: RegisteredImage | None
    element: Element

    def below(self) -> Iterator[RegisteredImage]:
        """What it stands on, nearest first."""
        image = self.parent
        while image is not None:
            yield image
            image = image.parent

    @property
    def is_reset_child(self) -> bool:
        """A differencing image that VirtualBox empties at every start: the guest sees its immutable parent."""
        return self.auto_reset and self.parent is not None and self.parent.type is MediumType.IMMUTABLE


def bare_uuid(text: str) -> str:
    return text.strip().strip("{}").lower()


def registry(document: Document) -> dict[str, RegisteredImage]:
    """Every registered image by its UUID."""
    images = dict(_images(document, document.find(document.owner, "MediaRegistry"), document.folder))
    if document.minor < OWN_REGISTRY_MINOR:
        for uuid, image in _global_images(document):
            images.setdefault(uuid, image)
    return images


def _global_images(document: Document) -> Iterator[tuple[str, RegisteredImage]]:
    shared = global_registry(document)
    if shared is not None:
        yield from _images(shared, shared.find(shared.home, "MediaRegistry"), shared.folder)


def global_registry(document: Document) -> HomeDocument | None:
    """The file that has the media of a machine without a registry of its own; None where it is not there or cannot be read."""
    if not document.global_file.is_file():
        return None
    try:
        return HomeDocument(document.global_file, read_bytes(document.global_file))
    except ConfigError as error:
        document.problems.append(error)
        return None


def _images(document: SettingsFile, element: Element | None, folder: Path) -> Iterator[tuple[str, RegisteredImage]]:
    for list_name, item in LISTS:
        for found in document.find_all(element, f"{list_name}/{item}"):
            yield from _with_children(document, found, list_name, folder)


def _with_children(document: SettingsFile, top: Element, kind: str, folder: Path) -> Iterator[tuple[str, RegisteredImage]]:
    waiting: list[tuple[Element, RegisteredImage | None]] = [(top, None)]
    while waiting:
        element, parent = waiting.pop()
        image = RegisteredImage(
            uuid=bare_uuid(document.text(element, "uuid")),
            location=folder / document.text(element, "location", "."),
            kind=kind,
            format=document.text(element, "format").lower(),
            type=TYPE_WORDS.get(document.text(element, "type").strip().lower(), MediumType.NORMAL),
            auto_reset=document.flag(element, "autoReset", False),
            parent=parent,
            element=element,
        )
        yield image.uuid, image
        waiting += [(child, image) for child in document.find_all(element, "HardDisk")]
