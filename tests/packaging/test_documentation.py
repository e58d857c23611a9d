"""The documentation says what the code does: generated pages are fresh, the tutorial's listings are its files, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import ringone_device_metronome.plugin as metronome
from ringone.machine import create_session, load_config
from ringone.plugins import DISABLE_VARIABLE, PluginRegistry

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorials" / "first-device"
PAGES = sorted(path.relative_to(ROOT).as_posix() for pattern in ("*.md", "docs/**/*.md", "kernel/*.md", "plugins/*/*.md") for path in ROOT.glob(pattern))
LISTING = re.compile(r"^```\w+ title=(\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)[^)]*\)")


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gen_reference", ROOT / "tools" / "gen_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_up_to_date(reference: ModuleType) -> None:
    stale = [name for name, text in reference.documents().items() if (reference.FOLDER / name).read_text(encoding="utf-8") != text]
    assert not stale, "run `make docs` and commit docs/reference"


def test_the_tutorial_shows_its_files() -> None:
    listings = LISTING.findall((TUTORIAL.parent / "first-device.md").read_text(encoding="utf-8"))
    assert listings
    for name, text in listings:
        assert text == (TUTORIAL / name).read_text(encoding="utf-8"), f"the tutorial's listing of {name} differs from the file"


def test_the_tutorials_machine_can_be_assembled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DISABLE_VARIABLE, "ringone-device-metronome")  # of those who followed the tutorial
    registry = PluginRegistry([metronome], strict=True)
    config = load_config(TUTORIAL / "metronome.vbox", registry)
    session = create_session(config, registry)
    try:
        assert [device.id for device in session.config.devices] == ["metronome"]
    finally:
        session.close()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    path = ROOT / page
    broken = [target for target in LINK.findall(path.read_text(encoding="utf-8")) if not (path.parent / target).exists()]
    assert not broken
