"""What goes over the wire as JSON. Unknown fields are refused; sizes are bounded."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from ringone.api.events import MachineState

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
