"""controlvm: what is done to a machine while it runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ringone_frontend_cli.vboxmanage import recording, vrde
from ringone_frontend_cli.vboxmanage.context import Context
from ringone_frontend_cli.vboxmanage.errors import FILE_ERROR, INVALID_ARGUMENT, VerbError
from ringone_frontend_cli.vboxmanage.running import client, wait_until_off
from ringone_frontend_cli.vboxmanage.syntax import Arguments, Branches, Verb, Words, branches, integer, on_off

if TYPE_CHECKING:
    from ringone.client import Machine as Client

MAX_FILE_BYTES = 1 << 20
MAX_MOVE = 1 << 15
MAX_BUTTONS = 0x1F
SCANCODE = re.compile(r"[0-9a-fA-F]{1,2}")


def act(what: Callable[[Client], object]) -> Callable[[Context, Arguments], None]:
    """A verb without parameters."""

    def run(context: Context, arguments: Arguments) -> None:
        with client(context, context.machine(arguments.words[0])) as vm:
            what(vm)

    return run


def end(what: Callable[[Client], object]) -> Callable[[Context, Arguments], None]:
    """A verb after which the machine does not run any more."""

    def run(context: Context, arguments: Arguments) -> None:
        machine, progress = context.machine(arguments.words[0]), context.progress()
        with client(context, machine) as vm:
            progress(0)
            what(vm)
        wait_until_off(context, machine)
        progress(1)

    return run


def put_scancodes(context: Context, arguments: Arguments) -> None:
    name, *codes = arguments.words
    for code in codes:
        if not SCANCODE.fullmatch(code):
            raise VerbError(f"Converting '{code}' returned an error; accepted: scan codes of two hexadecimal digits, such as 1c 9c", INVALID_ARGUMENT)
    with client(context, context.machine(name)) as vm:
        vm.keyboard.put_scancodes(bytes(int(code, 16) for code in codes))


def put_string(context: Context, arguments: Arguments) -> None:
    name, *texts = arguments.words
    with client(context, context.machine(name)) as vm:
        for text in texts:
            vm.keyboard.type(text)


def put_file(context: Context, arguments: Arguments) -> None:
    name, file = arguments.words
    try:
        with Path(file).open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise VerbError(f"Cannot open file '{file}': {error.strerror or error}", FILE_ERROR) from error
    if len(content) > MAX_FILE_BYTES:
        raise VerbError(f"File '{file}' is larger than {MAX_FILE_BYTES} bytes", FILE_ERROR)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise VerbError(f"File '{file}' is not UTF-8 text (byte {error.start})", FILE_ERROR) from error
    with client(context, context.machine(name)) as vm:
        vm.keyboard.type(text)


def put_mouse(context: Context, arguments: Arguments) -> None:
    """VirtualBox's order: x, y, wheel, horizontal wheel, buttons."""
    name, *words = arguments.words
    numbers = [integer(word) for word in words]
    for word, number, limit in zip(words, numbers, (MAX_MOVE, MAX_MOVE, MAX_MOVE, 0, MAX_BUTTONS), strict=False):
        if number is None or abs(number) > limit:
            raise VerbError(f"Invalid mouse state '{word}'; accepted: numbers up to {limit}", INVALID_ARGUMENT)
    dx, dy, wheel, _, buttons = [*(number or 0 for number in numbers), 0, 0, 0][:5]
    with client(context, context.machine(name)) as vm:
        vm.mouse.move(dx, dy, wheel=wheel, buttons=buttons)


def screenshot(context: Context, arguments: Arguments) -> None:
    name, file, *displays = arguments.words
    if displays and integer(displays[0]) != 0:
        raise VerbError(f"Invalid display '{displays[0]}'; accepted: 0", INVALID_ARGUMENT)
    with client(context, context.machine(name)) as vm:
        picture = vm.screen.png()
    try:
        Path(file).write_bytes(picture)
    except OSError as error:
        raise VerbError(f"Failed to create file '{file}': {error.strerror or error}", FILE_ERROR) from error


def switch_vrde(context: Context, arguments: Arguments) -> None:
    name, *words = arguments.words
    enabled = on_off("vrde", Words(words))
    with client(context, context.machine(name)) as vm:
        vm.remote_display.change(enabled=enabled)


def change_vrde(understood: Callable[[Sequence[str]], Mapping[str, str]]) -> Callable[[Context, Arguments], None]:
    def run(context: Context, arguments: Arguments) -> None:
        name, *words = arguments.words
        properties = understood(words)
        with client(context, context.machine(name)) as vm:
            vm.remote_display.change(properties=properties)

    return run


def record(context: Context, arguments: Arguments) -> None:
    name, *words = arguments.words
    changes = recording.changed(words)
    with client(context, context.machine(name)) as vm:
        vm.recording.change(**changes)


NO_NETWORK = "there are no network adapters"
NO_USB = "there is no USB"
NO_ADDITIONS = "there are no guest additions"
NO_VIDEO_CHANNEL = "there is no video channel"
NO_SOUND = "there is no sound card"
REFUSED: Mapping[str, str] = {
    "acpisleepbutton": "there is no sleep button",
    "addencpassword": "encrypted images are not supported",
    "audioin": NO_SOUND,
    "audioout": NO_SOUND,
    "clipboard": NO_ADDITIONS,
    "cpuexecutioncap": "the processor is not throttled",
    "draganddrop": NO_ADDITIONS,
    "guestmemoryballoon": NO_ADDITIONS,
    "plugcpu": "machines have one processor",
    "reboot": f"{NO_ADDITIONS}; acpipowerbutton and reset work",
    "removeallencpasswords": "encrypted images are not supported",
    "removeencpassword": "encrypted images are not supported",
    "setcredentials": NO_ADDITIONS,
    "setscreenlayout": NO_ADDITIONS,
    "setvideomodehint": NO_ADDITIONS,
    "shutdown": f"{NO_ADDITIONS}; acpipowerbutton works",
    "teleport": "there is no teleportation",
    "unplugcpu": "machines have one processor",
    "usbattach": NO_USB,
    "usbdetach": NO_USB,
    "vrdevideochannelquality": NO_VIDEO_CHANNEL,
    "webcam": NO_USB,
    **{
        f"{name}{number}": NO_NETWORK
        for name in ("nic", "nicpromisc", "nicproperty", "nictrace", "nictracefile", "natpf", "setlinkstate")
        for number in range(1, 9)
    },
}

VM = (1, 1)
VERBS: tuple[Branches, ...] = (
    branches(
        "controlvm",
        "control a machine that runs",
        1,
        (
            Verb(name="pause", summary="", usage=("",), run=act(lambda vm: vm.pause()), words=VM),
            Verb(name="resume", summary="", usage=("",), run=act(lambda vm: vm.resume()), words=VM),
            Verb(name="reset", summary="", usage=("",), run=act(lambda vm: vm.reset()), words=VM),
            Verb(name="poweroff", summary="", usage=("",), run=end(lambda vm: vm.power_off()), words=VM),
            Verb(name="savestate", summary="", usage=("",), run=end(lambda vm: vm.save()), words=VM),
            Verb(name="acpipowerbutton", summary="", usage=("",), run=act(lambda vm: vm.press_power_button()), words=VM),
            Verb(name="keyboardputscancode", summary="", usage=("<hex> [<hex> ...]",), run=put_scancodes, words=(2, None), raw=True),
            Verb(name="keyboardputstring", summary="", usage=("<string> [<string> ...]",), run=put_string, words=(2, None), raw=True),
            Verb(name="keyboardputfile", summary="", usage=("<filename>",), run=put_file, words=(2, 2), raw=True),
            Verb(name="mouseputstate", summary="", usage=("<dx> <dy> [<wheel> [0 [<buttons>]]]",), run=put_mouse, words=(3, 6), raw=True),
            Verb(name="screenshotpng", summary="", usage=("<file> [0]",), run=screenshot, words=(2, 3), raw=True),
            Verb(name="vrde", summary="", usage=("on|off",), run=switch_vrde, words=(2, 2), raw=True),
            Verb(name="vrdeport", summary="", usage=("default|<ports>",), run=change_vrde(vrde.changed_ports), words=(2, 2), raw=True),
            Verb(name="recording", summary="", usage=recording.USAGE, run=record, words=(2, None), raw=True),
            Verb(name="videocap", summary="", usage=("on|off",), run=record, words=(2, None), raw=True),
            Verb(name="vrdeproperty", summary="", usage=("<name=[value]>",), run=change_vrde(vrde.changed_property), words=(2, 2), raw=True),
        ),
        REFUSED,
    ),
)
