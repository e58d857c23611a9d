"""Machines that run: reached through their control API, and waited for until they are gone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ringone.api.errors import DriverError

from ringone_frontend_cli.vboxmanage.context import Context, Machine
from ringone_frontend_cli.vboxmanage.errors import INVALID_VM_STATE, VM_ERROR, VerbError

if TYPE_CHECKING:
    from ringone.client import Machine as Client

END_TIMEOUT_S = 60.0
POLL_S = 0.05


@contextlib.contextmanager
def client(context: Context, machine: Machine) -> Iterator[Client]:
    """The running machine; it goes on running afterwards."""
    if not machine.is_online:
        raise VerbError(f"Machine '{machine.registered.name}' is not currently running", INVALID_VM_STATE)
    vm = connect(context, machine)
    try:
        yield vm
    finally:
        vm.close()


def connect(context: Context, machine: Machine) -> Client:
    with client_installed():
        from ringone.client import Machine as Client
    return Client(machine.uuid, home=context.folder)


@contextlib.contextmanager
def client_installed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise DriverError(f"running machines are reached through httpx, which cannot be imported ({error}); install ringone-kernel[client]") from error


def wait_until_off(context: Context, machine: Machine) -> None:
    """Until the machine's process has let go of it, so that whatever comes next finds it free."""
    deadline = time.monotonic() + END_TIMEOUT_S
    while context.home.holder(machine.registered) is not None:
        if time.monotonic() >= deadline:
            raise VerbError(f"The machine '{machine.registered.name}' is still locked after {END_TIMEOUT_S:.0f} s", VM_ERROR)
        time.sleep(POLL_S)
