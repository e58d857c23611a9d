"""``python -m guests.irq_loop [ROUNDS]``: builds a kernel that does little but enable and disable interrupts, and prints its path: the worst case for raw mode
without patches. It ends with ``IRQ LOOP DONE`` on COM1."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from guests.cache import CACHE

SOURCE = Path(__file__).with_suffix(".S")
ROUNDS = 200_000
DONE = "IRQ LOOP DONE"


def build(rounds: int = ROUNDS) -> Path:
    """The kernel's path, built anew if need be. Raises `CalledProcessError` where the compiler refuses."""
    kernel = CACHE / "irq_loop" / f"irq_loop-{rounds}.elf"
    if not kernel.exists() or kernel.stat().st_mtime < SOURCE.stat().st_mtime:
        kernel.parent.mkdir(parents=True, exist_ok=True)
        program = kernel.with_suffix(".o")
        _zig("cc", "-target", "x86-freestanding-none", "-march=i686", f"-Wa,--defsym,ROUNDS={rounds}", "-c", str(SOURCE), "-o", str(program))
        _zig("ld.lld", "-m", "elf_i386", "--nmagic", "--image-base=0x100000", "-Ttext=0x100000", "--entry=start", str(program), "-o", str(kernel))
    return kernel


def _zig(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "ziglang", *arguments], check=True)


if __name__ == "__main__":
    print(build(*(int(argument) for argument in sys.argv[1:])))
