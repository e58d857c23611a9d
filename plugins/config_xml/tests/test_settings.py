"""Machine files as a whole, in every settings version from VirtualBox 3.0 to 7.0: snapshots, media, state, and nothing lost."""

from __future__ import annotations

import datetime
import difflib
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from lxml import etree
from ringone.api.config import Drive, DriveKind, MachineConfig, RemoteDisplay
from ringone.api.errors import ConfigError, UnsupportedError
from ringone.api.media import AccessMode
from ringone.api.settings import GuestProperty, MachineSettings, MediumRecord, MediumType, SnapshotRecord
from ringone_config_xml.settings import load_machine, save_machine
from vbox_files import DATA, DISK, NAMES, UUID, VERSIONS, disk, install, write

MIB = 1 << 20
NOW = datetime.datetime(2026, 11, 22, 17, 0, 0, tzinfo=datetime.UTC)
Change = Callable[[MachineSettings], MachineSettings]


def minor_of(version: str) -> int:
    return int(version.rpartition(".")[2])


def id_of(version: str, number: int) -> str:
    """The sample files number their UUIDs."""
    return str(uuid.UUID(f"{0x56420000 + minor_of(version):08x}-0000-4000-8000-{number:012x}"))


def changed_lines(before: bytes, after: bytes) -> tuple[list[str], list[str]]:
    """(removed, added) lines, without their indentation."""
    changes = list(difflib.unified_diff(before.decode().splitlines(), after.decode().splitlines(), n=0))[2:]
    return [line[1:].strip() for line in changes if line.startswith("-")], [line[1:].strip() for line in changes if line.startswith("+")]


def with_config(settings: MachineSettings, **changes: object) -> MachineSettings:
    return attrs.evolve(settings, config=attrs.evolve(settings.config, **changes))  # type: ignore[arg-type]


def record(number: int, location: Path, *children: MediumRecord, **changes: object) -> MediumRecord:
    made = MediumRecord(uuid=str(uuid.UUID(int=number)), location=location, kind=DriveKind.DISK, children=children)
    return attrs.evolve(made, **changes)  # type: ignore[arg-type]


def snapshot(number: int, config: MachineConfig, *children: SnapshotRecord, name: str = "s") -> SnapshotRecord:
    return SnapshotRecord(uuid=str(uuid.UUID(int=number)), name=name, taken=NOW, config=config, children=children)


def without_sources(settings: MachineSettings) -> MachineSettings:
    """Without the lines that devices and drivers stand in."""

    def plain(config: MachineConfig) -> MachineConfig:
        devices = tuple(attrs.evolve(device, source="") for device in config.devices)
        drivers = tuple(attrs.evolve(driver, source="") for driver in config.drivers)
        debug_console = config.debug_console and attrs.evolve(config.debug_console, source="")
        return attrs.evolve(config, devices=devices, drivers=drivers, debug_console=debug_console)

    def each(found: SnapshotRecord) -> SnapshotRecord:
        return attrs.evolve(found, config=plain(found.config), children=tuple(map(each, found.children)))

    return attrs.evolve(settings, config=plain(settings.config), snapshot=settings.snapshot and each(settings.snapshot))


# --- every version


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_shows_the_machine_its_drives_and_media(tmp_path: Path, version: str) -> None:
    path = install(tmp_path, version)
    settings, config = load_machine(path), load_machine(path).config
    assert (config.name, config.uuid, config.os_type) == (f"snapshots-1.{minor_of(version)}", id_of(version, 1), "Debian")
    assert (config.memory_bytes, config.vram_bytes, config.description) == (384 * MIB, 9 * MIB, "Two branches & a state")
    assert (config.boot_menu, config.acpi, config.clock.offset_ms, "pae" in config.cpu.model.features) == (False, True, 1000, True)
    assert config.remote_display == RemoteDisplay(enabled=True, properties={"TCP/Ports": "3389", "TCP/Address": "127.0.0.1"})
    assert settings.refusals == ()
    folder = path.parent if minor_of(version) >= 11 else tmp_path
    snapshots = path.parent / "Snapshots"
    chain = [snapshots / f"{{{id_of(version, number)}}}.vdi" for number in (0x13, 0x12, 0x11)]
    system = folder / ("" if minor_of(version) >= 11 else "HardDisks") / f"system-1.{minor_of(version)}.vdi"
    first, data, cd, floppy = config.drives
    assert (first.image, first.parents) == (chain[0], (*chain[1:], system))
    assert (data.image, data.parents, data.mode) == (system.with_name(f"data-1.{minor_of(version)}.vdi"), (), AccessMode.PERSISTENT)
    assert (cd.kind, cd.image) == (DriveKind.CDROM, Path(f"/isos/install-1.{minor_of(version)}.iso"))
    assert (floppy.kind, floppy.image) == (DriveKind.FLOPPY, None)
    media = {medium.uuid: medium for top in settings.media for medium in top.walk()}
    assert media[id_of(version, 0x10)].location == system
    assert [child.uuid for child in media[id_of(version, 0x12)].children] == [id_of(version, 0x13), id_of(version, 0x14)]
    assert media[id_of(version, 0x20)].type is MediumType.WRITETHROUGH


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_shows_its_snapshots_each_with_the_hardware_of_its_time(tmp_path: Path, version: str) -> None:
    path = install(tmp_path, version)
    settings = load_machine(path)
    shown = [
        (found.name, found.description, found.taken.month, found.taken.day, found.config.memory_bytes // MIB, found.state_file and found.state_file.name)
        for found in settings.snapshots()
    ]
    assert shown == [
        ("installed", "fresh from\nthe CD", 5, 1, 128, None),
        ("configured", "", 5, 2, 256, None),
        ("on the left", "", 5, 3, 384, None),
        ("on the right", "with a state", 5, 4, 256, "{right}.sav"),
    ]
    assert [len(found.children) for found in settings.snapshots()] == [1, 2, 0, 0]
    assert [len(found.config.drives[0].parents) for found in settings.snapshots()] == [0, 1, 2, 2]
    assert {found.config.name for found in settings.snapshots()} == {settings.config.name}
    assert settings.current_snapshot == id_of(version, 4)
    assert (settings.current_state_modified, settings.aborted, settings.state_file) == (False, False, None)
    assert settings.snapshot_folder == path.parent / "Snapshots"


@pytest.mark.parametrize("name", [*NAMES, *VERSIONS])
def test_saving_unchanged_settings_does_not_touch_the_file(tmp_path: Path, name: str) -> None:
    path = install(tmp_path, name)
    os.utime(path, (1, 1))
    save_machine(load_machine(path), path)
    assert path.stat().st_mtime == 1
    assert path.read_bytes() == (DATA / f"{name}.vbox").read_bytes()
    assert [file.name for file in path.parent.iterdir()] == ["vm.vbox"]


SMALL: dict[str, tuple[Change, list[str], list[str]]] = {
    "memory": (lambda settings: with_config(settings, memory_bytes=333 * MIB), ['RAMSize="384"'], ['RAMSize="333"']),
    "the name of a snapshot": (
        lambda settings: attrs.evolve(settings, snapshot=settings.snapshot and attrs.evolve(settings.snapshot, name="first")),
        ['name="installed"'],
        ['name="first"'],
    ),
    "the text of a snapshot": (
        lambda settings: attrs.evolve(settings, snapshot=settings.snapshot and attrs.evolve(settings.snapshot, description="old")),
        ["<Description>fresh from", "the CD</Description>"],
        ["<Description>old</Description>"],
    ),
    "a saved state": (
        lambda settings: attrs.evolve(settings, state_file=Path("/states/a.sav")),
        ["snapshotFolder"],
        ['stateFile="/states/a.sav"'],
    ),
    "a modified state": (lambda settings: attrs.evolve(settings, current_state_modified=True), ['currentStateModified="false"'], ["<Machine"]),
    "an aborted machine": (lambda settings: attrs.evolve(settings, aborted=True, last_state_change=NOW), ["<Machine"], ['aborted="true"']),
    "a guest property": (
        lambda settings: attrs.evolve(settings, guest_properties=(*settings.guest_properties, GuestProperty(name="a", value="b", timestamp_ns=7))),
        [],
        ['<GuestProperty name="a" value="b" timestamp="7" flags=""/>'],
    ),
}


@pytest.mark.parametrize(("change", "gone", "new"), SMALL.values(), ids=SMALL)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_small_change_changes_its_lines_alone(tmp_path: Path, version: str, change: Change, gone: list[str], new: list[str]) -> None:
    path = install(tmp_path, version)
    before, wanted = path.read_bytes(), change(load_machine(path))
    save_machine(wanted, path)
    removed, added = changed_lines(before, path.read_bytes())
    assert len(removed) == len(gone)
    assert all(text in line for text, line in zip(gone, removed, strict=True))
    assert all(text in line for text, line in zip(new, added, strict=True))
    assert load_machine(path) == wanted
    assert path.with_name("vm.vbox-prev").read_bytes() == before


# --- snapshots


def taken(settings: MachineSettings) -> MachineSettings:
    new = snapshot(0xAA, settings.config, name="new")

    def below(found: SnapshotRecord) -> SnapshotRecord:
        children = (*map(below, found.children), *([new] if found.uuid == settings.current_snapshot else []))
        return attrs.evolve(found, children=children)

    tree = new if settings.snapshot is None else below(settings.snapshot)
    return attrs.evolve(settings, snapshot=tree, current_snapshot=new.uuid, current_state_modified=False)


@pytest.mark.parametrize("name", [*NAMES, *VERSIONS])
def test_a_new_snapshot_keeps_all_of_the_hardware(tmp_path: Path, name: str) -> None:
    path = install(tmp_path, name)
    wanted = taken(load_machine(path))
    save_machine(wanted, path)
    assert without_sources(load_machine(path)) == without_sources(wanted)
    root = etree.parse(path).getroot()
    space = {"v": etree.QName(root).namespace}
    found = next(element for element in root.iterfind(".//v:Snapshot", space) if element.get("uuid") == f"{{{uuid.UUID(int=0xAA)}}}")
    hardware, kept = root.find("v:Machine/v:Hardware", space), found.find("v:Hardware", space)
    assert hardware is not None
    assert kept is not None
    assert canonical(kept) == canonical(hardware)


def canonical(element: etree._Element) -> bytes:
    copy = etree.fromstring(etree.tostring(element, with_tail=False))
    etree.indent(copy)
    return etree.tostring(copy, method="c14n")


@pytest.mark.parametrize("version", [version for version in VERSIONS if minor_of(version) >= 9])
def test_what_a_snapshot_kept_comes_back_with_it_understood_or_not(tmp_path: Path, version: str) -> None:
    path = install(tmp_path, version)
    text = path.read_text()
    split = text.index('RAMSize="128"')
    path.write_text(text[:split] + text[split:].replace("</Hardware>", "<Hologram/></Hardware>", 1))
    settings = load_machine(path)
    assert settings.snapshot is not None
    wanted = attrs.evolve(settings, config=settings.snapshot.config, current_snapshot=settings.snapshot.uuid, current_state_modified=False)
    save_machine(wanted, path)
    assert load_machine(path) == wanted
    assert path.read_text().count("<Hologram/>") == 2


@pytest.mark.parametrize("version", VERSIONS)
def test_a_deleted_snapshots_children_stand_in_its_place(tmp_path: Path, version: str) -> None:
    path = install(tmp_path, version)
    settings = load_machine(path)
    assert settings.snapshot is not None
    configured = settings.snapshot.children[0]
    wanted = attrs.evolve(settings, snapshot=attrs.evolve(settings.snapshot, children=configured.children))
    before = path.read_bytes()
    save_machine(wanted, path)
    assert load_machine(path) == wanted
    _, added = changed_lines(before, path.read_bytes())
    assert set(added) <= {line.strip() for line in before.decode().splitlines()}


@pytest.mark.parametrize("name", VERSIONS)
def test_a_snapshot_that_is_deleted_again_leaves_no_trace(tmp_path: Path, name: str) -> None:
    path = install(tmp_path, name)
    settings = load_machine(path)
    save_machine(taken(settings), path)
    save_machine(settings, path)
    assert path.read_bytes() == (DATA / f"{name}.vbox").read_bytes()


def test_deleting_the_current_snapshot_does_not_bring_back_its_parents_hardware(tmp_path: Path) -> None:
    path = install(tmp_path, "settings-1.12")
    settings = load_machine(path)
    assert settings.snapshot is not None
    configured = settings.snapshot.children[0]
    tree = attrs.evolve(settings.snapshot, children=(attrs.evolve(configured, children=configured.children[1:]),))
    text = path.read_text()
    present = text.rindex("</Hardware>")
    path.write_text(text[:present] + "<Hologram/>" + text[present:])
    save_machine(attrs.evolve(settings, snapshot=tree, current_snapshot=configured.uuid), path)
    assert path.read_text().count("<Hologram/>") == 1


def test_what_virtualbox_has_no_element_for_is_kept_with_each_snapshot(tmp_path: Path) -> None:
    path = install(tmp_path, "virtualbox-5.2")
    settings = taken(load_machine(path))
    save_machine(settings, path)
    settings = load_machine(path)
    plain = attrs.evolve(settings.config, cpu=attrs.evolve(settings.config.cpu, backend="recompiler"))
    save_machine(attrs.evolve(settings, config=plain, current_state_modified=True), path)
    again = load_machine(path)
    assert again.snapshot is not None
    assert (again.config.cpu.backend, again.snapshot.config.cpu.backend) == ("recompiler", "patm")


def chain_of(length: int, config: MachineConfig) -> SnapshotRecord:
    tree = snapshot(length, config)
    for number in range(length - 1, 0, -1):
        tree = snapshot(number, config, tree)
    return tree


def test_snapshots_stand_up_to_250_deep(tmp_path: Path) -> None:
    path = write(tmp_path)
    settings = load_machine(path)
    wanted = attrs.evolve(settings, snapshot=chain_of(250, settings.config), current_snapshot=str(uuid.UUID(int=250)))
    save_machine(wanted, path)
    assert len(list(load_machine(path).snapshots())) == 250


def test_snapshots_stand_no_deeper(tmp_path: Path) -> None:
    path = write(tmp_path)
    settings = load_machine(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="nested more than 250 deep"):
        save_machine(attrs.evolve(settings, snapshot=chain_of(251, settings.config), current_snapshot=str(uuid.UUID(int=1))), path)
    assert path.read_bytes() == before


# --- media

MEDIA: dict[str, Callable[[Path], tuple[MediumRecord, ...]]] = {
    "none": lambda folder: (),
    "a chain": lambda folder: (record(1, folder / "a.vdi", record(2, folder / "Snapshots" / "b.vdi", record(3, Path("/elsewhere/c.vdi")))),),
    "branches": lambda folder: (record(1, folder / "a.vdi", record(2, folder / "b.vdi"), record(3, folder / "c.vdi")),),
    "the chain turned around": lambda folder: (record(3, Path("/elsewhere/c.vdi"), record(2, folder / "b.vdi", record(1, folder / "a.vdi"))),),
    "types": lambda folder: tuple(record(10 + number, folder / f"{type.value}.vdi", type=type) for number, type in enumerate(MediumType)),
    "an image that is emptied": lambda folder: (record(1, folder / "a.vdi", record(2, folder / "b.vdi", auto_reset=True), type=MediumType.IMMUTABLE),),
    "texts": lambda folder: (record(1, folder / 'ä "b" <c>.vdi', description="two\nlines", properties={"CRYPT/KeyId": "x & y", "b": ""}),),
    "all kinds": lambda folder: (
        record(1, folder / "a.vmdk", format="VMDK"),
        attrs.evolve(record(2, folder / "a.iso"), kind=DriveKind.CDROM, format="RAW"),
        attrs.evolve(record(3, folder / "a.img"), kind=DriveKind.FLOPPY, format="RAW"),
    ),
}


@pytest.mark.parametrize("after", MEDIA.values(), ids=MEDIA)
@pytest.mark.parametrize("before", MEDIA.values(), ids=MEDIA)
def test_any_media_registry_becomes_any_other(
    tmp_path: Path, before: Callable[[Path], tuple[MediumRecord, ...]], after: Callable[[Path], tuple[MediumRecord, ...]]
) -> None:
    path = write(tmp_path)
    for media in (before(tmp_path), after(tmp_path)):
        save_machine(attrs.evolve(load_machine(path), media=media), path)
        assert load_machine(path).media == media


def test_a_machine_without_a_registry_of_its_own_gets_one_when_its_media_change(tmp_path: Path) -> None:
    path = install(tmp_path, "settings-1.10")
    settings = load_machine(path)
    wanted = attrs.evolve(settings, media=(record(1, path.parent / "new.vdi"), *settings.media))
    save_machine(wanted, path)
    (tmp_path / "VirtualBox.xml").unlink()
    assert load_machine(path) == wanted
    assert 'version="1.11-' in path.read_text()


def test_media_of_files_before_settings_version_1_9_are_not_changed(tmp_path: Path) -> None:
    path = install(tmp_path, "settings-1.07")
    with pytest.raises(UnsupportedError, match=r"media of a machine file of settings version 1\.7 cannot be changed; accepted: 1\.9 and later"):
        save_machine(attrs.evolve(load_machine(path), media=()), path)


@pytest.mark.parametrize(("type", "mode"), [(type, AccessMode.READ_ONLY if type is MediumType.READONLY else AccessMode.PERSISTENT) for type in MediumType])
def test_the_registry_says_how_a_disk_is_opened(tmp_path: Path, type: MediumType, mode: AccessMode) -> None:
    path = write(tmp_path, machine=disk(image_type=type.value))
    settings = load_machine(path)
    assert settings.config.drives[0].mode is mode
    save_machine(with_config(settings, drives=(attrs.evolve(settings.config.drives[0], serial="S"),)), path)
    assert load_machine(path).media[0].type is type


def test_a_mode_that_the_registry_does_not_say_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, machine=disk())
    settings = load_machine(path)
    with pytest.raises(ConfigError, match="is to be opened read-only, but is registered as Normal; accepted: persistent, or another type"):
        save_machine(with_config(settings, drives=(attrs.evolve(settings.config.drives[0], mode=AccessMode.READ_ONLY),)), path)


def test_drives_are_those_that_are_attached_also_where_a_lone_machine_file_throws_their_writes_away(tmp_path: Path) -> None:
    path = install(tmp_path, "virtualbox-4.3")
    drive = load_machine(path).config.drives[1]
    assert drive.image == path.parent / "Snapshots" / "{31f0b7d2-8b3e-4b7f-9d0c-7b8f00000021}.vdi"
    assert (drive.parents, drive.mode) == ((path.parent / "golden.vdi",), AccessMode.PERSISTENT)


def test_an_image_that_nobody_registered_is_registered_with_those_that_it_stands_on(tmp_path: Path) -> None:
    path = write(tmp_path)
    drive = Drive(kind=DriveKind.DISK, controller="ide", port=0, device=0, image=tmp_path / "b.vdi", parents=(tmp_path / "a.vdi",), format="vdi")
    save_machine(with_config(load_machine(path), drives=(drive,)), path)
    settings = load_machine(path)
    assert settings.config.drives == (drive,)
    assert [(top.location.name, [child.location.name for child in top.children]) for top in settings.media] == [("a.vdi", ["b.vdi"])]


# --- what RingOne does not have


def test_what_cannot_be_run_is_shown_and_kept_with_the_reasons(tmp_path: Path) -> None:
    path = write(tmp_path, '<CPU count="2"/>\n<Firmware type="EFI"/>\n', disk("AHCI", image_type="Shareable"))
    settings = load_machine(path)
    assert [refusal.partition(" ")[2] for refusal in settings.refusals] == [
        "2 processors (count in CPU) are not supported; accepted: 1",
        "Firmware of type EFI is not supported; accepted: BIOS",
        "storage controller 'C' of type AHCI has devices attached; accepted types: PIIX3, PIIX4, ICH6, I82078",
        "image 'a.vdi' is of type Shareable; accepted: Normal, Immutable, Writethrough, Readonly, MultiAttach",
    ]
    (drive,) = settings.config.drives
    assert (drive.controller, drive.port, drive.image) == ("sata", 0, tmp_path / "a.vdi")
    save_machine(with_config(settings, drives=(attrs.evolve(drive, port=29),)), path)
    assert load_machine(path).config.drives[0].port == 29


def test_what_a_snapshot_had_does_not_keep_the_machine_from_running(tmp_path: Path) -> None:
    settings = load_machine(install(tmp_path, "virtualbox-4.3"))
    assert settings.refusals == ()
    assert settings.snapshot is not None


# --- mistakes

SNAPSHOT = f'<Snapshot uuid="{DISK}" name="s" timeStamp="2020-01-01T00:00:00Z"><Hardware><Memory RAMSize="1"/></Hardware></Snapshot>'
MISTAKES = {
    "a snapshot without a name": (SNAPSHOT.replace(' name="s"', ""), "Snapshot lacks the attribute name"),
    "a snapshot without a UUID": (SNAPSHOT.replace(f' uuid="{DISK}"', ""), "Snapshot lacks the attribute uuid"),
    "a snapshot of no time": (SNAPSHOT.replace("2020-01-01T00:00:00Z", "now"), "Snapshot timeStamp is 'now'; accepted: a time such as"),
    "a snapshot without hardware": (SNAPSHOT.replace("<Hardware>", "<Software>").replace("</Hardware>", "</Software>"), "<Snapshot> has no <Hardware>"),
    "a snapshot with nonsense in it": (SNAPSHOT.replace('RAMSize="1"', 'RAMSize="lots"'), "Memory RAMSize is 'lots'"),
    "two trees of snapshots": (SNAPSHOT + SNAPSHOT.replace("555", "777"), "a second tree of snapshots"),
    "two snapshots of one UUID": (SNAPSHOT.replace("</Snapshot>", f"<Snapshots>{SNAPSHOT}</Snapshots></Snapshot>"), "two snapshots have the UUID"),
    "no current snapshot": (SNAPSHOT, "Machine currentSnapshot is ''; accepted is the UUID of a snapshot of this file"),
    "two images of one UUID": (disk().replace("</HardDisks>", f'<HardDisk uuid="{DISK}" location="b.vdi"/></HardDisks>'), "two images have the UUID"),
}  # fmt: skip


@pytest.mark.parametrize(("machine", "says"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_have_their_line(tmp_path: Path, machine: str, says: str) -> None:
    path = write(tmp_path, machine=machine)
    with pytest.raises(ConfigError) as caught:
        load_machine(path)
    assert says in str(caught.value)
    assert f"{path}:" in str(caught.value)


def test_a_current_snapshot_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace(f'uuid="{UUID}"', f'uuid="{UUID}" currentSnapshot="{DISK}"'))
    with pytest.raises(ConfigError, match=r"currentSnapshot is .*accepted is the UUID of a snapshot of this file"):
        load_machine(path)


REFUSED: dict[str, tuple[Change, str]] = {
    "two snapshots of one UUID": (
        lambda settings: attrs.evolve(settings, snapshot=snapshot(1, settings.config, snapshot(1, settings.config))),
        "two snapshots",
    ),
    "a snapshot of no UUID": (lambda settings: attrs.evolve(settings, snapshot=attrs.evolve(snapshot(1, settings.config), uuid="x")), "snapshot UUID 'x'"),
    "no current snapshot": (lambda settings: attrs.evolve(settings, snapshot=snapshot(1, settings.config)), "not saved.*currentSnapshot is ''"),
    "two images of one UUID": (lambda settings: attrs.evolve(settings, media=(record(1, Path("/a")), record(1, Path("/b")))), "have the same UUID"),
    "one image twice": (lambda settings: attrs.evolve(settings, media=(record(1, Path("/a")), record(2, Path("/a")))), "/a is registered twice"),
    "a control character": (lambda settings: attrs.evolve(settings, groups=("/a\x01",)), "which XML cannot hold"),
}


@pytest.mark.parametrize(("change", "says"), REFUSED.values(), ids=REFUSED)
def test_what_a_file_cannot_hold_is_refused_and_the_file_stays(tmp_path: Path, change: Change, says: str) -> None:
    path = write(tmp_path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=says):
        save_machine(change(load_machine(path)), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["vm.vbox"]
