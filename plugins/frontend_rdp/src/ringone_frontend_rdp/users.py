"""Who may log on over RDP: a file of names and NT hashes, one line each, that belongs to its owner alone.

An NT hash (MD4 of the password in UTF-16) is what NTLM needs and is worth as much as the password. The file is read at every logon, so that a change counts at
once; a change replaces it as a whole.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

from ringone.api.errors import ConfigError, DriverError

from ringone_frontend_rdp.files import host_folder, locked, read_private, write_private
from ringone_frontend_rdp.md4 import md4
from ringone_frontend_rdp.ntlm import HASH_BYTES, Account, upper

FILE = "users"
HEAD = "# Users of RingOne's RDP consoles: name:NT hash. Kept by `ringone rdp passwd`. A hash is as good as its password: keep this file private."
FORBIDDEN = '"/\\[]:;|=,+*?<>@#'
"""What Windows does not allow in names of users; @, which clients take for the beginning of a domain; and the sign of a comment."""
MAX_NAME = 104
MAX_PASSWORD = 256
MAX_USERS = 1000


class UserDatabase:
    """The file at `path`; where there is none, nobody may log on. Methods raise `DriverError` where it cannot be read or written."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path if path is not None else host_folder() / FILE

    def find(self, name: str) -> Account | None:
        """However its letters are cased."""
        return self._read().get(upper(name))

    def names(self) -> list[str]:
        return sorted(account.name for account in self._read().values())

    def set_password(self, name: str, password: str) -> None:
        """Add the user or change the password. Raises `ConfigError` where either cannot be."""
        account = Account(check_name(name), nt_hash(password))
        with locked(self.path.parent):
            accounts = self._read()
            if len(accounts) >= MAX_USERS and upper(name) not in accounts:
                raise ConfigError(f"{self.path}: has {len(accounts)} users; accepted are up to {MAX_USERS}")
            accounts[upper(name)] = account
            self._write(accounts)

    def remove(self, name: str) -> None:
        """Raises `ConfigError` where there is no such user."""
        with locked(self.path.parent):
            accounts = self._read()
            if accounts.pop(upper(name), None) is None:
                raise ConfigError(f"{self.path}: has no user {name!r}")
            self._write(accounts)

    def _read(self) -> dict[str, Account]:
        data = read_private(self.path)
        try:
            lines = (data or b"").decode().splitlines()
        except UnicodeDecodeError as error:
            raise DriverError(f"{self.path}: is no UTF-8 text: byte {error.start}") from error
        accounts: dict[str, Account] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            account = _account(line)
            if account is None or upper(account.name) in accounts:
                raise DriverError(f"{self.path}:{number}: is no line name:NT hash, or the name is there twice; `ringone rdp passwd` writes them")
            accounts[upper(account.name)] = account
        return accounts

    def _write(self, accounts: dict[str, Account]) -> None:
        lines = [HEAD, *(f"{account.name}:{account.nt_hash.hex()}" for account in accounts.values())]
        write_private(self.path, "".join(f"{line}\n" for line in lines).encode())


def nt_hash(password: str) -> bytes:
    """Raises `ConfigError`, without the password in it."""
    if not 1 <= len(password) <= MAX_PASSWORD:
        raise ConfigError(f"a password of {len(password)} characters; accepted are 1 to {MAX_PASSWORD}")
    try:
        return md4(password.encode("utf-16-le"))
    except UnicodeEncodeError:
        raise ConfigError("the password has bytes that are no text in this terminal's encoding") from None


def check_name(name: str) -> str:
    """Return `name`, or say why no user can have it."""
    wrong = next((letter for letter in name if letter in FORBIDDEN or unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")), "")
    if wrong:
        raise ConfigError(f"a user's name has the character {wrong!r}; accepted is text without control characters and {' '.join(FORBIDDEN)}")
    if not name or name != name.strip() or len(name) > MAX_NAME:
        raise ConfigError(f"a user's name of {len(name)} characters; accepted are 1 to {MAX_NAME}, without blanks at its ends")
    return name


def _account(line: str) -> Account | None:
    name, _, digits = line.partition(":")
    try:
        value = bytes.fromhex(digits)
        check_name(name)
    except (ValueError, ConfigError):
        return None
    return Account(name, value) if len(value) == HASH_BYTES else None
