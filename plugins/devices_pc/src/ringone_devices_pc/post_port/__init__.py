"""POST code latch."""

from ringone.api.devices import DeviceSpec

from ringone_devices_pc.post_port.config import PostPortOptions
from ringone_devices_pc.post_port.device import PostPort
from ringone_devices_pc.post_port.state import PostPortState

SPEC = DeviceSpec(
    name="post_port",
    summary="Power-on self-test code latch at port 0x80",
    options=PostPortOptions,
    state=PostPortState,
    create=PostPort,
)
