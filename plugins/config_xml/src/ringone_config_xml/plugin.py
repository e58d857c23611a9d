"""What config_xml offers to RingOne. Imports nothing heavy: lxml is imported when a file is loaded or saved."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ringone.api.config import ConfigLoaderSpec, MachineConfig
from ringone.api.hooks import hookimpl


@hookimpl
def ringone_config_loaders() -> Iterable[ConfigLoaderSpec]:
    return (ConfigLoaderSpec(name="vbox", summary="VirtualBox machine files", suffixes=(".vbox",), load=load, save=save),)


def load(path: Path) -> MachineConfig:
    from ringone_config_xml import vbox

    return vbox.load(path)


def save(config: MachineConfig, path: Path) -> None:
    from ringone_config_xml import vbox

    vbox.save(config, path)
