"""Whatever a guest calls a service with, the service ends and nothing breaks."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ringone.testing import DeviceHarness
from ringone.testing.media import MemoryDisk, MemoryDrive, numbered_blocks
from ringone_firmware.builtin.operations import Opcode

from .rom_loop import MEMORY_BYTES, STEP_PORT, Guest, bench, booted

VECTORS = (0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x1A, 0x101, 0x118, 0x119, 0x77)
WORDS = st.one_of(st.integers(0, 0xFFFF), st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, 0xFFFF]))
DWORDS = st.one_of(WORDS, st.integers(0, 0xFFFFFFFF))
FUNCTIONS = st.one_of(st.integers(0, 0x4F), st.sampled_from([0x86, 0x87, 0x88, 0xB1, 0xC0, 0xE8]))
ANSWERS = st.integers(0, 0xFFFFFFFF)
OPERATIONS = 400


@pytest.fixture(scope="module")
def saved_bench() -> tuple[DeviceHarness, dict[str, object]]:
    harness = bench(
        disks=(MemoryDisk(numbered_blocks(256)),),
        floppies=(MemoryDrive(MemoryDisk(numbered_blocks(64))), MemoryDrive()),
        cds=(MemoryDrive(MemoryDisk(numbered_blocks(32, 2048), block_size=2048, read_only=True)),),
    )
    booted(harness)
    return harness, harness.save()


@settings(max_examples=400, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(
    vector=st.sampled_from(VECTORS),
    function=FUNCTIONS,
    al=st.integers(0, 255),
    dl=st.one_of(st.sampled_from([0, 1, 0x80, 0xE0]), st.integers(0, 255)),
    others=st.fixed_dictionaries({"ebx": DWORDS, "ecx": DWORDS, "esi": DWORDS, "edi": DWORDS, "ebp": DWORDS, "es": WORDS, "ds": WORDS}),
    area=st.binary(max_size=64),
    mode=st.sampled_from([0x03, 0x12, 0x13, 0x77]),
    answer=ANSWERS,
)
def test_every_call_ends(
    saved_bench: tuple[DeviceHarness, dict[str, object]],
    vector: int,
    function: int,
    al: int,
    dl: int,
    others: dict[str, int],
    area: bytes,
    mode: int,
    answer: int,
) -> None:
    harness, saved = saved_bench
    harness.load(saved)
    guest = Guest(harness)
    guest.memory.write(0x449, bytes([mode]))
    guest.memory.write((others["ds"] << 4) + (others["esi"] & 0xFFFF) & 0xFFFFF, area)
    guest.begin(vector, eax=function << 8 | al, edx=dl, **others)
    for _ in range(OPERATIONS):
        step = harness.read(STEP_PORT, 4)
        opcode = Opcode(step & 0xFF)
        if opcode in (Opcode.DONE, Opcode.HALT, Opcode.SPIN):
            return
        if opcode in (Opcode.STORE, Opcode.FETCH, Opcode.MOVE, Opcode.FILL):
            continue
        guest.ports[step >> 16] = answer & 0xFF
        guest.operate(opcode, step >> 16)
    assert harness.memory.ram_size == MEMORY_BYTES
