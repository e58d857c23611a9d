"""debugvm: statistics, registers, memory and what else can be seen of a running machine."""

from __future__ import annotations

import fnmatch
import os
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from ringone_frontend_cli.vboxmanage.context import Context
from ringone_frontend_cli.vboxmanage.errors import FILE_ERROR, INVALID_ARGUMENT, OBJECT_NOT_FOUND, NotSupportedError, VerbError
from ringone_frontend_cli.vboxmanage.running import client
from ringone_frontend_cli.vboxmanage.syntax import Arguments, Verb, branches, flag, number, option

if TYPE_CHECKING:
    from ringone.client import Machine as Client

CHUNK_BYTES = 1 << 20
REGISTER_WIDTH = 8


# --- statistics


def statistics(context: Context, arguments: Arguments) -> None:
    if arguments.has("--reset"):
        raise NotSupportedError("debugvm statistics --reset is not supported: counters count from power-on")
    with client(context, context.machine(arguments.words[0])) as vm:
        counters = vm.statistics()
    print("\n".join(statistics_lines(counters, arguments.get("--pattern", "*"))))


def statistics_lines(counters: Mapping[str, int], pattern: str) -> Iterator[str]:
    """VirtualBox's XML. A pattern has * and ?, and | between several."""
    patterns = pattern.split("|")
    yield '<?xml version="1.0" encoding="UTF-8" standalone="no"?>'
    yield "<Statistics>"
    for name, value in sorted(counters.items()):
        if any(fnmatch.fnmatchcase(name, one) for one in patterns):
            yield f'<Counter c="{value}" unit="" name={quoteattr(name)}/>'
    yield "</Statistics>"


# --- registers


def get_registers(context: Context, arguments: Arguments) -> None:
    name, *wanted = arguments.words
    with client(context, context.machine(name)) as vm:
        registers = {key.lower(): value for key, value in vm.registers().items()}
    if not wanted:
        wanted = ["all"]
    for word in wanted:
        chosen = register_names(registers, word)
        if not chosen:
            raise VerbError(f"Register '{word}' does not exist; accepted: all, {', '.join(registers)}", OBJECT_NOT_FOUND)
        for key in chosen:
            print(f"{key:<{REGISTER_WIDTH}} = {register_text(registers[key])}")


def register_names(registers: Mapping[str, object], word: str) -> list[str]:
    word = word.lower().removeprefix("cpu0.")
    if word == "all":
        return list(registers)
    return [key for key in registers if key in (word, f"e{word}", word.replace("r", "e", 1))][:1]


def register_text(value: object) -> str:
    return f"0x{value:08x}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


# --- core


def dump_core(context: Context, arguments: Arguments) -> None:
    machine = context.machine(arguments.words[0])
    path = Path(arguments.require("--filename")).absolute()
    if arguments.get("--compression", "none") != "none":
        raise NotSupportedError("debugvm dumpvmcore --compression is not supported", "none")
    if path.exists():
        raise VerbError(f"Failed to create file '{path}': it exists already (VERR_ALREADY_EXISTS)", FILE_ERROR)
    with client(context, machine) as vm:
        try:
            _write_whole(path, core(vm, machine.loaded.config.memory_bytes))
        except OSError as error:
            raise VerbError(f"Failed to write '{path}': {error.strerror or error}", FILE_ERROR) from error


def _write_whole(path: Path, pieces: Iterator[bytes]) -> None:
    """A file that is not there before all of it is."""
    number, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            for piece in pieces:
                file.write(piece)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


ELF_HEADER = struct.Struct("<4sBBBBB7xHHIQQQIHHHHHH")
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
ET_CORE, EM_386, PT_LOAD, PF_RWX = 4, 3, 1, 7


def core(vm: Client, memory_bytes: int) -> Iterator[bytes]:
    """An ELF core file with one segment: physical memory. The machine is paused meanwhile, where it was not."""
    from ringone.api.events import MachineState

    was_running = vm.state is MachineState.RUNNING
    if was_running:
        vm.pause()
    try:
        offset = ELF_HEADER.size + PROGRAM_HEADER.size
        yield ELF_HEADER.pack(b"\x7fELF", 2, 1, 1, 0, 0, ET_CORE, EM_386, 1, 0, ELF_HEADER.size, 0, 0, ELF_HEADER.size, PROGRAM_HEADER.size, 1, 0, 0, 0)
        yield PROGRAM_HEADER.pack(PT_LOAD, PF_RWX, offset, 0, 0, memory_bytes, memory_bytes, 0)
        for address in range(0, memory_bytes, CHUNK_BYTES):
            yield vm.read_memory(address, min(CHUNK_BYTES, memory_bytes - address))
    finally:
        if was_running:
            vm.resume()


# --- info


def _machine_info(vm: Client) -> str:
    info = vm.info()
    return f"state {info.state.value}, CPU backend {info.backend}, virtual time {info.virtual_ns} ns, running for {info.uptime_s:.0f} s"


def _registers(vm: Client) -> str:
    return "\n".join(f"{key:<{REGISTER_WIDTH}} = {register_text(value)}" for key, value in vm.registers().items())


INFO: Mapping[str, tuple[str, Callable[[Client], str]]] = {
    "cpumguest": ("the processor's registers", _registers),
    "em": ("state, CPU backend and virtual time", _machine_info),
    "vgatext": ("the text screen", lambda vm: vm.screen.text()),
    "log": ("what the machine's process has logged", lambda vm: vm.log()),
}


def info(context: Context, arguments: Arguments) -> None:
    name, item = arguments.words[:2]
    if item == "help":
        for key, (what, _) in INFO.items():
            print(f"{key:<12} {what}")
        return
    if item not in INFO:
        raise VerbError(f"Info item '{item}' does not exist; accepted: {', '.join(INFO)}, help", INVALID_ARGUMENT)
    with client(context, context.machine(name)) as vm:
        print(INFO[item][1](vm))


def inject_nmi(context: Context, arguments: Arguments) -> None:
    with client(context, context.machine(arguments.words[0])) as vm:
        vm.inject_nmi()


def cpu_options(context: Context, arguments: Arguments) -> None:
    """RingOne's own: give the processor of a running machine other values for options that can change, as `patching=off`."""
    name, *words = arguments.words
    pairs = [word.partition("=") for word in words]
    for option_name, equals, _ in pairs:
        if not option_name or not equals:
            raise VerbError(f"'{option_name}' is not an option with its value; write for example patching=off", INVALID_ARGUMENT)
    with client(context, context.machine(name)) as vm:
        vm.change_cpu_options({option_name: value for option_name, _, value in pairs})


NO_LOGGER = "RingOne logs with Python's logging; showvminfo --log shows it"
REFUSED = {
    "log": NO_LOGGER,
    "logdest": NO_LOGGER,
    "logflags": NO_LOGGER,
    "osdetect": "guests are not looked into",
    "osdmesg": "guests are not looked into",
    "osinfo": "guests are not looked into",
    "guestsample": "there is no sampling",
    "setregisters": "registers can be read, not written",
    "show": NO_LOGGER,
    "stack": "guests are not looked into",
}

VERBS = (
    branches(
        "debugvm",
        "look into a running machine",
        1,
        (
            Verb(
                name="statistics",
                summary="",
                usage=("[--pattern <pattern>] [--descriptions]",),
                run=statistics,
                options=(option("--pattern"), option("--descriptions", parse=flag), option("--reset", parse=flag)),
                words=(1, 1),
            ),
            Verb(
                name="getregisters",
                summary="",
                usage=("[--cpu 0] [<register>...]",),
                run=get_registers,
                options=(option("--cpu", parse=number(0, 0)),),
                words=(1, None),
            ),
            Verb(
                name="dumpvmcore",
                summary="",
                usage=("--filename <filename>",),
                run=dump_core,
                options=(option("--filename"), option("--compression")),
                words=(1, 1),
            ),
            Verb(name="dumpguestcore", summary="", usage=("--filename <filename>",), run=dump_core, options=(option("--filename"),), words=(1, 1)),
            Verb(name="info", summary="", usage=("<item>|help",), run=info, words=(2, 3)),
            Verb(name="cpuoptions", summary="", usage=("<option>=<value>...",), run=cpu_options, words=(2, None)),
            Verb(name="injectnmi", summary="", usage=("",), run=inject_nmi, words=(1, 1)),
        ),
        REFUSED,
    ),
)
