"""A disk that is written at random, with snapshots taken, restored and deleted in between, beside a reference that is copied whole every time."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from ringone.api.errors import StateError
from ringone.api.media import AccessMode

from tests.snapshots.lab import DISK_BYTES, Lab, formats, make_lab
from tests.snapshots.qemu import QEMU_IMG, check_with_qemu, compare_with_qemu

STEPS = 25
CAPACITY_BYTES = DISK_BYTES - 512 * 3
"""The last image block is cut."""


class Reference:
    """The same disk and the same snapshots, the simple way."""

    def __init__(self) -> None:
        self.disk = bytearray(CAPACITY_BYTES)
        self.snapshots: dict[str, bytes] = {}


def write_at_random(lab: Lab, reference: Reference, chance: random.Random) -> None:
    """Data, zeros, whole image blocks, ends."""
    disk = formats()["vdi"].open(lab.chain, AccessMode.PERSISTENT, 512)
    for _ in range(chance.randrange(1, 12)):
        count = min(chance.choice([1, 2, 8, 300, 2048, 3000]), disk.block_count)
        first = chance.randrange(disk.block_count - count + 1)
        data = bytes(count * 512) if chance.random() < 0.2 else chance.randbytes(512) * count
        disk.write(first, data)
        reference.disk[first * 512 : first * 512 + len(data)] = data
    disk.close()


def change_snapshots(lab: Lab, reference: Reference, chance: random.Random, number: int) -> None:
    name = chance.choice(list(reference.snapshots) or ["none"])
    with lab.at_rest() as keeper:
        choice = chance.choice(["take", "take", "restore", "delete", "delete"])
        if choice == "take":
            keeper.take_snapshot(str(number))
            reference.snapshots[str(number)] = bytes(reference.disk)
        elif choice == "restore" and reference.snapshots:
            keeper.restore_snapshot(name)
            reference.disk[:] = reference.snapshots[name]
        elif reference.snapshots:
            try:
                keeper.delete_snapshot(name)
            except StateError:
                return
            del reference.snapshots[name]


def all_chains(lab: Lab) -> dict[str, tuple[Path, ...]]:
    chains = {"": lab.chain}
    for snapshot in lab.settings.snapshots():
        drive = snapshot.config.drives[0]
        assert drive.image is not None
        chains[snapshot.name] = (drive.image, *drive.parents)
    return chains


@pytest.mark.parametrize("seed", range(2))
def test_every_state_reads_as_its_copy(tmp_path: Path, seed: int) -> None:
    lab = make_lab(tmp_path, capacity_bytes=CAPACITY_BYTES)
    reference, chance = Reference(), random.Random(seed)
    for number in range(STEPS):
        write_at_random(lab, reference, chance)
        change_snapshots(lab, reference, chance, number)
        assert lab.content() == reference.disk
    expected = {"": bytes(reference.disk), **reference.snapshots}
    chains = all_chains(lab)
    assert chains.keys() == expected.keys()
    for name, chain in chains.items():
        assert lab.content(chain) == expected[name], f"snapshot {name!r}"
        for image in chain:
            check_with_qemu(image, tmp_path)


@pytest.mark.skipif(not QEMU_IMG, reason="qemu-img is not installed (Debian's package qemu-utils)")
def test_qemu_reads_the_merged_disk_as_its_copy(tmp_path: Path) -> None:
    lab = make_lab(tmp_path, capacity_bytes=CAPACITY_BYTES)
    reference, chance = Reference(), random.Random(4)
    for name in "abcd":
        write_at_random(lab, reference, chance)
        with lab.at_rest() as keeper:
            keeper.take_snapshot(name)
    write_at_random(lab, reference, chance)
    with lab.at_rest() as keeper:
        for name in "cadb":
            keeper.delete_snapshot(name)
    assert lab.chain == (lab.disk,)
    copy = tmp_path / "reference.img"
    copy.write_bytes(reference.disk)
    check_with_qemu(lab.disk, tmp_path)
    compare_with_qemu(lab.disk, copy)
