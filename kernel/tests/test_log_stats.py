"""Loggers and counters of components."""

from __future__ import annotations

import logging

import pytest
from ringone.log import BURST, component_logger
from ringone.stats import MAX_NAMES, ComponentCounters, Statistics


def test_records_carry_the_virtual_time_and_the_components_name(caplog: pytest.LogCaptureFixture) -> None:
    component_logger("my.vm", "pit", lambda: 1234).warning("odd mode %d", 7)
    [record] = caplog.records
    assert (record.name, record.virtual_ns, record.getMessage()) == ("ringone.my_vm.pit", 1234, "odd mode 7")  # type: ignore[attr-defined]


def test_a_repeated_message_is_held_back_and_others_are_not(caplog: pytest.LogCaptureFixture) -> None:
    log = component_logger("vm", "pit", lambda: 0)
    for index in range(10 * BURST):
        log.warning("odd mode %d", index)
    log.warning("another matter")
    assert len(caplog.records) == BURST + 1


def test_what_was_held_back_is_said_later(caplog: pytest.LogCaptureFixture) -> None:
    log = component_logger("vm", "pit", lambda: 0)
    for _ in range(BURST + 5):
        log.warning("odd mode")
    late = log.makeRecord(log.name, logging.WARNING, __file__, 1, "odd mode", (), None)
    late.created += 10
    log.handle(late)
    assert caplog.records[-1].getMessage() == "odd mode (5 more like this were held back)"


def test_levels_are_set_on_the_standard_logger_at_any_time() -> None:
    log = component_logger("vm-levels", "pit", lambda: 0)
    assert not log.isEnabledFor(logging.DEBUG)
    logging.getLogger("ringone.vm-levels").setLevel(logging.DEBUG)
    assert log.isEnabledFor(logging.DEBUG)


def test_counters_of_all_components_are_collected_by_name() -> None:
    statistics = Statistics()
    pit = statistics.counters("Devices/pit")
    pit.add("Interrupts")
    pit.add("Interrupts", 2)
    statistics.counters("IOM").provide(lambda: {"UnmappedPortReads": 4})
    assert statistics.counters("Devices/pit") is pit
    assert statistics.collect() == {"Devices/pit/Interrupts": 3, "IOM/UnmappedPortReads": 4}


def test_a_component_cannot_invent_names_for_ever() -> None:
    counters = ComponentCounters()
    for index in range(2 * MAX_NAMES):
        counters.add(f"port {index}")
    counters.add("port 0")
    assert len(counters.collect()) == MAX_NAMES
    assert counters.collect()["port 0"] == 2
