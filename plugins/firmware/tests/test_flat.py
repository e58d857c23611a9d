"""Any flat ROM may be the firmware."""

from __future__ import annotations

from pathlib import Path

import pytest
from ringone.api.config import MachineConfig
from ringone.api.errors import ConfigError
from ringone_firmware import flat

CONFIG = MachineConfig(name="rom")


def test_an_image_is_padded_in_front_to_whole_pages(tmp_path: Path) -> None:
    path = tmp_path / "u-boot.rom"
    path.write_bytes(b"\xea" * 5000)
    rom = flat.load(CONFIG, flat.FlatOptions(path=path)).rom
    assert len(rom) == 8192
    assert rom.endswith(b"\xea" * 5000)


def test_without_a_path_it_is_not_available() -> None:
    assert "path" in flat.available(flat.FlatOptions())
    with pytest.raises(ConfigError, match="path"):
        flat.load(CONFIG, flat.FlatOptions())


def test_an_image_without_a_reset_vector_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.rom"
    path.write_bytes(b"x")
    with pytest.raises(ConfigError, match="has 1 bytes"):
        flat.load(CONFIG, flat.FlatOptions(path=path))
