"""Writes initramfs images: cpio archives of the ``newc`` kind (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).

Everything in them is root's, and device nodes are only entries, so that making one needs no rights.
"""

from __future__ import annotations

import stat

TRAILER = "TRAILER!!!"
MAGIC = b"070701"


class Archive:
    """Entries in the order in which they are added; folders have to come before what they hold."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._count = 0

    def folder(self, name: str) -> None:
        self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        self._entry(name, stat.S_IFREG | mode, content)

    def link(self, name: str, target: str) -> None:
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, name: str, major: int, minor: int) -> None:
        self._entry(name, stat.S_IFCHR | 0o600, device=(major, minor))

    def finished(self) -> bytes:
        self._entry(TRAILER, 0)
        return bytes(self._data)

    def _entry(self, name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        path = name.encode() + b"\0"
        self._count += 1
        links = 2 if stat.S_ISDIR(mode) else 1
        # inode, mode, uid, gid, links, mtime, size, device of the file system, device of the node, length of the name, checksum
        fields = (self._count, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(path), 0)
        self._data += MAGIC + b"".join(b"%08X" % field for field in fields) + path
        self._align()
        self._data += content
        self._align()

    def _align(self) -> None:
        self._data += bytes(-len(self._data) % 4)
