"""What host_drivers offers to RingOne: streams named stdio, file, tcp, unix-socket, pty and device, and the wall clock."""

from __future__ import annotations

from collections.abc import Iterable

from ringone.api.drivers import CharStream, HostDriverSpec, WallClock
from ringone.api.hooks import hookimpl
from ringone.api.options import NoOptions

from ringone_host_drivers import files, sockets
from ringone_host_drivers.clock import HostWallClock, WallClockOptions


@hookimpl
def ringone_host_drivers() -> Iterable[HostDriverSpec]:
    return [
        HostDriverSpec(name="stdio", summary="this process's standard input and output", kind=CharStream, options=NoOptions, create=files.open_stdio),
        HostDriverSpec(name="file", summary="output into a file", kind=CharStream, options=files.FileOptions, create=files.FileStream),
        HostDriverSpec(name="tcp", summary="a TCP connection", kind=CharStream, options=sockets.TcpOptions, create=sockets.open_tcp),
        HostDriverSpec(name="unix-socket", summary="a Unix-domain socket", kind=CharStream, options=sockets.UnixOptions, create=sockets.open_unix),
        HostDriverSpec(name="pty", summary="a new pseudo-terminal", kind=CharStream, options=NoOptions, create=files.open_pty),
        HostDriverSpec(name="device", summary="a device of the host", kind=CharStream, options=files.DeviceOptions, create=files.open_device),
        HostDriverSpec(name="wall-clock", summary="the host's civil time", kind=WallClock, options=WallClockOptions, create=HostWallClock),
    ]
