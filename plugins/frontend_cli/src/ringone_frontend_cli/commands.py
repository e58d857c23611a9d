"""``run``, ``startvm`` and ``compare`` behind their options."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Callable
from pathlib import Path

import typer
from ringone.api.config import MachineConfig
from ringone.api.errors import ConfigError
from ringone.machine import load_config
from ringone.plugins import PluginRegistry

from ringone_frontend_cli import arguments
from ringone_frontend_cli.comparing import CompareOptions, compare
from ringone_frontend_cli.context import Settings
from ringone_frontend_cli.logs import CliLog
from ringone_frontend_cli.running import RunOptions, run_machine


def load_machine(file: Path, registry: PluginRegistry, *, cpu: str | None, throw_away: bool) -> MachineConfig:
    for wrong, what in ((not file.exists(), "does not exist"), (file.is_dir(), "is a folder, not a machine file")):
        if wrong:
            raise ConfigError(f"{file} {what}")
    config = load_config(file, registry)
    if cpu is not None:
        config = arguments.with_cpu(config, cpu)
    return arguments.throw_away(config) if throw_away else config


def machine_to_compare(file: Path | None, described: arguments.MachineArguments, registry: PluginRegistry, *, clock: str) -> MachineConfig:
    """The machine of the file, or the described one where there is no file."""
    if file is None:
        config = arguments.machine_config(described)
    else:
        given = arguments.given(described)
        if given:
            raise ConfigError(f"{', '.join(given)}: {file} describes the machine; give a file or options")
        config = load_machine(file, registry, cpu=None, throw_away=False)
    return arguments.with_clock(config, clock) if clock else config


def run_and_report(describe: Callable[[PluginRegistry], MachineConfig], options: RunOptions, *, json: bool, verbosity: int) -> None:
    """Run the machine that `describe` gives; the report goes to standard error where a line of the guest has standard output."""
    registry = Settings.registry()
    config = describe(registry)
    Settings.warn_of_broken_plugins()
    out = sys.stderr if arguments.uses_stdio(config) else sys.stdout
    log = CliLog(verbosity, tracebacks=Settings.debug)
    log.install()
    try:
        report = run_machine(config, registry, options, log)
    finally:
        log.remove()
    if json:
        print(json_module.dumps(report.as_json()), file=out)
    else:
        print("\n".join(report.lines()), file=out)
    raise typer.Exit(report.ending.exit_code)


def compare_and_report(describe: Callable[[PluginRegistry], MachineConfig], options: CompareOptions, *, json: bool, verbosity: int) -> None:
    """Compare runs of the machine that `describe` gives. How it goes is said on standard error."""
    registry = Settings.registry()
    config = describe(registry)
    Settings.warn_of_broken_plugins()
    log = CliLog(verbosity, tracebacks=Settings.debug)
    log.install()
    try:
        comparison = compare(config, registry, options, tell=lambda line: print(f"ringone: {line}", file=sys.stderr, flush=True))
    finally:
        log.remove()
    if json:
        print(json_module.dumps(comparison.as_json()))
    else:
        print("\n".join(comparison.lines()))
    raise typer.Exit(comparison.exit_code)
