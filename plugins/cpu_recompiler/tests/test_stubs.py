"""The checked-in machine code is what its source makes."""

from __future__ import annotations

from ringone_cpu_recompiler import stub_code, stub_source


def test_the_machine_code_is_up_to_date() -> None:
    assert stub_source.build() == stub_code.ROUTINES
