"""``ringone rdp passwd`` and ``ringone rdp users``, as a person and as a script call them."""

from __future__ import annotations

import io
import os
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from ringone_frontend_cli.main import run_command_line
from ringone_frontend_rdp.users import UserDatabase, nt_hash

LIMIT_S = 30.0
COMMAND = [sys.executable, "-m", "ringone_frontend_cli.main", "rdp"]


@attrs.frozen
class Done:
    exit_code: int
    said: str
    complained: str


Ringone = Callable[..., Done]


@pytest.fixture
def ringone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ringone:
    monkeypatch.setenv("RINGONE_HOME", str(tmp_path))

    def run(*arguments: str, given: str = "") -> Done:
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        exit_code = run_command_line(["rdp", *arguments])
        written = capsys.readouterr()
        return Done(exit_code, written.out, written.err)

    return run


def test_users_are_added_changed_listed_and_removed(ringone: Ringone, tmp_path: Path) -> None:
    for name, password in (("bob", "first\n"), ("alice", "pass word"), ("BOB", "secönd\r\n")):
        done = ringone("passwd", name, given=password)
        assert done == Done(0, "", "")
    assert ringone("users").said == "BOB\nalice\n"
    account = UserDatabase(tmp_path / "rdp" / "users").find("bob")
    assert account is not None
    assert account.nt_hash == nt_hash("secönd")
    assert ringone("passwd", "bob", "--delete").exit_code == 0
    assert ringone("users").said == "alice\n"


def test_the_file_can_be_another_one(ringone: Ringone, tmp_path: Path) -> None:
    file = str(tmp_path / "of this machine")
    assert ringone("passwd", "alice", "--file", file, given="x").exit_code == 0
    assert ringone("users", "--file", file).said == "alice\n"
    assert ringone("users").said == ""


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        (("passwd", "a:b"), "secret\n", "a user's name has the character ':'"),
        (("passwd", "alice"), "", "a password of 0 characters; accepted are 1 to 256"),
        (("passwd", "alice"), "secret" * 100, "a password of 600 characters"),
        (("passwd", "alice", "--delete"), "", "has no user 'alice'"),
    ],
    ids=["name", "no-password", "long-password", "unknown"],
)
def test_mistakes_are_one_line_and_change_nothing(ringone: Ringone, arguments: tuple[str, ...], given: str, message: str) -> None:
    done = ringone(*arguments, given=given)
    assert done.exit_code == 2
    assert message in done.complained
    assert len(done.complained.splitlines()) == 1
    assert "secret" not in done.complained
    assert ringone("users").said == ""


def at_terminal(home: Path, answers: list[str]) -> tuple[int, str]:
    """Exit code, and what a person sees who types `answers`, one at each question."""
    import pty

    child, terminal = pty.fork()
    if child == 0:
        os.environ["RINGONE_HOME"] = str(home)
        os.execv(sys.executable, [*COMMAND, "passwd", "alice"])
    seen, asked, deadline = "", 0, time.monotonic() + LIMIT_S
    try:
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 0.5)[0]:
                continue
            try:
                data = os.read(terminal, 4096)
            except OSError:
                break
            if not data:
                break
            seen += data.decode()
            while asked < len(answers) and seen.count(": ") > asked:
                os.write(terminal, f"{answers[asked]}\n".encode())
                asked += 1
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen


def test_a_person_is_asked_twice_and_shown_nothing(tmp_path: Path) -> None:
    exit_code, seen = at_terminal(tmp_path, ["hidden", "hidden"])
    assert exit_code == 0
    assert "New password of alice: " in seen
    assert "hidden" not in seen
    account = UserDatabase(tmp_path / "rdp" / "users").find("alice")
    assert account is not None
    assert account.nt_hash == nt_hash("hidden")


def test_two_different_answers_change_nothing(tmp_path: Path) -> None:
    exit_code, seen = at_terminal(tmp_path, ["hidden", "other"])
    assert exit_code == 2
    assert "not the same" in seen
    assert UserDatabase(tmp_path / "rdp" / "users").names() == []
