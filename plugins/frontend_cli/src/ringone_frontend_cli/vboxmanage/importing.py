"""import: machines out of an appliance."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
from ringone.api.appliance import Appliance, ApplianceDisk, ApplianceDrive, ApplianceSystem
from ringone.api.config import Drive, DriveKind, MachineConfig
from ringone.api.media import NewMedium, clone_medium
from ringone.api.settings import MachineSettings, MediumRecord

from ringone_frontend_cli.vboxmanage.context import Context
from ringone_frontend_cli.vboxmanage.errors import INVALID_ARGUMENT, NotSupportedError, VerbError, VerbSyntaxError
from ringone_frontend_cli.vboxmanage.media import record_of
from ringone_frontend_cli.vboxmanage.ostypes import find_os_type, os_types
from ringone_frontend_cli.vboxmanage.packages import Package, appliance_format, open_package
from ringone_frontend_cli.vboxmanage.settings_table import MEMORY_MB, parse_groups
from ringone_frontend_cli.vboxmanage.syntax import MIB, Arguments, Verb, choice, flag, number, option

IDE_PLACES = ((0, 0), (0, 1), (1, 0), (1, 1))
MAX_UNITS = 1000
PER_SYSTEM = ("vsys", "unit", "ostype", "vmname", "settingsfile", "basefolder", "group", "memory", "cpus", "description", "ignore", "disk", "eula")


@attrs.define
class Wishes:
    """What the command line asks of one machine. `disks` and `ignored` are by unit."""

    os_type: str = ""
    name: str = ""
    base_folder: Path | None = None
    groups: tuple[str, ...] = ("/",)
    memory_bytes: int = 0
    description: str | None = None
    disks: dict[int, Path] = attrs.Factory(dict)
    ignored: set[int] = attrs.Factory(set)


@attrs.define
class Unit:
    """A numbered line of what an import is going to make. `drive` is a disk of the envelope, `removable` a CD or floppy drive."""

    lines: tuple[str, ...]
    drive: ApplianceDrive | None = None
    removable: Drive | None = None
    place: tuple[int, int] = (0, 0)
    target: Path | None = None


@attrs.define
class Plan:
    """What becomes of one machine of an appliance."""

    number: int
    system: ApplianceSystem
    config: MachineConfig
    wishes: Wishes
    file: Path
    units: list[Unit]

    def chosen(self) -> Iterator[Unit]:
        return (unit for number, unit in enumerate(self.units) if number not in self.wishes.ignored)


def import_appliance(context: Context, arguments: Arguments) -> None:
    path = Path(arguments.words[0]).absolute()
    wishes = collect_wishes(arguments)
    with open_package(path, appliance_format(context.registry)) as package:
        print(f"Interpreting {path}...\nOK.")
        plans = [plan(context, number, system, package.appliance, wishes.get(number, Wishes())) for number, system in enumerate(package.appliance.systems)]
        for number in wishes.keys() - set(range(len(plans))):
            raise VerbError(f"Invalid virtual system number {number}; accepted: 0 to {len(plans) - 1}", INVALID_ARGUMENT)
        print("\n".join(described(package.appliance, plans)))
        if arguments.has("--dry-run"):
            return
        for one in plans:
            carry_out(context, package, one)
    print("Successfully imported the appliance.")


def collect_wishes(arguments: Arguments) -> dict[int, Wishes]:
    """``--vsys`` and ``--unit`` say whom the options behind them are about."""
    all_wishes: dict[int, Wishes] = {}
    system: int | None = None
    unit: int | None = None
    for given in arguments.given:
        if given.key == "vsys":
            system, unit = given.value, None
            all_wishes.setdefault(given.value, Wishes())
        elif given.key == "unit":
            unit = given.value
        elif given.key in PER_SYSTEM:
            if system is None:
                raise VerbSyntaxError(f"Option {given.written} needs --vsys in front of it")
            _wish(all_wishes[system], given.key, given.value, unit, given.written)
    return all_wishes


def _wish(wishes: Wishes, key: str, value: str, unit: int | None, written: str) -> None:
    if key in ("ignore", "disk") and unit is None:
        raise VerbSyntaxError(f"Option {written} needs --unit in front of it")
    match key:
        case "ostype":
            wishes.os_type = find_os_type(value).id
        case "vmname":
            wishes.name = value
        case "basefolder":
            wishes.base_folder = Path(value).absolute()
        case "settingsfile":
            wishes.base_folder = Path(value).absolute().parent.parent
        case "group":
            wishes.groups = parse_groups(value)
        case "memory":
            wishes.memory_bytes = int(value) * MIB
        case "description":
            wishes.description = value
        case "disk" if unit is not None:
            wishes.disks[unit] = Path(value).absolute()
        case "ignore" if unit is not None:
            wishes.ignored.add(unit)


# --- planning


def plan(context: Context, number: int, system: ApplianceSystem, appliance: Appliance, wishes: Wishes) -> Plan:
    name = wishes.name or free_name(context, system.config.name)
    file = context.home.machine_file(name, wishes.groups, wishes.base_folder)
    config = attrs.evolve(
        system.config,
        name=name,
        os_type=wishes.os_type or (system.config.os_type if system.config.os_type in os_types() else "Other"),
        memory_bytes=wishes.memory_bytes or system.config.memory_bytes,
        description=system.config.description if wishes.description is None else wishes.description,
    )
    planned = Plan(number, system, config, wishes, file, [])
    planned.units = list(_units(planned, appliance))
    for unit in wishes.disks.keys() | wishes.ignored:
        if unit >= len(planned.units) or (unit in wishes.disks and planned.units[unit].drive is None):
            raise VerbError(f"Invalid unit number {unit} for virtual system {number}", INVALID_ARGUMENT)
    return planned


def free_name(context: Context, wanted: str) -> str:
    """VirtualBox numbers machines whose name is taken."""
    taken = {machine.registered.name for machine in context.machines()}
    cleaned = "".join(letter if letter.isprintable() and letter not in '/\\:*?"<>|' else "_" for letter in wanted)[:100].strip(" .") or "appliance"
    number, name = 1, cleaned
    while name in taken:
        name, number = f"{cleaned} {number}", number + 1
    return name


def _units(plan: Plan, appliance: Appliance) -> Iterator[Unit]:
    config, vsys = plan.config, f"--vsys {plan.number}"
    change = f'(change with "{vsys}'
    yield Unit((f'Suggested OS type: "{config.os_type}"', f'{change} --ostype <type>"; use "list ostypes" to list all possible values)'))
    yield Unit((f'Suggested VM name "{config.name}"', f'{change} --vmname <name>")'))
    yield Unit((f'Suggested VM group "{plan.wishes.groups[0]}"', f'{change} --group <group>")'))
    yield Unit((f'Suggested VM settings file name "{plan.file}"', f'{change} --settingsfile <filename>")'))
    yield Unit((f'Suggested VM base folder "{plan.file.parent.parent}"', f'{change} --basefolder <path>")'))
    yield Unit(("Number of CPUs: 1",))
    yield Unit((f"Guest memory: {config.memory_bytes // MIB} MB", f'{change} --memory <MB>")'))
    count = 7
    for text in plan.system.absent:
        yield Unit((f"{text[:1].upper()}{text[1:60]} (RingOne has none)",))
        count += 1
    for drive in config.drives:
        yield Unit(("Floppy" if drive.kind is DriveKind.FLOPPY else "CD-ROM", f'(disable with "{vsys} --unit {count} --ignore")'), removable=drive)
        count += 1
    if not plan.system.drives:
        return
    controller = count
    yield Unit(("IDE controller, type PIIX4",))
    for disk, place in zip(plan.system.drives, _places(plan.system), strict=True):
        count += 1
        yield _disk_unit(plan, appliance.disk(disk.disk), disk, place, controller, count)


def _disk_unit(plan: Plan, disk: ApplianceDisk, drive: ApplianceDrive, place: tuple[int, int], controller: int, count: int) -> Unit:
    target = plan.wishes.disks.get(count) or plan.file.parent / f"{Path(disk.file).stem or disk.id}.vdi"
    channel = place[0] * 2 + place[1]
    head = f"Hard disk image: source image={disk.file or disk.id}, target path={target}, controller={controller};channel={channel}"
    change = f'(change target path with "--vsys {plan.number} --unit {count} --disk path";'
    return Unit((head, change, f'disable with "--vsys {plan.number} --unit {count} --ignore")'), drive, place=place, target=target.with_suffix(".vdi"))


def _places(system: ApplianceSystem) -> list[tuple[int, int]]:
    """Disks of IDE controllers stay where they are; others go to the first places that are free."""
    taken = {(drive.port, drive.device) for drive in system.config.drives if drive.controller == "ide"}
    places: list[tuple[int, int]] = []
    for drive in system.drives:
        wanted = [(drive.port, drive.device)] if drive.bus == "ide" else []
        place = next((one for one in (*wanted, *IDE_PLACES) if one in IDE_PLACES and one not in taken), None)
        if place is None:
            raise NotSupportedError(f"virtual system '{system.config.name}' has more disks than RingOne has places", "up to 4 CD drives and disks")
        taken.add(place)
        places.append(place)
    return places


def described(appliance: Appliance, plans: list[Plan]) -> Iterator[str]:
    yield "Disks:"
    for disk in appliance.disks:
        yield f"  {disk.id}\t{disk.capacity_bytes}\t-1\t{disk.format_uri}\t{disk.file}\t-1\t-1\t"
    for one in plans:
        yield from ("", f"Virtual system {one.number}:")
        for place, unit in enumerate(one.units):
            yield f"{place:2}: {unit.lines[0]}" + (" -- disabled" if place in one.wishes.ignored else "")
            yield from (f"    {line}" for line in unit.lines[1:])


# --- doing


def carry_out(context: Context, package: Package, plan: Plan) -> None:
    folder, is_new = plan.file.parent, not plan.file.parent.exists()
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    try:
        drives, media = [], []
        for unit in plan.chosen():
            if unit.removable is not None:
                drives.append(unit.removable)
            elif unit.drive is not None and unit.target is not None:
                record = _import_disk(context, package, package.appliance.disk(unit.drive.disk), unit.target)
                made.append(record.location)
                media.append(record)
                port, device = unit.place
                drives.append(Drive(kind=DriveKind.DISK, controller="ide", port=port, device=device, image=record.location, format="vdi"))
        config = attrs.evolve(plan.config, drives=tuple(drives))
        path = context.home.create(MachineSettings(config=config, media=tuple(media), groups=plan.wishes.groups), plan.wishes.base_folder)
        made.append(path)
        context.home.register(path)
    except BaseException:
        for file in made:
            file.unlink(missing_ok=True)
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _import_disk(context: Context, package: Package, disk: ApplianceDisk, target: Path) -> MediumRecord:
    """As a VDI image. What comes from outside is copied into a folder of its own first, so that it finds no other file to refer to."""
    formats = context.registry.media_formats()
    vdi = formats["vdi"]
    assert vdi.tools is not None
    if not disk.file:
        return record_of(vdi, vdi.tools.create(NewMedium(path=target, capacity_bytes=disk.capacity_bytes), context.progress()))
    if disk.format not in formats:
        raise NotSupportedError(f"disk '{disk.id}' has the format {disk.format}, which no plugin reads")
    with tempfile.TemporaryDirectory(prefix=".ringone-import-", dir=target.parent) as folder:
        source = Path(folder) / "disk"
        package.copy(disk, source)
        return record_of(vdi, clone_medium(formats[disk.format], [source], vdi, NewMedium(path=target), context.progress()))


VERBS = (
    Verb(
        name="import",
        summary="make machines of an appliance (OVF, OVA)",
        usage=(
            "<ovf/ova> [--dry-run|-n] [--vsys <n> [--ostype <type>] [--vmname <name>] [--group <group>] [--basefolder <path>] [--memory <MB>]",
            "  [--description <text>] [--unit <n> [--disk <path>] [--ignore]]]...",
        ),
        run=import_appliance,
        options=(
            option("--dry-run", "-n", "--dryrun", parse=flag),
            option("--options"),
            option("--vsys", parse=number(0, MAX_UNITS)),
            option("--unit", parse=number(0, MAX_UNITS)),
            option("--ostype"),
            option("--vmname"),
            option("--settingsfile"),
            option("--basefolder"),
            option("--group"),
            option("--memory", parse=number(*MEMORY_MB)),
            option("--cpus", parse=number(1, 1)),
            option("--description"),
            option("--eula", parse=choice("show", "accept")),
            option("--ignore", parse=flag),
            option("--disk"),
            option("--controller"),
            option("--scsitype"),
        ),
        words=(1, 1),
    ),
)
