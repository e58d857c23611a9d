"""Where running machines are reached."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from ringone.home.runtime import runtime_folder, socket_path


def test_sockets_are_in_the_users_runtime_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert socket_path("{11111111-AAAA-4333-8444-555555555555}") == Path("/run/user/1000/ringone/11111111-aaaa-4333-8444-555555555555.sock")


@pytest.mark.parametrize("given", ["", "run"], ids=["none", "relative"])
def test_hosts_without_one_have_a_folder_for_each_user(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", given)
    assert runtime_folder() == Path(tempfile.gettempdir()) / f"ringone-{os.getuid()}"
