"""Which machines a test asks for: by marker, else on the command line, else in the configuration file."""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

MARKER = "machine"
TIMEOUT_S = 120.0
MACHINE_FILE_SUFFIX = ".vbox"


class Disks(enum.Enum):
    THROW_AWAY = "throw-away"
    """The machine is copied for the run; its disks are only read."""
    KEEP = "keep"
    """The machine itself runs, and its disks keep what was written before the checkpoint."""


@attrs.frozen(kw_only=True)
class MachinePlan:
    """A machine that tests share. `machine` is a name or UUID in a home, or the path of a machine file; `ready` is what its checkpoint waits for, on the serial
    port where `ready_on_serial` has it, for at most `timeout_s` of the host's time."""

    machine: str
    snapshot: str = ""
    ready: str = ""
    ready_serial: str = ""
    timeout_s: float = attrs.field(default=TIMEOUT_S, converter=float)
    disks: Disks = attrs.field(default=Disks.THROW_AWAY, converter=Disks)
    home: Path | None = None

    @property
    def id(self) -> str:
        name = Path(self.machine).stem if is_file(self.machine) else self.machine
        return f"{name}@{self.snapshot}" if self.snapshot else name


def is_file(machine: str) -> bool:
    return machine.endswith(MACHINE_FILE_SUFFIX) or os.sep in machine


OPTIONS: Mapping[str, str] = {
    "home": "folder of the home that machines are looked up in",
    "ready": "text on the screen that a machine is ready at",
    "ready-serial": "text on the first serial port that a machine is ready at",
    "timeout": f"seconds until a machine has to be ready (default {TIMEOUT_S:.0f})",
    "disks": "throw-away (default): disks are only read; keep: the machine itself runs",
    "artifacts": "folder for the screens and logs of failed tests (default: pytest's temporary folder)",
}


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("ringone", "machines (RingOne)")
    group.addoption(
        "--ringone-machine", action="append", metavar="MACHINE", help="machine that tests run in: a name, NAME@SNAPSHOT or a .vbox file; can be repeated"
    )
    parser.addini("ringone_machines", "machines that tests run in: names, NAME@SNAPSHOT or .vbox files", "linelist")
    for name, help in OPTIONS.items():
        group.addoption(f"--ringone-{name}", metavar=name.upper(), help=help)
        parser.addini(_ini(name), help, "string", "")


def option(config: pytest.Config, name: str) -> str:
    return str(config.getoption(f"--ringone-{name}") or config.getini(_ini(name)))


def _ini(name: str) -> str:
    return f"ringone_{name.replace('-', '_')}"


def plans_of(definition: pytest.Item | Any, config: pytest.Config) -> list[MachinePlan]:
    """What a test is to run in. Empty where nobody named a machine."""
    marker = definition.get_closest_marker(MARKER)
    options = dict(marker.kwargs) if marker is not None else {}
    if marker is not None and marker.args:
        names, base = [str(name) for name in marker.args], definition.path.parent
    elif given := config.getoption("--ringone-machine"):
        names, base = given, config.invocation_params.dir
    else:
        names, base = config.getini("ringone_machines"), config.inipath.parent if config.inipath else config.rootpath
    return [_plan(name, base, config, options) for name in names]


def _plan(name: str, base: Path, config: pytest.Config, options: Mapping[str, Any]) -> MachinePlan:
    machine, at, snapshot = name.rpartition("@")
    machine = machine if at else name
    if is_file(machine):
        machine = str(base / machine)
    home = option(config, "home")
    general = {
        "ready": option(config, "ready"),
        "ready_serial": option(config, "ready-serial"),
        "timeout_s": option(config, "timeout") or TIMEOUT_S,
        "disks": option(config, "disks") or Disks.THROW_AWAY,
        "snapshot": snapshot if at else "",
    }
    unknown = options.keys() - general.keys()
    if unknown:
        raise pytest.UsageError(f"marker {MARKER!r} has no argument {', '.join(sorted(unknown))}; accepted: {', '.join(sorted(general))}")
    try:
        return MachinePlan(machine=machine, home=base / home if home else None, **{**general, **options})
    except ValueError as error:
        raise pytest.UsageError(f"machine {name!r}: {error}; disks are {' or '.join(disks.value for disks in Disks)}, a timeout is in seconds") from error
