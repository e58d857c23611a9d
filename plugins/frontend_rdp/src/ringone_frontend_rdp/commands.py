"""``ringone rdp``: who may log on to the consoles of this user's machines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

MAX_LINE = 1024

Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name; upper and lower case are the same.", show_default=False)]
File = Annotated[Path | None, typer.Option("--file", metavar="FILE", help="The user database; the user's own where not given.", show_default=False)]

commands = typer.Typer(name="rdp", no_args_is_help=True, rich_markup_mode=None, help="Users of the consoles over RDP.")


@commands.command()
def passwd(
    name: Name,
    file: File = None,
    delete: Annotated[bool, typer.Option("--delete", help="Remove the user instead.")] = False,
) -> None:
    """Add a user or change a password, which is asked for, or is one line of standard input. It counts from the next logon on."""
    from ringone_frontend_rdp.users import UserDatabase, check_name

    users = UserDatabase(file)
    if delete:
        users.remove(name)
        return
    check_name(name)
    users.set_password(name, _password(name))


@commands.command()
def users(file: File = None) -> None:
    """List the users by name."""
    from ringone_frontend_rdp.users import UserDatabase

    typer.echo("".join(f"{name}\n" for name in UserDatabase(file).names()), nl=False)


def _password(name: str) -> str:
    """Never an argument: those are seen by every user of the host."""
    from ringone.api.errors import ConfigError

    if not sys.stdin.isatty():
        return sys.stdin.readline(MAX_LINE).removesuffix("\n").removesuffix("\r")
    import getpass

    password = getpass.getpass(f"New password of {name}: ")
    if getpass.getpass("Again: ") != password:
        raise ConfigError("the two passwords are not the same; nothing was changed")
    return password
