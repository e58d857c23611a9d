"""Running ``qemu-img``, which knows formats that RingOne only takes in and gives out.

What an image says about other files is not trusted: one that names a backing file, a data file or extents in other folders is refused, so that nobody is made
to copy a file that he did not mean. Paths are given as absolute ones, which qemu-img takes for nothing else.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import IO, Any, cast

from ringone.api.errors import DiskFullError, MediumError
from ringone.api.media import Progress

PROGRAM = "qemu-img"
INFO_TIMEOUT_S = 60
PERCENT = re.compile(rb"\(([0-9.]+)/100%\)")
NO_ROOM = "No space left on device"


def info(path: Path, driver: str) -> dict[str, Any]:
    """What ``qemu-img info`` says of an image that stands alone and is not encrypted."""
    command = [_program(path), "info", "--output=json", "-U", "-f", driver, str(path.absolute())]
    try:
        done = subprocess.run(command, capture_output=True, timeout=INFO_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise MediumError(f"{path}: {PROGRAM} did not say within {INFO_TIMEOUT_S} s what the image is") from error
    if done.returncode:
        raise _failure(path, "read the image", done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    _require_alone(path, found)
    return found


def create(path: Path, driver: str, options: str, capacity_bytes: int) -> None:
    _run(path, "create the image", "create", "-q", "-f", driver, *_options(options), str(path.absolute()), str(capacity_bytes))


def convert(source: Path, source_driver: str, target: Path, target_driver: str, options: str, progress: Progress) -> None:
    """`source` has to be known: a raw file of ours, or an image that `info` was asked about."""
    arguments = ["-p", "-f", source_driver, "-O", target_driver, *_options(options), str(source.absolute()), str(target.absolute())]
    with subprocess.Popen([_program(source), "convert", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        output, errors = cast("tuple[IO[bytes], IO[bytes]]", (process.stdout, process.stderr))
        try:
            while text := output.read(4096):
                for percent in PERCENT.findall(text):
                    progress(min(1.0, float(percent) / 100))
            said = errors.read()
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise _failure(source, f"convert the image to {target_driver}", said)


def _run(path: Path, doing: str, *arguments: str) -> None:
    done = subprocess.run([_program(path), *arguments], capture_output=True, check=False)
    if done.returncode:
        raise _failure(path, doing, done.stderr)


def _program(path: Path) -> str:
    program = shutil.which(PROGRAM)
    if program is None:
        raise MediumError(f"{path}: this format needs the program {PROGRAM}, which is not installed (Debian's package qemu-utils)")
    return program


def _options(options: str) -> list[str]:
    return ["-o", options] if options else []


def _failure(path: Path, doing: str, output: bytes) -> MediumError:
    text = " ".join(output.decode(errors="replace").split())
    return (DiskFullError if NO_ROOM in text else MediumError)(f"{path}: {PROGRAM} cannot {doing}: {text}")


def _require_alone(path: Path, found: dict[str, Any]) -> None:
    if found.get("encrypted"):
        raise MediumError(f"{path}: the image is encrypted; encrypted images are not supported")
    specific = found.get("format-specific", {}).get("data", {})
    others = [name for name in (found.get("backing-filename"), specific.get("data-file")) if name is not None]
    extents = [extent["filename"] for extent in specific.get("extents", ())]
    folder = path.absolute().parent
    others += [name for name in extents if (folder / name).resolve().parent != folder.resolve()]
    if others:
        raise MediumError(f"{path}: the image refers to another file, {others[0]!r}; accepted are images that stand alone, with extents in their own folder")
