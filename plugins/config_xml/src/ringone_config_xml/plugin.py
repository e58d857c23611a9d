"""What config_xml offers to RingOne. Imports nothing heavy: lxml is imported when a file is loaded or saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ringone.api.appliance import Appliance, ApplianceFormat
from ringone.api.config import ConfigLoaderSpec, MachineConfig
from ringone.api.hooks import hookimpl
from ringone.api.settings import GlobalSettings, MachineSettings


@hookimpl
def ringone_config_loaders() -> Iterable[ConfigLoaderSpec]:
    return (
        ConfigLoaderSpec(
            name="vbox", summary="VirtualBox machine files", suffixes=(".vbox",), load=load, save=save, settings=Settings(), appliances=appliances()
        ),
    )


def load(path: Path) -> MachineConfig:
    from ringone_config_xml import vbox

    return vbox.load(path)


def save(config: MachineConfig, path: Path) -> None:
    from ringone_config_xml import vbox

    vbox.save(config, path)


def appliances() -> ApplianceFormat:
    return ApplianceFormat(suffix=".ovf", read=read_envelope, write=write_envelope)


def read_envelope(data: bytes, name: str) -> Appliance:
    from ringone_config_xml import ovf

    return ovf.read(data, name)


def write_envelope(appliance: Appliance) -> bytes:
    from ringone_config_xml import ovf

    return ovf.write(appliance)


class Settings:
    """`ringone.api.config.SettingsFormat`."""

    home_file = "VirtualBox.xml"

    def load_machine(self, path: Path) -> MachineSettings:
        from ringone_config_xml import settings

        return settings.load_machine(path)

    def save_machine(self, machine: MachineSettings, path: Path, like: Path | None = None) -> None:
        from ringone_config_xml import settings

        settings.save_machine(machine, path, like)

    def load_home(self, path: Path) -> GlobalSettings:
        from ringone_config_xml import settings

        return settings.load_home(path)

    def save_home(self, home: GlobalSettings, path: Path) -> None:
        from ringone_config_xml import settings

        settings.save_home(home, path)

    def items(self, config: MachineConfig) -> Mapping[str, str]:
        from ringone_config_xml import items

        return items.own_items(config)

    def with_item(self, config: MachineConfig, name: str, value: str) -> MachineConfig:
        from ringone_config_xml import items

        return items.with_own_item(config, name, value)
