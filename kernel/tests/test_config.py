"""A machine description is checked as a whole, and every mistake is reported at once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from ringone.api.config import (
    Blueprint,
    BoardSpec,
    BootDevice,
    ClockConfig,
    ClockPolicy,
    ConfigLoaderSpec,
    CpuConfig,
    DeviceConfig,
    Drive,
    DriveKind,
    DriverConfig,
    FirmwareConfig,
    LinuxBoot,
    MachineConfig,
    SerialPort,
    Wire,
)
from ringone.api.cpu import CpuBackendSpec, CpuCapabilities
from ringone.api.errors import ConfigError, ConfigErrors
from ringone.api.hooks import hookimpl
from ringone.api.media import AccessMode
from ringone.api.options import NoOptions
from ringone.config import check_config, load_config
from ringone.plugins import PluginRegistry


def backend(name: str, *, exact: bool) -> CpuBackendSpec:
    def create(context: Any, options: Any) -> Any:
        raise AssertionError("a check creates nothing")

    return CpuBackendSpec(name=name, summary="", options=NoOptions, capabilities=CpuCapabilities(exact_progress=exact), create=create)


def empty_blueprint(config: object, firmware: object) -> Blueprint:
    return Blueprint(devices=(), wires=(), links=(), drivers=())


def no_save(config: MachineConfig, path: Path) -> None:
    raise AssertionError("loading writes nothing")


@pytest.fixture
def registry() -> PluginRegistry:
    offers = SimpleNamespace(
        __name__="offers",
        ringone_boards=hookimpl(lambda: [BoardSpec(name="pc", summary="", blueprint=empty_blueprint)]),
        ringone_cpu_backends=hookimpl(lambda: [backend("exact", exact=True), backend("fast", exact=False)]),
        ringone_config_loaders=hookimpl(
            lambda: [ConfigLoaderSpec(name="text", summary="", suffixes=(".machine",), load=lambda path: MachineConfig(name=path.stem), save=no_save)]
        ),
    )
    return PluginRegistry([offers], discover=False)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(512))
    return path


def config(**changes: Any) -> MachineConfig:
    return attrs.evolve(MachineConfig(name="m", cpu=CpuConfig(backend="exact")), **changes)


def mistakes(machine: MachineConfig, registry: PluginRegistry) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        check_config(machine, registry)
    return [str(error) for error in caught.value.errors]


def disk(image: Path | None, *, port: int = 0, device: int = 0, **changes: Any) -> Drive:
    return attrs.evolve(Drive(kind=DriveKind.DISK, controller="ide", port=port, device=device, image=image), **changes)


def test_a_sound_machine_passes(registry: PluginRegistry, image: Path) -> None:
    check_config(config(drives=(disk(image), Drive(kind=DriveKind.CDROM, controller="ide", port=1, device=0))), registry)


def com(slot: int, io_base: int, irq: int = 4) -> SerialPort:
    return SerialPort(slot=slot, io_base=io_base, irq=irq)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": " "}, "the machine has no name"),
        ({"memory_bytes": 1 << 19}, "memory of 524288 bytes; accepted are 1 MiB to 3584 MiB"),
        ({"memory_bytes": 4 << 30}, "memory of 4294967296 bytes; accepted are 1 MiB to 3584 MiB"),
        ({"memory_bytes": (1 << 20) + 100}, "memory of 1048676 bytes is not a multiple of 4096"),
        ({"vram_bytes": 0}, "video memory of 0 bytes; accepted are up to 256 MiB"),
        ({"board": "atari"}, "unknown board 'atari'; known: pc"),
        ({"cpu": CpuConfig(backend="exakt")}, "unknown CPU backend 'exakt' (did you mean 'exact'?); known: exact, fast"),
        (
            {"cpu": CpuConfig(backend="fast"), "clock": ClockConfig(policy=ClockPolicy.DETERMINISTIC)},
            "the deterministic clock needs a CPU backend with exact progress, which 'fast' is not; these are: exact",
        ),
        ({"firmware": FirmwareConfig(name="nobios")}, "unknown firmware 'nobios'; known: none"),
        ({"boot_order": (BootDevice.DISK, BootDevice.FLOPPY, BootDevice.DISK)}, "disk is twice in the boot order"),
        ({"linux": LinuxBoot(kernel=Path("no-such-kernel"))}, "Linux kernel: no-such-kernel does not exist"),
        ({"drives": (disk(None),)}, "disk at ide port 0 device 0: a disk needs an image"),
        ({"drives": (disk(Path("absent.img")),)}, "disk at ide port 0 device 0: absent.img does not exist"),
        ({"serial_ports": (com(0, 0x3F8), com(0, 0x2F8))}, "two serial ports in slot 0"),
        ({"serial_ports": (com(0, 0x3F8), com(1, 0x3F8))}, "two serial ports at I/O base 0x3f8"),
        ({"serial_ports": (com(0, 0x3F8, irq=2),)}, "serial port 0: interrupt 2 is none of 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15"),
        ({"wires": (Wire("pit", "pic.IR0"),)}, "'pit' has to be component.name"),
        ({"drivers": (DriverConfig(slot="uart.stream", type="telepathy"),)}, "unknown host driver 'telepathy'; known: none"),
    ],
)
def test_a_mistake_is_named_with_what_would_be_accepted(changes: dict[str, Any], expected: str, registry: PluginRegistry) -> None:
    assert mistakes(config(**changes), registry) == [expected]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"port": 2}, "disk at ide port 2 device 0: ide has ports 0 to 1 with devices 0 to 1"),
        ({"controller": "scsi"}, "disk at scsi port 0 device 0: unknown controller 'scsi'; known: ide, floppy"),
        ({"controller": "floppy"}, "disk at floppy port 0 device 0: a disk cannot be attached there"),
        ({"serial": "x" * 21}, f"disk at ide port 0 device 0: serial number '{'x' * 21}' has to be at most 20 printable ASCII characters"),
        ({"format": "zip"}, "unknown medium format 'zip'; known: none"),
    ],
)
def test_a_drive_has_a_place_that_exists(changes: dict[str, Any], expected: str, registry: PluginRegistry, image: Path) -> None:
    assert mistakes(config(drives=(disk(image, **changes),)), registry) == [expected]


def test_two_drives_cannot_share_a_place_or_write_one_image(registry: PluginRegistry, image: Path) -> None:
    assert mistakes(config(drives=(disk(image), disk(image))), registry) == [
        "two drives at ide port 0 device 0",
        f"two drives write to {image}; attach one of them read-only or throw-away",
    ]
    check_config(config(drives=(disk(image), disk(image, device=1, mode=AccessMode.READ_ONLY))), registry)


def test_all_mistakes_are_reported_at_once_with_their_place(registry: PluginRegistry) -> None:
    twins = (DeviceConfig(id="cpu", type="z80", source="m.vbox:9"), DeviceConfig(id="cpu", type="z80", source="m.vbox:10"))
    found = mistakes(config(source=Path("m.vbox"), memory_bytes=0, board="atari", devices=twins), registry)
    assert [message.split(": ", 1)[0] for message in found] == ["m.vbox", "m.vbox", "m.vbox:9", "m.vbox:9", "m.vbox:10", "m.vbox:10", "m.vbox"]


def test_the_suffix_chooses_the_loader(registry: PluginRegistry) -> None:
    assert load_config(Path("box.machine"), registry).name == "box"
    with pytest.raises(ConfigError, match=r"box\.toml: no plugin reads machine files ending in '\.toml'; known: \.machine"):
        load_config(Path("box.toml"), registry)
