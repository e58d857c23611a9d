"""The options that several commands have: each is declared here once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringone_frontend_cli.context import Settings

LINE_HELP = "none, stdio, pty, file:PATH, tcp:HOST:PORT, unix:PATH or device:PATH"
IMAGE_HELP = "an image, with ,format=NAME and ,mode=persistent, read-only or throw-away."


def set_debug(wanted: bool) -> None:
    if wanted:
        Settings.debug = True


# --- a machine

Name = Annotated[str, typer.Option(help="Name of the machine.")]
Memory = Annotated[str, typer.Option(metavar="SIZE", help="Memory: 256 or 256M, 1G.")]
Clock = Annotated[str, typer.Option(metavar="host|deterministic", help="Where the guest's time comes from.")]
Firmware = Annotated[str, typer.Option(metavar="NAME[:opt=value,...]", help="Firmware and its options (ringone firmwares list).")]
Kernel = Annotated[Path | None, typer.Option(metavar="FILE", help="Boot this Linux or Multiboot kernel directly.")]
Initrd = Annotated[Path | None, typer.Option(metavar="FILE", help="Initial RAM disk for --kernel.")]
Append = Annotated[str, typer.Option(metavar="TEXT", help="Command line for --kernel.")]
Boot = Annotated[str, typer.Option(metavar="ORDER", help="Boot order: cdrom,disk or letters: dca.")]
Hda = Annotated[str | None, typer.Option(metavar="IMAGE[,...]", help=f"First disk: {IMAGE_HELP}")]
Hdb = Annotated[str | None, typer.Option(metavar="IMAGE[,...]", help="Second disk.")]
Cdrom = Annotated[str | None, typer.Option(metavar="IMAGE[,...]", help="CD in a drive.")]
Fda = Annotated[str | None, typer.Option(metavar="IMAGE[,...]", help="First floppy.")]
Fdb = Annotated[str | None, typer.Option(metavar="IMAGE[,...]", help="Second floppy.")]
ThrowAway = Annotated[bool, typer.Option("--throw-away", help="Forget all writes to disks and floppies at the end.")]
Serial = Annotated[list[str] | None, typer.Option(metavar="LINE", help=f"COM1, and COM2 to COM4 by repeating: {LINE_HELP}.")]
DebugConsole = Annotated[str, typer.Option(metavar="LINE", help="Debug console at ports 0x402 and 0xE9, connected as a serial port.")]

# --- a run

Cpu = Annotated[str | None, typer.Option("--cpu", metavar="NAME[:opt=value,...]", help="CPU backend and its options (ringone cpus list).")]
Cpus = Annotated[
    list[str] | None, typer.Option("--cpu", metavar="NAME[:opt=value,...]", help="CPU backend and its options (ringone cpus list); one for each run.")
]
Display = Annotated[
    str,
    typer.Option(
        metavar="auto|terminal|none", help="Show the guest's screen in this terminal. auto: where there is a terminal and no line is connected to stdio."
    ),
]
Frontends = Annotated[list[str] | None, typer.Option("--frontend", metavar="NAME[:opt=value,...]", help="Start a frontend for the machine; repeatable.")]
Record = Annotated[Path | None, typer.Option(metavar="FILE", help="Make a video of the screen, .mp4 or .webm; FILE must not be there yet.")]
NoReboot = Annotated[bool, typer.Option("--no-reboot", help="A reset by the guest ends the run.")]
Until = Annotated[str | None, typer.Option(metavar="TEXT", help="End with success when the guest has written TEXT to serial port 1.")]
Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", help="End with exit code 124 after this time.")]
EachTimeout = Annotated[float | None, typer.Option("--timeout", metavar="SECONDS", help="A run that takes longer has failed.")]
Instructions = Annotated[int | None, typer.Option(metavar="N", help="End with success after about N guest instructions.")]
ExpectEqual = Annotated[bool, typer.Option("--expect-equal", help="End with exit code 1 where memory or serial output differ at the end.")]
Json = Annotated[bool, typer.Option("--json", help="Write the report as JSON.")]
Verbose = Annotated[int, typer.Option("-v", "--verbose", count=True, help="Log more; -vv logs everything.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.", callback=set_debug)]
