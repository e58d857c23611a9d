"""The bench of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .breadboard import Bench, HostFile


@pytest.fixture
def bench() -> Iterator[Bench]:
    HostFile.opened = []
    made = Bench()
    yield made
    made.close()
