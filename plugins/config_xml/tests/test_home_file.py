"""``VirtualBox.xml``: machines, media and settings that all machines share, both ways, and nothing lost."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from ringone.api.config import DriveKind
from ringone.api.errors import ConfigError, ConfigErrors
from ringone.api.settings import GlobalSettings, MachineEntry, MediumRecord
from ringone_config_xml.settings import load_home, save_home
from vbox_files import DATA, UUID

Change = Callable[[GlobalSettings], GlobalSettings]
ONE, OTHER = (str(uuid.UUID(int=number)) for number in (1, 2))

HOME = f"""<?xml version="1.0"?>
<VirtualBox xmlns="http://www.virtualbox.org/" version="1.12-linux">
  <Global my="4711">
    <ExtraData>
      <ExtraDataItem name="GUI/UpdateDate" value="never"/>
    </ExtraData>
    <MachineRegistry>
      <MachineEntry uuid="{{{ONE}}}" src="/vms/one/one.vbox" note="keep me"/>
      <MachineEntry uuid="{{{OTHER}}}" src="machines/other/other.vbox"/>
    </MachineRegistry>
    <NetserviceRegistry>
      <DHCPServers>
        <DHCPServer networkName="HostInterfaceNetworking-vboxnet0" lowerIP="192.168.56.101" enabled="1"/>
      </DHCPServers>
    </NetserviceRegistry>
    <!-- by hand -->
    <SystemProperties defaultMachineFolder="/vms" defaultHardDiskFormat="VDI" VRDEAuthLibrary="VBoxAuth" LogHistoryCount="5"/>
    <USBDeviceFilters/>
  </Global>
</VirtualBox>
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "VirtualBox.xml"
    file.write_text(HOME)
    return file


def test_what_machines_share_is_shown(path: Path) -> None:
    assert load_home(path) == GlobalSettings(
        machines=(
            MachineEntry(uuid=ONE, path=Path("/vms/one/one.vbox")),
            MachineEntry(uuid=OTHER, path=path.parent / "machines/other/other.vbox"),
        ),
        extra_data={"GUI/UpdateDate": "never"},
        default_machine_folder=Path("/vms"),
        log_history_count=5,
    )


def test_the_global_file_of_virtualbox_3_has_media(tmp_path: Path) -> None:
    path = Path(shutil.copy(DATA / "VirtualBox.xml", tmp_path))
    before = path.read_bytes()
    settings = load_home(path)
    assert {record.location.name for top in settings.media for record in top.walk()} > {"lenny.vdi", "lenny.iso", "system-1.7.vdi"}
    save_home(settings, path)
    assert path.read_bytes() == before


def test_unchanged_settings_do_not_touch_the_file(path: Path) -> None:
    os.utime(path, (1, 1))
    save_home(load_home(path), path)
    assert path.stat().st_mtime == 1


CHANGES: dict[str, tuple[Change, str]] = {
    "a machine more": (
        lambda settings: attrs.evolve(settings, machines=(*settings.machines, MachineEntry(uuid=UUID.strip("{}"), path=Path("/vms/x.vbox")))),
        f'<MachineEntry uuid="{UUID}" src="/vms/x.vbox"/>',
    ),
    "a machine less": (lambda settings: attrs.evolve(settings, machines=settings.machines[:1]), 'note="keep me"'),
    "no machine": (lambda settings: attrs.evolve(settings, machines=()), "<MachineRegistry/>"),
    "a machine elsewhere": (
        lambda settings: attrs.evolve(settings, machines=(attrs.evolve(settings.machines[0], path=Path("/new.vbox")), settings.machines[1])),
        'src="/new.vbox" note="keep me"',
    ),
    "an image": (
        lambda settings: attrs.evolve(settings, media=(MediumRecord(uuid=ONE, location=Path("/a.vdi"), kind=DriveKind.DISK),)),
        f'<HardDisk uuid="{{{ONE}}}" location="/a.vdi" format="VDI" type="Normal"/>',
    ),
    "extra data": (lambda settings: attrs.evolve(settings, extra_data={"a": 'x<"&'}), '<ExtraDataItem name="a" value="x&lt;&quot;&amp;"/>'),
    "a folder": (lambda settings: attrs.evolve(settings, default_machine_folder=Path("/m m")), 'defaultMachineFolder="/m m" defaultHardDiskFormat="VDI"'),
    "no folder": (lambda settings: attrs.evolve(settings, default_machine_folder=None), '<SystemProperties defaultHardDiskFormat="VDI"'),
    "more logs": (lambda settings: attrs.evolve(settings, log_history_count=9), 'LogHistoryCount="9"'),
}


@pytest.mark.parametrize(("change", "says"), CHANGES.values(), ids=CHANGES)
def test_changes_are_there_again_and_the_rest_stays(path: Path, change: Change, says: str) -> None:
    wanted = change(load_home(path))
    save_home(wanted, path)
    assert load_home(path) == wanted
    text = path.read_text()
    assert says in text
    for kept in ('my="4711"', "HostInterfaceNetworking-vboxnet0", "<!-- by hand -->", 'VRDEAuthLibrary="VBoxAuth"', "<USBDeviceFilters/>"):
        assert kept in text
    assert path.with_name("VirtualBox.xml-prev").read_text() == HOME


@pytest.mark.parametrize("change", [change for change, _ in CHANGES.values()], ids=CHANGES)
def test_a_new_file_holds_everything(path: Path, tmp_path: Path, change: Change) -> None:
    wanted = change(load_home(path))
    save_home(wanted, tmp_path / "new.xml")
    assert load_home(tmp_path / "new.xml") == wanted


MISTAKES = {
    "a machine without file": ('src="/vms/one/one.vbox"', "", "MachineEntry lacks the attribute uuid or src"),
    "a machine twice": (OTHER, ONE, "two machines have the UUID"),
    "an image without UUID": (
        "<USBDeviceFilters/>",
        '<MediaRegistry><HardDisks><HardDisk uuid="me" location="a"/></HardDisks></MediaRegistry>',
        "HardDisk uuid is 'me'; accepted: a UUID",
    ),
    "no global element": ("Global", "Machine", "there is no <Global> element; accepted is VirtualBox's global configuration"),
    "cut off": ("</Global>", "", "not well-formed XML"),
    "another version": ("1.12-linux", "2.0", "the settings version is '2.0'"),
}


@pytest.mark.parametrize(("old", "new", "says"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_told_and_the_file_is_not_overwritten(path: Path, old: str, new: str, says: str) -> None:
    path.write_text(HOME.replace(old, new))
    before = path.read_bytes()
    with pytest.raises((ConfigError, ConfigErrors)) as caught:
        load_home(path)
    assert says in str(caught.value)
    with pytest.raises(ConfigError):
        save_home(GlobalSettings(), path)
    assert path.read_bytes() == before


def test_two_machines_of_one_uuid_are_not_saved(path: Path) -> None:
    settings = load_home(path)
    with pytest.raises(ConfigError, match="two machines of the home have the same UUID"):
        save_home(attrs.evolve(settings, machines=settings.machines * 2), path)


def test_nobody_keeps_more_logs_than_a_hundred(path: Path) -> None:
    path.write_text(HOME.replace('LogHistoryCount="5"', 'LogHistoryCount="999999999"'))
    assert load_home(path).log_history_count == 100
