"""showvminfo."""

from __future__ import annotations

from ringone_frontend_cli.vboxmanage.context import Context, Machine
from ringone_frontend_cli.vboxmanage.errors import FILE_ERROR, VerbError
from ringone_frontend_cli.vboxmanage.info import show
from ringone_frontend_cli.vboxmanage.output import Style, escaped
from ringone_frontend_cli.vboxmanage.syntax import Arguments, Verb, flag, number, option

MAX_LOGS = 1000


def show_vm_info(context: Context, arguments: Arguments) -> None:
    machine = context.machine(arguments.words[0])
    if arguments.has("--log"):
        _print_log(machine, arguments.get("--log"))
        return
    style = Style.MACHINE_READABLE if arguments.has("--machinereadable") else Style.DETAILS
    if machine.settings is None and style is Style.MACHINE_READABLE:
        print('name="<inaccessible>"')
        print(f'UUID="{machine.uuid}"')
        print(f'CfgFile="{escaped(str(machine.registered.path))}"')
        return
    for line in show(context.view(machine), style):
        print(line)


def _print_log(machine: Machine, index: int) -> None:
    """Logs are numbered from the newest, which is 0."""
    path = machine.registered.logs / ("VBox.log" if index == 0 else f"VBox.log.{index}")
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                print(line, end="")
    except OSError as error:
        raise VerbError(f"Could not read the log file '{path}': {error.strerror or error}", FILE_ERROR) from error


VERBS = (
    Verb(
        name="showvminfo",
        summary="show a machine, for people or for programs",
        usage=("<uuid|vmname> [--details] [--machinereadable]", "<uuid|vmname> --log <idx>"),
        run=show_vm_info,
        options=(
            option("--details", parse=flag),
            option("--statistics", parse=flag),
            option("--machinereadable", parse=flag),
            option("--log", "-l", parse=number(0, MAX_LOGS)),
        ),
        words=(1, 1),
    ),
)
