"""Machine files for the tests: those in ``data/``, and small ones made of a few lines."""

from __future__ import annotations

import shutil
from pathlib import Path

DATA = Path(__file__).parent / "data"
NAMES = sorted(path.stem for path in DATA.glob("[!s]*.vbox"))
VERSIONS = sorted(path.stem for path in DATA.glob("settings-*.vbox"))
"""One machine with snapshots as each settings version writes it: ``settings-1.07`` and so on."""
UUID = "{00000000-1111-2222-3333-444444444444}"
DISK = "{00000000-1111-2222-3333-555555555555}"


def install(tmp_path: Path, name: str) -> Path:
    """A machine file of ``data/`` in a folder as VirtualBox 3 laid them out, with the global file two folders above."""
    folder = tmp_path / "Machines" / "vm"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(DATA / "VirtualBox.xml", tmp_path)
    return Path(shutil.copy(DATA / f"{name}.vbox", folder / "vm.vbox"))


def write(tmp_path: Path, hardware: str = "", machine: str = "", *, version: str = "1.16-linux", memory: str = '<Memory RAMSize="64"/>') -> Path:
    """Line 4 begins with `hardware`, the line after its last with `machine`."""
    path = tmp_path / "vm.vbox"
    path.write_text(
        f'<VirtualBox xmlns="http://www.virtualbox.org/" version="{version}">\n<Machine uuid="{UUID}" name="vm">\n<Hardware>{memory}\n'
        f"{hardware}</Hardware>\n{machine}</Machine>\n</VirtualBox>\n",
        encoding="utf-8",
    )
    return path


def extra_data(**items: str) -> str:
    return "<ExtraData>" + "".join(f'<ExtraDataItem name="{name}" value="{value}"/>' for name, value in items.items()) + "</ExtraData>"


def disk(type: str = "PIIX4", *, image_type: str = "Normal", attached: str = 'type="HardDisk" port="0" device="0"', location: str = "a.vdi") -> str:
    return (
        f'<MediaRegistry><HardDisks><HardDisk uuid="{DISK}" location="{location}" format="VDI" type="{image_type}"/></HardDisks></MediaRegistry>'
        f'<StorageControllers><StorageController name="C" type="{type}"><AttachedDevice {attached}><Image uuid="{DISK}"/></AttachedDevice></StorageController>'
        "</StorageControllers>"
    )
