"""Verbs for images: create, change, copy, forget and show them."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import attrs
from ringone.api.config import DriveKind
from ringone.api.errors import MediumError
from ringone.api.media import ImageTools, MediumFormatSpec, MediumInfo, MediumVariant, NewMedium, clone_medium, find_format
from ringone.api.settings import MediumRecord, MediumType

from ringone_frontend_cli.vboxmanage.context import Context
from ringone_frontend_cli.vboxmanage.errors import FILE_ERROR, INVALID_ARGUMENT, OBJECT_NOT_FOUND, NotSupportedError, VerbError, VerbSyntaxError
from ringone_frontend_cli.vboxmanage.media_info import detail_lines
from ringone_frontend_cli.vboxmanage.media_registry import (
    KINDS,
    Medium,
    change_records,
    describe,
    find_medium,
    format_name,
    read_record,
    register,
    require_medium,
    require_unused,
    with_record,
    without_record,
)
from ringone_frontend_cli.vboxmanage.properties import with_item
from ringone_frontend_cli.vboxmanage.syntax import MIB, Arguments, Verb, Words, branches, choice, flag, integer, number, on_off, option, text, uuid_text

SECTOR = 512
MAX_BYTES = 1 << 51
STDIN = "stdin"
COPY_BYTES = 1 << 20
DEFAULT_FORMAT = "VDI"
VARIANTS = {"standard": MediumVariant.STANDARD, "fixed": MediumVariant.FIXED, "diff": MediumVariant.DIFFERENCING, "stream": MediumVariant.STREAM}
OTHER_VARIANTS = ("split2g", "esx", "formatted", "rawdisk")
MEDIUM_TYPES = {kind.value.lower(): kind for kind in MediumType}


# --- what the verbs have in common


def subject(arguments: Arguments) -> tuple[DriveKind, list[str]]:
    """``[disk|dvd|floppy]`` and the words behind it."""
    words = list(arguments.words)
    if words and words[0] in KINDS:
        return KINDS[words[0]], words[1:]
    return DriveKind.DISK, words


def one_word(words: list[str], what: str) -> str:
    if len(words) != 1:
        raise VerbSyntaxError(f"{what} is missing" if not words else f"Invalid parameter '{words[1]}'")
    return words[0]


def format_spec(context: Context, name: str) -> tuple[MediumFormatSpec, ImageTools]:
    """A format whose images can be made."""
    formats = context.registry.media_formats()
    known = {key.upper(): spec for key, spec in formats.items()}
    spec = known.get(name.upper())
    if spec is None or spec.tools is None:
        accepted = ", ".join(key for key, one in known.items() if one.tools is not None)
        raise VerbError(f"Medium format '{name}' cannot be created; accepted: {accepted}", OBJECT_NOT_FOUND)
    return spec, spec.tools


def variant(arguments: Arguments) -> MediumVariant:
    words = [word.strip().lower() for word in arguments.get("--variant", "Standard").split(",")]
    for word in words:
        if word in OTHER_VARIANTS:
            raise NotSupportedError(f"--variant {word} is not supported", ", ".join(VARIANTS))
        if word not in VARIANTS:
            raise VerbSyntaxError(f"Invalid medium variant '{word}'; accepted: {', '.join(VARIANTS)}")
    return VARIANTS[next((word for word in words if word != "standard"), "standard")]


def with_suffix(path: Path, spec: MediumFormatSpec) -> Path:
    return path if path.suffix or not spec.suffixes else path.with_name(path.name + spec.suffixes[0])


def byte_count(arguments: Arguments, megabytes: str, bytes: str) -> int | None:
    size: int | None = arguments.get(bytes)
    if size is None and arguments.has(megabytes):
        size = int(arguments.get(megabytes)) * MIB
    return size


def record_of(spec: MediumFormatSpec, info: MediumInfo, kind: DriveKind = DriveKind.DISK) -> MediumRecord:
    return MediumRecord(uuid=info.uuid or str(uuid.uuid4()), location=info.path, kind=kind, format=format_name(spec.name, kind))


# --- create


def create(context: Context, arguments: Arguments) -> None:
    kind, words = subject(arguments)
    filename = arguments.get("--filename") or one_word(words, "Required parameter --filename")
    if kind is not DriveKind.DISK:
        raise NotSupportedError("createmedium makes hard disks; CD and floppy images are made by other programs", "disk")
    spec, tools = format_spec(context, arguments.get("--format", DEFAULT_FORMAT))
    path = with_suffix(Path(filename).absolute(), spec)
    parent = require_medium(context, arguments.get("--diffparent")) if arguments.has("--diffparent") else None
    size = byte_count(arguments, "--size", "--sizebyte")
    if parent is None and not size:
        raise VerbSyntaxError("Required parameter --size is missing")
    if path.exists():
        raise VerbError(f"Cannot create the storage unit '{path}': it exists already (VERR_ALREADY_EXISTS)", FILE_ERROR)
    if parent is not None and parent.owner is None and find_medium(context, parent.record.uuid) is None:
        register(context, parent.record)
    wanted = MediumVariant.DIFFERENCING if parent is not None else variant(arguments)
    new = NewMedium(path=path, capacity_bytes=size or 0, variant=wanted, parent=parent.record.location if parent is not None else None)
    info = tools.create(new, context.progress())
    record = attrs.evolve(record_of(spec, info), properties=dict(arguments.all("--property")))
    register(context, record, parent)
    print(f"Medium created. UUID: {record.uuid}")


# --- change


def modify(context: Context, arguments: Arguments) -> None:
    kind, words = subject(arguments)
    medium = require_medium(context, one_word(words, "Required parameter <uuid|filename>"), kind)
    record = medium.record
    for option_name in ("--move", "--setlocation"):
        if arguments.has(option_name):
            raise NotSupportedError(f"modifymedium {option_name} is not supported; clonemedium copies an image to another place")
    size = byte_count(arguments, "--resize", "--resizebyte")
    if size is not None or arguments.has("--compact"):
        _require_offline(medium)
        tools = _tools(context, medium)
        if size is not None:
            tools.resize(record.location, size, context.progress())
        if arguments.has("--compact"):
            tools.compact(medium.chain, context.progress())
    changed = attrs.evolve(
        record,
        type=MEDIUM_TYPES[arguments.get("--type")] if arguments.has("--type") else record.type,
        auto_reset=arguments.get("--autoreset", record.auto_reset),
        description=arguments.get("--description", record.description),
        properties={**record.properties, **dict(arguments.all("--property"))},
    )
    if changed != record:
        _require_offline(medium)
        if changed.type is not record.type and (len(medium.lineage) > 1 or medium.users):
            raise VerbError(f"Medium '{record.location}' has to be a base image that is attached to no machine", INVALID_ARGUMENT)
        change_records(context, medium, lambda records: with_record(records, changed))


def _require_offline(medium: Medium) -> None:
    for machine in medium.users:
        if machine.is_online:
            raise VerbError(f"Medium '{medium.record.location}' is locked: the machine '{machine.registered.name}' runs", FILE_ERROR)


def _tools(context: Context, medium: Medium) -> ImageTools:
    spec = find_format(context.registry.media_formats(), medium.record.location)
    if spec.tools is None:
        raise NotSupportedError(f"{spec.name} images cannot be changed")
    return spec.tools


# --- copy


def clone(context: Context, arguments: Arguments) -> None:
    kind, words = subject(arguments)
    if len(words) != 2:
        raise VerbSyntaxError("Required parameters <uuid|inputfile> and <uuid|outputfile> are missing" if len(words) < 2 else f"Invalid parameter '{words[2]}'")
    source = require_medium(context, words[0], kind)
    if arguments.has("--existing"):
        raise NotSupportedError("clonemedium --existing is not supported", "a new file")
    _require_offline(source)
    if kind is not DriveKind.DISK:
        print(f"Clone medium created in format 'RAW'. UUID: {_copy_file(context, source, Path(words[1]).absolute())}")
        return
    input_spec = find_format(context.registry.media_formats(), source.record.location)
    output, _ = format_spec(context, arguments.get("--format", input_spec.name if input_spec.tools is not None else DEFAULT_FORMAT))
    new = NewMedium(path=with_suffix(Path(words[1]).absolute(), output), variant=variant(arguments))
    info = clone_medium(input_spec, source.chain, output, new, context.progress())
    record = record_of(output, info)
    register(context, record)
    print(f"Clone medium created in format '{record.format}'. UUID: {record.uuid}")


def _copy_file(context: Context, source: Medium, path: Path) -> str:
    try:
        with source.record.location.open("rb") as reader, path.open("xb") as writer:
            shutil.copyfileobj(reader, writer, COPY_BYTES)
    except OSError as error:
        raise MediumError(f"{path}: cannot copy '{source.record.location}': {error.strerror or error}") from error
    record = read_record(context, path, source.record.kind)
    register(context, record)
    return record.uuid


def convert_from_raw(context: Context, arguments: Arguments) -> None:
    input_name, output_name, *sizes = arguments.words
    spec, _ = format_spec(context, arguments.get("--format", DEFAULT_FORMAT))
    raw = context.registry.media_formats()["raw"]
    new = NewMedium(path=Path(output_name).absolute(), variant=variant(arguments), uuid=arguments.get("--uuid", ""))
    with _raw_input(input_name, sizes, new.path.parent) as source:
        size = source.stat().st_size
        if size % SECTOR or not size:
            raise VerbError(f"{input_name}: {size} bytes are no whole sectors of {SECTOR} bytes", INVALID_ARGUMENT)
        print(f'Converting from raw image file="{input_name}" to file="{output_name}"...')
        print(f"Creating {'fixed' if new.variant is MediumVariant.FIXED else 'dynamic'} image with size {size} bytes ({(size + MIB - 1) // MIB}MB)...")
        clone_medium(raw, [source], spec, new, context.progress())


@contextlib.contextmanager
def _raw_input(name: str, sizes: list[str], folder: Path) -> Iterator[Path]:
    if name != STDIN:
        if sizes:
            raise VerbSyntaxError(f"Invalid parameter '{sizes[0]}'")
        path = Path(name).absolute()
        if not path.is_file():
            raise VerbError(f'Cannot open file "{name}": it is not there, or no regular file (VERR_FILE_NOT_FOUND)', FILE_ERROR)
        yield path
        return
    size = integer(sizes[0]) if sizes else None
    if size is None or not 0 < size <= MAX_BYTES:
        raise VerbSyntaxError("stdin needs its size in bytes behind the output file")
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".ringone-", suffix=".img") as file:
        left = size
        while left and (data := sys.stdin.buffer.read(min(left, COPY_BYTES))):
            file.write(data)
            left -= len(data)
        file.truncate(size)
        file.flush()
        yield Path(file.name)


# --- forget and show


def close(context: Context, arguments: Arguments) -> None:
    kind, words = subject(arguments)
    name = one_word(words, "Required parameter <uuid|filename>")
    medium = find_medium(context, name, kind)
    if medium is None and not arguments.has("--delete"):
        raise VerbError(f"Could not find a registered medium '{name}'", OBJECT_NOT_FOUND)
    medium = medium or require_medium(context, name, kind)
    require_unused(medium)
    if arguments.has("--delete"):
        if not medium.record.location.is_file():
            raise MediumError(f"{medium.record.location}: is not there, or no regular file")
        progress = context.progress()
        progress(0)
        try:
            medium.record.location.unlink()
        except OSError as error:
            raise MediumError(f"{medium.record.location}: cannot delete the image: {error.strerror or error}") from error
        progress(1)
    change_records(context, medium, lambda records: without_record(records, medium.record.uuid))


def show(context: Context, arguments: Arguments) -> None:
    kind, words = subject(arguments)
    medium = require_medium(context, one_word(words, "Required parameter <uuid|filename>"), kind)
    describe(context, medium)
    for line in detail_lines(context, medium):
        print(line)


# --- properties


def get_property(context: Context, arguments: Arguments) -> None:
    kind, words = subject(arguments)
    medium = require_medium(context, words[0], kind)
    value = medium.record.properties.get(one_word(words[1:], "The property's name"))
    if value is None:
        raise VerbError(f"Property '{words[1]}' does not exist", OBJECT_NOT_FOUND)
    print(f"{words[1]}={value}")


def set_property(context: Context, arguments: Arguments) -> None:
    kind, words = subject(arguments)
    if len(words) != 3:
        raise VerbSyntaxError("Not enough parameters; accepted: [disk|dvd|floppy] <uuid|filename> <property> <value>")
    _change_property(context, require_medium(context, words[0], kind), words[1], words[2])


def delete_property(context: Context, arguments: Arguments) -> None:
    kind, words = subject(arguments)
    _change_property(context, require_medium(context, words[0], kind), one_word(words[1:], "The property's name"), "")


def _change_property(context: Context, medium: Medium, name: str, value: str) -> None:
    record = attrs.evolve(medium.record, properties=with_item(medium.record.properties, name, value))
    change_records(context, medium, lambda records: with_record(records, record))


def _pair(name: str, words: Words) -> tuple[str, str]:
    word = text(name, words)
    key, equals, value = word.partition("=")
    if not key or not equals:
        raise VerbSyntaxError(f"Invalid value '{word}' for option '{name}'; accepted: name=value")
    return key, value


SIZES = (option("--size", "-s", parse=number(1, MAX_BYTES // MIB)), option("--sizebyte", parse=number(SECTOR, MAX_BYTES)))
FORMAT = (option("--format"), option("--variant", "-m"))
IMAGE = "[disk|dvd|floppy] <uuid|filename>"

VERBS = (
    Verb(
        name="createmedium",
        summary="create a hard disk image",
        usage=("[disk] --filename <filename> --size <megabytes>|--sizebyte <bytes> [--diffparent <uuid|filename>] [--format VDI] [--variant Standard|Fixed]",),
        run=create,
        options=(option("--filename"), *SIZES, option("--diffparent"), *FORMAT, option("--property", parse=_pair)),
        words=(0, 2),
    ),
    Verb(
        name="modifymedium",
        summary="resize and compact images, and change what is kept about them",
        usage=(f"{IMAGE} [--type <type>] [--autoreset on|off] [--property <name=value>] [--description <text>] [--compact] [--resize <megabytes>]",),
        run=modify,
        options=(
            option("--type", parse=choice(*MEDIUM_TYPES)),
            option("--autoreset", parse=on_off),
            option("--property", parse=_pair),
            option("--description"),
            option("--compact", parse=flag),
            option("--resize", parse=number(1, MAX_BYTES // MIB)),
            option("--resizebyte", parse=number(SECTOR, MAX_BYTES)),
            option("--move"),
            option("--setlocation"),
        ),
        words=(1, 2),
    ),
    Verb(
        name="clonemedium",
        summary="copy an image",
        usage=("[disk|dvd|floppy] <uuid|inputfile> <outputfile> [--format VDI] [--variant Standard|Fixed]",),
        run=clone,
        options=(*FORMAT, option("--existing", parse=flag)),
        words=(1, 3),
    ),
    Verb(
        name="closemedium",
        summary="forget an image, with --delete its file too",
        usage=(f"{IMAGE} [--delete]",),
        run=close,
        options=(option("--delete", parse=flag),),
        words=(1, 2),
    ),
    Verb(name="showmediuminfo", summary="show an image", usage=(IMAGE,), run=show, words=(1, 2)),
    branches(
        "mediumproperty",
        "names and values kept with an image",
        0,
        (
            Verb(name="get", summary="", usage=(f"{IMAGE} <property>",), run=get_property, words=(2, 3)),
            Verb(name="set", summary="", usage=(f"{IMAGE} <property> <value>",), run=set_property, words=(3, 4)),
            Verb(name="delete", summary="", usage=(f"{IMAGE} <property>",), run=delete_property, words=(2, 3)),
        ),
    ),
    Verb(
        name="convertfromraw",
        summary="make an image of a raw disk",
        usage=("<filename> <outputfile> [--format VDI] [--variant Standard|Fixed] [--uuid <uuid>]", "stdin <outputfile> <bytes> [...]"),
        run=convert_from_raw,
        options=(*FORMAT, option("--uuid", parse=uuid_text)),
        words=(2, 3),
    ),
)
