"""storagectl and storageattach."""

from __future__ import annotations

import attrs
from ringone.api.config import Drive, DriveKind
from ringone.api.media import AccessMode
from ringone.api.settings import MachineSettings, MediumRecord, MediumType

from ringone_frontend_cli.vboxmanage.context import Context, Machine
from ringone_frontend_cli.vboxmanage.controllers import (
    Place,
    add_controller,
    change_controller,
    chip,
    drive_at,
    find_controller,
    place,
    put_drive,
    remove_controller,
    require_kind,
)
from ringone_frontend_cli.vboxmanage.errors import INVALID_ARGUMENT, OBJECT_IN_USE, NotSupportedError, VerbError, VerbSyntaxError
from ringone_frontend_cli.vboxmanage.media_registry import Medium, Records, find_medium, forget_in_home, lineages, require_medium, with_record, without_record
from ringone_frontend_cli.vboxmanage.syntax import Arguments, Verb, choice, flag, number, on_off, option, uuid_text
from ringone_frontend_cli.vboxmanage.words import CONTROLLER_KINDS

MAX_PORTS = 255
TYPES = {"hdd": DriveKind.DISK, "dvddrive": DriveKind.CDROM, "fdd": DriveKind.FLOPPY}
EMPTY_MEDIA = frozenset({"none", "emptydrive"})
MEDIUM_TYPES = {kind.value.lower(): kind for kind in MediumType}
UNSUPPORTED_MEDIA = {
    "additions": "there are no guest additions",
    "iscsi": "there are no iSCSI disks",
    "host:": "drives of the host are attached by the path of their device",
}

UNSUPPORTED_OPTIONS = {
    "--setparentuuid": "an image's parent is set by what made the image",
    "--passthrough": "drives of the host cannot be passed through",
    "--server": "there are no iSCSI disks",
}


# --- storagectl --------------------------------------------------------------------------------------------------------------------------------------------


def storage_controller(context: Context, arguments: Arguments) -> None:
    arguments.require("--name")
    context.change(arguments.words[0], lambda settings: change(settings, arguments))


def change(settings: MachineSettings, arguments: Arguments) -> MachineSettings:
    config, name = settings.config, arguments.get("--name")
    if arguments.has("--remove"):
        return attrs.evolve(settings, config=remove_controller(config, name))
    if arguments.has("--add"):
        config = add_controller(config, name, arguments.get("--add"))
    old = find_controller(config, name)
    new = attrs.evolve(
        old,
        name=arguments.get("--rename", old.name),
        type=chip(arguments.get("--controller", old.type)),
        ports=arguments.get("--portcount", old.ports),
        bootable=arguments.get("--bootable", old.bootable),
        host_io_cache=arguments.get("--hostiocache", old.host_io_cache),
    )
    kind = CONTROLLER_KINDS[new.type]
    if arguments.has("--portcount") and (new.ports > kind.max_ports or (kind.controller and new.ports != kind.ports)):
        accepted = kind.ports if kind.controller else f"1 to {kind.max_ports}"
        raise VerbError(f"Invalid port count {new.ports}; accepted for {kind.name}: {accepted}", INVALID_ARGUMENT)
    return attrs.evolve(settings, config=change_controller(config, old, new))


# --- storageattach -----------------------------------------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Attachment:
    """What is to become of a place: a drive with a medium, an empty drive, or nothing. `drive` None detaches."""

    place: Place
    drive: Drive | None
    medium: Medium | None = None
    type: MediumType | None = None
    comment: str = ""


def storage_attach(context: Context, arguments: Arguments) -> None:
    arguments.require("--storagectl")
    machine = context.machine(arguments.words[0])
    for name, reason in UNSUPPORTED_OPTIONS.items():
        if arguments.get(name, False):
            raise NotSupportedError(f"{name} is not supported: {reason}")
    if machine.is_online:
        _attach_running(context, machine, arguments)
        return
    attachment = planned(context, machine, arguments)
    context.change(machine.uuid, lambda settings: attach(settings, attachment))
    if attachment.medium is not None and attachment.drive is not None:
        forget_in_home(context, attachment.medium)


def _attach_running(context: Context, machine: Machine, arguments: Arguments) -> None:
    """Only media of removable drives can be changed."""
    from ringone_frontend_cli.vboxmanage.running import client

    attachment = planned(context, machine, arguments)
    drive = drive_at(machine.loaded.config, attachment.place)
    if drive is None or drive.kind is DriveKind.DISK or attachment.drive is None:
        raise VerbError("The machine is running; accepted: other media for its CD and floppy drives", OBJECT_IN_USE)
    with client(context, machine) as vm:
        vm.change_medium(f"{drive.controller}.drive{drive.port}{drive.device}", attachment.drive.image)


def planned(context: Context, machine: Machine, arguments: Arguments) -> Attachment:
    where = place(machine.loaded.config, arguments.get("--storagectl"), arguments.get("--port"), arguments.get("--device"))
    old = drive_at(machine.loaded.config, where)
    text = arguments.get("--medium", "")
    kind = TYPES[arguments.get("--type")] if arguments.has("--type") else _implied_kind(context, old, text)
    type = MEDIUM_TYPES[arguments.get("--mtype")] if arguments.has("--mtype") else None
    if text == "none":
        return Attachment(place=where, drive=None)
    if kind is None:
        raise VerbSyntaxError("Missing --type; accepted: dvddrive, hdd, fdd")
    require_kind(where, kind)
    empty = Drive(kind=kind, controller=_bus(where), port=where.port, device=where.device)
    if text == "emptydrive":
        if kind is DriveKind.DISK:
            raise VerbError("A hard disk needs a medium; accepted: a file or a UUID", INVALID_ARGUMENT)
        return Attachment(place=where, drive=empty)
    if not text:
        return _same_medium(context, where, old, type)
    medium = _medium(context, text, kind, arguments.get("--setuuid"))
    drive = attrs.evolve(
        empty, image=medium.record.location, format=medium.record.format.lower(), serial=old.serial if old is not None and old.kind is kind else ""
    )
    return Attachment(place=where, drive=drive, medium=medium, type=type, comment=arguments.get("--comment", ""))


def _same_medium(context: Context, where: Place, old: Drive | None, type: MediumType | None) -> Attachment:
    if old is None:
        raise VerbSyntaxError("Missing --medium; accepted: none, emptydrive, a file or a UUID")
    medium = require_medium(context, str(old.image), old.kind) if old.image is not None else None
    return Attachment(place=where, drive=old, medium=medium, type=type)


def _implied_kind(context: Context, old: Drive | None, text: str) -> DriveKind | None:
    """What is there already, or what the image is registered as."""
    if text and text not in EMPTY_MEDIA and (known := find_medium(context, text)) is not None:
        return known.record.kind
    return old.kind if old is not None else None


def _medium(context: Context, text: str, kind: DriveKind, identity: str | None) -> Medium:
    for word, reason in UNSUPPORTED_MEDIA.items():
        if text.startswith(word):
            raise NotSupportedError(f"--medium {text} is not supported: {reason}")
    medium = require_medium(context, text, kind)
    if identity is None:
        return medium
    if medium.users:
        raise VerbError(f"Medium '{medium.record.location}' is attached already and keeps its UUID", OBJECT_IN_USE)
    return attrs.evolve(medium, lineage=(with_uuid(context, medium.record, identity), *medium.lineage[1:]))


def with_uuid(context: Context, record: MediumRecord, identity: str) -> MediumRecord:
    """Another UUID for an image, in its file too where its format has one; "" makes a fresh one."""
    import uuid

    identity = identity or str(uuid.uuid4())
    spec = context.registry.media_formats().get(record.format.lower())
    if spec is not None and spec.tools is not None and record.kind is DriveKind.DISK:
        spec.tools.set_uuid(record.location, identity)
    return attrs.evolve(record, uuid=identity)


def attach(settings: MachineSettings, attachment: Attachment) -> MachineSettings:
    if attachment.medium is None or attachment.drive is None:
        return attrs.evolve(settings, config=put_drive(settings.config, attachment.place, attachment.drive))
    record, base = attachment.medium.record, attachment.medium.lineage[-1]
    if attachment.comment:
        record = attrs.evolve(record, description=attachment.comment)
    if attachment.type is not None:
        if len(attachment.medium.lineage) > 1:
            raise VerbError("A differencing image has the type of the image that it stands on", INVALID_ARGUMENT)
        record = base = attrs.evolve(record, type=attachment.type)
    drive = attrs.evolve(attachment.drive, mode=AccessMode.READ_ONLY if base.type is MediumType.READONLY else AccessMode.PERSISTENT)
    return attrs.evolve(settings, config=put_drive(settings.config, attachment.place, drive), media=_with_media(settings.media, record, base))


def _with_media(records: Records, record: MediumRecord, base: MediumRecord) -> Records:
    """The registry with the image and the one that it stands on; what had its file under another UUID is forgotten."""
    for lineage in lineages(records):
        if lineage[0].location == record.location and lineage[0].uuid != record.uuid:
            records = without_record(records, lineage[0].uuid)
    if all(lineage[0].uuid != base.uuid for lineage in lineages(records)):
        records = with_record(records, base)
    return with_record(records, record)


def _bus(where: Place) -> str:
    return CONTROLLER_KINDS[where.controller.type].controller


VERBS = (
    Verb(
        name="storagectl",
        summary="add, change and remove storage controllers",
        usage=(
            "<uuid|vmname> --name <name> [--add ide|floppy] [--controller PIIX3|PIIX4|ICH6|I82078] [--portcount <n>]",
            "  [--hostiocache on|off] [--bootable on|off] [--rename <name>] [--remove]",
        ),
        run=storage_controller,
        options=(
            option("--name"),
            option("--add", parse=choice("ide", "floppy", "sata", "scsi", "sas", "usb", "pcie", "virtio", "virtio-scsi")),
            option("--controller"),
            option("--portcount", parse=number(1, MAX_PORTS)),
            option("--hostiocache", parse=on_off),
            option("--bootable", parse=on_off),
            option("--rename"),
            option("--remove", parse=flag),
        ),
        words=(1, 1),
    ),
    Verb(
        name="storageattach",
        summary="attach drives and images, and take them away",
        usage=(
            "<uuid|vmname> --storagectl <name> [--port <n>] [--device <n>] [--type dvddrive|hdd|fdd] [--medium none|emptydrive|<uuid|filename>]",
            "  [--mtype normal|writethrough|immutable|shareable|readonly|multiattach] [--comment <text>] [--setuuid <uuid>] [--forceunmount]",
        ),
        run=storage_attach,
        options=(
            option("--storagectl"),
            option("--port", parse=number(0, MAX_PORTS)),
            option("--device", parse=number(0, MAX_PORTS)),
            option("--type", parse=choice(*TYPES)),
            option("--medium"),
            option("--mtype", parse=choice(*MEDIUM_TYPES)),
            option("--comment"),
            option("--setuuid", parse=lambda name, words: words.next(name) if words.peek() == "" else uuid_text(name, words)),
            option("--setparentuuid", parse=uuid_text),
            option("--passthrough", parse=on_off),
            option("--tempeject", parse=on_off),
            option("--nonrotational", parse=on_off),
            option("--discard", parse=on_off),
            option("--hotpluggable", parse=on_off),
            option("--bandwidthgroup"),
            option("--forceunmount", parse=flag),
            option("--server"),
            option("--target"),
        ),
        words=(1, 1),
    ),
)
