"""How plugins are found, and what happens to the ones that do not fit."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from ringone.api.config import Blueprint, BoardSpec, MachineConfig
from ringone.api.errors import PluginApiError, PluginConflictError, PluginError, PluginLoadError, UnknownNameError
from ringone.api.firmware import FirmwareImage
from ringone.api.hooks import hookimpl
from ringone.plugins import DISABLE_VARIABLE, Origin, PluginRegistry

BOARD_PLUGIN = """
from ringone.api.config import Blueprint, BoardSpec
from ringone.api.hooks import hookimpl

@hookimpl
def ringone_boards():
    yield BoardSpec(name={board!r}, summary="", blueprint=lambda config, firmware: Blueprint(devices=(), wires=(), links=(), drivers=()))
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a distribution with one entry point of the group ``ringone`` on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(distribution: str, entry_point: str, source: str, version: str = "1.5") -> None:
        module = distribution.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[ringone]\n{entry_point} = {module}\n")

    return install


def board(name: str, api_version: int = 1) -> BoardSpec:
    def blueprint(config: MachineConfig, firmware: FirmwareImage) -> Blueprint:
        return Blueprint(devices=(), wires=(), links=(), drivers=())

    return BoardSpec(name=name, summary="", blueprint=blueprint, api_version=api_version)


def plugin(name: str, *boards: BoardSpec) -> types.ModuleType:
    module = types.ModuleType(name)

    @hookimpl
    def ringone_boards() -> Iterable[BoardSpec]:
        yield from boards

    module.ringone_boards = ringone_boards  # type: ignore[attr-defined]
    return module


def one_error(registry: PluginRegistry, kind: type[PluginError]) -> str:
    (error,) = registry.errors
    assert isinstance(error, kind)
    return str(error)


def test_installed_plugins_are_found_with_their_distribution_and_version(install: Install) -> None:
    install("test-boards", "boards", BOARD_PLUGIN.format(board="breadboard"))
    registry = PluginRegistry()
    assert "breadboard" in registry.boards()
    assert registry.origin("boards", "breadboard") == Origin("test-boards", "1.5")
    (info,) = (info for info in registry.inventory() if info.name == "boards")
    assert info.specs == {"boards": ("breadboard",)}


def test_a_plugin_that_cannot_be_imported_is_reported_and_the_rest_works(install: Install) -> None:
    install("test-broken-import", "broken", "import no_such_module_anywhere")
    install("test-good-board", "good", BOARD_PLUGIN.format(board="breadboard"))
    registry = PluginRegistry()
    assert "breadboard" in registry.boards()
    message = one_error(registry, PluginLoadError)
    assert "test-broken-import 1.5" in message and "no_such_module_anywhere" in message


def test_a_strict_registry_raises_what_a_lenient_one_lists(install: Install) -> None:
    install("test-strict-broken", "broken", "1 / 0")
    with pytest.raises(PluginLoadError, match="ZeroDivisionError"):
        PluginRegistry(strict=True)


def test_disabled_plugins_are_not_imported_by_entry_point_or_distribution_name(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("test-disabled-one", "one", "1 / 0")
    install("test-disabled-two", "two", "1 / 0")
    monkeypatch.setenv(DISABLE_VARIABLE, "one, test-disabled-two")
    assert PluginRegistry(strict=True).errors == []


def test_one_entry_point_name_in_two_distributions_names_both(install: Install) -> None:
    install("test-same-a", "same", BOARD_PLUGIN.format(board="a"))
    install("test-same-b", "same", BOARD_PLUGIN.format(board="b"))
    with pytest.raises(PluginConflictError, match=r"'same'.*test-same-a 1\.5.*test-same-b 1\.5"):
        PluginRegistry()


def test_one_spec_name_in_two_plugins_names_both() -> None:
    registry = PluginRegistry([plugin("first", board("x")), plugin("second", board("x"))], discover=False)
    with pytest.raises(PluginConflictError, match=r"board 'x'.*first.*second"):
        registry.boards()


def test_an_extended_registry_has_the_old_plugins_and_the_new_ones(install: Install) -> None:
    install("acme", "boards", BOARD_PLUGIN.format(board="from-acme"))
    registry = PluginRegistry([plugin("given", board("x"))])
    extended = registry.extended([plugin("more", board("y"))])
    assert {"from-acme", "x", "y"} <= extended.boards().keys()
    assert "y" not in registry.boards()
    assert extended.origin("boards", "from-acme") == registry.origin("boards", "from-acme")
    with pytest.raises(PluginConflictError, match="two plugins are named 'given'"):
        registry.extended([plugin("given")])


def test_a_misspelled_hook_is_an_error_and_not_silence() -> None:
    module = types.ModuleType("typo")

    @hookimpl
    def ringone_bords() -> Iterable[BoardSpec]:
        return ()

    module.ringone_bords = ringone_bords  # type: ignore[attr-defined]
    registry = PluginRegistry([module, plugin("fine", board("x"))], discover=False)
    message = one_error(registry, PluginApiError)
    assert "typo" in message and "ringone_bords" in message
    assert list(registry.boards()) == ["x"]


def test_a_spec_of_another_api_version_is_left_out() -> None:
    registry = PluginRegistry([plugin("old", board("ancient", api_version=0), board("current"))], discover=False)
    assert list(registry.boards()) == ["current"]
    assert "'ancient' was written for API version 0" in one_error(registry, PluginApiError)


def test_a_hook_that_raises_is_reported_and_the_rest_works() -> None:
    module = types.ModuleType("raising")

    @hookimpl
    def ringone_boards() -> Iterable[BoardSpec]:
        yield board("half")
        raise RuntimeError("no luck")

    module.ringone_boards = ringone_boards  # type: ignore[attr-defined]
    registry = PluginRegistry([module, plugin("fine", board("x"))], discover=False)
    assert list(registry.boards()) == ["x"]
    assert "raising: hook ringone_boards failed: RuntimeError: no luck" in one_error(registry, PluginLoadError)


def test_an_unknown_name_lists_the_known_ones_and_the_closest() -> None:
    boards = PluginRegistry([plugin("p", board("i440fx"), board("q35"))], discover=False).boards()
    with pytest.raises(UnknownNameError, match=r"unknown board 'i440f' \(did you mean 'i440fx'\?\); known: i440fx, q35"):
        boards["i440f"]
    with pytest.raises(UnknownNameError, match=r"^machine\.vbox:7: unknown board"):
        boards.pick("zzz", source="machine.vbox:7")
    assert boards.get("zzz") is None and "zzz" not in boards


def test_offers_are_collected_once() -> None:
    registry = PluginRegistry([plugin("p", board("x"))], discover=False)
    assert registry.boards() is registry.boards()
