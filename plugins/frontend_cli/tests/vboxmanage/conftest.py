"""VBoxManage's verbs as a script calls them, on a home of the test's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from ringone_frontend_cli.vboxmanage import app

from guests.echo import READY, write_image


@attrs.frozen
class Answer:
    exit_code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


VBoxManage = Callable[..., Answer]
Said = Callable[[str], None]

GUEST_S = 60
NAME = "echo"


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


@pytest.fixture
def echo(ok: VBoxManage, vbox: VBoxManage, tmp_path: Path) -> Iterator[str]:
    """The name of a machine that is off; it is off afterwards, whatever happened."""
    ok("createvm", "--name", NAME, "--register")
    ok("modifyvm", NAME, "--memory", 4, "--boot1", "disk", "--ringone-firmware", "builtin", "--uart1", "0x3f8", 4, "--uartmode1", "file", tmp_path / "com1")
    ok("storagectl", NAME, "--name", "IDE", "--add", "ide")
    ok("convertfromraw", write_image(tmp_path / "echo.img"), tmp_path / "echo.vdi")
    ok("storageattach", NAME, "--storagectl", "IDE", "--port", 0, "--device", 0, "--type", "hdd", "--medium", tmp_path / "echo.vdi")
    ok("storageattach", NAME, "--storagectl", "IDE", "--port", 1, "--device", 0, "--type", "dvddrive", "--medium", "emptydrive")
    yield NAME
    vbox("controlvm", NAME, "poweroff")


@pytest.fixture
def said(tmp_path: Path) -> Said:
    """Wait until the guest has said something on COM1."""

    def wait(text: str) -> None:
        deadline = time.monotonic() + GUEST_S
        while text.encode() not in (tmp_path / "com1").read_bytes():
            assert time.monotonic() < deadline, (tmp_path / "com1").read_bytes()
            time.sleep(0.05)

    return wait


@pytest.fixture
def running(ok: VBoxManage, echo: str, said: Said) -> str:
    ok("startvm", echo, "--type", "headless")
    said(READY)
    return echo
