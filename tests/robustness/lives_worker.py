"""A process in which machines come and go, and which says what it has more of at the end: threads, open files, bytes of memory."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import threading
from pathlib import Path

import attrs
from ringone.machine import create_session
from ringone.plugins import PluginRegistry

from tests.robustness import machines


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def in_use() -> dict[str, int]:
    gc.collect()
    # What threads freed stays in their arenas, more or less of it from run to run, until malloc is told to give it back.
    ctypes.CDLL(None).malloc_trim(0)
    return {"threads": threading.active_count(), "files": len(list(Path("/proc/self/fd").iterdir())), "bytes": resident_bytes()}


def main(folder: Path, lives: int) -> None:
    config = attrs.evolve(machines.make_config(folder), memory_bytes=16 << 20)
    registry = PluginRegistry([machines], strict=True)

    def live() -> None:
        session = create_session(config, registry)
        session.start()
        session.close()

    for _ in range(3):
        live()
    before = in_use()
    for _ in range(lives):
        live()
    print(json.dumps({name: count - before[name] for name, count in in_use().items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
