"""The ``ringone`` command: the table of its commands, and the one place where an error becomes a line and an exit code.

Everything that a command needs is imported when it runs, and help is plain text, so that it comes up at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import typer

from ringone_frontend_cli import code_scan, listing, vboxmanage
from ringone_frontend_cli.context import Settings
from ringone_frontend_cli.declarations import (
    Append,
    Boot,
    Cdrom,
    Clock,
    Cpu,
    Cpus,
    Debug,
    DebugConsole,
    Display,
    EachTimeout,
    ExpectEqual,
    Fda,
    Fdb,
    Firmware,
    Frontends,
    Hda,
    Hdb,
    Initrd,
    Instructions,
    Json,
    Kernel,
    Memory,
    Name,
    NoReboot,
    Record,
    Serial,
    ThrowAway,
    Timeout,
    Until,
    Verbose,
    set_debug,
)

USAGE_EXIT_CODE = 2
INTERRUPTED_EXIT_CODE = 130
USAGE_ERROR = cast("type[Exception]", typer.BadParameter.__base__)
"""click's UsageError, wherever the installed typer keeps it."""


app = typer.Typer(
    name="ringone",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=f"VBoxManage's verbs (ringone help VERB): {', '.join(vboxmanage.VERB_MODULES)}",
    context_settings={"help_option_names": ["-h", "--help"]},
)
listing.add_to(app)
code_scan.add_to(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"ringone {version('ringone-kernel')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.", callback=set_debug, is_eager=True)] = False,
) -> None:
    """RingOne: a scriptable PC virtual machine monitor whose parts are plugins."""


@app.command()
def run(
    name: Name = "machine",
    memory: Memory = "128M",
    cpu: Cpu = None,
    clock: Clock = "host",
    firmware: Firmware = "auto",
    kernel: Kernel = None,
    initrd: Initrd = None,
    append: Append = "",
    boot: Boot = "",
    hda: Hda = None,
    hdb: Hdb = None,
    cdrom: Cdrom = None,
    fda: Fda = None,
    fdb: Fdb = None,
    throw_away: ThrowAway = False,
    serial: Serial = None,
    debugcon: DebugConsole = "none",
    display: Display = "auto",
    frontend: Frontends = None,
    record: Record = None,
    no_reboot: NoReboot = False,
    until: Until = None,
    timeout: Timeout = None,
    json: Json = False,
    verbose: Verbose = 0,
    debug: Debug = False,
) -> None:
    """Run a machine that is described by options."""
    from ringone_frontend_cli import arguments
    from ringone_frontend_cli.commands import run_and_report
    from ringone_frontend_cli.running import RunOptions

    described = arguments.MachineArguments(
        name=name,
        kernel=kernel,
        initrd=initrd,
        append=append,
        images=arguments.images(hda=hda, hdb=hdb, cdrom=cdrom, fda=fda, fdb=fdb),
        throw_away=throw_away,
        boot=boot,
        memory=memory,
        cpu=cpu or arguments.DEFAULT_CPU,
        clock=clock,
        serial=serial or (),
        debugcon=debugcon,
        firmware=firmware,
    )
    options = RunOptions(display=display, no_reboot=no_reboot, until=until, timeout_s=timeout, frontends=frontend or (), record=record)
    run_and_report(lambda registry: arguments.machine_config(described), options, json=json, verbosity=verbose)


@app.command()
def startvm(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Machine file, for example a VirtualBox .vbox.", show_default=False)],
    cpu: Cpu = None,
    throw_away: ThrowAway = False,
    display: Display = "auto",
    frontend: Frontends = None,
    record: Record = None,
    no_reboot: NoReboot = False,
    until: Until = None,
    timeout: Timeout = None,
    json: Json = False,
    verbose: Verbose = 0,
    debug: Debug = False,
) -> None:
    """Run a machine that is described by a file."""
    from ringone_frontend_cli.commands import load_machine, run_and_report
    from ringone_frontend_cli.running import RunOptions

    options = RunOptions(display=display, no_reboot=no_reboot, until=until, timeout_s=timeout, frontends=frontend or (), record=record)
    run_and_report(lambda registry: load_machine(file, registry, cpu=cpu, throw_away=throw_away), options, json=json, verbosity=verbose)


@app.command()
def compare(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Machine file; or the options of ringone run.", show_default=False)] = None,
    cpu: Cpus = None,
    until: Until = None,
    instructions: Instructions = None,
    timeout: EachTimeout = None,
    no_reboot: NoReboot = False,
    expect_equal: ExpectEqual = False,
    clock: Clock = "",
    name: Name = "machine",
    memory: Memory = "128M",
    firmware: Firmware = "auto",
    kernel: Kernel = None,
    initrd: Initrd = None,
    append: Append = "",
    boot: Boot = "",
    hda: Hda = None,
    hdb: Hdb = None,
    cdrom: Cdrom = None,
    fda: Fda = None,
    fdb: Fdb = None,
    throw_away: ThrowAway = False,
    serial: Serial = None,
    debugcon: DebugConsole = "none",
    json: Json = False,
    verbose: Verbose = 0,
    debug: Debug = False,
) -> None:
    """Run the same machine on several CPU backends, in turn, and compare.

    The machine is FILE or described as for ringone run. Disks forget what is written, and serial lines are only listened to.
    """
    from ringone_frontend_cli import arguments
    from ringone_frontend_cli.commands import compare_and_report, machine_to_compare
    from ringone_frontend_cli.comparing import CompareOptions

    described = arguments.MachineArguments(
        name=name,
        kernel=kernel,
        initrd=initrd,
        append=append,
        images=arguments.images(hda=hda, hdb=hdb, cdrom=cdrom, fda=fda, fdb=fdb),
        throw_away=throw_away,
        boot=boot,
        memory=memory,
        serial=serial or (),
        debugcon=debugcon,
        firmware=firmware,
    )
    options = CompareOptions(cpus=cpu or (), until=until, instructions=instructions, timeout_s=timeout, no_reboot=no_reboot, expect_equal=expect_equal)
    compare_and_report(lambda registry: machine_to_compare(file, described, registry, clock=clock), options, json=json, verbosity=verbose)


def run_command_line(arguments: Sequence[str]) -> int:
    """The exit code of ``ringone`` with these arguments."""
    from ringone.api.errors import DeviceError, RingOneError

    Settings.debug = False
    if vboxmanage.is_verb_line(arguments):
        from ringone_frontend_cli.vboxmanage.app import run

        return run("ringone", arguments)
    try:
        Settings.registry().add_cli_commands(app)
        result = app(arguments, prog_name="ringone", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED_EXIT_CODE
    except DeviceError as error:
        from ringone_frontend_cli.endings import explain

        return _fail(error, explain(error), error.exit_code)
    except RingOneError as error:
        return _fail(error, str(error), error.exit_code)
    except USAGE_ERROR as error:
        return _fail(error, error.format_message(), USAGE_EXIT_CODE)  # type: ignore[attr-defined]
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        return _fail(error, f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", 1)
    except Exception as error:
        return _fail(error, f"internal error: {type(error).__name__}: {error}; --debug shows the traceback", 1)


def _fail(error: Exception, message: str, exit_code: int) -> int:
    """One line for one mistake."""
    for line in filter(None, (line.strip() for line in message.splitlines())):
        print(f"ringone: error: {line}", file=sys.stderr)
    if Settings.debug:
        import traceback

        traceback.print_exception(error)
    return exit_code


def main() -> None:
    sys.exit(run_command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
