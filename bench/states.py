"""Going back to a state and keeping one, with Linux at its shell: checkpoints and state files here, ``loadvm`` and ``savevm`` in QEMU."""

from __future__ import annotations

import os
import re
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import attrs
from ringone.api.config import CpuConfig, MachineConfig
from ringone.machine import write_state_file
from ringone.plugins import PluginRegistry

from guests.catalog import BY_NAME, MIB
from guests.console import Guest
from guests.initramfs import SHELL

MEMORY_BYTES = 128 * MIB
BOOT_S = 300
ANSWER_S = 60
ROUNDS = 30
ENDURANCE = 1000
COMMAND = "ls /bin | wc -l; echo an''swered\n"
ANSWER = "answered"
QEMU_PROMPT = b"(qemu) "


def _linux(backend: str = "") -> MachineConfig:
    config = BY_NAME["linux-686"].machine(append="console=ttyS0 guest=shell")
    return attrs.evolve(config, memory_bytes=MEMORY_BYTES, cpu=CpuConfig(backend=backend) if backend else config.cpu)


def _ms(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


ROWS = {
    "go back to a state, median": ("go_back_ms", "{:.1f} ms"),
    "go back to a state, longest": ("go_back_max_ms", "{:.1f} ms"),
    "take a checkpoint in memory": ("take_ms", "{:.1f} ms"),
    "save a state to disk": ("save_s", "{:.2f} s"),
    "of that, the guest waits": ("guest_waits_ms", "{:.0f} ms"),
    "file of a whole state": ("save_mib", "{:.1f} MiB"),
    "memory that is in use": ("used_mib", "{:.1f} MiB"),
    "save one on top of it": ("save_on_parent_s", "{:.2f} s"),
    "its file": ("save_on_parent_mib", "{:.2f} MiB"),
    "restore from disk": ("restore_s", "{:.2f} s"),
    "rollbacks in a row": ("endurance_rollbacks", "{:.0f}"),
    "different states after them": ("endurance_states", "{:.0f}"),
    "memory lost by them": ("leaked_mib", "{:.1f} MiB"),
}
"""For people: a result's name and form. QEMU keeps states on its disk only and goes back to them by ``loadvm``."""


# --- RingOne ----------------------------------------------------------------------------------------------------------------------------------


def ringone() -> dict[str, float]:
    with Guest(_linux(), PluginRegistry()).start() as guest, tempfile.TemporaryDirectory() as folder:
        guest.wait_serial(SHELL, BOOT_S)
        guest.wait_serial("# ", ANSWER_S, after=guest.serial.index(SHELL))
        return _checkpoints(guest) | _files(guest, Path(folder)) | _endurance(guest)


def _ask(guest: Guest) -> None:
    said = len(guest.serial)
    guest.send(COMMAND)
    guest.wait_serial(ANSWER, ANSWER_S, after=said)


def _checkpoints(guest: Guest) -> dict[str, float]:
    session, times = guest.session, []
    start = time.perf_counter()
    checkpoint = session.take_checkpoint()
    taking = (time.perf_counter() - start) * 1000
    for _ in range(ROUNDS):
        _ask(guest)
        times.append(_ms(lambda: session.roll_back(checkpoint)))
    session.drop_checkpoint(checkpoint)
    return {"take_ms": taking, "go_back_ms": statistics.median(times), "go_back_max_ms": max(times)}


def _files(guest: Guest, folder: Path) -> dict[str, float]:
    """A whole state, one on top of it, and back; the guest runs all the time but while it is copied."""
    session = guest.session
    whole, child = folder / "whole.state", folder / "child.state"
    start = time.perf_counter()
    image = session.capture()  # type: ignore[attr-defined]
    waited = time.perf_counter() - start
    size = write_state_file(image, whole).file_bytes
    saved = time.perf_counter() - start
    used = sum(1 for data in image.memory.values() for at in range(0, len(data), 4096) if any(data[at : at + 4096])) * 4096
    _ask(guest)
    start = time.perf_counter()
    child_size = write_state_file(session.capture(), child, parent=whole).file_bytes  # type: ignore[attr-defined]
    child_saved = time.perf_counter() - start
    restored = _ms(lambda: session.restore_file(child)) / 1000  # type: ignore[attr-defined]
    _ask(guest)
    return {
        "save_s": saved,
        "guest_waits_ms": waited * 1000,
        "save_mib": size / MIB,
        "used_mib": used / MIB,
        "save_on_parent_s": child_saved,
        "save_on_parent_mib": child_size / MIB,
        "restore_s": restored,
    }


def _endurance(guest: Guest) -> dict[str, float]:
    """A thousand rollbacks in a row, the guest running for a moment before each; the hash of every state, and what the process holds afterwards."""
    session = guest.session
    session.pause()
    checkpoint = session.take_checkpoint()
    states, memory, files = set(), [], []
    for number in range(ENDURANCE):
        session.resume()
        if number % 50 == 0:
            _ask(guest)
        session.pause()
        session.roll_back(checkpoint)
        states.add(session.state_hash())
        if number >= ENDURANCE // 10:
            memory.append(_resident_mib())
            files.append(len(list(Path("/proc/self/fd").iterdir())))
    session.resume()
    return {"endurance_rollbacks": ENDURANCE, "endurance_states": len(states), "leaked_mib": memory[-1] - memory[0], "leaked_files": files[-1] - files[0]}


def _resident_mib() -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


# --- QEMU ----------------------------------------------------------------------------------------------------------------------------------


class Qemu:
    """The same guest in QEMU's TCG, with a serial line, a monitor, and a qcow2 disk that takes the states."""

    def __init__(self, folder: Path) -> None:
        linux = _linux().linux
        assert linux is not None
        self.disk = folder / "disk.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(self.disk), "64M"], check=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / "monitor"))
        listener.listen(1)
        command = ["qemu-system-i386", "-accel", "tcg", "-m", str(MEMORY_BYTES >> 20), "-nodefaults", "-vga", "std", "-display", "none", "-serial", "stdio"]
        command += ["-monitor", f"unix:{folder / 'monitor'}", "-drive", f"file={self.disk},if=ide,format=qcow2"]
        command += ["-kernel", str(linux.kernel), "-initrd", str(linux.initrd), "-append", linux.append]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._monitor, _ = listener.accept()
        listener.close()
        self._said = bytearray()
        self._more = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()
        self._wait_for_prompt()

    def __enter__(self) -> Qemu:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        self._monitor.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        while data := os.read(self._process.stdout.fileno(), 4096):
            with self._more:
                self._said += data
                self._more.notify_all()

    def wait_serial(self, text: str, timeout_s: float, *, after: int = 0) -> None:
        with self._more:
            if not self._more.wait_for(lambda: text.encode() in self._said[after:], timeout_s):
                raise TimeoutError(f"QEMU's guest does not say {text!r}: {self._said[-500:]!r}")

    def ask(self) -> None:
        assert self._process.stdin is not None
        said = len(self._said)
        self._process.stdin.write(COMMAND.encode())
        self._process.stdin.flush()
        self.wait_serial(ANSWER, ANSWER_S, after=said)

    def order(self, command: str) -> None:
        self._monitor.sendall(f"{command}\n".encode())
        self._wait_for_prompt()

    def _wait_for_prompt(self) -> None:
        said = b""
        while not said.endswith(QEMU_PROMPT):
            said += self._monitor.recv(4096)

    @property
    def disk_mib(self) -> float:
        return self.disk.stat().st_blocks * 512 / MIB


def qemu() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, Qemu(Path(folder)) as guest:
        guest.wait_serial(SHELL, BOOT_S)
        guest.wait_serial("# ", ANSWER_S)
        before = guest.disk_mib
        saved = _ms(lambda: guest.order("savevm bench")) / 1000
        size = guest.disk_mib - before
        times = []
        for _ in range(ROUNDS):
            guest.ask()
            times.append(_ms(lambda: guest.order("loadvm bench")))
        guest.ask()
    middle = statistics.median(times)
    return {"go_back_ms": middle, "go_back_max_ms": max(times), "save_s": saved, "save_mib": size, "restore_s": middle / 1000}
