from __future__ import annotations

import re
from pathlib import Path

import pytest

from plugins.frontend_cli.tests.vboxmanage.conftest import VBoxManage

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def facts(ok: VBoxManage, name: str) -> dict[str, str]:
    """showvminfo --machinereadable as most scripts read it."""
    return {key.strip('"'): value.strip('"') for key, _, value in (line.partition("=") for line in ok("showvminfo", name, "--machinereadable").lines)}


def test_a_machine_is_created_and_listed(ok: VBoxManage, home: Path) -> None:
    answer = ok("createvm", "--name", "my vm", "--ostype", "Debian", "--register")
    uuid = UUID.search(answer.out)
    assert uuid
    file = home / "machines" / "my vm" / "my vm.vbox"
    assert answer.lines == ["Virtual machine 'my vm' is created and registered.", f"UUID: {uuid[0]}", f"Settings file: '{file}'"]
    assert ok("list", "vms").lines == [f'"my vm" {{{uuid[0]}}}']
    assert ok("list", "runningvms").lines == []


def test_a_machine_is_known_when_it_is_registered_and_forgotten_when_not(ok: VBoxManage, vbox: VBoxManage, home: Path) -> None:
    ok("createvm", "--name", "later")
    file = home / "machines" / "later" / "later.vbox"
    assert ok("list", "vms").out == ""
    ok("registervm", file)
    ok("unregistervm", "later")
    assert file.exists()
    ok("registervm", file)
    assert vbox("registervm", file).exit_code == 1


def test_a_machine_is_deleted_with_its_disks_and_logs_and_without_its_cds(ok: VBoxManage, debian: str, home: Path, tmp_path: Path) -> None:
    cd = tmp_path / "cd.iso"
    cd.write_bytes(bytes(2048 * 20))
    ok("createmedium", "disk", "--filename", home / "machines" / debian / "disk.vdi", "--size", "8")
    ok("storageattach", debian, "--storagectl", "IDE", "--port", 0, "--device", 0, "--type", "hdd", "--medium", home / "machines" / debian / "disk.vdi")
    ok("storageattach", debian, "--storagectl", "IDE", "--port", 1, "--device", 0, "--type", "dvddrive", "--medium", cd)
    ok("snapshot", debian, "take", "one")
    ok("unregistervm", debian, "--delete")
    assert cd.exists()
    assert not (home / "machines" / debian).exists()
    assert ok("list", "hdds").out == ""


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--name", "a/b"), "E_INVALIDARG", "machine name 'a/b' has the character '/'"),
        (("--name", "x" * 300), "E_INVALIDARG", "has 300 bytes"),
        (("--name", "x", "--ostype", "Minix"), "VBOX_E_OBJECT_NOT_FOUND", "Guest OS type 'Minix' is invalid"),
        (("--name", "x", "--groups", "tests"), "E_INVALIDARG", "Invalid group 'tests'"),
        (("--name", "debian"), "E_INVALIDARG", "already exists"),
    ],
    ids=["slash", "long", "type", "group", "taken"],
)
def test_what_no_machine_can_be_is_refused(vbox: VBoxManage, debian: str, words: tuple[str, ...], code: str, message: str) -> None:
    answer = vbox("createvm", *words, "--register")
    assert answer.exit_code == 1
    assert code in answer.err
    assert message in answer.err


# --- modifyvm


def test_options_change_what_the_machine_is(ok: VBoxManage, debian: str) -> None:
    ok("modifyvm", debian, "--memory", 64, "--vram=16", "-boot1", "dvd", "--boot2", "none", "--boot3", "none", "--pae", "off", "--rtc-use-utc", "off")
    ok("modifyvm", debian, "--description", "for tests", "--groups", "/tests,/more", "--ostype", "Windows XP (32-bit)", "--biosbootmenu", "messageandmenu")
    found = facts(ok, debian)
    wanted = {
        "memory": "64",
        "vram": "16",
        "boot1": "dvd",
        "boot2": "none",
        "pae": "off",
        "rtcuseutc": "off",
        "description": "for tests",
        "groups": "/tests,/more",
        "ostype": "Windows XP (32-bit)",
        "bootmenu": "messageandmenu",
    }
    assert {key: found[key] for key in wanted} == wanted


@pytest.mark.parametrize(
    ("words", "order"),
    [
        ("--boot1 dvd", "dvd disk none none"),
        ("--boot1 dvd --boot2 floppy", "dvd floppy disk none"),
        ("--boot1 disk --boot2 dvd --boot3 none --boot4 none", "disk dvd none none"),
        ("--boot1 none --boot2 none", "disk none none none"),
        ("--boot1 net --boot4 floppy", "net dvd disk floppy"),
    ],
)
def test_boot_devices_move_as_in_virtualbox(ok: VBoxManage, debian: str, words: str, order: str) -> None:
    ok("modifyvm", debian, *words.split())
    found = facts(ok, debian)
    assert [found[f"boot{position}"] for position in range(1, 5)] == order.split()


def test_what_nothing_follows_is_kept(ok: VBoxManage, debian: str) -> None:
    ok("modifyvm", debian, "--ioapic", "on", "--hpet", "on", "--hwvirtex", "off", "--graphicscontroller", "vmsvga", "--mouse", "usbtablet")
    ok("modifyvm", debian, "--cpuexecutioncap", 50, "--clipboard", "bidirectional", "--paravirtprovider", "kvm", "--nested-hw-virt", "off")
    found = facts(ok, debian)
    wanted = {
        "ioapic": "on",
        "hpet": "on",
        "hwvirtex": "off",
        "graphicscontroller": "vmsvga",
        "hidpointing": "usbtablet",
        "cpuexecutioncap": "50",
        "clipboard": "bidirectional",
        "paravirtprovider": "kvm",
    }
    assert {key: found[key] for key in wanted} == wanted


def test_the_remote_display_is_described(ok: VBoxManage, vbox: VBoxManage, debian: str) -> None:
    ok("modifyvm", debian, "--vrde", "on", "--vrde-port", "5000,5010-5012", "--vrdeaddress", "127.0.0.1", "--vrdemulticon", "on", "--vrdeauthtype", "external")
    ok("modifyvm", debian, "--vrdeproperty", "VideoChannel/Enabled=1", "--vrdeproperty", "Security/Method=TLS", "--vrdeproperty", "Security/Method=")
    found = {key: value for key, value in facts(ok, debian).items() if key.startswith("vrde")}
    assert found == {
        "vrde": "on",
        "vrdeport": "-1",
        "vrdeports": "5000,5010-5012",
        "vrdeaddress": "127.0.0.1",
        "vrdeauthtype": "external",
        "vrdemulticon": "on",
        "vrdereusecon": "off",
        "vrdevideochannel": "on",
        "vrdeproperty[TCP/Ports]": "5000,5010-5012",
        "vrdeproperty[TCP/Address]": "127.0.0.1",
        "vrdeproperty[VideoChannel/Enabled]": "1",
    }
    assert "VRDE:                        enabled (Address 127.0.0.1, Ports 5000,5010-5012, " in ok("showvminfo", debian).out
    ok("modifyvm", debian, "--vrdeport", "default", "--vrde", "off")
    assert facts(ok, debian)["vrde"] == "off"
    assert vbox("modifyvm", debian, "--vrdeport", "99999").exit_code == 2
    assert vbox("modifyvm", debian, "--vrdeproperty", "nothing").exit_code == 2


def test_asking_for_no_hardware_that_there_is_not_is_no_mistake(ok: VBoxManage, debian: str) -> None:
    ok("modifyvm", debian, "--nic1", "none", "--audio", "none", "--usb", "off", "--usbehci", "off", "--vrde", "off", "--cpus", 1, "--firmware", "bios")
    ok("modifyvm", debian, "--macaddress1", "auto", "--cableconnected1", "on", "--chipset", "piix3", "--tpm-type", "none", "--lpt1", "off")


@pytest.mark.parametrize(
    "words",
    [
        "--nic1 nat",
        "--natpf1 ssh,tcp,,2222,,22",
        "--natpf1 delete ssh",
        "--audio pulse",
        "--usb on",
        "--cpus 2",
        "--firmware efi",
        "--chipset ich9",
        "--lpt1 0x378",
        "--hostonlyadapter1 vboxnet0",
        "--cpuidremoveall",
    ],
)
def test_hardware_that_there_is_not_is_refused_and_nothing_changes(ok: VBoxManage, vbox: VBoxManage, debian: str, words: str) -> None:
    before = facts(ok, debian)
    answer = vbox("modifyvm", debian, "--memory", 32, *words.split())
    assert answer.exit_code == 1
    assert f"{words.split()[0]}" in answer.err
    assert "VBOX_E_NOT_SUPPORTED" in answer.err
    assert facts(ok, debian) == before


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        ("--uart1 0x3f8 4", {"uart1": "0x03f8,4", "uartmode1": "disconnected"}),
        ("--uart2 0x2F8 3 --uartmode2 server /tmp/com2", {"uart2": "0x02f8,3", "uartmode2": "server,/tmp/com2"}),
        ("--uartmode1 client /tmp/com1 --uart1 0x3f8 4", {"uartmode1": "client,/tmp/com1"}),
        ("--uart1 0x3f8 4 --uartmode1 file /tmp/log", {"uartmode1": "file,/tmp/log"}),
        ("--uart1 0x3f8 4 --uartmode1 tcpserver 2023", {"uartmode1": "tcpserver,2023"}),
        ("--uart1 0x3f8 4 --uartmode1 tcpclient localhost:2023", {"uartmode1": "tcpclient,localhost:2023"}),
        ("--uart1 0x3f8 4 --uartmode1 /dev/ttyS0", {"uartmode1": "/dev/ttyS0"}),
        ("--uart1 0x3f8 4 --uartmode1 pty", {"uartmode1": "pty"}),
        ("--uart1 off --uartmode1 disconnected", {"uart1": "off"}),
    ],
)
def test_serial_ports_are_connected_as_virtualbox_has_it(ok: VBoxManage, debian: str, words: str, keys: dict[str, str]) -> None:
    ok("modifyvm", debian, *words.split())
    found = facts(ok, debian)
    assert {key: found[key] for key in keys} == keys


@pytest.mark.parametrize("words", ["--uart5 0x3f8 4", "--uart1 0x3f8", "--uart1 banana 4", "--uartmode1 carrier", "--boot5 dvd", "--nic9 none", "--memory 1"])
def test_wrong_values_end_with_2(vbox: VBoxManage, debian: str, words: str) -> None:
    assert vbox("modifyvm", debian, *words.split()).exit_code == 2


def test_a_machine_gets_another_name_unless_it_is_taken(ok: VBoxManage, vbox: VBoxManage, debian: str) -> None:
    ok("createvm", "--name", "other", "--register")
    answer = vbox("modifyvm", debian, "--name", "other")
    assert answer.exit_code == 1
    assert "already" in answer.err
    ok("modifyvm", debian, "--name", "renamed")
    assert ok("showvminfo", "renamed").lines[0] == "Name:                        renamed"
    assert vbox("showvminfo", debian).exit_code == 1


# --- lists


def test_guest_types_are_listed_as_virtualbox_does(ok: VBoxManage) -> None:
    blocks = [dict(line.split(":", 1) for line in block.splitlines()) for block in ok("list", "ostypes").out.strip().split("\n\n")]
    debian = next(block for block in blocks if block["ID"].strip() == "Debian")
    assert {key: value.strip() for key, value in debian.items()} == {
        "ID": "Debian",
        "Description": "Debian (32-bit)",
        "Family ID": "Linux",
        "Family Desc": "Linux",
        "64 bit": "false",
    }
    assert blocks[0]["Description"].strip() == "Other/Unknown"


def test_the_machine_folder_is_where_tools_look_for_it(ok: VBoxManage, home: Path, tmp_path: Path) -> None:
    def machine_folder() -> str:
        match = re.search(r"^Default machine folder:\s+(.+?)$", ok("list", "systemproperties").out, re.MULTILINE)
        assert match
        return match[1]

    assert machine_folder() == str(home / "machines")
    ok("setproperty", "machinefolder", tmp_path / "elsewhere")
    assert machine_folder() == str(tmp_path / "elsewhere")
    ok("setproperty", "machinefolder", "default")
    assert machine_folder() == str(home / "machines")


def test_log_history_is_a_number(ok: VBoxManage, vbox: VBoxManage) -> None:
    ok("setproperty", "loghistorycount", 7)
    assert re.search(r"^Log history count:\s+7$", ok("list", "systemproperties").out, re.MULTILINE)
    assert vbox("setproperty", "loghistorycount", "many").exit_code == 1
    assert vbox("setproperty", "vrdeextpack", "x").exit_code == 1
    assert vbox("setproperty", "cows", "x").exit_code == 2


@pytest.mark.parametrize("what", ["hostonlyifs", "bridgedifs", "natnetworks", "dhcpservers", "usbhost", "hostdvds"])
def test_what_there_never_is_any_of_is_an_empty_list(ok: VBoxManage, what: str) -> None:
    assert ok("list", what).out == ""


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("hddbackends", "id='VDI'"),
        ("hostinfo", "Processor count: "),
        ("screenshotformats", "PNG (0x20474e50)"),
        ("groups", '"/"'),
        ("extpacks", "Extension Packs: 0"),
    ],
)
def test_what_there_is_is_listed(ok: VBoxManage, what: str, text: str) -> None:
    assert text in ok("list", what).out


def test_lists_can_be_sorted_and_long(ok: VBoxManage) -> None:
    for name in ("b", "C", "a"):
        ok("createvm", "--name", name, "--register")
    assert [line.split('"')[1] for line in ok("list", "--sorted", "vms").lines] == ["a", "b", "C"]
    assert ok("list", "-l", "vms").out.count("Hardware UUID:") == 3


def test_a_machine_whose_file_is_broken_is_listed_as_inaccessible(ok: VBoxManage, vbox: VBoxManage, debian: str, home: Path) -> None:
    (home / "machines" / debian / f"{debian}.vbox").write_text("<broken")
    (line,) = ok("list", "vms").lines
    assert re.match(r'^"<inaccessible>" \{(.+?)\}$', line)
    assert ok("showvminfo", UUID.search(line)[0], "--machinereadable").lines[0] == 'name="<inaccessible>"'  # type: ignore[index]
    assert vbox("showvminfo", UUID.search(line)[0]).exit_code == 1  # type: ignore[index]
