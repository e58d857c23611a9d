"""What a user installs: wheels of every member, in a virtual environment that has never seen this checkout.

Needs a package index for the dependencies; run by ``make test-packaging``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorials" / "first-device"
MEMBERS = [ROOT / "kernel", *sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml")), TUTORIAL]
PACKAGES = [next((member / "src").iterdir()).name for member in MEMBERS]
HEAVY = ("capstone", "iced_x86", "lxml", "pytest", "typer", "unicorn")

LISTING = f"""
import importlib, sys
from ringone.plugins import KINDS, PluginRegistry
for package in {PACKAGES!r}:
    importlib.import_module(package)
registry = PluginRegistry(strict=True)
for kind in KINDS:
    getattr(registry, kind)()
assert "i8259" in registry.device_types() and "metronome" in registry.device_types()
print(*sorted(set(sys.modules) & set({HEAVY!r})))
"""


def run(*command: str | Path, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    finished = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert finished.returncode == 0, f"{command[0]} ended with {finished.returncode}:\n{finished.stdout}\n{finished.stderr}"
    return finished.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("wheels")
    for member in MEMBERS:
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=member)
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def bin(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of a clean environment with every wheel."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    run(programs / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", ROOT / "constraints.txt", *wheels, cwd=folder)
    return programs


def test_every_member_becomes_a_typed_wheel(wheels: list[Path]) -> None:
    names = {wheel: zipfile.ZipFile(wheel).namelist() for wheel in wheels}
    assert len(names) == len(MEMBERS)
    assert [wheel.name for wheel, files in names.items() if not any(name.endswith("/py.typed") for name in files)] == []


def test_the_command_says_its_version(bin: Path, tmp_path: Path) -> None:
    assert "0.1.0" in run(bin / "ringone", "--version", cwd=tmp_path)


def test_every_plugin_is_usable(bin: Path, tmp_path: Path) -> None:
    run(bin / "ringone", "plugins", "check", cwd=tmp_path)


def test_listing_everything_loads_nothing_heavy(bin: Path, tmp_path: Path) -> None:
    assert run(bin / "python", "-c", LISTING, cwd=tmp_path).split() == []
