"""Memory as it was: what changed is found and undone, the same way on every host."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringone import keptmemory
from ringone.hostmemory import reserve
from ringone.keptmemory import ComparedCopy, KeptMemory, PrivateMapping, copy_used, differences, keep_memory, pages_of, private_mappings_work
from ringone.memory import AddressSpace

PAGE = 4096
PAGES = 40
"""More than two chunks."""

Make = Callable[[memoryview], KeptMemory]


def mapped(view: memoryview) -> KeptMemory:
    if not private_mappings_work():
        pytest.skip("this host has no private mappings of memory files, or does not tell which of their pages were written")
    return PrivateMapping(view, ctypes.addressof(ctypes.c_char.from_buffer(view)))


@pytest.fixture(params=[pytest.param(ComparedCopy, id="compared"), pytest.param(mapped, id="mapped")])
def make(request: pytest.FixtureRequest) -> Make:
    chosen: Make = request.param
    return chosen


@pytest.fixture
def memory() -> memoryview:
    view = memoryview(reserve(PAGES * PAGE))
    for page in range(0, PAGES, 3):
        view[page * PAGE + page] = page + 1
    return view


@pytest.fixture
def kept(make: Make, memory: memoryview) -> Iterator[KeptMemory]:
    made = make(memory)
    made.keep(made.changed())
    yield made
    made.close()


def put(memory: memoryview, page: int, value: int) -> None:
    memory[page * PAGE + 7] = value


def test_keeping_changes_nothing(memory: memoryview, make: Make) -> None:
    before = bytes(memory)
    made = make(memory)
    made.keep(made.changed())
    assert bytes(memory) == before
    assert made.changed() == []
    assert b"".join(map(made.page, range(PAGES))) == before
    made.close()


def test_changed_pages_are_named_and_come_back(memory: memoryview, kept: KeptMemory) -> None:
    before = bytes(memory)
    for page in (0, 4, 5, PAGES - 1):
        put(memory, page, 99)
    assert kept.changed() == [(0, 1), (4, 6), (PAGES - 1, PAGES)]
    kept.revert(kept.changed())
    assert bytes(memory) == before
    assert kept.changed() == []


def test_kept_pages_stay_what_they_were(memory: memoryview, kept: KeptMemory) -> None:
    put(memory, 3, 1)
    kept.keep(kept.changed())
    put(memory, 3, 2)
    assert kept.page(3)[7] == 1


def test_rest_and_keeping_again(memory: memoryview, kept: KeptMemory) -> None:
    put(memory, 9, 1)
    kept.rest()
    kept.keep(kept.changed())
    put(memory, 9, 2)
    kept.revert(kept.changed())
    assert memory[9 * PAGE + 7] == 1


operation = st.one_of(
    st.tuples(st.just("write"), st.integers(0, PAGES - 1), st.integers(0, 255)),
    st.tuples(st.just("keep"), st.just(0), st.just(0)),
    st.tuples(st.just("revert"), st.just(0), st.just(0)),
    st.tuples(st.just("replace"), st.integers(0, PAGES - 1), st.integers(0, 255)),
    st.tuples(st.just("replace kept"), st.integers(0, PAGES - 1), st.integers(0, 255)),
)


@settings(deadline=None, max_examples=60)
@given(operations=st.lists(operation, max_size=30))
def test_any_order_of_operations_does_what_two_copies_would(operations: list[tuple[str, int, int]]) -> None:
    for make in (ComparedCopy, mapped) if private_mappings_work() else (ComparedCopy,):
        memory = memoryview(reserve(PAGES * PAGE))
        made = make(memory)
        made.keep(made.changed())
        present, former = bytearray(PAGES), bytearray(PAGES)
        for name, page, value in operations:
            filled = bytes((value,)) * PAGE
            match name:
                case "write":
                    memory[page * PAGE : (page + 1) * PAGE] = filled
                    present[page] = value
                case "keep":
                    made.keep(made.changed())
                    former[:] = present
                case "revert":
                    made.revert(made.changed())
                    present[:] = former
                case "replace" if page not in set(pages_of(made.changed())):
                    made.replace(page, filled)
                    present[page] = former[page] = value
                case "replace kept":
                    made.replace_kept(page, filled)
                    former[page] = value
            assert bytes(memory[::PAGE]) == present
            assert bytes(made.page(page)[0] for page in range(PAGES)) == former
            assert {page for page in range(PAGES) if present[page] != former[page]} <= set(pages_of(made.changed()))
        made.close()


def test_the_memory_reads_zeros_when_a_mapping_was_closed(memory: memoryview) -> None:
    made = mapped(memory)
    made.keep(made.changed())
    made.close()
    assert not any(memory)


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


def test_a_host_that_does_not_play_along_gets_a_copy(memory: memoryview, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(keptmemory, "_PAGEMAP", tmp_path / "missing")
    private_mappings_work.cache_clear()
    before = open_files()
    try:
        assert not private_mappings_work()
        assert isinstance(keep_memory(memory, 0), ComparedCopy)
    finally:
        private_mappings_work.cache_clear()
    assert open_files() == before


def test_a_closed_machine_leaves_no_files_open() -> None:
    mapped(memoryview(reserve(PAGE))).close()
    before = open_files()
    space = AddressSpace(1 << 20)
    space.freeze()
    space.kept.keep(space.kept.changed())
    space.close()
    assert open_files() == before


@pytest.mark.parametrize("places", [(), (0,), (PAGE - 1, PAGE), (17 * PAGE, 18 * PAGE, 39 * PAGE)], ids=["none", "first", "neighbours", "chunks"])
def test_differences_are_whole_pages(places: tuple[int, ...], memory: memoryview) -> None:
    other = memoryview(bytearray(memory))
    for place in places:
        other[place] ^= 0xFF
    assert sorted(pages_of(differences(memory, other))) == sorted({place // PAGE for place in places})


def test_copying_what_is_used_copies_everything(memory: memoryview) -> None:
    target = memoryview(reserve(len(memory)))
    copy_used(memory, target)
    assert target == memory
