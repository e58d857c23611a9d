"""Recordings of the screen in VBoxManage's words: modifyvm's options, controlvm's words and showvminfo's lines, of VirtualBox 5, 6 and 7 alike.

VirtualBox has a recording for each screen; RingOne's machines have one screen. Who makes the video is a frontend's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from ringone.api.config import MachineConfig, Recording
from ringone.home.recording import file_of

from ringone_frontend_cli.vboxmanage.errors import NotSupportedError, VerbSyntaxError
from ringone_frontend_cli.vboxmanage.output import Bare, Row
from ringone_frontend_cli.vboxmanage.syntax import Option, Parser, Words, integer, number, on_off, option

if TYPE_CHECKING:
    from ringone.client import RecordingInfo

SIDE = (16, 4096)
FPS = (1, 60)
MAX_RATE = 1 << 20
SIZE = re.compile(r"([0-9]{1,5})[xX]([0-9]{1,5})")
SCREENS = ("all", "0")
OPTIONS = frozenset({"vc_enabled=true", "ac_enabled=false"})
NO_LIMITS = "videos have no limit of their own; accepted: 0"
ONE_QUALITY = "videos have one quality, whatever the rate"
NOTHING_TO_WAIT_FOR = "a video ends when it is switched off; controlvm NAME recording off returns when it is whole"

Changes = Mapping[str, Any]
"""Fields of `Recording`."""


def _file(option: str, words: Words) -> Changes:
    word = words.next(option)
    if not word:
        raise VerbSyntaxError(f"Invalid value '' for option '{option}'; accepted: the name of a file")
    return {"file": Path(word).absolute()}


def _size(option: str, words: Words) -> Changes:
    """``640x480``, or two words."""
    first = words.next(option)
    match = SIZE.fullmatch(first)
    sides = match.groups() if match else (first, words.next(option))
    width, height = (integer(side) for side in sides)
    for side in (width, height):
        if side is None or side % 2 or not SIDE[0] <= side <= SIDE[1]:
            raise VerbSyntaxError(f"Invalid value '{'x'.join(sides)}' for option '{option}'; accepted: even numbers from {SIDE[0]} to {SIDE[1]}, as 1024x768")
    return {"width": width, "height": height}


def _number(name: str, low: int, high: int) -> Parser:
    parse = number(low, high)
    return lambda option, words: {name: parse(option, words)}


def _switch(option: str, words: Words) -> Changes:
    return {"enabled": on_off(option, words)}


def _screens(option: str, words: Words) -> Changes:
    word = words.next(option)
    if word not in SCREENS:
        raise NotSupportedError(f"{option} {word} is not supported: machines have one screen", ", ".join(SCREENS))
    return {}


def _no_limit(option: str, words: Words) -> Changes:
    word = words.next(option)
    if integer(word) != 0:
        raise NotSupportedError(f"{option} {word} is not supported: {NO_LIMITS}")
    return {}


def _options(option: str, words: Words) -> Changes:
    word = words.next(option)
    if not {part.strip() for part in word.split(",") if part.strip()} <= OPTIONS:
        raise NotSupportedError(f"{option} {word} is not supported: there is video and no sound", ", ".join(sorted(OPTIONS)))
    return {}


SETTINGS: tuple[Option, ...] = (
    option("--recording", "--videocap", parse=_switch, value="on|off"),
    option("--recording-screens", "--videocapscreens", parse=_screens, value="all|0"),
    option("--recording-file", "--videocapfile", parse=_file, value="<filename>"),
    option("--recording-video-res", "--recording-video-resolution", "--videocapres", parse=_size, value="<width>x<height>"),
    option("--recording-video-fps", "--videocapfps", parse=_number("fps", *FPS), value="<fps>"),
    option("--recording-video-rate", "--videocaprate", parse=_number("rate_kbps", 1, MAX_RATE), value="<rate>"),
    option("--recording-max-time", "--videocapmaxtime", parse=_no_limit, value="0"),
    option("--recording-max-size", "--videocapmaxsize", parse=_no_limit, value="0"),
    option("--recording-opts", "--recording-options", "--videocapopts", parse=_options, value="..."),
)


def effect(config: MachineConfig, index: int, changes: Changes) -> MachineConfig:
    return attrs.evolve(config, recording=attrs.evolve(config.recording, **changes))


# --- controlvm ---------------------------------------------------------------------------------------------------------------------------------------------


def _refuse(why: str) -> Parser:
    def refuse(option: str, words: Words) -> Changes:
        raise NotSupportedError(f"controlvm {option} is not supported: {why}")

    return refuse


def _always(changes: Changes) -> Parser:
    return lambda option, words: changes


WORDS: Mapping[str, Parser] = {
    "on": _always({"enabled": True}),
    "off": _always({"enabled": False}),
    "start": _always({"enabled": True}),
    "stop": _always({"enabled": False}),
    "attach": _refuse(NOTHING_TO_WAIT_FOR),
    "screens": _screens,
    "filename": _file,
    "videores": _size,
    "videoresolution": _size,
    "videofps": _number("fps", *FPS),
    "videorate": _refuse(ONE_QUALITY),
    "maxtime": _no_limit,
    "maxfilesize": _no_limit,
    "opts": _options,
}
"""What may stand behind ``controlvm NAME recording``. VirtualBox 7.1 switches with ``start`` and ``stop`` what ``on`` and ``off`` allow."""
USAGE = ("on|off", "filename <filename>", "screens all|0", "videores <width>x<height>", "videofps <fps>")


def changed(words: Sequence[str]) -> Changes:
    """For ``controlvm recording``."""
    name, *rest = words
    if name not in WORDS:
        raise VerbSyntaxError(f"Invalid parameter '{name}'; accepted: {', '.join(WORDS)}")
    if name == "start" and rest == ["--wait"]:
        raise NotSupportedError(f"controlvm recording start --wait is not supported: {NOTHING_TO_WAIT_FOR}")
    left = Words(rest)
    changes: Changes = WORDS[name](f"recording {name}", left)
    if left:
        raise VerbSyntaxError(f"Invalid parameter '{left.next()}'")
    return changes


# --- showvminfo --------------------------------------------------------------------------------------------------------------------------------------------


def rows(config: MachineConfig, now: RecordingInfo | None = None) -> Iterator[Row]:
    """`now` is what the machine's process says, where the machine runs. The error is RingOne's own."""
    wanted = config.recording if now is None else _of(now)
    active = wanted.enabled if now is None else now.recording
    yield Row("videocap", "Capturing:", wanted.enabled, "active" if active else "not active")
    yield Row("videocap_audio", "Capture audio:", False, "not active")
    yield Row("videocapscreens", "Capture screens:", 0)
    yield Row("videocapfile", "Capture file:", str(file_of(config, wanted)))
    yield Row("videocapres", "Capture dimensions:", Bare(f"{wanted.width}x{wanted.height}"))
    yield Row("videocaprate", "Capture rate:", config.recording.rate_kbps, f"{config.recording.rate_kbps}kbps")
    yield Row("videocapfps", "Capture FPS:", wanted.fps)
    yield Row("videocapopts", "Capture options:", Bare(""))
    if now is not None and now.error:
        yield Row("RecordingError", "Recording error:", now.error)


def _of(now: RecordingInfo) -> Recording:
    return Recording(enabled=now.enabled, file=Path(now.file) if now.file else None, width=now.width, height=now.height, fps=now.fps)
