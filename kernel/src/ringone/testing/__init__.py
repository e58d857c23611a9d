"""Test kits for plugins: a bench for one device, and conformance classes to subclass.

`ringone.testing.devices` (the conformance kit) needs hypothesis, so it is imported by name and not from here.
"""

from ringone.testing.harness import DeviceHarness, FakePciBus

__all__ = ["DeviceHarness", "FakePciBus"]
