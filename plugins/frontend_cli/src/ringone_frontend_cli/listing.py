"""Commands that list what plugins offer: as tables for people, with ``--json`` for programs."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import typer

from ringone_frontend_cli.context import Settings

if TYPE_CHECKING:
    from ringone.plugins import Offers, PluginRegistry

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
BROKEN_PLUGINS_EXIT_CODE = 3
PIPE_WIDTH = 1000
"""Lines that go to a program are not broken."""


def _plain(spec: Any) -> dict[str, Any]:
    return {}


def _cpu(spec: Any) -> dict[str, Any]:
    return {"capabilities": [name for name, has in attrs.asdict(spec.capabilities).items() if has]}


def _firmware(spec: Any) -> dict[str, Any]:
    from ringone.options import bind_options

    return {"preference": spec.preference, "missing": spec.available(bind_options(spec.options, {}))}


def _driver(spec: Any) -> dict[str, Any]:
    return {"kind": spec.kind.__name__}


def _device(spec: Any) -> dict[str, Any]:
    names = ("inputs", "outputs", "interfaces", "links", "slots")
    return {name: list(getattr(spec, name)) for name in names}


def _medium(spec: Any) -> dict[str, Any]:
    return {"suffixes": list(spec.suffixes)}


@attrs.frozen
class Group:
    """`kind` is the registry's; `facts` is what a list says beside name and summary; `shown` whether there is ``show NAME``."""

    command: str
    kind: str
    what: str
    facts: Callable[[Any], dict[str, Any]] = _plain
    listed: tuple[str, ...] = ()
    shown: bool = True


GROUPS = (
    Group("devices", "device_types", "device types", _device),
    Group("cpus", "cpu_backends", "CPU backends", _cpu, ("capabilities",)),
    Group("firmwares", "firmwares", "firmware", _firmware, ("missing",)),
    Group("drivers", "host_drivers", "host drivers", _driver, ("kind",)),
    Group("boards", "boards", "boards", shown=False),
    Group("frontends", "frontends", "frontends"),
)
MEDIA = Group("media", "media_formats", "disk image formats", _medium, ("suffixes",), shown=False)


def add_to(app: typer.Typer) -> None:
    app.add_typer(_plugins(), name="plugins")
    for group in GROUPS:
        app.add_typer(_group(group), name=group.command)
    media = typer.Typer(no_args_is_help=True, help="Disk images.")
    media.command("formats", help="List the disk image formats.")(_lister(MEDIA))
    app.add_typer(media, name="media")


def _group(group: Group) -> typer.Typer:
    commands = typer.Typer(no_args_is_help=True, help=f"The {group.what} that plugins offer.")
    commands.callback()(lambda: None)
    commands.command("list", help=f"List the {group.what}.")(_lister(group))
    if group.shown:
        commands.command("show", help="Show one with its options.")(_shower(group))
    return commands


def _plugins() -> typer.Typer:
    commands = typer.Typer(no_args_is_help=True, help="Installed plugins.")

    @commands.command("list")
    def list_plugins(json: Json = False) -> None:
        """List the plugins with what they offer."""
        plugins = Settings.registry().inventory()
        Settings.warn_of_broken_plugins()
        if json:
            _print_json([{"name": plugin.name, **attrs.asdict(plugin.origin), "offers": dict(plugin.specs)} for plugin in plugins])
            return
        rows = []
        for plugin in plugins:
            offers = "; ".join(f"{kind.replace('_', ' ')}: {', '.join(names)}" for kind, names in plugin.specs.items())
            rows.append((plugin.name, str(plugin.origin), offers))
        _print_table(("name", "distribution", "offers"), rows)

    @commands.command("check")
    def check_plugins(json: Json = False) -> None:
        """Load every plugin and say what is wrong; exit code 3 where one cannot be used."""
        registry = Settings.registry()
        plugins = registry.inventory()
        errors = [str(error) for error in registry.errors]
        if json:
            _print_json({"plugins": len(plugins), "errors": errors})
        else:
            for error in errors:
                print(f"ringone: error: {error}", file=sys.stderr)
            print(f"{len(plugins)} plugins can be used, {len(errors)} problems")
        raise typer.Exit(BROKEN_PLUGINS_EXIT_CODE if errors else 0)

    return commands


def _lister(group: Group) -> Callable[..., None]:
    def list_offers(json: Json = False) -> None:
        rows = [_described(group, name, spec) for name, spec in _offers(group.kind).items()]
        Settings.warn_of_broken_plugins()
        if json:
            _print_json(rows)
        else:
            columns = ("name", *group.listed, "summary")
            _print_table(columns, [[_text(row[column]) for column in columns] for row in rows])

    return list_offers


def _shower(group: Group) -> Callable[..., None]:
    def show_offer(name: Annotated[str, typer.Argument(help="Name, as listed.", show_default=False)], json: Json = False) -> None:
        from ringone.options import describe_options

        spec = _offers(group.kind)[name]
        described = _described(group, name, spec)
        described_options = describe_options(spec.options)
        if json:
            _print_json({**described, "options": [attrs.asdict(option) for option in described_options]})
            return
        print(f"{name}: {described['summary']}")
        _print_table(("", ""), [(fact, _text(value)) for fact, value in described.items() if fact not in ("name", "summary") and value != []])
        columns = ("option", "type", "default", "help")
        rows = []
        for option in described_options:
            unit = f" ({option.unit})" if option.unit else ""
            rows.append((option.name, option.type, "required" if option.required else option.default, option.help + unit))
        _print_table(columns, rows)

    return show_offer


def _offers(kind: str) -> Offers[Any]:
    registry: PluginRegistry = Settings.registry()
    offers: Offers[Any] = getattr(registry, kind)()
    return offers


def _described(group: Group, name: str, spec: Any) -> dict[str, Any]:
    origin = Settings.registry().origin(group.kind, name)
    return {"name": name, "summary": spec.summary, **group.facts(spec), "distribution": str(origin)}


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _print_json(value: Sequence[Any] | Mapping[str, Any]) -> None:
    print(json_module.dumps(value, indent=2))


def _print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for row in rows:
        table.add_row(*row)
    if table.row_count:
        Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, markup=False, highlight=False, soft_wrap=False).print(table)
