"""Names become folders and files; a home is where its user says, or where the host keeps such things."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ringone.api.errors import ConfigError
from ringone.home.paths import NAME_BYTES, check_group, check_name, home_folders

GOOD = {
    "plain": "debian",
    "blanks": "Windows 98 (2nd try)",
    "umlauts": "Rechnerübung",
    "another script": "仮想マシン",
    "dots and dashes": "..x-_y",
    "as long as it gets": "n" * NAME_BYTES,
    "as many bytes as it gets": "ü" * (NAME_BYTES // 2),
}
BAD = {
    "empty": ("", "no blank"),
    "blanks": ("  ", "no blank"),
    "this folder": (".", "full stop"),
    "the folder above": ("..", "full stop"),
    "a full stop at the end": ("vm.", "full stop"),
    "a blank at the end": ("vm ", "none at its ends"),
    "a slash": ("a/b", "has the character '/'"),
    "a path upwards": ("../../etc", "has the character '/'"),
    "a backslash": ("a\\b", "has the character"),
    "a colon": ("C:", "has the character ':'"),
    "a zero byte": ("a\0b", r"has the character '\\x00'"),
    "a line feed": ("a\nb", r"has the character '\\n'"),
    "half a character": ("a\ud800", "has the character"),
    "255 bytes": ("n" * 255, "has 255 bytes; accepted are up to 240"),
    "too many bytes in few characters": ("仮" * 81, "has 243 bytes"),
}


@pytest.mark.parametrize("name", GOOD.values(), ids=GOOD)
def test_names_that_every_file_system_takes_are_taken(name: str, tmp_path: Path) -> None:
    assert check_name("machine name", name) == name
    (tmp_path / f"{name}.vbox-prev").touch()


@pytest.mark.parametrize(("name", "says"), BAD.values(), ids=BAD)
def test_other_names_are_refused_with_what_is_wrong(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"machine name .*{says}"):
        check_name("machine name", name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=st.text(max_size=300))
def test_whatever_is_taken_is_one_folder_in_its_place(tmp_path: Path, name: str) -> None:
    try:
        check_name("machine name", name)
    except ConfigError:
        return
    folder = tmp_path / name
    folder.mkdir()
    assert folder.resolve().parent == tmp_path.resolve()
    folder.rmdir()


@pytest.mark.parametrize("group", ["/", "/tests", "/tests/linux 2.6"])
def test_groups_are_names_with_slashes_before_them(group: str) -> None:
    assert check_group(group) == group


@pytest.mark.parametrize("group", ["", "tests", "/tests/", "//", "/..", "/a/../b", "/a\0"])
def test_other_groups_are_refused(group: str) -> None:
    with pytest.raises(ConfigError, match="machine group"):
        check_group(group)


def test_one_folder_holds_everything_where_one_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGONE_HOME", "/elsewhere")
    folders = home_folders(tmp_path)
    assert (folders.settings, folders.machines) == (tmp_path, tmp_path / "machines")


def test_the_environment_says_where_the_home_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGONE_HOME", str(tmp_path))
    assert home_folders(None).settings == tmp_path


@pytest.mark.skipif("sys.platform != 'linux'")
def test_without_both_the_home_is_where_xdg_puts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RINGONE_HOME", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folders = home_folders(None)
    assert (folders.settings, folders.machines) == (tmp_path / "config" / "ringone", tmp_path / "data" / "ringone" / "machines")
