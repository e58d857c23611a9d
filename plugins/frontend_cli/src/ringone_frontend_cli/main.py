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

from ringone_frontend_cli import listing
from ringone_frontend_cli.context import Settings

USAGE_EXIT_CODE = 2
INTERRUPTED_EXIT_CODE = 130
USAGE_ERROR = cast("type[Exception]", typer.BadParameter.__base__)
"""click's UsageError, wherever the installed typer keeps it."""

IMAGE_HELP = "an image, with ,format=NAME and ,mode=persistent, read-only or throw-away."
LINE_HELP = "none, stdio, pty, file:PATH, tcp:HOST:PORT, unix:PATH or device:PATH"

app = typer.Typer(
    name="ringone",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
listing.add_to(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"ringone {version('ringone-kernel')}")
        raise typer.Exit


def _set_debug(wanted: bool) -> None:
    if wanted:
        Settings.debug = True


@app.callback()
def common(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.", callback=_set_debug, is_eager=True)] = False,
) -> None:
    """RingOne: a scriptable PC virtual machine monitor whose parts are plugins."""


Cpu = Annotated[str | None, typer.Option("--cpu", metavar="NAME[:opt=value,...]", help="CPU backend and its options (ringone cpus list).")]
ThrowAway = Annotated[bool, typer.Option("--throw-away", help="Forget all writes to disks and floppies at the end.")]
Display = Annotated[
    str,
    typer.Option(
        metavar="auto|terminal|none", help="Show the guest's screen in this terminal. auto: where there is a terminal and no line is connected to stdio."
    ),
]
Frontends = Annotated[list[str] | None, typer.Option("--frontend", metavar="NAME[:opt=value,...]", help="Start a frontend for the machine; repeatable.")]
NoReboot = Annotated[bool, typer.Option("--no-reboot", help="A reset by the guest ends the run.")]
Until = Annotated[str | None, typer.Option(metavar="TEXT", help="End with success when the guest has written TEXT to serial port 1.")]
Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", help="End with exit code 124 after this time.")]
Json = Annotated[bool, typer.Option("--json", help="Write the report as JSON.")]
Verbose = Annotated[int, typer.Option("-v", "--verbose", count=True, help="Log more; -vv logs everything.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.", callback=_set_debug)]


@app.command()
def run(
    name: Annotated[str, typer.Option(help="Name of the machine.")] = "machine",
    memory: Annotated[str, typer.Option(metavar="SIZE", help="Memory: 256 or 256M, 1G.")] = "128M",
    cpu: Cpu = None,
    clock: Annotated[str, typer.Option(metavar="host|deterministic", help="Where the guest's time comes from.")] = "host",
    firmware: Annotated[str, typer.Option(metavar="NAME[:opt=value,...]", help="Firmware and its options (ringone firmwares list).")] = "auto",
    kernel: Annotated[Path | None, typer.Option(metavar="FILE", help="Boot this Linux or Multiboot kernel directly.")] = None,
    initrd: Annotated[Path | None, typer.Option(metavar="FILE", help="Initial RAM disk for --kernel.")] = None,
    append: Annotated[str, typer.Option(metavar="TEXT", help="Command line for --kernel.")] = "",
    boot: Annotated[str, typer.Option(metavar="ORDER", help="Boot order: cdrom,disk or letters: dca.")] = "",
    hda: Annotated[str | None, typer.Option(metavar="IMAGE[,...]", help=f"First disk: {IMAGE_HELP}")] = None,
    hdb: Annotated[str | None, typer.Option(metavar="IMAGE[,...]", help="Second disk.")] = None,
    cdrom: Annotated[str | None, typer.Option(metavar="IMAGE[,...]", help="CD in a drive.")] = None,
    fda: Annotated[str | None, typer.Option(metavar="IMAGE[,...]", help="First floppy.")] = None,
    fdb: Annotated[str | None, typer.Option(metavar="IMAGE[,...]", help="Second floppy.")] = None,
    throw_away: ThrowAway = False,
    serial: Annotated[list[str] | None, typer.Option(metavar="LINE", help=f"COM1, and COM2 to COM4 by repeating: {LINE_HELP}.")] = None,
    debugcon: Annotated[str, typer.Option(metavar="LINE", help="Debug console at ports 0x402 and 0xE9, connected as a serial port.")] = "none",
    display: Display = "auto",
    frontend: Frontends = None,
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

    images = {"--hda": hda, "--hdb": hdb, "--cdrom": cdrom, "--fda": fda, "--fdb": fdb}
    described = arguments.MachineArguments(
        name=name,
        kernel=kernel,
        initrd=initrd,
        append=append,
        images={option: image for option, image in images.items() if image is not None},
        throw_away=throw_away,
        boot=boot,
        memory=memory,
        cpu=cpu or "recompiler",
        clock=clock,
        serial=serial or (),
        debugcon=debugcon,
        firmware=firmware,
    )
    options = RunOptions(display=display, no_reboot=no_reboot, until=until, timeout_s=timeout, frontends=frontend or ())
    run_and_report(lambda registry: arguments.machine_config(described), options, json=json, verbosity=verbose)


@app.command()
def startvm(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Machine file, for example a VirtualBox .vbox.", show_default=False)],
    cpu: Cpu = None,
    throw_away: ThrowAway = False,
    display: Display = "auto",
    frontend: Frontends = None,
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

    options = RunOptions(display=display, no_reboot=no_reboot, until=until, timeout_s=timeout, frontends=frontend or ())
    run_and_report(lambda registry: load_machine(file, registry, cpu=cpu, throw_away=throw_away), options, json=json, verbosity=verbose)


def run_command_line(arguments: Sequence[str]) -> int:
    """The exit code of ``ringone`` with these arguments."""
    from ringone.api.errors import DeviceError, RingOneError

    Settings.debug = False
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
