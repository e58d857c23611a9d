"""Every hook, in the order of a machine's life: from what plugins offer, to assembly, to the end.

Hooks run at assembly and at life-cycle events only; none is called while guest code runs. Offers are frozen specs; the user picks by name, never by order.
A plugin is a module named by an entry point of the group ``ringone`` whose functions carry `hookimpl`.
"""
# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from ringone.api.config import BoardSpec, ConfigLoaderSpec
    from ringone.api.cpu import CpuBackendSpec
    from ringone.api.devices import DeviceSpec
    from ringone.api.drivers import HostDriverSpec
    from ringone.api.firmware import FirmwareSpec
    from ringone.api.frontends import FrontendSpec, VmSession
    from ringone.api.media import MediumFormatSpec
    from ringone.api.scan import CodeScannerSpec

PROJECT = "ringone"
hookspec = pluggy.HookspecMarker(PROJECT)

# --- What there is: called once, when a registry first needs the kind --------------------------------------------------------------------------------------


@hookspec
def ringone_config_loaders() -> Iterable[ConfigLoaderSpec]:
    """Machine file formats. Called by `ringone.machine.load_config` to find the loader of a file's suffix."""


@hookspec
def ringone_boards() -> Iterable[BoardSpec]:
    """Boards: how a machine description becomes chips and wires."""


@hookspec
def ringone_cpu_backends() -> Iterable[CpuBackendSpec]:
    """Processors."""


@hookspec
def ringone_code_scanners() -> Iterable[CodeScannerSpec]:
    """Code scanners, used by raw-mode CPU backends."""


@hookspec
def ringone_device_types() -> Iterable[DeviceSpec]:
    """Chips."""


@hookspec
def ringone_host_drivers() -> Iterable[HostDriverSpec]:
    """Host things bound to chips' slots."""


@hookspec
def ringone_media_formats() -> Iterable[MediumFormatSpec]:
    """Disk image formats."""


@hookspec
def ringone_firmwares() -> Iterable[FirmwareSpec]:
    """Firmware images and direct kernel boot."""


@hookspec
def ringone_frontends() -> Iterable[FrontendSpec]:
    """Consoles and control interfaces."""


@hookspec
def ringone_cli_commands(app: Any) -> None:
    """Add commands to the `ringone` command line (`app` is its `typer.Typer`). Called by the CLI at start-up."""


# --- A machine's life --------------------------------------------------------------------------------------------------------------------------------------


@hookspec
def ringone_machine_assembled(session: VmSession) -> None:
    """All parts exist and are wired; nothing has run. Called on the thread that builds the machine."""


@hookspec
def ringone_machine_closing(session: VmSession) -> None:
    """The machine has stopped and its drivers are about to be closed. Called on the thread that closes the session."""
