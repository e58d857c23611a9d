"""Debian's Linux at its shell, rolled back again and again: the same state every time, nothing leaked, and a shell that still answers."""

from __future__ import annotations

import gc
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from ringone.api.config import CpuConfig, MachineConfig
from ringone.machine import Session, describe_state_file, write_state_file
from ringone.plugins import PluginRegistry

from guests import images
from guests.catalog import BY_NAME, MIB
from guests.console import Guest
from guests.initramfs import SHELL
from tests.conftest import Boot

pytestmark = pytest.mark.guest

BACKENDS = ("recompiler", "patm")
ROLLBACKS = int(os.environ.get("RINGONE_ROLLBACKS", "60"))
BOOT_S = 180
ANSWER_S = 60
MEMORY_BYTES = 128 * MIB
DATA_HASH = hashlib.sha256(images.data()).hexdigest()


def linux(backend: str) -> MachineConfig:
    config = BY_NAME["linux-686"].machine(append="console=ttyS0 guest=shell")
    return attrs.evolve(config, memory_bytes=MEMORY_BYTES, cpu=CpuConfig(backend=backend))


def at_its_shell(guest: Guest) -> Guest:
    guest.wait_serial(SHELL, BOOT_S)
    guest.wait_serial("# ", ANSWER_S, after=guest.serial.index(SHELL))
    return guest


def ask(guest: Guest, command: str) -> str:
    """What a command prints."""
    said = len(guest.serial)
    guest.send(f"{command}; echo an''swered\n")
    return guest.wait_serial("answered", ANSWER_S, after=said)[said:]


def session_of(guest: Guest) -> Session:
    assert isinstance(guest.session, Session)
    return guest.session


def state_after_rollback(guest: Guest, checkpoint: int) -> str:
    """While it is paused: time is part of the state, and the host's goes on."""
    guest.session.pause()
    guest.session.roll_back(checkpoint)
    state = guest.session.state_hash()
    guest.session.resume()
    return state


@pytest.fixture(scope="module", params=BACKENDS)
def shell(request: pytest.FixtureRequest, registry: PluginRegistry) -> Iterator[Guest]:
    with Guest(linux(request.param), registry).start() as guest:
        yield at_its_shell(guest)


@pytest.fixture
def checkpoint(shell: Guest) -> Iterator[int]:
    shell.session.pause()
    taken = shell.session.take_checkpoint()
    shell.session.resume()
    yield taken
    shell.session.roll_back(taken)
    shell.session.drop_checkpoint(taken)


def resident_bytes() -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) << 10


def test_every_rollback_gives_the_same_state_and_leaks_nothing(shell: Guest, checkpoint: int) -> None:
    before = state_after_rollback(shell, checkpoint)
    used = []
    for number in range(ROLLBACKS):
        if number % 10 == 0:
            assert "an5swer" in ask(shell, "echo an$((2 + 3))swer; dd if=/dev/urandom of=/tmp-file bs=64k count=16 2>/dev/null")
        assert state_after_rollback(shell, checkpoint) == before
        if number % 10 == 9:
            gc.collect()
            used.append((len(list(Path("/proc/self/fd").iterdir())), resident_bytes()))
    assert "No such file" in ask(shell, "ls /tmp-file")
    warm = used[len(used) // 3 :]
    assert warm[-1][0] == warm[0][0]
    assert warm[-1][1] - warm[0][1] < 8 * MIB


def test_a_transfer_that_a_checkpoint_interrupts_ends_right_every_time(shell: Guest, checkpoint: int) -> None:
    ask(shell, "mkdir -p /mnt; mount -t vfat -o ro /dev/sda /mnt")
    said = len(shell.serial)
    shell.send("sha256sum < /mnt/data.bin\n")
    shell.wait_serial("data.bin\n", ANSWER_S, after=said)  # what the line has not passed on yet is no part of a checkpoint
    halfway = shell.session.take_checkpoint()
    for _ in range(4):
        said = len(shell.serial)
        shell.wait_serial(DATA_HASH, ANSWER_S, after=said)
        shell.session.roll_back(halfway)


def test_what_is_written_to_the_disk_goes_back(shell: Guest, checkpoint: int) -> None:
    for _ in range(2):
        assert DATA_HASH in ask(shell, "mkdir -p /mnt; mount -t vfat /dev/sda /mnt && sha256sum < /mnt/data.bin")
        ask(shell, "echo changed > /mnt/data.bin; umount /mnt; sync")
        shell.session.roll_back(checkpoint)


def test_translated_code_survives_a_rollback(shell: Guest, checkpoint: int) -> None:
    ask(shell, "true")
    shell.session.roll_back(checkpoint)
    before = shell.session.statistics()["PGM/CodeInvalidations"]
    for _ in range(10):
        shell.session.roll_back(checkpoint)
    assert shell.session.statistics()["PGM/CodeInvalidations"] - before < 100


def test_a_state_goes_from_raw_mode_to_the_recompiler_and_back(make_guest: Boot, tmp_path: Path) -> None:
    guest = at_its_shell(make_guest(linux("patm")).start())
    ask(guest, "word=kept")
    parent: Path | None = None
    for number, backend in enumerate(("recompiler", "patm", "recompiler")):
        path = tmp_path / f"{number}.state"
        write_state_file(session_of(guest).capture(), path, parent=parent)
        assert describe_state_file(path).parent == parent
        guest = make_guest(linux(backend))
        session_of(guest).restore_file(path)
        guest.session.resume()
        assert "kept and alive" in ask(guest, 'echo "$word and a""live"')
        parent = path
