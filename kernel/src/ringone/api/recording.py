"""A video of a machine's screen while it runs: whether it is made, into which file, and how it is switched.

`ringone.api.config.Recording` is what the machine's owner wants. A frontend whose `FrontendSpec` can make videos is all the kernel knows of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import attrs

from ringone.api.config import Recording


@attrs.frozen(kw_only=True)
class RecordingInfo:
    """`recording` is what is wanted. `file` is written now; it is None where nothing is recorded: the recording is off, or `error` says why there is none or
    why it has ended."""

    recording: Recording
    file: Path | None = None
    error: str = ""


@attrs.frozen(kw_only=True)
class RecordingChange:
    """None leaves things as they are."""

    enabled: bool | None = None
    file: Path | None = None
    width: int | None = None
    height: int | None = None
    fps: int | None = None


class RecordingControl(Protocol):
    """The recording of a machine that runs: `VmSession.recording`. May be called from any thread but the machine's own."""

    def info(self) -> RecordingInfo: ...
    def change(self, change: RecordingChange) -> RecordingInfo:
        """Now and, where the machine is one of a home, in its file. Switched off, the video is whole when this returns. While it is made, it can only be
        switched off, which is otherwise a `StateError`. Raises what keeps it from being made, and all is as before then."""
        ...
