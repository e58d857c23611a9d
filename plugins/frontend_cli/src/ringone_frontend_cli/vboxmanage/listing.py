"""list: what there is, in VBoxManage's layout."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from ringone.api.config import DriveKind

from ringone_frontend_cli.vboxmanage.context import Context, Machine
from ringone_frontend_cli.vboxmanage.errors import NotSupportedError, VerbSyntaxError
from ringone_frontend_cli.vboxmanage.info import show
from ringone_frontend_cli.vboxmanage.media_info import detail_lines, list_lines
from ringone_frontend_cli.vboxmanage.media_registry import all_media
from ringone_frontend_cli.vboxmanage.ostypes import FAMILIES, os_types
from ringone_frontend_cli.vboxmanage.output import Style, time_text
from ringone_frontend_cli.vboxmanage.settings_table import MEMORY_MB, VRAM_MB
from ringone_frontend_cli.vboxmanage.states import ONLINE, State
from ringone_frontend_cli.vboxmanage.syntax import Arguments, Verb, flag, option

PNG = 0x20474E50
"""The format's number in VirtualBox: its name in ASCII."""
MIB = 1 << 20
PROPERTY_WIDTH = 32


def machines(context: Context, arguments: Arguments) -> Iterator[str]:
    yield from _machines(context, arguments, frozenset(State))


def running_machines(context: Context, arguments: Arguments) -> Iterator[str]:
    yield from _machines(context, arguments, ONLINE)


def _machines(context: Context, arguments: Arguments, states: AbstractSet[State]) -> Iterator[str]:
    for machine in _sorted(context, arguments):
        if machine.state not in states:
            continue
        if machine.settings is None:
            yield f'"<inaccessible>" {{{machine.uuid}}}'
        elif arguments.has("--long"):
            yield from (*show(context.view(machine), Style.DETAILS), "")
        else:
            yield f'"{machine.settings.config.name}" {{{machine.uuid}}}'


def _sorted(context: Context, arguments: Arguments) -> list[Machine]:
    machines = list(context.machines())
    return sorted(machines, key=lambda machine: machine.registered.name.lower()) if arguments.has("--sorted") else machines


def types(context: Context, arguments: Arguments) -> Iterator[str]:
    for kind in os_types().values():
        yield f"ID:          {kind.id}"
        yield f"Description: {kind.description}"
        yield f"Family ID:   {kind.family}"
        yield f"Family Desc: {FAMILIES[kind.family]}"
        yield f"64 bit:      {'true' if kind.is_64_bit else 'false'}"
        yield ""


def media(kind: DriveKind) -> Callable[[Context, Arguments], Iterator[str]]:
    def lines(context: Context, arguments: Arguments) -> Iterator[str]:
        for medium in all_media(context):
            if medium.record.kind is kind:
                yield from (*(detail_lines if arguments.has("--long") else list_lines)(context, medium), "")

    return lines


def groups(context: Context, arguments: Arguments) -> Iterator[str]:
    known = {group for machine in context.machines() if machine.settings is not None for group in machine.settings.groups}
    for group in sorted({"/", *known}):
        yield f'"{group}"'


def backends(context: Context, arguments: Arguments) -> Iterator[str]:
    yield from ("Supported hard disk backends:", "")
    for number, format in enumerate(context.registry.media_formats().values()):
        suffixes = ",".join(f"{suffix.lstrip('.')} (HardDisk)" for suffix in format.suffixes)
        yield f"Backend {number}: id='{format.name.upper()}' description='{format.summary}' capabilities=0 extensions='{suffixes}' properties=()"


def screenshot_formats(context: Context, arguments: Arguments) -> Iterator[str]:
    yield "Supported 1 screen shot formats:"
    yield f"  BitmapFormat: PNG ({PNG:#010x})"


def system_properties(context: Context, arguments: Arguments) -> Iterator[str]:
    settings = context.home.settings()
    facts = (
        ("API version", "6_1"),
        ("Minimum guest RAM size", f"{MEMORY_MB[0]} Megabytes"),
        ("Maximum guest RAM size", f"{MEMORY_MB[1]} Megabytes"),
        ("Minimum video RAM size", f"{VRAM_MB[0]} Megabytes"),
        ("Maximum video RAM size", f"{VRAM_MB[1]} Megabytes"),
        ("Maximum guest monitor count", "1"),
        ("Minimum guest CPU count", "1"),
        ("Maximum guest CPU count", "1"),
        ("Maximum Serial Port count", "4"),
        ("Maximum Parallel Port count", "0"),
        ("Maximum Boot Position", "4"),
        ("Maximum PIIX3 Network Adapter count", "0"),
        ("Maximum ICH9 Network Adapter count", "0"),
        ("Maximum PIIX3 IDE Controllers", "1"),
        ("Maximum IDE Port count", "2"),
        ("Maximum Devices per IDE Port", "2"),
        ("Maximum PIIX3 Floppy Controllers", "1"),
        ("Maximum Floppy Port count", "1"),
        ("Maximum Devices per Floppy Port", "2"),
        ("Default machine folder", str(context.home.machine_folder())),
        ("Raw-mode Supported", "yes"),
        ("Exclusive HW virtualization use", "off"),
        ("Default hard disk format", "VDI"),
        ("VRDE auth library", ""),
        ("Webservice auth. library", ""),
        ("Remote desktop ExtPack", ""),
        ("Log history count", str(settings.log_history_count)),
        ("Default frontend", ""),
        ("Autostart database path", ""),
        ("Default Guest Additions ISO", ""),
        ("Logging Level", ""),
    )
    for label, value in facts:
        yield f"{label + ':':<{PROPERTY_WIDTH}} {value}".rstrip()


def host_info(context: Context, arguments: Arguments) -> Iterator[str]:
    count, (total, available) = os.cpu_count() or 1, _memory()
    yield from ("Host Information:", "")
    yield f"Host time: {time_text(datetime.datetime.now(datetime.UTC))}Z"
    for what in ("Processor online count", "Processor count", "Processor online core count", "Processor core count"):
        yield f"{what}: {count}"
    yield from ("Processor supports HW virtualization: no", "Processor supports PAE: yes", "Processor supports long mode: no")
    for number in range(count):
        yield f"Processor#{number} description: {platform.processor() or platform.machine()}"
    yield f"Memory size: {total // MIB} MByte"
    yield f"Memory available: {available // MIB} MByte"
    yield f"Operating system: {platform.system()}"
    yield f"Operating system version: {platform.release()}"


def _memory() -> tuple[int, int]:
    """Bytes that the host has, and those that are free; 0 where it does not say."""
    names = getattr(os, "sysconf_names", {})
    if not {"SC_PAGE_SIZE", "SC_PHYS_PAGES", "SC_AVPHYS_PAGES"} <= names.keys():
        return 0, 0
    page = os.sysconf("SC_PAGE_SIZE")
    return page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")


def nothing(context: Context, arguments: Arguments) -> Iterator[str]:
    yield from ()


def extension_packs(context: Context, arguments: Arguments) -> Iterator[str]:
    yield "Extension Packs: 0"


LISTS: Mapping[str, Callable[[Context, Arguments], Iterator[str]]] = {
    "vms": machines,
    "runningvms": running_machines,
    "ostypes": types,
    "hdds": media(DriveKind.DISK),
    "dvds": media(DriveKind.CDROM),
    "floppies": media(DriveKind.FLOPPY),
    "hddbackends": backends,
    "systemproperties": system_properties,
    "hostinfo": host_info,
    "groups": groups,
    "screenshotformats": screenshot_formats,
    "extpacks": extension_packs,
    **dict.fromkeys(("hostdvds", "hostfloppies", "bridgedifs", "hostonlyifs", "hostonlynets", "natnets", "natnetworks", "dhcpservers", "intnets"), nothing),
    **dict.fromkeys(("usbhost", "usbfilters", "webcams", "vmgroups", "cloudproviders", "cloudprofiles", "cpu-profiles", "dragndrop"), nothing),
}
"""What there never is any of is an empty list, as on a VirtualBox host without it."""


def list_verb(context: Context, arguments: Arguments) -> None:
    if not arguments.words:
        raise VerbSyntaxError('Missing subcommand for "list" command')
    name = arguments.words[0]
    if name == "hostcpuids":
        raise NotSupportedError("list hostcpuids is not supported: guests see a processor of their own")
    if name not in LISTS:
        raise VerbSyntaxError(f"Unknown subcommand '{name}'; accepted: {', '.join(LISTS)}")
    for line in LISTS[name](context, arguments):
        print(line)


VERBS = (
    Verb(
        name="list",
        summary="list machines, media and what there is",
        usage=("[--long|-l] [--sorted|-s] " + "|".join(LISTS),),
        run=list_verb,
        options=(option("--long", "-l", parse=flag), option("--sorted", "-s", parse=flag)),
        words=(0, 1),
    ),
)
