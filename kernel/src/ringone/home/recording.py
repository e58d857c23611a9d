"""The recording of a machine's screen in the process that runs it: made by whichever frontend can, and switched while the machine runs.

What keeps a recording of the machine file's from being made when the machine starts is a warning, and the machine runs all the same. One that somebody asks for
now is made, or refused.
"""

from __future__ import annotations

import datetime
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

from ringone.api.config import MachineConfig, Recording
from ringone.api.errors import ConfigError, RingOneError, StateError, UnsupportedError
from ringone.api.frontends import FrontendSpec, RecorderFrontend, VmSession
from ringone.api.recording import RecordingChange, RecordingInfo

DEFAULT_SUFFIX = ".webm"

Change = Callable[[Recording], Recording]
Save = Callable[[Change], None]
"""Writes what becomes of the recording into the machine file."""

log = logging.getLogger(__name__)


class RecordedScreen:
    """`ringone.api.recording.RecordingControl`. `wanted` is what the process begins with."""

    def __init__(self, session: VmSession, wanted: Recording, offers: Mapping[str, FrontendSpec], save: Save) -> None:
        self._session = session
        self._wanted = wanted
        self._offers = offers
        self._save = save
        self._recorder: RecorderFrontend | None = None
        self._file: Path | None = None
        self._error = ""
        self._ended = False
        self._one_at_a_time = threading.Lock()

    def start(self) -> None:
        """Record, where that is wanted and can be done. A video that is there already stays as it is: the new one gets another name."""
        with self._one_at_a_time:
            if not self._wanted.enabled or self._recorder is not None:
                return
            try:
                self._record(self._wanted)
            except RingOneError as error:
                self._error = str(error)
                log.warning("the machine runs without being recorded: %s", error)
            except Exception as error:
                self._error = f"{type(error).__name__}: {error}"
                log.exception("the machine runs without being recorded: a part of it failed")

    def record_to(self, file: Path) -> None:
        """Record into this very file, whatever the machine file says of recordings. Raises what keeps it from being made."""
        with self._one_at_a_time:
            wanted = attrs.evolve(self._wanted, enabled=True, file=file.absolute())
            self._begin(wanted, file.absolute())
            self._wanted = wanted

    def stop(self) -> None:
        """For ever: the machine ends. The video is whole afterwards."""
        with self._one_at_a_time:
            self._ended = True
            self._finish()

    def info(self) -> RecordingInfo:
        with self._one_at_a_time:
            error = self._error or ("" if self._recorder is None else self._recorder.error())
            return RecordingInfo(recording=self._wanted, file=None if error else self._file, error=error)

    def change(self, change: RecordingChange) -> RecordingInfo:
        fields = {name: value for name, value in attrs.asdict(change, recurse=False).items() if value is not None}
        if change.file is not None:
            fields["file"] = _in_folder(self._session.config, change.file)

        def changed(recording: Recording) -> Recording:
            return attrs.evolve(recording, **fields)

        with self._one_at_a_time:
            if self._ended:
                raise StateError(f"the recording of {self._session.config.name!r} cannot be changed: the machine ends")
            self._go_over(changed(self._wanted), changed)
        return self.info()

    # --- inside

    def _go_over(self, wanted: Recording, changed: Change) -> None:
        if self._recorder is not None and attrs.evolve(wanted, enabled=self._wanted.enabled) != self._wanted:
            raise StateError(f"{self._session.config.name!r} is being recorded into {self._file}; accepted meanwhile: switching it off")
        begins = wanted.enabled and (self._recorder is None or bool(self._recorder.error()))
        if begins:
            self._finish()
            self._record(wanted)
        try:
            self._save(changed)
        except BaseException:
            if begins:
                self._finish()
            raise
        if not wanted.enabled:
            self._finish()
        self._wanted, self._error = wanted, ""

    def _record(self, wanted: Recording) -> None:
        self._begin(wanted, _free(file_of(self._session.config, wanted)))

    def _begin(self, wanted: Recording, file: Path) -> None:
        recorder = recorder_of(self._offers, attrs.evolve(wanted, file=file))
        recorder.start(self._session)
        self._recorder, self._file = recorder, file
        log.info("the screen is recorded into %s", file)

    def _finish(self) -> None:
        recorder, self._recorder, self._file = self._recorder, None, None
        if recorder is not None:
            recorder.stop()


def check_new(file: Path, offers: Mapping[str, FrontendSpec]) -> None:
    """Raises `ConfigError` where no video can be made under that name; nothing is made yet."""
    if file.exists():
        raise ConfigError(f"recording into {file}: it is there already; accepted: the name of a file that is not")
    if not file.absolute().parent.is_dir():
        raise ConfigError(f"recording into {file}: there is no folder {file.absolute().parent}")
    recorder_of(offers, Recording(file=file.absolute()))


def recorder_of(offers: Mapping[str, FrontendSpec], wanted: Recording) -> RecorderFrontend:
    """Raises `ConfigError` for a recording that nobody can make."""
    able = {name: spec.recorder for name, spec in offers.items() if spec.recorder is not None}
    if not able:
        raise UnsupportedError("no plugin records screens; accepted is one such as ringone-frontend-rdp")
    if len(able) > 1:
        raise ConfigError(f"several frontends record screens: {', '.join(able)}; accepted is one")
    (make,) = able.values()
    return make(wanted)


def file_of(config: MachineConfig, wanted: Recording) -> Path:
    """Which one is recorded into; where none is named, it has the machine's name."""
    if wanted.file is None and config.source is None:
        raise ConfigError("the recording has no file; accepted is one that is named, as the machine has no folder")
    return _in_folder(config, wanted.file or Path(f"{config.name}{DEFAULT_SUFFIX}"))


def _in_folder(config: MachineConfig, file: Path) -> Path:
    """A relative file is one of the machine's folder."""
    return file.absolute() if config.source is None else config.source.parent / file


def _free(file: Path) -> Path:
    """`file`, or where that is there already, one with the time in its name, as VirtualBox has them."""
    if not file.exists():
        return file
    return file.with_stem(f"{file.stem}-{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H-%M-%S-%f}Z")
