"""Machines are found by name, UUID and file, and copied without touching what they are copied from."""

from __future__ import annotations

import datetime
import uuid
from pathlib import Path

import attrs
import pytest
from ringone.api.config import Drive, DriveKind, LinuxBoot, MachineConfig
from ringone.api.errors import NotFoundError, RingOneError, UnknownNameError
from ringone.api.media import AccessMode, NewMedium
from ringone.api.settings import MachineSettings, MediumRecord, SnapshotRecord
from ringone.client.copies import copy_machine
from ringone.client.places import FilePlace, HomePlace, RunningPlace, answers, is_file, machine_settings, place_of
from ringone.home import Home
from ringone.home.runtime import socket_path
from ringone.plugins import PluginRegistry


@pytest.fixture(scope="module")
def registry() -> PluginRegistry:
    return PluginRegistry()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A home."""
    return tmp_path / "home"


@pytest.fixture
def debian(source: Path, registry: PluginRegistry) -> MachineConfig:
    """A machine with a disk, a CD and a snapshot with a state."""
    folder = source / "machines" / "debian"
    disk, state = folder / "debian.vdi", folder / "Snapshots" / "then.sav"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"state")
    tools = registry.media_formats()["vdi"].tools
    assert tools is not None
    identity = tools.create(NewMedium(path=disk, capacity_bytes=1 << 20)).uuid
    drives = (
        Drive(kind=DriveKind.DISK, controller="ide", port=0, device=0, image=disk, format="vdi"),
        Drive(kind=DriveKind.CDROM, controller="ide", port=1, device=0, image=folder / "cd.iso", mode=AccessMode.READ_ONLY),
    )
    config = MachineConfig(name="debian", uuid=str(uuid.uuid4()), drives=drives, linux=LinuxBoot(kernel=folder / "vmlinuz", append="quiet"))
    record = MediumRecord(uuid=identity, location=disk, kind=DriveKind.DISK)
    snapshot = SnapshotRecord(
        uuid=str(uuid.uuid4()),
        name="then",
        taken=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        config=attrs.evolve(config, memory_bytes=64 << 20),
        state_file=state,
    )
    home = Home.open(source, registry)
    settings = MachineSettings(config=config, media=(record,), snapshot=snapshot, current_snapshot=snapshot.uuid)
    home.register(home.create(settings))
    return config


@pytest.mark.parametrize(("machine", "file"), [("debian", False), ("debian.vbox", True), ("a/debian", True), (Path("debian"), True)], ids=str)
def test_a_name_has_no_separator_and_no_suffix(machine: str | Path, file: bool) -> None:
    assert is_file(machine) is file


def test_a_machine_is_found_by_name_uuid_and_file(source: Path, debian: MachineConfig) -> None:
    place = HomePlace(uuid=debian.uuid, home=source)
    assert place_of("debian", source) == place
    assert place_of(debian.uuid, source) == place
    file = source / "machines" / "debian" / "debian.vbox"
    assert place_of(str(file), None) == FilePlace(file=file, uuid=debian.uuid)
    assert place.socket == socket_path(debian.uuid)


def test_a_place_is_taken_as_it_is(tmp_path: Path) -> None:
    place = RunningPlace(tmp_path)
    assert place_of(place, None) is place


def test_an_unknown_machine_is_named(source: Path) -> None:
    with pytest.raises(NotFoundError, match="'nobody'"):
        place_of("nobody", source)


def test_a_broken_machine_file_is_explained(tmp_path: Path) -> None:
    broken = tmp_path / "broken.vbox"
    broken.write_text("<VirtualBox")
    with pytest.raises(RingOneError, match=r"broken\.vbox"):
        place_of(broken, None)


def test_nobody_answers_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not answers(tmp_path / "file")
    assert not answers(tmp_path / "nothing")


def test_a_copy_has_the_hardware_and_only_reads_disks(source: Path, debian: MachineConfig, tmp_path: Path, registry: PluginRegistry) -> None:
    before = (source / "machines" / "debian" / "debian.vbox").read_bytes()
    identity = copy_machine("debian", tmp_path / "copies", home=source)
    copied = machine_settings(identity, tmp_path / "copies", registry)
    assert copied.config.uuid == identity != debian.uuid
    assert copied.config.linux == debian.linux
    disk, cdrom = copied.config.drives
    assert tmp_path / "copies" in (disk.image or tmp_path).parents
    assert disk.parents == (debian.drives[0].image,)
    assert (cdrom.image, cdrom.mode) == (debian.drives[1].image, AccessMode.READ_ONLY)
    assert copied.snapshot is None
    assert (source / "machines" / "debian" / "debian.vbox").read_bytes() == before


def test_copies_do_not_get_in_each_others_way(source: Path, debian: MachineConfig, tmp_path: Path) -> None:
    assert copy_machine("debian", tmp_path / "one", home=source) != copy_machine("debian", tmp_path / "two", home=source)


def test_a_snapshots_copy_has_its_hardware_and_a_state_of_its_own(source: Path, debian: MachineConfig, tmp_path: Path, registry: PluginRegistry) -> None:
    identity = copy_machine("debian", tmp_path / "copies", home=source, snapshot="then")
    copied = machine_settings(identity, tmp_path / "copies", registry)
    assert copied.config.memory_bytes == 64 << 20
    assert copied.state_file is not None
    assert tmp_path / "copies" in copied.state_file.parents
    assert copied.state_file.read_bytes() == b"state"
    assert copied.config.drives[0].image is not None
    assert copied.config.drives[0].image.is_file()


def test_an_unknown_snapshot_gets_the_list(source: Path, debian: MachineConfig, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown snapshot of 'debian' 'when'.*known: then"):
        copy_machine("debian", tmp_path / "copies", home=source, snapshot="when")
