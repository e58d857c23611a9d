"""Formats of other programs, taken in and given out by converting: VMDK, VHD, VHDX, QCOW2. Machines do not run on them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NoReturn

import attrs
from ringone.api.drivers import BlockDevice
from ringone.api.errors import MediumError, UnsupportedError
from ringone.api.media import AccessMode, MediumFormatSpec, MediumInfo, MediumVariant, NewMedium, Progress, no_progress

from ringone_storage import qemu_img
from ringone_storage.newfile import SECTOR_BYTES, copy_content, new_file, scratch_folder, whole_sectors
from ringone_storage.raw import RawImage

VHD_COOKIE = b"conectix"  # codespell:ignore conectix
VHD_FOOTER_BYTES = 512
QCOW_MAGIC = b"QFI\xfb"
QCOW_ENCRYPTION_OFFSET = 32
VMDK_MAGICS = (b"KDMV", b"COWD")
VMDK_DESCRIPTOR = b"# Disk DescriptorFile"
VMDK_ENCRYPTION = b"encryption.keySafe"
VHDX_MAGIC = b"vhdxfile"


@attrs.frozen(kw_only=True)
class ForeignTools:
    """An `ImageTools`. `driver` is qemu-img's word for the format, `variants` its options for what can be created."""

    name: str
    driver: str
    variants: Mapping[MediumVariant, str]

    def describe(self, path: Path) -> MediumInfo:
        found = qemu_img.info(path, self.driver)
        return MediumInfo(
            path=path,
            format=self.name,
            variant=MediumVariant.STANDARD,
            capacity_bytes=found["virtual-size"],
            allocated_bytes=min(found["virtual-size"], found.get("actual-size", 0)),
        )

    def create(self, new: NewMedium, progress: Progress = no_progress) -> MediumInfo:
        options = self._options(new)
        capacity = whole_sectors(new.path, new.capacity_bytes)
        with new_file(new.path) as scratch:
            qemu_img.create(scratch, self.driver, options, capacity)
        return self.describe(new.path)

    def clone(self, content: BlockDevice, new: NewMedium, progress: Progress = no_progress) -> MediumInfo:
        options = self._options(new)
        capacity = whole_sectors(new.path, content.block_count * content.block_size)
        with new_file(new.path) as scratch, scratch_folder(new.path.parent) as folder:
            plain = folder / "plain.img"
            with plain.open("wb") as file:
                file.truncate(capacity)
            with closing(RawImage(plain, content.block_size, writable=True)) as target:
                copy_content(content, target, lambda done: progress(done / 2))
            qemu_img.convert(plain, "raw", scratch, self.driver, options, lambda done: progress((1 + done) / 2))
        return self.describe(new.path)

    @contextmanager
    def content(self, chain: Sequence[Path], folder: Path, progress: Progress = no_progress) -> Iterator[BlockDevice]:
        if len(chain) > 1:
            self._refuse(chain[0], f"on a parent ({chain[1]}) cannot be read")
        qemu_img.info(chain[0], self.driver)
        with scratch_folder(folder) as scratch:
            plain = scratch / "plain.img"
            qemu_img.convert(chain[0], self.driver, plain, "raw", "", progress)
            with closing(RawImage(plain, SECTOR_BYTES, writable=False)) as device:
                yield device

    def resize(self, path: Path, capacity_bytes: int, progress: Progress = no_progress) -> None:
        self._refuse(path, "cannot be resized")

    def compact(self, chain: Sequence[Path], progress: Progress = no_progress) -> None:
        self._refuse(chain[0], "cannot be compacted")

    def merge(self, source: Path, target: Path, progress: Progress = no_progress) -> None:
        self._refuse(source, "cannot be merged")

    def set_parent(self, path: Path, parent: Path) -> None:
        self._refuse(path, "cannot get a parent")

    def set_uuid(self, path: Path, uuid: str) -> None:
        self._refuse(path, "cannot get a UUID")

    def open(self, chain: Sequence[Path], mode: AccessMode, block_size: int) -> NoReturn:
        path = chain[0]
        with path.open("rb") as file:
            if is_encrypted(file.read(4096)):
                raise MediumError(f"{path}: is an encrypted {self.name.upper()} image; encrypted images are not supported")
        self._refuse(path, "cannot be used by a machine directly", MediumError)

    def _refuse(self, path: Path, why: str, kind: type[MediumError | UnsupportedError] = UnsupportedError) -> NoReturn:
        command = shlex.join(["ringone", "clonemedium", "disk", str(path), str(path.with_suffix(".vdi")), "--format", "VDI"])
        raise kind(f"{path}: a {self.name.upper()} image {why}; convert it first: {command}")

    def _options(self, new: NewMedium) -> str:
        if new.variant not in self.variants or new.parent is not None:
            known = ", ".join(variant.value for variant in self.variants)
            raise UnsupportedError(f"{new.path}: a {self.name.upper()} image of variant {new.variant.value} cannot be created; accepted: {known}")
        if new.uuid or new.comment:
            raise UnsupportedError(f"{new.path}: a {self.name.upper()} image cannot be given a UUID or a comment")
        return self.variants[new.variant]


def is_encrypted(head: bytes) -> bool:
    if head.startswith(QCOW_MAGIC):
        return any(head[QCOW_ENCRYPTION_OFFSET : QCOW_ENCRYPTION_OFFSET + 4])
    return VMDK_ENCRYPTION in head


def is_vmdk(path: Path, head: bytes) -> bool:
    return head.startswith((*VMDK_MAGICS, VMDK_DESCRIPTOR))


def is_vhd(path: Path, head: bytes) -> bool:
    """Dynamic ones start with a copy of the footer, fixed ones have only the footer."""
    if head.startswith(VHD_COOKIE):
        return True
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - VHD_FOOTER_BYTES))
            return file.read(len(VHD_COOKIE)) == VHD_COOKIE
    except OSError:
        return False


def _format(tools: ForeignTools, program: str, suffixes: tuple[str, ...], probe: Callable[[Path, bytes], bool]) -> MediumFormatSpec:
    summary = f"disk image of {program}, converted with qemu-img on its way in and out"
    return MediumFormatSpec(name=tools.name, summary=summary, suffixes=suffixes, probe=probe, open=tools.open, tools=tools)


FOREIGN = (
    _format(
        ForeignTools(
            name="vmdk",
            driver="vmdk",
            variants={MediumVariant.STANDARD: "subformat=monolithicSparse", MediumVariant.STREAM: "subformat=streamOptimized"},
        ),
        "VMware",
        (".vmdk",),
        is_vmdk,
    ),
    _format(
        ForeignTools(
            name="vhd",
            driver="vpc",
            variants={MediumVariant.STANDARD: "subformat=dynamic,force_size=on", MediumVariant.FIXED: "subformat=fixed,force_size=on"},
        ),
        "Virtual PC and Hyper-V",
        (".vhd",),
        is_vhd,
    ),
    _format(
        ForeignTools(name="vhdx", driver="vhdx", variants={MediumVariant.STANDARD: "subformat=dynamic", MediumVariant.FIXED: "subformat=fixed"}),
        "Hyper-V",
        (".vhdx",),
        lambda path, head: head.startswith(VHDX_MAGIC),
    ),
    _format(
        ForeignTools(name="qcow2", driver="qcow2", variants={MediumVariant.STANDARD: "", MediumVariant.FIXED: "preallocation=falloc"}),
        "QEMU",
        (".qcow2", ".qcow"),
        lambda path, head: head.startswith(QCOW_MAGIC),
    ),
)
