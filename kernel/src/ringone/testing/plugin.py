"""Pytest plugin: makes failed assertions inside the conformance kits as readable as those of the tests that use them."""

import pytest

pytest.register_assert_rewrite("ringone.testing.devices")
