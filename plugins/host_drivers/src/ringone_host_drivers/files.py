"""Character streams on file descriptors: the terminal, plain files, pseudo-terminals and serial devices."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import attrs
from ringone.api.drivers import DriverContext
from ringone.api.errors import DriverError
from ringone.api.options import option

from ringone_host_drivers.buffers import ReceiveBuffer, SendQueue

_CHUNK = 4096


@attrs.frozen(kw_only=True)
class FileOptions:
    path: Path = option(help="file that receives the guest's output")
    append: bool = option(False, help="keep what the file holds and add to it")


@attrs.frozen(kw_only=True)
class DeviceOptions:
    path: Path = option(help="host device, for example a serial port")


class FileStream:
    """Output only, written at once so that a test can read what the guest has said so far."""

    def __init__(self, context: DriverContext, options: FileOptions) -> None:
        try:
            self._file = options.path.open("ab" if options.append else "wb", buffering=0)
        except OSError as error:
            raise DriverError(f"{context.component}: cannot open {options.path} for the guest's output: {error.strerror}") from error

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self._file.write(data)

    def attach(self, received: Callable[[], None]) -> None:
        """A file sends nothing to the guest."""

    def read(self, size: int) -> bytes:
        return b""

    def close(self) -> None:
        self._file.close()


class DescriptorStream:
    """Both ways over file descriptors, with a thread for each direction. `reader` may be -1 where there is no input."""

    def __init__(self, context: DriverContext, name: str, reader: int, writer: int, *, owned: bool) -> None:
        self._reader = reader
        self._writer = writer
        self._owned = owned
        self._receive = ReceiveBuffer(context)
        self._send = SendQueue(name, self._write_all)
        if reader >= 0:
            threading.Thread(target=self._pump, name=f"{name} input", daemon=True).start()

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._writer, view) :]

    def _pump(self) -> None:
        self._receive.pump(lambda: os.read(self._reader, _CHUNK))

    def write(self, data: bytes) -> None:
        self._send.put(data)

    def attach(self, received: Callable[[], None]) -> None:
        self._receive.attach(received)

    def read(self, size: int) -> bytes:
        return self._receive.read(size)

    def close(self) -> None:
        self._receive.close()
        self._send.close()
        if self._owned:
            for descriptor in {self._reader, self._writer}:
                with contextlib.suppress(OSError):
                    os.close(descriptor)


def open_stdio(context: DriverContext, _options: object) -> DescriptorStream:
    """This process's standard input and output. Who wants single keys puts the terminal into raw mode before (the `ringone` command does)."""
    sys.stdout.flush()
    return DescriptorStream(context, context.component, 0, 1, owned=False)


def open_pty(context: DriverContext, _options: object) -> DescriptorStream:
    """A new pseudo-terminal; the path of its other end is logged."""
    try:
        import pty
        import tty
    except ImportError:
        raise DriverError(f"{context.component}: pseudo-terminals need a POSIX host; use driver tcp here") from None
    try:
        master, slave = pty.openpty()
    except OSError as error:
        raise DriverError(f"{context.component}: no pseudo-terminal: {error.strerror}") from error
    tty.setraw(slave)
    from ringone_host_drivers.buffers import log

    log.warning("%s: connected to %s", context.component, os.ttyname(slave))
    return DescriptorStream(context, context.component, master, master, owned=True)


def open_device(context: DriverContext, options: DeviceOptions) -> DescriptorStream:
    try:
        descriptor = os.open(options.path, os.O_RDWR | getattr(os, "O_NOCTTY", 0))
    except OSError as error:
        raise DriverError(f"{context.component}: cannot open device {options.path}: {error.strerror}") from error
    return DescriptorStream(context, context.component, descriptor, descriptor, owned=True)
