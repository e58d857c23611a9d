"""VBoxManage's verbs as a script calls them, on a home of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from ringone_frontend_cli.vboxmanage import app


@attrs.frozen
class Answer:
    exit_code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


VBoxManage = Callable[..., Answer]


@pytest.fixture
def home(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sockets get a folder with a short path: a socket's may have 107 bytes."""
    monkeypatch.setenv("RINGONE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("r")))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def vbox(home: Path, capfd: pytest.CaptureFixture[str]) -> VBoxManage:
    """``vbox("list", "vms")``."""

    def run(*words: object) -> Answer:
        capfd.readouterr()
        code = app.run("VBoxManage", [str(word) for word in words])
        out, err = capfd.readouterr()
        return Answer(code, out, err)

    return run


@pytest.fixture
def ok(vbox: VBoxManage) -> VBoxManage:
    """A call that has to succeed."""

    def run(*words: object) -> Answer:
        answer = vbox(*words)
        assert answer.exit_code == 0, answer.err
        return answer

    return run


@pytest.fixture
def debian(ok: VBoxManage) -> str:
    """The name of a registered machine with an IDE controller."""
    ok("createvm", "--name", "debian", "--ostype", "Debian", "--register")
    ok("storagectl", "debian", "--name", "IDE", "--add", "ide")
    return "debian"
