"""Logs of machines: named and rotated as VirtualBox does it, bounded, with the time since the start."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from ringone.api.errors import DriverError
from ringone.home import machine_log as module
from ringone.home.machine_log import machine_log

LINE = re.compile(r"00:00:\d\d\.\d{6} (.*)")


def messages(log: Path) -> list[str]:
    found = [LINE.fullmatch(line) for line in log.read_text().splitlines()]
    assert all(found)
    return [match[1] for match in found if match]


def test_the_log_has_what_components_say_and_nothing_else(tmp_path: Path) -> None:
    with machine_log(tmp_path / "Logs", 3, "echo, process 1") as log:
        logging.getLogger("ringone.echo.ide").info("a disk")
        logging.getLogger("ringone.echo").warning("no room")
        logging.getLogger("ringone.echo").debug("too much")
        logging.getLogger("other").error("not ours")
    logging.getLogger("ringone.echo").error("too late")
    assert log == tmp_path / "Logs" / "VBox.log"
    title, *rest = messages(log)
    assert title.startswith("ringone: echo, process 1; log opened ")
    assert rest == ["echo.ide: a disk", "echo: WARNING: no room"]


def test_logs_of_earlier_runs_are_kept_up_to_a_number(tmp_path: Path) -> None:
    for run in range(4):
        with machine_log(tmp_path, 2, f"run {run}"):
            pass
    kept = {path.name: messages(path)[0].partition(";")[0] for path in tmp_path.iterdir()}
    assert kept == {"VBox.log": "ringone: run 3", "VBox.log.1": "ringone: run 2", "VBox.log.2": "ringone: run 1"}


def test_without_history_the_log_is_written_over(tmp_path: Path) -> None:
    for run in range(2):
        with machine_log(tmp_path, 0, f"run {run}") as log:
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["VBox.log"]
    assert "run 1" in log.read_text()


def test_a_guest_cannot_fill_the_hosts_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    with machine_log(tmp_path, 0, "small") as log:
        for _ in range(100):
            logging.getLogger("ringone.echo").info("again and again")
    text = log.read_text()
    assert text.endswith("the log ends here, at 1000 bytes\n")
    assert len(text) < 1200


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DriverError, match=r"VBox\.log: cannot write the machine's log: Not a directory"), machine_log(tmp_path / "file" / "Logs", 3, "x"):
        pass


def test_the_log_leaves_the_logger_as_it_was(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with machine_log(tmp_path / "Logs", 3, "echo, process 1"):
        pass
    caplog.set_level(logging.DEBUG)
    logging.getLogger("ringone.echo").debug("heard")
    assert caplog.messages == ["heard"]
