"""State of the i8042 and of what is plugged into it."""

from __future__ import annotations

import attrs

RAM_BYTES = 32


@attrs.define(slots=True)
class KeyboardState:
    """`keys` are set-1 bytes from the host, `sending` the rest of a key in the guest's scan code set, `replies` answers to commands. `awaiting` is a command
    whose parameter comes next (0: none)."""

    keys: bytes = b""
    sending: bytes = b""
    replies: bytes = b""
    awaiting: int = 0
    scanning: bool = True
    scan_set: int = 2
    leds: int = 0
    rate: int = 0x2B
    last_sent: int = 0


@attrs.define(slots=True)
class Movement:
    """What happened while `buttons` were held; y grows downwards."""

    dx: int
    dy: int
    dz: int
    buttons: int


@attrs.define(slots=True)
class MouseState:
    """`movements` are not yet reported, `sending` is the rest of a packet. `rates` are the last three sample rates: drivers knock with them for the wheel
    and for two more buttons (`explorer`)."""

    movements: list[Movement] = attrs.field(factory=list)
    sending: bytes = b""
    replies: bytes = b""
    awaiting: int = 0
    reporting: bool = False
    remote: bool = False
    wrap: bool = False
    double_scaling: bool = False
    resolution: int = 2
    rate: int = 100
    rates: bytes = b""
    wheel: bool = False
    explorer: bool = False
    buttons: int = 0
    last_sent: int = 0


@attrs.define(slots=True)
class I8042State:
    """`ram` byte 0 is the command byte. `output` is the output buffer's byte; `full` and `auxiliary` are OBF and AUXB. `replies` are the controller's own
    bytes that wait for the buffer, bit 8 set for the auxiliary port. `awaiting` is a command whose parameter comes next (0: none), `break_prefix` an F0 that
    the translation has swallowed. The device that did not speak last goes first."""

    ram: list[int] = attrs.field(factory=lambda: [0] * RAM_BYTES)
    output_port: int = 0
    output: int = 0
    full: bool = False
    auxiliary: bool = False
    replies: list[int] = attrs.field(factory=list)
    awaiting: int = 0
    last_was_command: bool = False
    break_prefix: bool = False
    keyboard_spoke_last: bool = False
    keyboard: KeyboardState = attrs.field(factory=KeyboardState)
    mouse: MouseState = attrs.field(factory=MouseState)
