"""The debug console and the POST code latch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ringone.testing import DeviceHarness
from ringone.testing.devices import DeviceConformance
from ringone_devices_pc.debug_port import SPEC as DEBUG_SPEC
from ringone_devices_pc.post_port import SPEC as POST_SPEC


class Log:
    """A CharStream that keeps what it is given."""

    def __init__(self) -> None:
        self.text = b""

    def write(self, data: bytes) -> None:
        self.text += data

    def attach(self, received: Callable[[], None]) -> None:
        raise AssertionError("a debug console has no input")

    def read(self, size: int) -> bytes:
        raise AssertionError("a debug console has no input")

    def close(self) -> None:
        raise AssertionError("the chip does not own its stream")


class TestDebugPortConformance(DeviceConformance):
    def make_harness(self) -> DeviceHarness:
        return DeviceHarness(DEBUG_SPEC, drivers={"stream": Log()})


class TestPostPortConformance(DeviceConformance):
    def make_harness(self) -> DeviceHarness:
        return DeviceHarness(POST_SPEC)

    def exercise(self, harness: DeviceHarness) -> None:
        harness.write(0x80, 0x42)


@pytest.mark.parametrize("port", [0x402, 0xE9])
def test_what_is_written_goes_to_the_stream(port: int) -> None:
    log = Log()
    debug = DeviceHarness(DEBUG_SPEC, drivers={"stream": log})
    for byte in b"SeaBIOS\n":
        debug.write(port, byte)
    assert log.text == b"SeaBIOS\n"


@pytest.mark.parametrize("port", [0x402, 0xE9])
def test_the_ports_say_whether_somebody_listens(port: int) -> None:
    assert DeviceHarness(DEBUG_SPEC, drivers={"stream": Log()}).read(port) == 0xE9
    assert DeviceHarness(DEBUG_SPEC).read(port) == 0xFF


def test_the_last_post_code_can_be_read_and_is_in_the_statistics() -> None:
    post = DeviceHarness(POST_SPEC)
    post.write(0x80, 0x12)
    post.write(0x80, 0x34)
    assert post.read(0x80) == 0x34
    assert post.stats.collect()["Code"] == 0x34
