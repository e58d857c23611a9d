"""In-memory checkpoints: a machine that is rolled back is what it was, however many checkpoints there are, and goes on as it did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ringone import keptmemory, memory
from ringone.api.config import DeviceConfig, DriverConfig
from ringone.api.errors import DriverError, MediumError, SnapshotError, StateError, UnknownNameError
from ringone.api.events import MachineState, StateRestored
from ringone.machine import Session
from ringone.machine.disks import Chains

from .breadboard import (
    HLT,
    HOST_CLOCK,
    MEDIUM_FULL,
    POWER_OFF,
    SPIN,
    START_TICKING,
    TICK_NS,
    TRIPLE_FAULT,
    WAIT_FOR_TICKS,
    Bench,
    count,
    eventually,
    order,
    out,
    say,
)

OFF, RUNNING, PAUSED, STUCK, ABORTED = MachineState
TICKS = 20
PROGRAM = out(0xE9, 7) + START_TICKING + HLT * TICKS + out(0x80, MEDIUM_FULL) + HLT * TICKS + order(POWER_OFF)
"""Pauses half-way, where the host's disk is full."""


@pytest.fixture(params=["compared", "best"], autouse=True)
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to keep memory."""
    if request.param == "compared":
        monkeypatch.setattr(memory, "keep_memory", lambda view, address: keptmemory.ComparedCopy(view))
    return str(request.param)


def paused(bench: Bench, **changes: Any) -> Session:
    session = bench.started(PROGRAM, **changes)
    eventually(lambda: session.state is PAUSED)
    return session


def write(session: Session, address: int, value: int) -> None:
    """As a bus master does."""
    session.request(lambda: session._machine.parts.memory.write(address, bytes((value,)))).result()


def draw(session: Session, value: int) -> None:
    """As a display does in its frame buffer."""

    def put() -> None:
        session._machine.parts.memory.blocks["servant.screen"].data[7] = value

    session.request(put).result()


def test_a_rolled_back_machine_is_what_it_was(bench: Bench) -> None:
    session = paused(bench)
    before, checkpoint = session.state_hash(), session.take_checkpoint()
    assert session.state_hash() == before
    write(session, 0x80000, 1)
    draw(session, 1)
    session.resume()
    assert session.wait() is OFF

    session.roll_back(checkpoint)

    assert session.state is PAUSED
    assert session.state_hash() == before


def test_it_goes_on_as_it_did_the_first_time(bench: Bench) -> None:
    session = paused(bench)
    checkpoint = session.take_checkpoint()
    ends = set()
    for _ in range(4):
        session.resume()
        assert session.wait() is OFF
        ends.add((session.state_hash(), session.virtual_ns(), count(session)))
        session.roll_back(checkpoint)
    assert len(ends) == 1


def test_a_running_machine_goes_on_running(bench: Bench) -> None:
    session = bench.started(WAIT_FOR_TICKS, clock=HOST_CLOCK)
    checkpoint = session.take_checkpoint()
    assert session.state is RUNNING
    session.roll_back(checkpoint)
    assert session.state is RUNNING
    before = count(session)
    eventually(lambda: count(session) > before)
    assert [event for event in bench.events if isinstance(event, StateRestored)]


def test_time_goes_back_and_is_not_caught_up(bench: Bench) -> None:
    session = bench.started(WAIT_FOR_TICKS, clock=HOST_CLOCK)
    eventually(lambda: count(session) > 0)
    session.pause()
    checkpoint, before, ticks = session.take_checkpoint(), session.virtual_ns(), count(session)
    session.resume()
    eventually(lambda: session.virtual_ns() > before + 50_000_000)
    session.pause()
    session.roll_back(checkpoint)
    assert (session.virtual_ns(), count(session)) == (before, ticks)
    session.resume()
    after, late = session.request(lambda: (session.virtual_ns(), count(session))).result()
    assert (late - ticks - 1) * TICK_NS <= after - before


@pytest.mark.parametrize("program", [order(POWER_OFF), TRIPLE_FAULT], ids=["off", "stuck"])
def test_a_machine_that_ended_is_paused_at_its_checkpoint(bench: Bench, program: str) -> None:
    session = bench.started(out(0x80, MEDIUM_FULL) + program, triple_fault_reset=False)
    eventually(lambda: session.state is PAUSED)
    before, checkpoint = session.state_hash(), session.take_checkpoint()
    session.resume()
    assert session.wait() in (OFF, STUCK)
    session.roll_back(checkpoint)
    assert (session.state, session.state_hash()) == (PAUSED, before)


def test_a_machine_that_is_off_has_nothing_to_keep(bench: Bench) -> None:
    with pytest.raises(StateError, match="cannot save 'bench': it is poweroff"):
        bench.session(SPIN).take_checkpoint()


def test_a_checkpoint_survives_reset_and_a_new_start(bench: Bench) -> None:
    session = paused(bench)
    before, checkpoint = session.state_hash(), session.take_checkpoint()
    session.reset()
    session.power_off()
    session.start()

    def roll_back() -> str:
        session.roll_back(checkpoint)
        return session.state_hash()

    assert session.request(roll_back).result() == before


def test_later_checkpoints_are_forgotten(bench: Bench) -> None:
    session = paused(bench)
    first, second = session.take_checkpoint(), session.take_checkpoint()
    session.roll_back(first)
    with pytest.raises(UnknownNameError, match=f"unknown checkpoint '{second}'; known: {first}"):
        session.roll_back(second)
    with pytest.raises(UnknownNameError):
        session.drop_checkpoint(second)
    assert session.take_checkpoint() not in (first, second)


step = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 12)),
    st.tuples(st.just("take"), st.just(0)),
    st.tuples(st.just("roll back"), st.integers(0, 5)),
    st.tuples(st.just("drop"), st.integers(0, 5)),
)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, max_size=25))
def test_any_order_of_checkpoints_keeps_all_of_them(steps: list[tuple[str, int]], bench: Bench) -> None:
    session = bench.sessions[0] if bench.sessions else paused(bench)
    taken: dict[int, str] = {}
    for serial, (name, which) in enumerate(steps):
        chosen = sorted(taken)[which % len(taken)] if taken else None
        match name:
            case "write":
                write(session, 0x40000 + which * 0x1000, serial + 1)
                draw(session, serial + 1)
            case "take":
                taken[session.take_checkpoint()] = session.state_hash()
            case "roll back" if chosen is not None:
                session.roll_back(chosen)
                taken = {number: hash for number, hash in taken.items() if number <= chosen}
                assert session.state_hash() == taken[chosen]
            case "drop" if chosen is not None:
                before = session.state_hash()
                session.drop_checkpoint(chosen)
                del taken[chosen]
                assert session.state_hash() == before
    for number, hash in sorted(taken.items(), reverse=True):
        session.roll_back(number)
        assert session.state_hash() == hash
        session.drop_checkpoint(number)


def test_a_loaded_state_leaves_checkpoints_alone(bench: Bench) -> None:
    session = paused(bench)
    saved = session.save_state()
    write(session, 0x80000, 1)
    before, checkpoint = session.state_hash(), session.take_checkpoint()
    write(session, 0x80000, 2)
    session.load_state(saved)
    session.roll_back(checkpoint)
    assert session.state_hash() == before


def test_a_part_that_refuses_what_it_gave_is_the_end_of_the_machine(bench: Bench) -> None:
    session = bench.started(say(b"poison") + out(0x80, MEDIUM_FULL) + SPIN)
    eventually(lambda: session.state is PAUSED)
    checkpoint = session.take_checkpoint()
    with pytest.raises(SnapshotError, match="servant: the device refuses its saved state: poison"):
        session.roll_back(checkpoint)
    assert session.state is ABORTED


def test_a_host_without_memory_takes_no_checkpoint(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    session = paused(bench)
    first = session.take_checkpoint()

    def no_room(runs: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    before = session.state_hash()
    with monkeypatch.context() as patch:
        patch.setattr(session._machine.parts.memory.kept, "keep", no_room)
        with pytest.raises(DriverError, match="no memory for a checkpoint"):
            session.take_checkpoint()
    session.roll_back(first)
    assert session.state_hash() == before


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_checkpoint_that_came_to_nothing_half_way_spoils_none(bench: Bench, monkeypatch: pytest.MonkeyPatch, kept: str, writes: int) -> None:
    if kept == "compared" or not keptmemory.private_mappings_work():
        pytest.skip("nothing is written to a file")
    session = paused(bench)
    hashes = {session.take_checkpoint(): session.state_hash()}
    for address in range(0x60000, 0x90000, 0x10000):
        write(session, address, 1)
    room, write_part = iter(range(writes)), keptmemory._write

    def write_while_there_is_room(file: int, data: memoryview | bytes, offset: int) -> None:
        if next(room, None) is None:
            raise OSError(12, "Cannot allocate memory")
        write_part(file, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(keptmemory, "_write", write_while_there_is_room)
        with pytest.raises(DriverError, match="no memory for a checkpoint"):
            session.take_checkpoint()
    hashes[session.take_checkpoint()] = session.state_hash()
    write(session, 0x70000, 2)
    for checkpoint, state in sorted(hashes.items(), reverse=True):
        session.roll_back(checkpoint)
        assert session.state_hash() == state


# --- Disks -------------------------------------------------------------------------------------------------------------------------------------------------


class Disk:
    """A fixed disk of one word; `chain` says in which image it is, and images are in `images`."""

    block_size = 512
    block_count = 1
    read_only = False

    def __init__(self, path: str, images: dict[Path, str]) -> None:
        self.images = images
        self.chain: Sequence[Path] = (Path(path),)
        self.layers: list[str] = []
        self.word = images[Path(path)]
        self.broken = False

    def read(self, block: int, count: int) -> bytes:
        return self.word.encode()

    def write(self, block: int, data: bytes | bytearray | memoryview) -> None:
        self.word = bytes(data).decode()

    def flush(self) -> None:
        self.images[self.chain[0]] = self.word

    def close(self) -> None: ...

    def push_layer(self) -> None:
        if self.broken:
            raise MediumError("this disk keeps nothing")
        self.layers.append(self.word)

    def rewind_layer(self, level: int) -> None:
        self.word = self.layers[level]
        del self.layers[level + 1 :]

    def drop_layer(self, level: int) -> None:
        del self.layers[level]

    def switch(self, chain: Sequence[Path], meanwhile: Callable[[], None] | None = None) -> None:
        if self.layers:
            raise StateError("this disk has layers")
        self.flush()
        if meanwhile is not None:
            meanwhile()
        if chain[0] not in self.images:
            raise MediumError(f"{chain[0]} is missing")
        self.chain, self.word = chain, self.images[chain[0]]


@attrs.define
class Disks:
    first: Disk
    second: Disk
    images: dict[Path, str]

    @property
    def words(self) -> tuple[str, str]:
        return self.first.word, self.second.word


@pytest.fixture
def disks() -> Disks:
    images = {Path(name): name for name in ("a", "b", "a2", "b2")}
    return Disks(Disk("a", images), Disk("b", images), images)


@pytest.fixture
def session(bench: Bench, disks: Disks) -> Session:
    """With a disk in each of two bays, and the first in a second slot as well."""
    slots = {"bay1.disk": disks.first, "bay2.disk": disks.second, "bay3.disk": disks.first}
    bays = tuple(DeviceConfig(id=slot.partition(".")[0], type="bay") for slot in slots)
    return paused(bench, devices=bays, drivers=tuple(DriverConfig(slot=slot, instance=disk) for slot, disk in slots.items()))


BOTH: Chains = {"bay1.disk": [Path("a2"), Path("a")], "bay2.disk": [Path("b2"), Path("b")]}


def test_disks_go_back_with_the_machine(session: Session, disks: Disks) -> None:
    first = session.take_checkpoint()
    disks.first.write(0, b"later")
    second = session.take_checkpoint()
    disks.first.write(0, b"latest")
    session.roll_back(second)
    assert disks.words == ("later", "b")
    session.roll_back(first)
    assert disks.words == ("a", "b")


def test_layers_stay_in_step_when_checkpoints_are_dropped(session: Session, disks: Disks) -> None:
    first, second, third = (session.take_checkpoint() for _ in range(3))
    session.drop_checkpoint(second)
    disks.first.write(0, b"later")
    session.roll_back(third)
    session.drop_checkpoint(third)
    session.roll_back(first)
    session.drop_checkpoint(first)
    assert (disks.words, disks.first.layers, disks.second.layers) == (("a", "b"), [], [])


def test_a_disk_that_keeps_nothing_prevents_a_checkpoint(session: Session, disks: Disks) -> None:
    disks.second.broken = True
    with pytest.raises(MediumError):
        session.take_checkpoint()
    assert (disks.first.layers, disks.second.layers) == ([], [])


def test_a_captured_state_and_its_disks_are_of_one_moment(session: Session, disks: Disks) -> None:
    image = session.capture(BOTH, lambda: disks.images.update({Path("a2"): "child of a"}))
    assert disks.words == ("child of a", "b2")
    assert session.disk_chains() == {slot: tuple(chain) for slot, chain in BOTH.items()}
    session.restore(image, {"bay1.disk": [Path("a")]})
    assert disks.words == ("a", "b2")


@pytest.mark.parametrize("missing", ["a2", "b2"])
def test_disks_are_switched_all_or_none(session: Session, disks: Disks, missing: str) -> None:
    before, image = session.state_hash(), session.capture()
    del disks.images[Path(missing)]
    write(session, 0x80000, 1)
    changed = session.state_hash()
    for attempt in (lambda: session.capture(BOTH), lambda: session.restore(image, BOTH), lambda: session.switch_disks(BOTH)):
        with pytest.raises(MediumError, match="is missing"):
            attempt()
        assert disks.words == ("a", "b")
        assert session.state_hash() == changed != before


def test_what_goes_wrong_meanwhile_leaves_the_old_disks(session: Session, disks: Disks) -> None:
    def fail() -> None:
        raise MediumError("no room for a child")

    with pytest.raises(MediumError, match="no room"):
        session.switch_disks(BOTH, fail)
    assert disks.words == ("a", "b")


def test_a_refused_state_leaves_disks_and_machine(session: Session, disks: Disks, bench: Bench) -> None:
    poisoned = bench.started(say(b"poison") + out(0x80, MEDIUM_FULL) + SPIN)
    eventually(lambda: poisoned.state is PAUSED)
    image = session.capture()
    image = attrs.evolve(image, sections={**image.sections, "servant": poisoned.capture().sections["servant"]})
    before = session.state_hash()
    with pytest.raises(SnapshotError, match="servant: the device refuses its saved state: poison"):
        session.restore(image, BOTH)
    assert (session.state, session.state_hash(), disks.words) == (PAUSED, before, ("a", "b"))


def test_disks_are_not_switched_under_checkpoints(session: Session, disks: Disks) -> None:
    checkpoint = session.take_checkpoint()
    with pytest.raises(StateError, match="layers"):
        session.switch_disks(BOTH)
    session.drop_checkpoint(checkpoint)
    session.switch_disks(BOTH)
    assert disks.words == ("a2", "b2")


def test_an_unknown_disk_is_named(session: Session) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown fixed disk 'bay9\.disk'"):
        session.switch_disks({"bay9.disk": [Path("a")]})
