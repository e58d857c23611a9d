"""Writes docs/reference from what the code says of itself: hook specifications, specs' options, docstrings.

`make docs` runs it; a test runs `documents` and compares. Only what this repository ships is listed, whatever else is installed.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
from ringone import hookspecs
from ringone.api import config, cpu, devices, drivers, errors, firmware, frontends, media, scan, statistics
from ringone.api.config import BootDevice, Drive, DriveKind, FirmwareConfig, MachineConfig, SerialPort
from ringone.api.errors import RingOneError
from ringone.machine import create_session
from ringone.options import describe_options
from ringone.plugins import KINDS, PluginRegistry
from ringone_csam import classification, flow, pages, prefilter

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
NOTE = "<!-- Made by tools/gen_reference.py (make docs). Do not edit. -->"
SPECS: Mapping[str, type[Any]] = {
    spec.__name__: spec
    for spec in (
        config.ConfigLoaderSpec,
        config.BoardSpec,
        cpu.CpuBackendSpec,
        scan.CodeScannerSpec,
        devices.DeviceSpec,
        drivers.HostDriverSpec,
        media.MediumFormatSpec,
        firmware.FirmwareSpec,
        frontends.FrontendSpec,
    )
}
DESCRIPTION = (
    config.MachineConfig,
    config.CpuConfig,
    cpu.CpuModel,
    config.ClockConfig,
    config.FirmwareConfig,
    config.LinuxBoot,
    config.Drive,
    config.SerialPort,
    config.DeviceConfig,
    config.Wire,
    config.Link,
    config.DriverConfig,
)
ADDRESS = re.compile(r"base$|mask|elcr|port$")
"""Names of integers that are written in hexadecimal."""
SECTION = re.compile(r"# --- (.+?) -{3,}")


def documents() -> dict[str, str]:
    """File name to content."""
    registry = PluginRegistry(strict=True)
    pages: Mapping[str, tuple[str, Iterable[str]]] = {
        "hooks.md": ("Hooks", _hooks()),
        "devices.md": ("Devices", _devices(registry)),
        "drivers.md": ("Host drivers and disk formats", _drivers(registry)),
        "options.md": ("Machine description and options", _options(registry)),
        "errors.md": ("Errors", _errors()),
        "statistics.md": ("Statistics", _statistics(registry)),
        "csam.md": ("The code scanner csam", _csam(registry)),
        "extradata.md": ("ExtraData of machine files", _extradata()),
    }
    return {name: "\n".join([f"# {title}", "", NOTE, "", *lines]).rstrip() + "\n" for name, (title, lines) in pages.items()}


# --- Markdown ----------------------------------------------------------------------------------------------------------------------------------------------


def _prose(text: str | None) -> str:
    """A docstring as Markdown: double backquotes become single ones."""
    return inspect.cleandoc(text or "").replace("``", "`")


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    if not cells:
        return
    titles = list(head)
    yield "| " + " | ".join(titles) + " |"
    yield "|" + "---|" * len(titles)
    for row in cells:
        yield "| " + " | ".join(row) + " |"
    yield ""


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _names(names: Iterable[str]) -> str:
    return ", ".join(_code(name) for name in names)


def _option_table(options: type[Any]) -> Iterator[str]:
    rows = []
    for row in describe_options(options):
        value = f"{int(row.default):#x}" if ADDRESS.search(row.name) and row.default.isdecimal() else row.default
        default = "required" if row.required else _code(" ".join(filter(None, (value, row.unit))))
        rows.append((_code(row.name), row.type, default, row.help))
    yield from _table(("option", "type", "default", "what"), rows)


def _field_table(cls: type[Any]) -> Iterator[str]:
    rows = []
    for field in attrs.fields(cls):
        rows.append((_code(field.name), _code(str(field.type)), "required" if field.default is attrs.NOTHING else _default(field.default)))
    yield from _table(("field", "type", "default"), rows)


def _default(default: Any) -> str:
    if hasattr(default, "factory"):
        default = default.factory()
    if isinstance(default, (frozenset, set)):
        return _code(" ".join(sorted(default)))
    if isinstance(default, tuple):
        return ", ".join(_default(item) for item in default) or "none"
    if attrs.has(type(default)):
        return f"see `{type(default).__name__}`"
    if isinstance(default, int) and not isinstance(default, bool) and default and default % (1 << 20) == 0:
        return _code(f"{default >> 20} MiB")
    return _code(str(getattr(default, "value", default))) if default not in ("", None, {}) else "none"


# --- Pages -------------------------------------------------------------------------------------------------------------------------------------------------


def _hooks() -> Iterator[str]:
    source = inspect.getsource(hookspecs)
    sections = {number: match[1] for number, line in enumerate(source.splitlines(), 1) if (match := SECTION.match(line))}
    yield from (_prose(hookspecs.__doc__), "")
    tree = ast.parse(source)
    used: set[str] = set()
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef):
            continue
        title = max((number, text) for number, text in sections.items() if number < node.lineno)[1]
        if title not in used:
            used.add(title)
            yield from (f"## {title}", "")
        returned = ast.unparse(node.returns) if node.returns else "None"
        yield from (
            f"### {node.name}",
            "",
            "```python",
            f"def {node.name}({ast.unparse(node.args)}) -> {returned}",
            "```",
            "",
            _prose(ast.get_docstring(node)),
            "",
        )
        name = returned.removeprefix("Iterable[").removesuffix("]")
        if name in SPECS:
            yield from (f"**{name}** (`{SPECS[name].__module__}`): {_prose(SPECS[name].__doc__)}", "")
            yield from _field_table(SPECS[name])


def _devices(registry: PluginRegistry) -> Iterator[str]:
    yield from ("Chips by type name. Pins are wired, interfaces linked and slots given drivers as in a [machine file](extradata.md).", "")
    for name, spec in _ours(registry, "device_types"):
        yield from (f"## {name}", "", f"{_sentence(spec.summary)} From `{registry.origin('device_types', name).distribution}`.", "")
        if about := _module_doc(spec.create):
            yield from (_prose(about), "")
        lists = (("inputs", spec.inputs), ("outputs", spec.outputs), ("provides", spec.interfaces), ("links", spec.links), ("driver slots", spec.slots))
        yield from _table(("", ""), ((title, _names(names)) for title, names in lists if names))
        yield from _option_table(spec.options)


def _drivers(registry: PluginRegistry) -> Iterator[str]:
    yield from ("## Host drivers", "")
    for name, spec in _ours(registry, "host_drivers"):
        yield from (f"### {name}", "", f"{_sentence(spec.summary)} For slots of kind `{spec.kind.__name__}`.", "")
        yield from _option_table(spec.options)
    yield from ("## Disk formats", "")
    formats = _ours(registry, "media_formats")
    yield from _table(("format", "what", "file names"), ((_code(name), spec.summary, _names(spec.suffixes)) for name, spec in formats))


def _options(registry: PluginRegistry) -> Iterator[str]:
    yield from ("What a machine is made of (`ringone.api.config`), then the options of processors, firmware and the rest.", "")
    yield from ("[Devices](devices.md) and [drivers](drivers.md) have pages of their own.", "")
    yield from ("## Machine description", "")
    for cls in DESCRIPTION:
        yield from (f"### {cls.__name__}", "", _prose(cls.__doc__), "")
        yield from _field_table(cls)
    for kind in ("boards", "cpu_backends", "code_scanners", "firmwares", "frontends", "config_loaders"):
        offers = _ours(registry, kind)
        if not offers:
            continue
        yield from (f"## {KINDS[kind][0].upper()}{KINDS[kind][1:]}", "")
        for name, spec in offers:
            yield from (f"### {name}", "", f"{_sentence(spec.summary)} From `{registry.origin(kind, name).distribution}`.", "")
            if hasattr(spec, "options"):
                yield from _option_table(spec.options)


def _errors() -> Iterator[str]:
    yield from (_prose(errors.__doc__), "")
    yield from _table(("error", "exit code", "what"), _error_rows(RingOneError, 0))


def _error_rows(cls: type[RingOneError], depth: int) -> Iterator[tuple[str, str, str]]:
    indent = "&emsp;" * depth
    yield f"{indent}`{cls.__name__}`", str(cls.exit_code), _prose(cls.__doc__)
    for child in (value for value in vars(errors).values() if isinstance(value, type) and cls in value.__bases__):
        yield from _error_rows(child, depth + 1)


def _statistics(registry: PluginRegistry) -> Iterator[str]:
    yield from ("Names are paths in VirtualBox's component words. `ringone.api.statistics` fixes those that every CPU backend reports.", "")
    yield from _table(("name", "what"), ((_code(value), text) for value, text in _documented_strings(statistics)))
    yield from (
        "## A PC before it starts",
        "",
        "What a machine with one of everything and the default processor reports; names that count rare events appear with the first.",
        "",
    )
    fixed = {value for value, _ in _documented_strings(statistics)}
    yield from (f"- `{name}`" for name in _names_of_a_pc(registry) if name not in fixed)


def _names_of_a_pc(registry: PluginRegistry) -> list[str]:
    drives = (
        Drive(kind=DriveKind.CDROM, controller="ide", port=1, device=0),
        Drive(kind=DriveKind.FLOPPY, controller="floppy", port=0, device=0),
    )
    pc = MachineConfig(
        name="reference",
        memory_bytes=16 << 20,
        firmware=FirmwareConfig(name="builtin"),
        boot_order=(BootDevice.CDROM,),
        drives=drives,
        serial_ports=(SerialPort(slot=0, io_base=0x3F8, irq=4),),
    )
    session = create_session(pc, registry)
    try:
        return list(session.statistics())
    finally:
        session.close()


def _csam(registry: PluginRegistry) -> Iterator[str]:
    yield from ("[`ringone csam`](cli.md#scanning-code) shows what it finds in a file ([how](../how-to/scan-a-kernel.md)).", "")
    for title, module in (("What follows an entry", flow), ("Before a scan", prefilter), ("Remembered pages", pages)):
        yield from (f"## {title}", "", _prose(module.__doc__), "")
    yield from _option_table(registry.code_scanners()["csam"].options)
    yield from ("## Instructions", "", _prose(classification.__doc__), "")
    yield from ("Near branches are followed and are no findings; all others are.", "")
    rows = []
    for row in classification.TABLE:
        kinds = (row.kind.value, *sorted(kind.value for kind in row.also))
        rows.append((row.form, ", ".join(kinds), row.traps.value, "yes" if row.near else "no", row.reference))
    yield from _table(("instruction", "class", "traps at ring 1", "near", "Intel SDM"), rows)


def _extradata() -> Iterator[str]:
    readme = (ROOT / "plugins" / "config_xml" / "README.md").read_text(encoding="utf-8")
    yield readme.split("## ExtraData\n", 1)[1].split("\n## ", 1)[0].strip()


# --- Sources -----------------------------------------------------------------------------------------------------------------------------------------------


def _ours(registry: PluginRegistry, kind: str) -> list[tuple[str, Any]]:
    members = set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"])
    offers: Mapping[str, Any] = getattr(registry, kind)()
    return [(name, spec) for name, spec in offers.items() if registry.origin(kind, name).distribution in members]


def _module_doc(create: Callable[..., Any]) -> str | None:
    """What a chip's module says; nothing where `create` is a function of another module that imports the chip late."""
    return sys.modules[create.__module__].__doc__ if inspect.isclass(create) else None


def _documented_strings(module: ModuleType) -> Iterator[tuple[str, str]]:
    """``NAME = "value"`` with the string that stands below it."""
    body = ast.parse(inspect.getsource(module)).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            below = following.value if isinstance(following, ast.Expr) else None
            yield node.value.value, _prose(below.value) if isinstance(below, ast.Constant) and isinstance(below.value, str) else ""


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, content in documents().items():
        (FOLDER / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
