"""What all commands of one process share: the plugins, and whether errors come with tracebacks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from ringone.plugins import PluginRegistry


class Settings:
    debug: ClassVar[bool] = False
    _registry: ClassVar[PluginRegistry | None] = None

    @classmethod
    def registry(cls) -> PluginRegistry:
        """The installed plugins, loaded once."""
        if cls._registry is None:
            from ringone.plugins import PluginRegistry

            cls._registry = PluginRegistry()
        return cls._registry

    @classmethod
    def warn_of_broken_plugins(cls) -> None:
        registry = cls.registry()
        registry.inventory()  # some only fail when they are asked what they offer
        for error in registry.errors:
            print(f"ringone: warning: plugin left out: {error}", file=sys.stderr)
