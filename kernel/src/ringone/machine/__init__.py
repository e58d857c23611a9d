"""A machine's life: from its description to a session that other threads can use."""

from __future__ import annotations

import attrs

from ringone.api.config import MachineConfig
from ringone.config import check_config, load_config
from ringone.machine.lines import share_serial_ports
from ringone.machine.plan import make_plan
from ringone.machine.session import Session
from ringone.plugins import PluginRegistry
from ringone.snapshot.image import StateImage
from ringone.snapshot.statefile import StateFileInfo, describe_state_file, read_state_file, rebase_state_file, write_state_file

__all__ = [
    "Session",
    "StateFileInfo",
    "StateImage",
    "check_config",
    "create_session",
    "describe_state_file",
    "load_config",
    "read_state_file",
    "rebase_state_file",
    "write_state_file",
]


def create_session(config: MachineConfig, registry: PluginRegistry) -> Session:
    """Check the description as a whole, assemble the machine on a thread of its own, and hand over its session, powered off.

    Raises `ConfigError` for what the description gets wrong, `AssemblyError` where the parts do not fit together, and what a part's creation raised. Nothing is
    left behind then.
    """
    check_config(config, registry)
    return Session(make_plan(config, registry), registry)


def create_shared_session(config: MachineConfig, registry: PluginRegistry) -> Session:
    """`create_session` for a machine whose serial ports frontends listen and talk to: `VmSession.serial_lines`."""
    check_config(config, registry)
    shared, registry, lines = share_serial_ports(config, registry)
    session = Session(attrs.evolve(make_plan(shared, registry), config=config), registry)
    session.serial_lines = lines
    return session
