"""memtest86+ is a program that knows when a PC is wrong. Its last test alone watches memory fade for 160 seconds: it has a file of its own, and so a worker."""

from __future__ import annotations

import pytest

from guests.catalog import BY_NAME
from tests.conftest import BootGuest

pytestmark = pytest.mark.guest


def test_a_whole_pass_finds_no_error(boot_guest: BootGuest) -> None:
    boot_guest("memtest").wait_screen(BY_NAME["memtest"].marker, BY_NAME["memtest"].timeout_s)
