"""The journal: what was written is read back, and nonsense is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ringone.api.errors import ConfigError
from ringone.home.journal import NOTHING, Journal, JournalFile, Return
from ringone.home.snapshots import Dissolution


@pytest.fixture
def file(tmp_path: Path) -> JournalFile:
    return JournalFile(tmp_path / "m.vbox")


def full(folder: Path) -> Journal:
    inside, outside = folder / "Snapshots" / "a.vdi", Path("/elsewhere/b.vdi")
    return Journal(
        leftovers=frozenset({inside, outside}),
        returns=(Return(image=inside, parent=outside),),
        dissolutions=(Dissolution(parent=outside, child=inside),),
    )


def test_what_was_written_is_read_back(file: JournalFile, tmp_path: Path) -> None:
    file.write(full(tmp_path))
    assert file.read() == full(tmp_path)


def test_no_file_and_nothing_to_do_are_the_same(file: JournalFile, tmp_path: Path) -> None:
    assert file.read() == NOTHING
    file.write(full(tmp_path))
    file.write(NOTHING)
    assert file.read() == NOTHING
    assert list(tmp_path.iterdir()) == []


def test_a_moved_machine_takes_its_journal_along(file: JournalFile, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    JournalFile(tmp_path / "old" / "m.vbox").write(full(tmp_path / "old"))
    (tmp_path / "old").rename(tmp_path / "new")
    assert JournalFile(tmp_path / "new" / "m.vbox").read() == full(tmp_path / "new")


def test_joining_repeats_nothing(tmp_path: Path) -> None:
    assert full(tmp_path).joined(full(tmp_path)) == full(tmp_path)
    assert NOTHING.joined(full(tmp_path)) == full(tmp_path)


GOOD: dict[str, Any] = {"format": "ringone-journal", "version": 1, "leftovers": [], "returns": [], "dissolutions": []}


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"version": 2},
        {"extra": 1},
        {"leftovers": "a"},
        {"leftovers": [1]},
        {"leftovers": [""]},
        {"leftovers": ["a\0b"]},
        {"returns": [["a"]]},
        {"returns": [["a", "b", "c"]]},
        {"returns": 3},
        {"dissolutions": ["ab"]},
        {"dissolutions": None},
    ],
    ids=str,
)
def test_other_journals_are_refused(file: JournalFile, change: dict[str, Any]) -> None:
    file.path.write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(ConfigError, match="no journal"):
        file.read()


@given(
    st.one_of(
        st.binary(), st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)).map(json.dumps)
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_nonsense_never_gets_through(file: JournalFile, content: bytes | str) -> None:
    file.path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError):
        file.read()
