"""Drives: storage controllers and what is attached to them, in every form that VirtualBox has written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
from ringone.api.config import Drive, DriveKind, MachineConfig
from ringone.api.errors import UnsupportedError
from ringone.api.media import AccessMode
from ringone.api.settings import MediumType

from ringone_config_xml.document import Document, Element
from ringone_config_xml.media import MODES, RegisteredImage, bare_uuid, registry

CONTROLLERS = {"PIIX3": "ide", "PIIX4": "ide", "ICH6": "ide", "I82078": "floppy"}
UNMODELLED_CONTROLLERS = {
    "AHCI": "sata",
    "LsiLogic": "scsi",
    "BusLogic": "scsi",
    "LsiLogicSas": "sas",
    "VirtioSCSI": "virtio-scsi",
    "USB": "usb",
    "NVMe": "nvme",
}
"""Their drives are shown and kept; no machine with them is started."""
ALL_CONTROLLERS = CONTROLLERS | UNMODELLED_CONTROLLERS
ENCRYPTION = "CRYPT/KeyId"
"""The property of a disk whose content VirtualBox has encrypted; the image does not say so itself."""
PLACES = {"ide": (2, 2), "floppy": (1, 2), "sata": (30, 1), "scsi": (16, 1), "sas": (255, 1), "virtio-scsi": (256, 1), "usb": (8, 1), "nvme": (255, 1)}
"""Controller to (ports, devices a port)."""
KINDS = {"HardDisk": DriveKind.DISK, "DVD": DriveKind.CDROM, "Floppy": DriveKind.FLOPPY}
OLD_STORAGE_MINOR = 9
"""Before it, DVD and floppy drives stand in Hardware, and before 1.7 hard disks in HardDiskAttachments."""
OLD_DEVICES = {"0": 0, "master": 0, "1": 1, "slave": 1}
OLD_CHANNELS = {"0": 0, "primary": 0, "1": 1, "secondary": 1}

Place = tuple[str, int, int]
"""(controller, port, device)."""


@attrs.frozen(eq=False)
class Attachment:
    """A drive's place and the element that holds its Image, HostDrive or nothing."""

    place: Place
    kind: DriveKind
    element: Element
    image_uuid: str = ""
    host_drive: str = ""


def read_drives(document: Document, extras: Mapping[str, Mapping[str, str]], images: Mapping[str, RegisteredImage]) -> tuple[Drive, ...]:
    """`extras` are the ``RingOne/Drive/<controller>/<port>/<device>/`` items, by place."""
    drives: dict[Place, Drive] = {}
    for attachment in attachments(document):
        if attachment.place in drives:
            controller, port, device = attachment.place
            document.problem(attachment.element, f"two drives at {controller} port {port} device {device}; accepted is one")
            continue
        drives[attachment.place] = _read_drive(document, attachment, images, extras.get("/".join(map(str, attachment.place)), {}))
    return tuple(drives.values())


def controller_elements(document: Document) -> list[Element]:
    """StorageControllers moved into Hardware with VirtualBox 6.1."""
    paths = ("StorageControllers/StorageController", "Hardware/StorageControllers/StorageController")
    return [element for path in paths for element in document.find_all(document.machine, path)]


def attachments(document: Document) -> Iterator[Attachment]:
    used: dict[str, Element] = {}
    for element in controller_elements(document):
        attached = list(document.find_all(element, "AttachedDevice"))
        if not attached:
            continue
        type = document.text(element, "type")
        controller = ALL_CONTROLLERS.get(type)
        if type not in CONTROLLERS:
            name = document.text(element, "name")
            accepted = ", ".join(CONTROLLERS)
            document.problem(element, f"storage controller {name!r} of type {type} has devices attached; accepted types: {accepted}", UnsupportedError)
        if controller is None:
            continue
        if used.setdefault(controller, element) is not element:
            document.problem(element, f"a second {controller} controller with devices; accepted is one of each type", UnsupportedError)
            continue
        for device in attached:
            yield from _attached_device(document, controller, device)
    yield from _old_hard_disks(document)
    yield from _old_drives(document)


def _attached_device(document: Document, controller: str, element: Element) -> Iterator[Attachment]:
    type = document.text(element, "type", "HardDisk").strip()
    port, device = document.number(element, "port"), document.number(element, "device")
    ports, devices = PLACES[controller]
    if port >= ports or device >= devices:
        accepted = f"ports 0 to {ports - 1}, devices 0 to {devices - 1}"
        document.problem(element, f"AttachedDevice at port {port} device {device}; accepted on {controller}: {accepted}")
    elif type not in KINDS or (type == "Floppy") is not (controller == "floppy"):
        accepted = "Floppy" if controller == "floppy" else "HardDisk, DVD"
        document.problem(element, f"AttachedDevice of type {type} on a controller of type {controller}; accepted: {accepted}")
    else:
        yield _attachment(document, (controller, port, device), KINDS[type], element)


def _attachment(document: Document, place: Place, kind: DriveKind, element: Element) -> Attachment:
    image, host = document.find(element, "Image"), document.find(element, "HostDrive")
    return Attachment(place, kind, element, bare_uuid(document.text(image, "uuid")), document.text(host, "src"))


def _old_hard_disks(document: Document) -> Iterator[Attachment]:
    for element in document.find_all(document.machine, "HardDiskAttachments/HardDiskAttachment"):
        bus = document.text(element, "bus").strip().lower()
        channel = OLD_CHANNELS.get(bus.removeprefix("ide") or document.text(element, "channel").strip().lower())
        device = OLD_DEVICES.get(document.text(element, "device").strip().lower())
        if not bus.startswith("ide"):
            document.problem(element, f"HardDiskAttachment on bus {bus}; accepted: IDE", UnsupportedError)
        elif channel is None or device is None:
            document.problem(element, "HardDiskAttachment with another channel or device than 0 and 1; accepted: 0, 1")
        else:
            yield Attachment(("ide", channel, device), DriveKind.DISK, element, bare_uuid(document.text(element, "hardDisk")))


def _old_drives(document: Document) -> Iterator[Attachment]:
    if document.minor >= OLD_STORAGE_MINOR:
        return
    dvd = document.find(document.machine, "Hardware/DVDDrive")
    if dvd is not None:
        yield _attachment(document, ("ide", 1, 0), DriveKind.CDROM, dvd)
    floppy = document.find(document.machine, "Hardware/FloppyDrive")
    if floppy is not None and document.flag(floppy, "enabled", True):
        yield _attachment(document, ("floppy", 0, 0), DriveKind.FLOPPY, floppy)


def _read_drive(document: Document, attachment: Attachment, images: Mapping[str, RegisteredImage], extra: Mapping[str, str]) -> Drive:
    controller, port, device = attachment.place
    drive = Drive(kind=attachment.kind, controller=controller, port=port, device=device, serial=extra.get("Serial", ""))
    if attachment.host_drive:
        drive = attrs.evolve(drive, image=Path(attachment.host_drive), mode=AccessMode.READ_ONLY)
    elif attachment.image_uuid:
        image = images.get(attachment.image_uuid)
        if image is None:
            accepted = f"an image of MediaRegistry (in this file, or before settings version 1.11 in {document.global_file})"
            document.problem(attachment.element, f"image {{{attachment.image_uuid}}} is not registered; accepted: {accepted}")
        else:
            drive = _with_image(document, attachment, drive, image)
    elif attachment.kind is DriveKind.DISK:
        document.problem(attachment.element, "a hard disk without an image; accepted: <Image uuid=.../> in AttachedDevice")
    return attrs.evolve(drive, mode=AccessMode(extra["Mode"])) if "Mode" in extra else drive


def _with_image(document: Document, attachment: Attachment, drive: Drive, image: RegisteredImage) -> Drive:
    drive = attrs.evolve(drive, image=image.location, format=image.format, parents=tuple(below.location for below in image.below()))
    if image.type is MediumType.SHAREABLE:
        accepted = ", ".join(type.value for type in MediumType if type is not MediumType.SHAREABLE)
        document.problem(image.element, f"image {image.location.name!r} is of type {image.type.value}; accepted: {accepted}", UnsupportedError)
    for each in (image, *image.below()):
        if any(document.text(item, "name") == ENCRYPTION for item in document.find_all(each.element, "Property")):
            document.problem(each.element, f"image {each.location.name!r} is encrypted; accepted: images that are not", UnsupportedError)
    return attrs.evolve(drive, mode=attached_mode(image)) if attachment.kind is DriveKind.DISK else drive


def attached_mode(image: RegisteredImage) -> AccessMode:
    """How a disk is opened; immutable and multi-attach disks get a differencing image at power-on that is written to."""
    return AccessMode.READ_ONLY if image.type is MediumType.READONLY else AccessMode.PERSISTENT


def without_home(document: Document, config: MachineConfig) -> MachineConfig:
    """For running a file by itself, where nobody resets or adds differencing images at power-on: what goes to those is thrown away."""
    images = {image.location: image for image in registry(document).values()}

    def mapped(drive: Drive) -> Drive:
        image = images.get(drive.image) if drive.kind is DriveKind.DISK and drive.image is not None else None
        if image is not None and image.is_reset_child and image.parent is not None:
            image = image.parent
        if image is None or MODES[image.type] is not AccessMode.THROW_AWAY:
            return drive
        return attrs.evolve(
            drive,
            image=image.location,
            format=image.format,
            parents=tuple(below.location for below in image.below()),
            mode=AccessMode.THROW_AWAY,
        )

    return attrs.evolve(config, drives=tuple(map(mapped, config.drives)))
