"""Machines for tests: what a test boots is closed after it, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from ringone.api.config import MachineConfig
from ringone.plugins import PluginRegistry

from guests.catalog import BY_NAME
from guests.console import Guest

Boot = Callable[[MachineConfig], Guest]
BootGuest = Callable[..., Guest]


@pytest.fixture(scope="session")
def registry() -> PluginRegistry:
    return PluginRegistry(strict=True)


@pytest.fixture
def make_guest(registry: PluginRegistry) -> Iterator[Boot]:
    """An assembled machine with a serial line and a screen, not started."""
    with ExitStack() as guests:
        yield lambda config: guests.enter_context(Guest(config, registry))


@pytest.fixture
def boot(make_guest: Boot) -> Boot:
    """A started machine."""
    return lambda config: make_guest(config).start()


@pytest.fixture
def boot_guest(boot: Boot) -> BootGuest:
    """A guest of the catalog, by name, started: ``boot_guest("syslinux", firmware="builtin")``."""
    return lambda name, **how: boot(BY_NAME[name].machine(**how))
