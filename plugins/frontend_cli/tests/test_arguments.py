from __future__ import annotations

from pathlib import Path

import pytest
from ringone.api.config import BootDevice, ClockPolicy, DriveKind
from ringone.api.errors import ConfigError
from ringone.api.media import AccessMode
from ringone_frontend_cli import arguments
from ringone_frontend_cli.arguments import MachineArguments, machine_config

MIB = 1 << 20


@pytest.mark.parametrize(("text", "size"), [("256", 256 * MIB), ("256M", 256 * MIB), ("64MiB", 64 * MIB), ("1G", 1 << 30), ("2048k", 2 * MIB)])
def test_a_size_without_a_letter_is_in_mebibytes(text: str, size: int) -> None:
    assert arguments.size(text, "--memory") == size


@pytest.mark.parametrize("text", ["", "lots", "-1", "1T", "0x100", "1.5G", "9" * 30])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--memory"):
        arguments.size(text, "--memory")


def test_a_name_may_carry_options() -> None:
    assert arguments.named("recompiler", "--cpu") == ("recompiler", {})
    assert arguments.named("recompiler:tsc_mhz=2000,other=x", "--cpu") == ("recompiler", {"tsc_mhz": "2000", "other": "x"})


@pytest.mark.parametrize("text", ["", ":a=b", "x:novalue", "x:a=1,a=2"])
def test_a_senseless_name_with_options_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--cpu"):
        arguments.named(text, "--cpu")


@pytest.mark.parametrize("text", ["cdrom,disk,floppy", "dca", "DCA"])
def test_the_boot_order_takes_words_or_letters(text: str) -> None:
    assert arguments.boot_order(text) == (BootDevice.CDROM, BootDevice.DISK, BootDevice.FLOPPY)


@pytest.mark.parametrize("text", ["z", "cdrom,tape", "disk,disk", "cc"])
def test_a_senseless_boot_order_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--boot"):
        arguments.boot_order(text)


def test_an_image_may_carry_format_and_mode_and_keeps_its_commas() -> None:
    drive = arguments.drive("--hdb", "a,b.img,format=raw,mode=read-only")
    assert (drive.kind, drive.port, drive.device) == (DriveKind.DISK, 0, 1)
    assert drive.image == Path("a,b.img")
    assert drive.format == "raw"
    assert drive.mode is AccessMode.READ_ONLY


@pytest.mark.parametrize("text", ["", "x.img,mode=sometimes", "x.img,size=3"])
def test_a_senseless_image_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--hda"):
        arguments.drive("--hda", text)


@pytest.mark.parametrize(
    ("text", "driver", "options"),
    [
        ("none", "", {}),
        ("stdio", "stdio", {}),
        ("pty", "pty", {}),
        ("file:out.log", "file", {"path": "out.log"}),
        ("file:a,b.log,append=on", "file", {"path": "a,b.log", "append": "on"}),
        ("tcp:127.0.0.1:4000", "tcp", {"host": "127.0.0.1", "port": "4000"}),
        ("tcp:[::1]:4000,server=off", "tcp", {"host": "::1", "port": "4000", "server": "off"}),
        ("tcp::4000", "tcp", {"host": "127.0.0.1", "port": "4000"}),
        ("unix:/run/x", "unix-socket", {"path": "/run/x"}),
        ("device:/dev/ttyS0", "device", {"path": "/dev/ttyS0"}),
    ],
)
def test_a_line_names_its_driver(text: str, driver: str, options: dict[str, str]) -> None:
    assert arguments.line(text, "--serial") == (driver, options)


@pytest.mark.parametrize("text", ["", "file", "file:", "stdio:x", "tcp:4000", "tcp:host:99999", "tcp:host:x", "smoke:signals", "unix:/x,mode=0"])
def test_a_senseless_line_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--serial"):
        arguments.line(text, "--serial")


def test_repeated_lines_become_com1_to_com4() -> None:
    config = machine_config(MachineArguments(serial=("none", "pty", "stdio", "none")))
    assert [(port.io_base, port.irq, port.driver) for port in config.serial_ports] == [(0x3F8, 4, ""), (0x2F8, 3, "pty"), (0x3E8, 4, "stdio"), (0x2E8, 3, "")]
    with pytest.raises(ConfigError, match="up to 4"):
        arguments.serial_ports(["none"] * 5)


def test_a_machine_has_an_unconnected_first_serial_port() -> None:
    (port,) = machine_config(MachineArguments()).serial_ports
    assert (port.slot, port.driver) == (0, "")


def test_only_one_line_can_be_stdio() -> None:
    assert arguments.uses_stdio(machine_config(MachineArguments(debugcon="stdio")))
    assert not arguments.uses_stdio(machine_config(MachineArguments()))
    with pytest.raises(ConfigError, match="COM1, the debug console"):
        arguments.uses_stdio(machine_config(MachineArguments(serial=("stdio",), debugcon="stdio")))


def test_throw_away_leaves_read_only_drives_alone() -> None:
    config = machine_config(MachineArguments(images={"--hda": "a", "--hdb": "b,mode=read-only"}, throw_away=True))
    assert [drive.mode for drive in config.drives] == [AccessMode.THROW_AWAY, AccessMode.READ_ONLY]


@pytest.mark.parametrize("given", [{"initrd": Path("x")}, {"append": "quiet"}])
def test_initrd_and_append_need_a_kernel(given: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="needs --kernel"):
        machine_config(MachineArguments(**given))  # type: ignore[arg-type]


def test_the_clock_is_one_of_two() -> None:
    assert machine_config(MachineArguments(clock="deterministic")).clock.policy is ClockPolicy.DETERMINISTIC
    with pytest.raises(ConfigError, match="host, deterministic"):
        machine_config(MachineArguments(clock="sundial"))
