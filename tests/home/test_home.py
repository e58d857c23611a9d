"""A home: machines are made, found, registered, renamed and forgotten, and two processes never change one at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from ringone.api.config import Drive, DriveKind, MachineConfig
from ringone.api.errors import ConfigError, LockedError, NotFoundError, StateError
from ringone.api.settings import MachineSettings, MediumRecord
from ringone.home import Home, LockMode, RegisteredMachine, new_settings
from ringone.plugins import PluginRegistry

MIB = 1 << 20


@pytest.fixture(scope="session")
def registry() -> PluginRegistry:
    return PluginRegistry()


@pytest.fixture
def home(tmp_path: Path, registry: PluginRegistry) -> Home:
    return Home.open(tmp_path / "home", registry)


def made(home: Home, name: str = "debian", **changes: Any) -> RegisteredMachine:
    return home.register(home.create(attrs.evolve(new_settings(name), **changes)))


def with_config(settings: MachineSettings, **changes: Any) -> MachineSettings:
    return attrs.evolve(settings, config=attrs.evolve(settings.config, **changes))


def disk(location: Path, identity: str = "", children: tuple[MediumRecord, ...] = ()) -> MediumRecord:
    return MediumRecord(uuid=identity or str(uuid.uuid4()), location=location, kind=DriveKind.DISK, children=children)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# --- machines


def test_a_new_home_is_empty_and_nothing_is_written_before_something_is_in_it(home: Home, tmp_path: Path) -> None:
    assert home.machines() == []
    assert list(tmp_path.iterdir()) == []


def test_a_machine_is_made_where_virtualbox_would_put_it(home: Home, tmp_path: Path) -> None:
    path = home.create(new_settings("debian", os_type="Debian", description="a test"))
    assert path == tmp_path / "home" / "machines" / "debian" / "debian.vbox"
    assert home.machines() == []
    machine = home.register(path)
    assert machine.settings is not None
    config = machine.settings.config
    assert (config.name, config.os_type, config.description, config.uuid) == ("debian", "Debian", "a test", machine.uuid)
    assert files(tmp_path) == ["home/VirtualBox.xml", "home/machines/debian/debian.vbox"]


def test_groups_and_base_folders_are_folders(home: Home, tmp_path: Path) -> None:
    assert home.create(new_settings("a", groups=("/tests/linux", "/mine"))).parent == tmp_path / "home/machines/tests/linux/a"
    assert home.create(new_settings("b"), tmp_path / "base").parent == tmp_path / "base/b"


def test_the_global_settings_say_where_new_machines_go(home: Home, tmp_path: Path) -> None:
    home.change_settings(lambda settings: attrs.evolve(settings, default_machine_folder=tmp_path / "vms"))
    assert home.create(new_settings("a")) == tmp_path / "vms/a/a.vbox"


@pytest.mark.parametrize("spelled", ["{name}", "{uuid}", "{{{uuid}}}", "{UUID}"])
def test_machines_are_found_by_name_and_by_uuid(home: Home, spelled: str) -> None:
    machine = made(home, "näme with blanks")
    assert home.find(spelled.format(name=machine.name, uuid=machine.uuid, UUID=machine.uuid.upper())) == machine


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nobody", "Could not find a registered machine named 'nobody'"),
        ("8ff63a8a-0000-4000-8000-000000000001", r"Could not find a registered machine with UUID \{8ff63a8a-0000-4000-8000-000000000001\}"),
        ("", "named ''"),
    ],
    ids=["name", "uuid", "empty"],
)
def test_what_is_not_there_is_not_found(home: Home, text: str, says: str) -> None:
    made(home)
    with pytest.raises(NotFoundError, match=says):
        home.find(text)


def test_names_and_uuids_are_taken_once(home: Home, tmp_path: Path) -> None:
    machine = made(home)
    with pytest.raises(ConfigError, match="already exists"):
        home.create(new_settings("debian"))
    with pytest.raises(ConfigError, match=r"'debian' .* is registered already"):
        home.create(new_settings("debian"), tmp_path)
    with pytest.raises(ConfigError, match="is registered already"):
        home.create(new_settings("other", identity=machine.uuid))
    with pytest.raises(ConfigError, match="is registered already"):
        home.register(machine.path)


@pytest.mark.parametrize("name", ["Tom & Jerry's", "übung", "a  b", "&'&"], ids=["escapes", "umlaut", "blanks", "escapes alone"])
@pytest.mark.parametrize("spelled", [str, lambda text: text.replace("&amp;", "&#38;").replace("ü", "&#xFC;")], ids=["as saved", "by number"])
def test_a_name_is_taken_however_a_file_spells_it(home: Home, tmp_path: Path, name: str, spelled: Callable[[str], str]) -> None:
    machine = made(home, name)
    machine.path.write_text(spelled(machine.path.read_text()))
    with pytest.raises(ConfigError, match="is registered already"):
        home.create(new_settings(name), tmp_path)


def test_a_machine_that_cannot_be_written_leaves_no_folder(home: Home, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="whole MiB"):
        home.create(with_config(new_settings("odd"), memory_bytes=12345))
    assert not (tmp_path / "home/machines/odd").exists()


def test_a_machine_whose_file_is_damaged_is_listed_with_the_reason_and_found_by_uuid(home: Home) -> None:
    machine = made(home)
    other = made(home, "other")
    machine.path.write_text("<VirtualBox")
    listed = home.find(machine.uuid)
    assert not listed.accessible
    assert "not well-formed" in str(listed.error)
    assert [known.accessible for known in home.machines()] == [False, True]
    assert home.find("other") == other


def test_another_machines_file_in_the_place_of_a_machine_is_not_taken_for_it(home: Home) -> None:
    machine, other = made(home), made(home, "other")
    shutil.copy(other.path, machine.path)
    listed = home.find(machine.uuid)
    assert str(listed.error) == f"{machine.path}: the machine UUID {{{other.uuid}}} is not the one that is registered; accepted: {{{machine.uuid}}}"
    assert home.find("other") == other


NOTES: dict[str, Callable[[RegisteredMachine], bytes]] = {
    "another machine's file": lambda other: json.dumps([str(other.path)]).encode(),
    "no list": lambda other: b'{"a": 1}',
    "no text": lambda other: b"[1, null, {}]",
    "a place that cannot be": lambda other: rb'["a\u0000b", "/nowhere"]',
    "no JSON": lambda other: b"\xff" * 100,
    "nested": lambda other: b"[" * 60_000,
}


@pytest.mark.parametrize("note", NOTES.values(), ids=NOTES)
def test_a_note_of_nonsense_does_not_lead_to_a_machine(home: Home, note: Callable[[RegisteredMachine], bytes]) -> None:
    machine, other = made(home), made(home, "other")
    machine.folder.with_name(f".{machine.uuid}.renaming").write_bytes(note(other))
    machine.path.unlink()
    assert not home.find(machine.uuid).accessible
    assert home.find("other") == other


def test_an_unregistered_machine_keeps_its_files(home: Home) -> None:
    machine = made(home)
    home.unregister(machine)
    assert home.machines() == []
    assert files(machine.folder) == ["debian.vbox"]
    assert home.register(machine.path).uuid == machine.uuid


def test_a_machine_whose_folder_is_gone_can_be_forgotten(home: Home) -> None:
    machine = made(home)
    machine.path.unlink()
    machine.folder.rmdir()
    home.unregister(machine)
    assert home.machines() == []


def test_a_machine_whose_file_is_gone_or_damaged_can_be_forgotten(home: Home) -> None:
    machine, other = made(home), made(home, "other")
    machine.path.unlink()
    other.path.write_text("<VirtualBox")
    home.unregister(machine)
    home.unregister(other)
    assert home.machines() == []


def test_two_homes_know_nothing_of_each_other(tmp_path: Path, registry: PluginRegistry) -> None:
    one, other = (Home.open(tmp_path / name, registry) for name in ("one", "other"))
    made(one)
    assert other.machines() == []
    made(other)


def test_a_clone_takes_over_hardware_that_nobody_understands(home: Home) -> None:
    machine = made(home)
    text = machine.path.read_text().replace("</Hardware>", '  <Hologram depth="3"/>\n</Hardware>')
    machine.path.write_text(text)
    copy = home.register(home.create(with_config(home.load(machine), name="copy", uuid=""), like=machine.path))
    assert copy.uuid != machine.uuid
    assert 'Hologram depth="3"' in copy.path.read_text()


# --- settings


def test_settings_are_changed_and_the_file_as_it_was_is_kept(home: Home) -> None:
    machine = made(home)
    before = machine.path.read_bytes()
    home.change(machine, lambda settings: with_config(settings, memory_bytes=64 * MIB))
    assert home.load(machine).config.memory_bytes == 64 * MIB
    assert machine.path.with_name("debian.vbox-prev").read_bytes() == before


def test_a_change_that_fails_leaves_the_file_and_no_lock(home: Home) -> None:
    machine = made(home)
    before = machine.path.read_bytes()
    with pytest.raises(ConfigError, match="whole MiB"):
        home.change(machine, lambda settings: with_config(settings, memory_bytes=1))
    assert machine.path.read_bytes() == before
    home.change(machine, lambda settings: with_config(settings, memory_bytes=MIB))


def test_settings_of_a_machine_that_runs_are_changed_by_its_process_alone(home: Home) -> None:
    machine = made(home)
    with home.lock(machine, LockMode.RUN, "running it") as lock:
        with pytest.raises(LockedError, match="is running it"):
            home.change(machine, lambda settings: with_config(settings, memory_bytes=MIB))
        with pytest.raises(LockedError, match="is running it"):
            home.unregister(machine)
        home.save(lock, with_config(home.load(machine), memory_bytes=MIB))
        assert not home.load(machine).aborted
    assert home.load(machine).config.memory_bytes == MIB


def test_a_released_lock_saves_nothing(home: Home) -> None:
    machine = made(home)
    lock = home.lock(machine, LockMode.WORK, "working on it")
    lock.release()
    with pytest.raises(StateError, match="released"):
        home.save(lock, with_config(home.load(machine), memory_bytes=MIB))


RUN_AND_DIE = """
import os, signal, sys
from pathlib import Path
from typing import Any
from ringone.home import Home, LockMode
from ringone.plugins import PluginRegistry
home = Home.open(Path(sys.argv[1]), PluginRegistry())
lock = home.lock(home.find("debian"), LockMode[sys.argv[2]], "at work")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("mode", "aborted"), [(LockMode.RUN, True), (LockMode.WORK, False)])
def test_a_machine_is_aborted_when_the_process_that_ran_it_was_killed(home: Home, tmp_path: Path, mode: LockMode, aborted: bool) -> None:
    machine = made(home)
    subprocess.run([sys.executable, "-c", RUN_AND_DIE, str(tmp_path / "home"), mode.name], check=False)
    assert home.holder(machine) is None
    assert home.load(machine).aborted is aborted
    home.lock(machine, LockMode.WORK, "looking").release()
    assert home.load(machine).aborted is aborted


def test_a_damaged_machine_that_was_killed_can_be_locked(home: Home, tmp_path: Path) -> None:
    machine = made(home)
    subprocess.run([sys.executable, "-c", RUN_AND_DIE, str(tmp_path / "home"), "RUN"], check=False)
    machine.path.write_text("<VirtualBox")
    home.unregister(machine)
    assert home.machines() == []


def test_machines_made_at_once_are_all_there(home: Home, tmp_path: Path, registry: PluginRegistry) -> None:
    names = [f"vm{number}" for number in range(8)]
    threads = [threading.Thread(target=made, args=(Home.open(tmp_path / "home", registry), name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(machine.name for machine in home.machines()) == names


# --- renaming


def test_file_and_folder_follow_the_name(home: Home, tmp_path: Path) -> None:
    image = tmp_path / "home/machines/debian/disks/a.vdi"
    drive = Drive(kind=DriveKind.DISK, controller="ide", port=0, device=0, image=image, format="vdi")
    machine = made(home)
    home.change(machine, lambda settings: with_config(settings, drives=(drive,)))
    home.change(machine, lambda settings: with_config(settings, name="sid"))
    renamed = home.find("sid")
    assert renamed.path == tmp_path / "home/machines/sid/sid.vbox"
    assert renamed.settings is not None
    assert renamed.settings.config.drives[0].image == tmp_path / "home/machines/sid/disks/a.vdi"
    assert files(tmp_path) == ["home/VirtualBox.xml", "home/VirtualBox.xml-prev", "home/machines/sid/sid.vbox", "home/machines/sid/sid.vbox-prev"]


def test_images_that_a_file_names_by_full_path_follow_their_folder(home: Home) -> None:
    machine = made(home)
    record = disk(machine.folder / "a.vdi")
    home.change(machine, lambda settings: attrs.evolve(settings, media=(record,)))
    machine.path.write_text(machine.path.read_text().replace('location="a.vdi"', f'location="{machine.folder}/a.vdi"'))
    home.change_settings(lambda settings: attrs.evolve(settings, media=(record,)))
    home.change(machine, lambda settings: with_config(settings, name="sid"))
    renamed = home.find("sid")
    assert [found.location for found in home.load(renamed).media] == [renamed.folder / "a.vdi"]
    assert [found.location for found in home.settings().media] == [renamed.folder / "a.vdi"]


def test_a_folder_that_other_machines_have_images_in_keeps_its_name(home: Home) -> None:
    machine, clone = made(home), made(home, "clone")
    home.change(clone, lambda settings: attrs.evolve(settings, media=(disk(machine.folder / "a.vdi"),)))
    home.change(machine, lambda settings: with_config(settings, name="sid"))
    assert home.find("sid").path == machine.folder / "sid.vbox"


def test_a_folder_of_another_name_keeps_it(home: Home, tmp_path: Path) -> None:
    path = home.create(new_settings("debian"))
    path.parent.rename(tmp_path / "elsewhere")
    machine = home.register(tmp_path / "elsewhere" / "debian.vbox")
    home.change(machine, lambda settings: with_config(settings, name="sid"))
    assert home.find("sid").path == tmp_path / "elsewhere" / "sid.vbox"


@pytest.mark.parametrize("name", ["other", "a/b", "..", "x" * 255], ids=["taken", "slash", "dots", "long"])
def test_names_that_cannot_be_are_refused_and_nothing_moves(home: Home, tmp_path: Path, name: str) -> None:
    machine = made(home)
    made(home, "other")
    before = files(tmp_path)
    with pytest.raises(ConfigError):
        home.change(machine, lambda settings: with_config(settings, name=name))
    assert files(tmp_path) == before
    assert home.find("debian") == machine


def test_a_name_whose_folder_is_there_already_is_refused(home: Home) -> None:
    machine = made(home)
    machine.folder.with_name("sid").mkdir()
    with pytest.raises(ConfigError, match="sid exists already"):
        home.change(machine, lambda settings: with_config(settings, name="sid"))
    assert home.find("debian") == machine


def test_a_machine_that_runs_keeps_its_name(home: Home) -> None:
    machine = made(home)
    with home.lock(machine, LockMode.RUN, "running it") as lock, pytest.raises(StateError, match="is running and cannot be renamed"):
        home.save(lock, with_config(home.load(machine), name="sid"))


# --- media


def test_a_copied_image_with_the_uuid_of_another_is_refused(home: Home, tmp_path: Path) -> None:
    one, other = made(home, "one"), made(home, "other")
    record = disk(tmp_path / "a.vdi")
    home.change(one, lambda settings: attrs.evolve(settings, media=(record,)))
    home.change(other, lambda settings: attrs.evolve(settings, media=(record,)))
    copy = attrs.evolve(record, location=tmp_path / "copy.vdi")
    with pytest.raises(ConfigError, match=r"copy\.vdi has the UUID .*, which .*a\.vdi has already"):
        home.change(made(home, "third"), lambda settings: attrs.evolve(settings, media=(copy,)))


def test_the_home_refuses_such_a_copy_too(home: Home, tmp_path: Path) -> None:
    record = disk(tmp_path / "a.vdi")
    home.change(made(home), lambda settings: attrs.evolve(settings, media=(record,)))
    home.change_settings(lambda settings: attrs.evolve(settings, media=(record,)))
    copy = attrs.evolve(record, location=tmp_path / "copy.vdi")
    home.change_settings(lambda settings: attrs.evolve(settings, media=()))
    with pytest.raises(ConfigError, match=r"copy\.vdi has the UUID .*, which .*a\.vdi has already"):
        home.change_settings(lambda settings: attrs.evolve(settings, media=(copy,)))


def test_a_new_machine_refuses_such_a_copy_too(home: Home, tmp_path: Path) -> None:
    record = disk(tmp_path / "a.vdi")
    made(home, media=(record,))
    made(home, "linked", media=(record,))
    with pytest.raises(ConfigError, match=r"copy\.vdi has the UUID"):
        made(home, "copied", media=(attrs.evolve(record, location=tmp_path / "copy.vdi"),))
    assert not home.machine_file("copied").parent.exists()


def test_an_image_stands_in_a_registry_once(home: Home, tmp_path: Path) -> None:
    machine, record = made(home), disk(tmp_path / "a.vdi")
    twice = (record, attrs.evolve(record, uuid=str(uuid.uuid4())))
    with pytest.raises(ConfigError, match=r"a\.vdi is registered twice"):
        home.change(machine, lambda settings: attrs.evolve(settings, media=twice))


def test_chains_of_differencing_images_become_parents_of_drives(home: Home, tmp_path: Path) -> None:
    top = disk(tmp_path / "2.vdi")
    base = disk(tmp_path / "0.vdi", children=(disk(tmp_path / "1.vdi", children=(top,)),))
    drive = Drive(kind=DriveKind.DISK, controller="ide", port=0, device=0, image=top.location, format="vdi")
    machine = made(home)
    home.change(machine, lambda settings: with_config(attrs.evolve(settings, media=(base,)), drives=(drive,)))
    assert home.load(machine).config.drives == (attrs.evolve(drive, parents=(tmp_path / "1.vdi", tmp_path / "0.vdi")),)
    assert home.load(machine).media == (base,)


def test_a_home_without_a_settings_format_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no plugin reads and writes the settings of a home"):
        Home.open(tmp_path, PluginRegistry(discover=False))


def test_uuids_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="machine UUID 'me'; accepted: a UUID"):
        new_settings("debian", identity="me")


def test_the_configuration_of_a_new_machine_is_the_default_one(home: Home) -> None:
    machine = made(home)
    assert home.load(machine).config == attrs.evolve(MachineConfig(name="debian"), uuid=machine.uuid, source=machine.path)
