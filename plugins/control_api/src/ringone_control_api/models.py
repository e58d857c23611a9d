"""What goes over the wire as JSON. Unknown fields are refused; sizes are bounded."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from ringone.api.events import MachineState

from ringone_control_api.waiting import MAX_PATTERN_CHARACTERS, MAX_TIMEOUT_S, Clock

MAX_CODES = 1 << 16
MAX_CHORDS = 4096
MAX_TEXT = 1 << 20
MAX_MOVE = 1 << 15


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MachineInfo(Model):
    """The machine and how it is."""

    name: str
    uuid: str
    os_type: str
    memory_bytes: int
    state: MachineState
    reason: str = Field(description="Why it is in that state, where somebody said so")
    error: str | None = Field(description="What aborted it")
    pid: int
    backend: str = Field(description="The processor backend")
    virtual_ns: int = Field(description="The guest's time since power-on")
    uptime_s: float = Field(description="Seconds since the process serves the machine")


# --- keyboard and mouse

Byte = Annotated[int, Field(ge=0, le=255)]


class KeyboardInfo(Model):
    leds: int = Field(description="Bit 0 Scroll Lock, 1 Num Lock, 2 Caps Lock")
    pending: int = Field(description="Bytes of scan codes that the guest has not taken")


class Scancodes(Model):
    codes: list[Byte] = Field(min_length=1, max_length=MAX_CODES, examples=[[0x1C, 0x9C]])


class Keys(Model):
    keys: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(min_length=1, max_length=MAX_CHORDS, examples=[["ctrl+alt+delete"]])
    layout: str = Field("us", max_length=20)


class Text(Model):
    text: str = Field(max_length=MAX_TEXT, examples=["root\n"])
    layout: str = Field("us", max_length=20)


class Typed(Model):
    characters: int


# --- screen


class CursorPosition(Model):
    column: int
    row: int


class ScreenCells(Model):
    """A text screen."""

    columns: int
    rows: list[str] = Field(description="The characters, none trimmed")
    attributes: list[str] = Field(description="Of each row: two hexadecimal digits a cell, background and foreground, both indices into `palette`")
    cursor: CursorPosition | None = Field(description="Null while hidden")
    palette: list[str] = Field(description="``#rrggbb``")


# --- mouse

Offset = Annotated[int, Field(ge=-MAX_MOVE, le=MAX_MOVE)]
Buttons = Annotated[int, Field(ge=0, le=31, description="Bit 0 left, 1 right, 2 middle, 3 back, 4 forward; down until another call says otherwise")]


class MouseMove(Model):
    """How far the mouse moves; y grows downwards."""

    dx: Offset = 0
    dy: Offset = 0
    wheel: Annotated[int, Field(ge=-127, le=127)] = 0
    buttons: Buttons = 0


class MousePlace(Model):
    """Where the pointer is to be, in pixels of the screen."""

    x: Annotated[int, Field(ge=0, lt=MAX_MOVE)]
    y: Annotated[int, Field(ge=0, lt=MAX_MOVE)]
    buttons: Buttons = 0


# --- waiting

Pattern = Annotated[str, Field(min_length=1, max_length=MAX_PATTERN_CHARACTERS)]
Slot = Annotated[int, Field(ge=0, le=3, description="0 is COM1")]
Position = Annotated[int, Field(ge=0, le=1 << 62)]


class Waiting(Model):
    timeout_s: Annotated[float, Field(ge=0, le=MAX_TIMEOUT_S, allow_inf_nan=False)] = 60.0
    clock: Clock = Field(Clock.GUEST, description="What the timeout counts: the guest's time, which stands while the machine is paused, or the host's")


class WaitForText(Waiting):
    """A text on the screen, in text modes."""

    text: Pattern = Field(examples=["login:"])


class WaitForRegex(Waiting):
    """A regular expression (Python's) on the screen, in text modes."""

    regex: Pattern = Field(examples=["login: *$"])


class WaitForSerial(Waiting):
    """A text on a serial port, from position `since` on, whether it was said before or is said while waiting."""

    serial: Pattern
    slot: Slot = 0
    since: Position = 0


class WaitForSerialRegex(Waiting):
    """A regular expression (Python's) on a serial port, as `WaitForSerial`."""

    serial_regex: Pattern
    slot: Slot = 0
    since: Position = 0


class WaitForState(Waiting):
    """The machine being in a state."""

    state: MachineState


class WaitForIdleScreen(Waiting):
    """A screen that has not changed for so many milliseconds of the guest's time."""

    idle_screen: Annotated[int, Field(ge=1, le=86_400_000)]


CONDITIONS: Mapping[str, type[Waiting]] = {
    "text": WaitForText,
    "regex": WaitForRegex,
    "serial": WaitForSerial,
    "serial_regex": WaitForSerialRegex,
    "state": WaitForState,
    "idle_screen": WaitForIdleScreen,
}


class MatchInfo(Model):
    """What was waited for."""

    text: str
    groups: list[str | None] = Field(description="A regular expression's")
    start: int | None = Field(description="Where it is in a serial port's output")
    end: int | None = Field(description="Where it ends there: waiting again from here does not see it again")
    virtual_ns: int


# --- checkpoints and snapshots


class Checkpoint(Model):
    """`id` is never used again while the process lives."""

    id: int
    serial_positions: dict[int, int] = Field(description="By slot: where each serial port's output has got to")


class NewSnapshot(Model):
    name: str = Field(min_length=1, max_length=1024, examples=["installed"])
    description: str = Field("", max_length=1 << 20)


class SnapshotChange(Model):
    """What is to be another."""

    name: str | None = Field(None, min_length=1, max_length=1024)
    description: str | None = Field(None, max_length=1 << 20)


class Snapshot(Model):
    uuid: str
    name: str
    description: str
    taken: datetime.datetime
    online: bool = Field(description="Whether it has the state of a running machine")
    parent: str | None = Field(description="The UUID of the snapshot that it stands on")
    current: bool = Field(description="Whether the machine's present state comes from it")


# --- media and insight


class MediumChange(Model):
    image: Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^/[^\x00]*$")] | None = Field(description="An absolute path, or null to eject")


class Segment(Model):
    """A segment register with its hidden part. `attributes` has descriptor bits 40-55 as bits 0-15."""

    selector: int
    base: int
    limit: int
    attributes: int


class Table(Model):
    base: int
    limit: int


class Registers(Model):
    """As the guest sees them, by the names of Intel's manual."""

    eax: int
    ecx: int
    edx: int
    ebx: int
    esp: int
    ebp: int
    esi: int
    edi: int
    eip: int
    eflags: int
    cs: Segment
    ss: Segment
    ds: Segment
    es: Segment
    fs: Segment
    gs: Segment
    ldtr: Segment
    tr: Segment
    gdtr: Table
    idtr: Table
    cr0: int
    cr2: int
    cr3: int
    cr4: int
    dr0: int
    dr1: int
    dr2: int
    dr3: int
    dr6: int
    dr7: int
    fcw: int
    fsw: int
    ftw: int = Field(description="Abridged: a bit for each register that is not empty (FXSAVE)")
    fop: int
    fip: int
    fdp: int
    mxcsr: int
    st: list[str] = Field(description="ST(0) to ST(7), 80 bits each in hexadecimal")
    xmm: list[str] = Field(description="XMM0 to XMM7, 128 bits each in hexadecimal")
    msr: dict[str, int] = Field(description="By their hexadecimal numbers")
    halted: bool
    shutdown: bool
    interrupt_shadow: bool
    nmi_blocked: bool
    nmi_pending: bool


class SentBytes(Model):
    pending: int = Field(description="Bytes that the guest has not yet taken")


class CpuOptions(Model):
    options: dict[Annotated[str, Field(max_length=100)], Annotated[str, Field(max_length=4096)]] = Field(max_length=100, examples=[{"patching": "off"}])


# --- remote display

PropertyName = Annotated[str, Field(min_length=1, max_length=256)]
PropertyValue = Annotated[str, Field(max_length=4096)]


class RemoteClient(Model):
    """Somebody who sees the screen."""

    address: str
    user: str = Field(description="Empty where nobody is asked for a name")


class RemoteDisplayInfo(Model):
    """The screen as it is served over the network."""

    enabled: bool
    port: int = Field(description="-1 where it is not served")
    address: str = Field(description="Empty where it is not served")
    fingerprint: str = Field(description="SHA-256 of the certificate that clients see, where it is served")
    error: str = Field(description="Why it is not served though it is enabled")
    clients: list[RemoteClient]
    clients_so_far: int = Field(description="How many there were since it is served as it is")
    sent_bytes: int = Field(description="To all of them, without what encryption adds")
    received_bytes: int
    properties: dict[str, str] = Field(description="VirtualBox's VRDE properties", examples=[{"TCP/Ports": "5000-5010"}])


class RemoteDisplayChange(Model):
    """What is left out stays as it is."""

    enabled: bool | None = None
    properties: dict[PropertyName, PropertyValue] | None = Field(
        None, max_length=100, description="An empty value takes a property away", examples=[{"TCP/Ports": "5000-5010"}]
    )


VideoSide = Annotated[int, Field(ge=16, le=4096, multiple_of=2)]


class RecordingInfo(Model):
    """The video of the screen."""

    enabled: bool
    recording: bool = Field(description="Whether it is made now")
    file: str = Field(description="Which one is written now; else the one that is named, or empty for one beside the machine file")
    width: int
    height: int
    fps: int = Field(description="Pictures a second, at most")
    error: str = Field(description="Why it is not made though it is enabled, or why it has ended")


class RecordingChange(Model):
    """What is left out stays as it is."""

    enabled: bool | None = None
    file: str | None = Field(
        None, min_length=1, max_length=4096, pattern=r"^[^\x00]*$", description="A relative one is of the machine's folder", examples=["debian.mp4"]
    )
    width: VideoSide | None = None
    height: VideoSide | None = None
    fps: Annotated[int, Field(ge=1, le=60)] | None = None
