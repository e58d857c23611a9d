"""Where SeaBIOS is found, and what goes to it."""

from pathlib import Path

import pytest
from ringone.api.config import LinuxBoot, MachineConfig
from ringone.api.errors import ConfigError
from ringone_firmware import files, linuxrom, seabios
from ringone_firmware.plugin import ringone_firmwares
from ringone_firmware.seabios import SeabiosOptions

PC = MachineConfig(name="pc")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with both BIOSes and a VGA BIOS, the only one that is looked into."""
    (tmp_path / "bios.bin").write_bytes(b"s" * (128 << 10))
    (tmp_path / "bios-256k.bin").write_bytes(b"b" * (256 << 10))
    (tmp_path / "vgabios-stdvga.bin").write_bytes(b"v" * 1024)
    monkeypatch.setattr(files, "INSTALLED", (tmp_path,))
    monkeypatch.delenv(files.ENVIRONMENT, raising=False)
    return tmp_path


def test_the_large_bios_is_preferred_and_the_vga_bios_comes_along(installed: Path) -> None:
    image = seabios.load(PC, SeabiosOptions())
    assert image.rom == b"b" * (256 << 10)
    assert image.fw_cfg[seabios.VGA_ROM_FILE] == b"v" * 1024
    assert {"etc/acpi/tables", "etc/acpi/rsdp", "etc/table-loader"} <= image.fw_cfg.keys()


def test_the_small_bios_does_where_there_is_no_other(installed: Path) -> None:
    (installed / "bios-256k.bin").unlink()
    assert len(seabios.load(PC, SeabiosOptions()).rom) == 128 << 10


def test_a_machine_without_acpi_gets_no_tables(installed: Path) -> None:
    image = seabios.load(MachineConfig(name="old", acpi=False), SeabiosOptions())
    assert not any("acpi" in name for name in image.fw_cfg)


def test_the_environment_comes_before_the_usual_places(installed: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "bios.bin").write_bytes(b"o" * (128 << 10))
    monkeypatch.setenv(files.ENVIRONMENT, str(other))
    assert seabios.load(PC, SeabiosOptions()).rom == b"o" * (128 << 10)


def test_a_given_file_or_folder_comes_before_all(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    mine = tmp_path_factory.mktemp("mine") / "my.rom"
    mine.write_bytes(b"m" * (64 << 10))
    assert seabios.load(PC, SeabiosOptions(path=mine)).rom == b"m" * (64 << 10)
    assert "in" in seabios.available(SeabiosOptions(path=mine.parent))


def test_a_missing_bios_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "INSTALLED", (tmp_path,))
    monkeypatch.delenv(files.ENVIRONMENT, raising=False)
    assert "install the package seabios or set RINGONE_FIRMWARE_PATH" in seabios.available(SeabiosOptions())
    with pytest.raises(ConfigError, match=r"firmware seabios: no bios-256k\.bin or bios\.bin in"):
        seabios.load(PC, SeabiosOptions())


def test_a_file_of_a_senseless_size_is_refused(installed: Path) -> None:
    (installed / "bios-256k.bin").write_bytes(b"x" * 1000)
    with pytest.raises(ConfigError, match="has 1000 bytes; a SeaBIOS image has 65536, 131072, 262144"):
        seabios.load(PC, SeabiosOptions())


def test_preferences_put_seabios_before_the_built_in_bios_and_direct_boot_last() -> None:
    assert [(spec.name, spec.preference) for spec in ringone_firmwares()] == [("seabios", 100), ("builtin", 10), ("rom", -1), ("linux", 0)]


# --- The Linux option ROM ---------------------------------------------------------------------------------------------------------------------------------


def test_the_option_rom_is_one_that_a_bios_accepts() -> None:
    rom = linuxrom.build_rom()
    assert rom[:2] == b"\x55\xaa" and len(rom) == rom[2] * 512
    assert sum(rom) & 0xFF == 0
    header = rom[int.from_bytes(rom[0x1A:0x1C], "little") :][:32]
    assert header[:4] == b"$PnP" and sum(header) & 0xFF == 0
    assert int.from_bytes(header[26:28], "little"), "there is no boot entry vector"


def test_a_direct_boot_hands_the_kernel_to_the_option_rom(installed: Path) -> None:
    kernel = installed / "kernel"
    image = bytearray(3 * 512)
    image[0x1F1] = 1
    image[0x1FE:0x200] = b"\x55\xaa"
    image[0x201:0x206] = b"\x3eHdrS"
    image[0x206:0x208] = (0x203).to_bytes(2, "little")
    image[0x211] = 1
    image[-512:] = b"P" * 512
    kernel.write_bytes(image)
    given = seabios.load(MachineConfig(name="direct", linux=LinuxBoot(kernel=kernel, append="quiet")), SeabiosOptions()).fw_cfg
    assert given["bootorder"] == b"/rom@genroms/linuxboot.bin\nHALT\0"
    assert given["key:0x11"] == b"P" * 512 and given["key:0x08"] == (512).to_bytes(4, "little")
    assert given["key:0x15"] == b"quiet\0"
    assert given["key:0x0b"] == bytes(4), "there is no initrd"
