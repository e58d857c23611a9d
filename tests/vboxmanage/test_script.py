"""A plain script of VBoxManage calls runs against both programs, word for word the same."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from guests.echo import write_image

pytestmark = [pytest.mark.guest, pytest.mark.skipif(shutil.which("sh") is None, reason="needs a POSIX shell")]

SCRIPT = Path(__file__).parent / "plain.sh"
SCRIPT_S = 300
BLOCK = 2048
PROGRAMS = {"VBoxManage": "ringone_frontend_cli.vboxmanage.app", "ringone": "ringone_frontend_cli.main"}


def bootable_cd(path: Path, boot_sector: bytes) -> Path:
    """An ISO 9660 image with nothing on it but what El Torito boots without emulation: 512 bytes at 0x7C00."""
    catalog, image = 19, 20
    volume = struct.pack("<B5sB", 1, b"CD001", 1).ljust(80, b"\0") + struct.pack("<I", image + 1) + struct.pack(">I", image + 1)
    boot_record = struct.pack("<B5sB32s", 0, b"CD001", 1, b"EL TORITO SPECIFICATION").ljust(71, b"\0") + struct.pack("<I", catalog)
    validation = bytearray(struct.pack("<BBH24sHBB", 1, 0, 0, b"RingOne", 0, 0x55, 0xAA))
    struct.pack_into("<H", validation, 28, -sum(struct.unpack("<16H", validation)) & 0xFFFF)
    entry = struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, 1, image).ljust(32, b"\0")
    blocks = [b""] * 16 + [volume, boot_record, struct.pack("<B5sB", 255, b"CD001", 1), bytes(validation) + entry, boot_sector]
    path.write_bytes(b"".join(block.ljust(BLOCK, b"\0") for block in blocks))
    return path


@pytest.fixture
def cd(tmp_path: Path) -> Path:
    return bootable_cd(tmp_path / "echo.iso", write_image(tmp_path / "echo.img").read_bytes()[:512])


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {PROGRAMS[request.param]} "$@"\n')
    path.chmod(0o755)
    return path


def test_a_plain_script_for_virtualbox_runs_to_its_end(program: Path, cd: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path / "vms"
    folder.mkdir()
    environment = {**os.environ, "RINGONE_HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": str(tmp_path_factory.mktemp("r"))}
    command = ["sh", str(SCRIPT), str(program), str(cd), str(folder)]
    try:
        run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SCRIPT_S, check=False)
    finally:
        subprocess.run([program, "controlvm", "plain", "poweroff"], env=environment, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr + run.stdout
    assert 'VM "plain" has been successfully started.' in run.stdout
    assert (folder / "restored.png").read_bytes() == (folder / "before.png").read_bytes()
