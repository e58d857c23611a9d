"""What plugins offer: pluggy behind typed methods, with every conflict and failure named by distribution.

A registry is an explicit object; there is no global one. Installed plugins come from the entry-point group ``ringone``, sorted by (distribution, name), and
modules can be handed in directly. A plugin that cannot be used is left out and listed in `PluginRegistry.errors`; two plugins that claim one name are an error,
since order must never choose.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs
import pluggy

from ringone import hookspecs
from ringone.api import API_VERSION
from ringone.api.errors import PluginApiError, PluginConflictError, PluginError, PluginLoadError, UnknownNameError

if TYPE_CHECKING:
    from ringone.api.config import BoardSpec, ConfigLoaderSpec
    from ringone.api.cpu import CpuBackendSpec
    from ringone.api.devices import DeviceSpec
    from ringone.api.drivers import HostDriverSpec
    from ringone.api.firmware import FirmwareSpec
    from ringone.api.frontends import FrontendSpec, VmSession
    from ringone.api.media import MediumFormatSpec
    from ringone.api.scan import CodeScannerSpec

DISABLE_VARIABLE = "RINGONE_DISABLE_PLUGINS"
"""Environment variable: comma-separated entry-point or distribution names that are not loaded."""

KINDS: Mapping[str, str] = {
    "config_loaders": "machine file format",
    "boards": "board",
    "cpu_backends": "CPU backend",
    "code_scanners": "code scanner",
    "device_types": "device type",
    "host_drivers": "host driver",
    "media_formats": "medium format",
    "firmwares": "firmware",
    "frontends": "frontend",
}
"""What can be offered, in the order of `ringone.hookspecs`, and the words for one of it. The hook of a kind is ``ringone_<kind>``."""

_REMEDY = f"set {DISABLE_VARIABLE} to the distribution to leave out"

S = TypeVar("S")

_log = logging.getLogger("ringone.plugins")


@attrs.frozen
class Origin:
    """Who ships something."""

    distribution: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".rstrip()


@attrs.frozen(kw_only=True)
class PluginInfo:
    """One loaded plugin. `specs` lists the names that it offers by kind."""

    name: str
    origin: Origin
    specs: Mapping[str, tuple[str, ...]]


class Offers(dict[str, S]):
    """Specs of one kind by name, in name order. Looking up a name that nobody offers raises `UnknownNameError`, which lists the known ones."""

    def __init__(self, kind: str, specs: Mapping[str, S]) -> None:
        super().__init__(sorted(specs.items()))
        self.kind = kind

    def __missing__(self, name: str) -> S:
        raise UnknownNameError(KINDS[self.kind], name, list(self))

    def pick(self, name: str, *, source: str = "") -> S:
        """The spec of that name; `source` is the place (``file:line``) to blame for an unknown one."""
        if name not in self:
            raise UnknownNameError(KINDS[self.kind], name, list(self), source=source)
        return self[name]


class PluginRegistry:
    """All usable plugins. `plugins` are modules (or any object with marked hook functions) beside the installed ones, which `discover` = False leaves out.

    With `strict` a plugin that cannot be used raises its error; otherwise the error is kept in `errors`. `PluginConflictError` is always raised.
    """

    def __init__(self, plugins: Iterable[object] = (), *, discover: bool = True, strict: bool = False) -> None:
        self.errors: list[PluginError] = []
        self._strict = strict
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._origins: dict[str, Origin] = {}
        self._offers: dict[str, Offers[Any]] = {}
        self._offered_by: dict[tuple[str, str], str] = {}
        if discover:
            for origin, entry_point in _installed():
                self._load(origin, entry_point)
        self._add(plugins)

    def extended(self, plugins: Iterable[object]) -> PluginRegistry:
        """A registry of the same plugins and of `plugins` beside them."""
        registry = PluginRegistry(discover=False, strict=self._strict)
        for name, plugin in self._manager.list_name_plugin():
            registry._register(self._origins[name], name, plugin)
        registry._add(plugins)
        return registry

    def cpu_backends(self) -> Offers[CpuBackendSpec]:
        return self._collect("cpu_backends")

    def code_scanners(self) -> Offers[CodeScannerSpec]:
        return self._collect("code_scanners")

    def device_types(self) -> Offers[DeviceSpec]:
        return self._collect("device_types")

    def host_drivers(self) -> Offers[HostDriverSpec]:
        return self._collect("host_drivers")

    def media_formats(self) -> Offers[MediumFormatSpec]:
        return self._collect("media_formats")

    def firmwares(self) -> Offers[FirmwareSpec]:
        return self._collect("firmwares")

    def boards(self) -> Offers[BoardSpec]:
        return self._collect("boards")

    def config_loaders(self) -> Offers[ConfigLoaderSpec]:
        return self._collect("config_loaders")

    def frontends(self) -> Offers[FrontendSpec]:
        return self._collect("frontends")

    def origin(self, kind: str, name: str) -> Origin:
        """Who offers that spec; `kind` is a key of `KINDS`."""
        self._collect(kind).pick(name)
        return self._origins[self._offered_by[kind, name]]

    def inventory(self) -> list[PluginInfo]:
        """Every loaded plugin with what it offers, in loading order."""
        specs: dict[str, dict[str, tuple[str, ...]]] = {plugin: {} for plugin, _ in self._manager.list_name_plugin()}
        for kind in KINDS:
            for name in self._collect(kind):
                offered = specs[self._offered_by[kind, name]]
                offered[kind] = (*offered.get(kind, ()), name)
        return [PluginInfo(name=plugin, origin=self._origins[plugin], specs=offered) for plugin, offered in specs.items()]

    def add_cli_commands(self, app: object) -> None:
        """Let every plugin add its commands to the command line."""
        for implementation in self._implementations("ringone_cli_commands"):
            try:
                self._call(implementation, app=app)
            except PluginLoadError as error:
                self._report(error)

    def machine_assembled(self, session: VmSession) -> None:
        """Tell every plugin; the first one that fails fails the assembly."""
        for implementation in self._implementations("ringone_machine_assembled"):
            self._call(implementation, session=session)

    def machine_closing(self, session: VmSession) -> None:
        """Tell every plugin; failures are logged, since the machine closes anyway."""
        for implementation in self._implementations("ringone_machine_closing"):
            try:
                self._call(implementation, session=session)
            except PluginLoadError as error:
                _log.error("%s", error, exc_info=error)

    # --- loading

    def _add(self, plugins: Iterable[object]) -> None:
        for plugin in plugins:
            name = getattr(plugin, "__name__", type(plugin).__name__)
            self._register(Origin(name), name, plugin)

    def _load(self, origin: Origin, entry_point: importlib.metadata.EntryPoint) -> None:
        try:
            plugin = entry_point.load()
        except Exception as cause:
            error = PluginLoadError(f"plugin {entry_point.name!r} ({entry_point.value}) cannot be imported: {_describe(cause)}", distribution=str(origin))
            error.__cause__ = cause
            self._report(error)
        else:
            self._register(origin, entry_point.name, plugin)

    def _register(self, origin: Origin, name: str, plugin: object) -> None:
        if name in self._origins:
            raise PluginConflictError(f"two plugins are named {name!r}: one of {self._origins[name]}, one of {origin}; {_REMEDY}")
        self._origins[name] = origin
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
        except Exception as cause:
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            error = PluginApiError(f"plugin {name!r} does not fit the hooks: {_describe(cause)}", distribution=str(origin))
            error.__cause__ = cause
            self._report(error)

    def _report(self, error: PluginError) -> None:
        if self._strict:
            raise error
        self.errors.append(error)

    # --- calling

    def _implementations(self, hook: str) -> list[pluggy.HookImpl]:
        implementations: list[pluggy.HookImpl] = getattr(self._manager.hook, hook).get_hookimpls()
        return implementations

    def _call(self, implementation: pluggy.HookImpl, **arguments: object) -> list[Any]:
        """Call one implementation: not through pluggy's caller, which cannot tell who failed or who returned what."""
        try:
            result: Any = implementation.function(*(arguments[name] for name in implementation.argnames))
            return [] if result is None else list(result)
        except Exception as error:
            origin = self._origins[implementation.plugin_name]
            raise PluginLoadError(f"hook {implementation.function.__name__} failed: {_describe(error)}", distribution=str(origin)) from error

    def _collect(self, kind: str) -> Offers[Any]:
        known = self._offers.get(kind)
        if known is None:
            known = self._offers[kind] = self._ask(kind)
        return known

    def _ask(self, kind: str) -> Offers[Any]:
        specs: dict[str, Any] = {}
        for implementation in self._implementations(f"ringone_{kind}"):
            try:
                offered = self._call(implementation)
            except PluginLoadError as error:
                self._report(error)
                continue
            for spec in offered:
                self._admit(kind, spec, implementation.plugin_name, specs)
        return Offers(kind, specs)

    def _admit(self, kind: str, spec: Any, plugin: str, specs: dict[str, Any]) -> None:
        origin = self._origins[plugin]
        if spec.api_version != API_VERSION:
            message = f"{KINDS[kind]} {spec.name!r} was written for API version {spec.api_version}; this kernel has {API_VERSION}"
            self._report(PluginApiError(message, distribution=str(origin)))
            return
        if spec.name in specs:
            other = self._origins[self._offered_by[kind, spec.name]]
            raise PluginConflictError(f"two plugins offer the {KINDS[kind]} {spec.name!r}: {other} and {origin}; {_REMEDY}")
        specs[spec.name] = spec
        self._offered_by[kind, spec.name] = plugin


def _installed() -> list[tuple[Origin, importlib.metadata.EntryPoint]]:
    """Entry points of installed distributions that are not disabled, in an order that does not depend on the file system."""
    disabled = {name.strip() for name in os.environ.get(DISABLE_VARIABLE, "").split(",")}
    found = []
    for entry_point in importlib.metadata.entry_points(group=hookspecs.PROJECT):
        distribution = cast(importlib.metadata.Distribution, entry_point.dist)
        origin = Origin(distribution.name, distribution.version)
        if not disabled & {entry_point.name, origin.distribution}:
            found.append((origin, entry_point))
    return sorted(found, key=lambda item: (item[0].distribution, item[1].name))


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
