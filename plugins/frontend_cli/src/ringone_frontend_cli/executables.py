"""Files with code in them, as bytes at addresses: 32-bit ELF files, packed Linux kernels that hold one, and bytes as they are."""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import attrs
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from ringone.api.errors import ConfigError, UnsupportedError

ADDRESS_SPACE = 1 << 32
MOST_BYTES = 512 << 20
"""A file that unpacks to more is refused."""

ELF_MAGIC = b"\x7fELF"
GZIP_MAGIC = b"\x1f\x8b"
BZIMAGE_MAGIC, BZIMAGE_MAGIC_AT = b"HdrS", 0x202
PAYLOAD_PROTOCOL = 0x0208
"""The first boot protocol whose header says where the packed kernel is (Linux, Documentation/arch/x86/boot.rst)."""
SETUP_SECTORS, PROTOCOL, PAYLOAD = 0x1F1, 0x206, 0x248
HEADER_BYTES = PAYLOAD + 8
SECTOR = 512


@attrs.frozen
class Segment:
    address: int
    data: bytes

    def __contains__(self, address: int) -> bool:
        return 0 <= address - self.address < len(self.data)


@attrs.frozen(kw_only=True)
class Executable:
    """`what` tells people what the file is."""

    what: str
    segments: Sequence[Segment]
    entry: int
    symbols: Mapping[str, int] = attrs.field(factory=dict)

    def fetch(self, address: int, size: int) -> bytes:
        """The bytes at `address`, fewer where a segment ends, none outside of all."""
        for segment in self.segments:
            if address in segment:
                offset = address - segment.address
                return segment.data[offset : offset + size]
        return b""


def load(path: Path, *, base: int | None) -> Executable:
    """`base` makes of any file bytes at that address."""
    for wrong, what in ((not path.exists(), "does not exist"), (not path.is_file(), "is no file")):
        if wrong:
            raise ConfigError(f"{path} {what}")
    content = path.read_bytes()
    if base is not None:
        return _flat(path, content, base)
    what = ""
    while not content.startswith(ELF_MAGIC):
        container, content = _unpacked(path, content, what)
        what = f" in a {container}{what}"
    return _elf(path, content, what)


def _flat(path: Path, content: bytes, base: int) -> Executable:
    room = ADDRESS_SPACE - base
    if not 0 < len(content) <= room:
        raise ConfigError(f"{path} has {len(content)} bytes; at {base:#x} there is room for 1 to {room}")
    return Executable(what=f"{len(content)} bytes", segments=(Segment(base, content),), entry=base)


class _Decompressor(Protocol):
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


PACKINGS: Mapping[bytes, tuple[str, Callable[[], _Decompressor] | None]] = {
    GZIP_MAGIC: ("gzip", lambda: zlib.decompressobj(zlib.MAX_WBITS | 16)),
    b"\xfd7zXZ": ("xz", lzma.LZMADecompressor),
    b"\x5d\0\0": ("lzma", lzma.LZMADecompressor),
    b"BZh": ("bzip2", bz2.BZ2Decompressor),
    b"\x28\xb5\x2f\xfd": ("zstd", None),
    b"\x02\x21\x4c\x18": ("lz4", None),
    b"\x89LZO": ("lzo", None),
}
"""By first bytes: the name, and what unpacks it where Python can."""


def _unpacked(path: Path, content: bytes, what: str) -> tuple[str, bytes]:
    """What sort of container the content is, and what is in it."""
    if content.startswith(BZIMAGE_MAGIC, BZIMAGE_MAGIC_AT) and len(content) >= HEADER_BYTES:
        return "bzImage", _payload(path, content)
    for magic, (name, decompressor) in PACKINGS.items():
        if content.startswith(magic):
            if decompressor is None:
                raise UnsupportedError(f"{path}: a kernel{what} is packed with {name}, which is not read; unpack it with Linux's scripts/extract-vmlinux")
            return f"{name} file", _decompress(path, content, decompressor())
    if what:
        raise UnsupportedError(f"{path} holds no ELF file{what}; unpack it and say with --base at which address its first byte lies")
    raise ConfigError(f"{path} is neither an ELF file nor a packed kernel; say with --base at which address its first byte lies")


def _payload(path: Path, image: bytes) -> bytes:
    (protocol,) = struct.unpack_from("<H", image, PROTOCOL)
    offset, size = struct.unpack_from("<II", image, PAYLOAD)
    if protocol < PAYLOAD_PROTOCOL:
        raise UnsupportedError(f"{path} is a bzImage of boot protocol {protocol >> 8}.{protocol & 0xFF:02}, which hides its kernel; give the ELF vmlinux")
    start = (image[SETUP_SECTORS] + 1) * SECTOR + offset
    return image[start : start + size]


def _decompress(path: Path, packed: bytes, decompressor: _Decompressor) -> bytes:
    """What follows the packed data is ignored: kernels have their length there."""
    try:
        content = decompressor.decompress(packed, MOST_BYTES)
    except (OSError, lzma.LZMAError, zlib.error) as error:
        raise ConfigError(f"{path} cannot be unpacked: {error}") from error
    if len(content) == MOST_BYTES:
        raise ConfigError(f"{path} unpacks to more than {MOST_BYTES >> 20} MiB")
    return content


def _elf(path: Path, content: bytes, what: str) -> Executable:
    try:
        return _executable(path, ELFFile(io.BytesIO(content)), what)
    except (ELFError, ValueError, KeyError, IndexError, AttributeError, AssertionError, UnicodeError) as error:  # what pyelftools makes of damaged files
        raise ConfigError(f"{path} is a damaged ELF file: {error}") from error


def _executable(path: Path, elf: ELFFile, what: str) -> Executable:
    if elf.get_machine_arch() != "x86":
        raise UnsupportedError(f"{path} is an ELF file{what} for {elf.get_machine_arch()}; accepted are those for 32-bit x86")
    loaded = [segment for segment in elf.iter_segments("PT_LOAD") if segment["p_filesz"]]
    segments = [Segment(segment["p_vaddr"], segment.data()) for segment in loaded]
    entry = elf["e_entry"]
    if not any(entry in segment for segment in segments):  # kernels are entered at their physical address, before paging
        segments += [Segment(segment["p_paddr"], found.data) for segment, found in zip(loaded, segments, strict=True)]
    if not segments:
        raise UnsupportedError(f"{path} is an ELF file{what} without a segment that is loaded; give a linked one")
    tables = [section for section in elf.iter_sections() if isinstance(section, SymbolTableSection)]
    symbols = {symbol.name: symbol["st_value"] for table in tables for symbol in table.iter_symbols() if symbol.name and symbol["st_shndx"] != "SHN_UNDEF"}
    return Executable(what=f"32-bit ELF file{what}", segments=segments, entry=entry, symbols=symbols)
