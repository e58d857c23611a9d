"""The file of users: what it keeps, who may read it, and what happens to one that is damaged."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringone.api.errors import ConfigError, DriverError
from ringone_frontend_rdp.users import UserDatabase, check_name, nt_hash


@pytest.fixture
def users(tmp_path: Path) -> UserDatabase:
    return UserDatabase(tmp_path / "rdp" / "users")


def test_a_missing_file_has_nobody(users: UserDatabase) -> None:
    assert users.names() == []
    assert users.find("alice") is None


def test_users_are_found_however_cased(users: UserDatabase) -> None:
    users.set_password("Älice", "first")
    users.set_password("bob", "other")
    users.set_password("älICE", "second")
    account = users.find("ÄLICE")
    assert account is not None
    assert (account.name, account.nt_hash) == ("älICE", nt_hash("second"))
    assert users.names() == ["bob", "älICE"]


def test_the_file_is_the_owners_alone_and_holds_no_password(users: UserDatabase) -> None:
    users.set_password("alice", "correct horse")
    assert users.path.stat().st_mode & 0o777 == 0o600
    assert users.path.parent.stat().st_mode & 0o777 == 0o700
    assert "horse" not in users.path.read_text()
    assert [path.name for path in users.path.parent.iterdir()] == ["users"]


def test_removed_users_are_gone(users: UserDatabase) -> None:
    users.set_password("alice", "x")
    users.remove("ALICE")
    assert users.find("alice") is None
    with pytest.raises(ConfigError, match="has no user 'alice'"):
        users.remove("alice")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(users: UserDatabase, mode: int) -> None:
    users.set_password("alice", "x")
    users.path.chmod(mode)
    with pytest.raises(DriverError, match="alone"):
        users.find("alice")


@pytest.mark.parametrize(
    "text",
    ["alice", "alice:", "alice:00", f"alice:{'0' * 31}x", f":{'0' * 32}", f"a b\x07:{'0' * 32}", f"alice:{'0' * 32}\nALICE:{'0' * 32}", "a" * (1 << 21)],
    ids=["no-hash", "empty-hash", "short-hash", "no-hex", "no-name", "control-character", "twice", "huge"],
)
def test_a_damaged_file_is_refused_and_kept(users: UserDatabase, text: str) -> None:
    users.set_password("x", "x")
    users.path.write_text(text)
    with pytest.raises(DriverError, match=str(users.path)):
        users.find("alice")
    with pytest.raises(DriverError):
        users.set_password("bob", "x")
    assert users.path.read_text() == text


def test_a_damaged_line_is_not_shown(users: UserDatabase) -> None:
    users.set_password("x", "x")
    users.path.write_text("alice:" + "a1" * 17)
    with pytest.raises(DriverError) as caught:
        users.names()
    assert "a1a1" not in str(caught.value)


@pytest.mark.parametrize("name", ["", " alice", "alice ", "a:b", "a\\b", "alice@host", "#alice", "a\nb", "a\u2028b", "\ud800", "a" * 105])
def test_names_that_no_client_could_send_are_refused(users: UserDatabase, name: str) -> None:
    with pytest.raises(ConfigError, match="a user's name"):
        users.set_password(name, "x")
    assert not users.path.exists()


@pytest.mark.parametrize("password", ["", "x" * 257, "top secret \udcff"], ids=["empty", "long", "no-text"])
def test_passwords_that_cannot_be_are_refused_without_saying_them(users: UserDatabase, password: str) -> None:
    with pytest.raises(ConfigError) as caught:
        users.set_password("alice", password)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_write_that_fails_leaves_the_old_file(users: UserDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    users.set_password("alice", "x")
    before = users.path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DriverError, match="No space left"):
        users.set_password("bob", "x")
    assert users.path.read_bytes() == before
    assert [path.name for path in users.path.parent.iterdir()] == ["users"]


def test_changes_at_the_same_time_are_all_kept(users: UserDatabase) -> None:
    names = [f"user{number}" for number in range(12)]
    threads = [threading.Thread(target=users.set_password, args=(name, name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert users.names() == sorted(names)


@given(st.binary(max_size=300))
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any_users"
    path.write_bytes(data)
    path.chmod(0o600)
    try:
        names = UserDatabase(path).names()
    except DriverError:
        return
    for name in names:
        assert check_name(name)
