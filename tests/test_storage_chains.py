"""Disks on chains of images in whole machines."""

from __future__ import annotations

from pathlib import Path

from ringone.api.config import Drive, DriveKind, MachineConfig
from ringone.api.media import MediumVariant, NewMedium
from ringone.machine import create_session
from ringone.plugins import PluginRegistry


def test_a_machines_disk_stands_on_its_parents(tmp_path: Path, registry: PluginRegistry) -> None:
    tools = registry.media_formats()["vdi"].tools
    assert tools is not None
    chain = [tools.create(NewMedium(path=tmp_path / "base.vdi", capacity_bytes=1 << 20)).path]
    for number in range(2):
        chain.insert(0, tools.create(NewMedium(path=tmp_path / f"{number}.vdi", parent=chain[0], variant=MediumVariant.DIFFERENCING)).path)
    drive = Drive(kind=DriveKind.DISK, controller="ide", port=0, device=0, image=chain[0], parents=tuple(chain[1:]))
    session = create_session(MachineConfig(name="chained", memory_bytes=2 << 20, drives=(drive,)), registry)
    try:
        assert session.disk_chains() == {"ide.drive00": tuple(chain)}
    finally:
        session.close()
