"""Damaged and malicious files end in a `RingOneError` or a machine, never in anything else."""

from __future__ import annotations

import contextlib
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from ringone.api.config import MachineConfig
from ringone.api.errors import RingOneError
from ringone_config_xml.plugin import load, save
from ringone_config_xml.settings import load_home, load_machine, save_home, save_machine
from vbox_files import DATA, NAMES

WORDS = [
    "",
    "0",
    "-1",
    "9" * 30,
    "0x",
    "0xffffffff",
    "{}",
    "true",
    "../..",
    "a\tb",
    "é",
    "٣",
    " 1 ",
    "None",
    "PIIX4",
    "HardDisk",
    "RawFile",
    "TCP",
    "::",
    "1.12-x",
]
KEYS = [
    "RingOne/",
    "RingOne/Device//Type",
    "RingOne/Serial/99/Driver",
    "RingOne/Wire/٣",
    "RingOne/Drive/a/b",
    "RingOne/Clock/Base",
    "RingOne/Linux/Kernel",
    "/",
]
DOCUMENTS = [(DATA / f"{name}.vbox").read_bytes() for name in (*NAMES, "settings-1.07", "settings-1.13")]
RELAXED = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def load_and_save(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with contextlib.suppress(RingOneError):
        settings = load_machine(path)
        save_machine(attrs.evolve(settings, snapshot=None, current_snapshot="", media=(), aborted=True), path)
        assert load_machine(path).aborted
        path.write_bytes(data)
    with contextlib.suppress(RingOneError):
        config = load(path)
        save(attrs.evolve(config, name="changed", drives=(), serial_ports=(), extra_data={}), path)
        assert load(path).name == "changed"


@RELAXED
@given(data=st.data())
def test_damaged_bytes(tmp_path: Path, data: st.DataObject) -> None:
    text = bytearray(data.draw(st.sampled_from(DOCUMENTS)))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text) - 1))
        size = data.draw(st.integers(0, 40))
        text[start : start + size] = data.draw(st.one_of(st.binary(max_size=8), st.just(bytes(text[start // 2 : start // 2 + size]))))
        text = text or bytearray(b" ")
    load_and_save(tmp_path / "vm.vbox", bytes(text))


@RELAXED
@given(data=st.data())
def test_well_formed_nonsense(tmp_path: Path, data: st.DataObject) -> None:
    root = etree.fromstring(data.draw(st.sampled_from(DOCUMENTS)))
    for _ in range(data.draw(st.integers(1, 5))):
        elements = [element for element in root.iter() if isinstance(element.tag, str)]
        element = data.draw(st.sampled_from(elements))
        other = data.draw(st.sampled_from(elements))
        match data.draw(st.sampled_from(["set", "drop", "key", "remove", "copy", "rename", "text"])):
            case "set" if element.attrib:
                element.set(data.draw(st.sampled_from(sorted(map(str, element.attrib)))), data.draw(st.sampled_from(WORDS)))
            case "drop" if element.attrib:
                del element.attrib[data.draw(st.sampled_from(sorted(map(str, element.attrib))))]
            case "key" if "name" in element.attrib:
                element.set("name", data.draw(st.sampled_from(KEYS)))
            case "remove" if (parent := element.getparent()) is not None:
                parent.remove(element)
            case "copy":
                other.append(etree.fromstring(etree.tostring(element, with_tail=False)))
            case "rename":
                element.tag = other.tag
            case "text":
                element.text = data.draw(st.sampled_from(WORDS))
    load_and_save(tmp_path / "vm.vbox", etree.tostring(root))


@RELAXED
@given(data=st.data())
def test_damaged_home_files(tmp_path: Path, data: st.DataObject) -> None:
    text = bytearray((DATA / "VirtualBox.xml").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text) - 1))
        text[start : start + data.draw(st.integers(0, 40))] = data.draw(st.sampled_from(WORDS)).encode()
    path = tmp_path / "VirtualBox.xml"
    path.write_bytes(text)
    with contextlib.suppress(RingOneError):
        settings = load_home(path)
        save_home(attrs.evolve(settings, media=settings.media[1:], extra_data={"a": "b"}), path)
        assert load_home(path) == attrs.evolve(settings, media=settings.media[1:], extra_data={"a": "b"})


TEXT = st.text(max_size=12)
OPTIONS = st.dictionaries(TEXT, TEXT, max_size=2)


@RELAXED
@given(name=TEXT, description=TEXT, options=OPTIONS, extra=OPTIONS, memory=st.integers(-1, 1 << 24))
def test_saving_any_text_keeps_it_or_refuses(tmp_path: Path, name: str, description: str, options: dict[str, str], extra: dict[str, str], memory: int) -> None:
    path = tmp_path / "new.vbox"
    path.unlink(missing_ok=True)
    config = MachineConfig(name=name, description=description, memory_bytes=memory << 8, extra_data=extra)
    config = attrs.evolve(config, cpu=attrs.evolve(config.cpu, options=options))
    try:
        save(config, path)
    except RingOneError:
        assert not path.exists()
        return
    again = load(path)
    assert (again.name, again.description, again.extra_data, again.cpu, again.memory_bytes) == (name, description, extra, config.cpu, memory << 8)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, name: str) -> None:
    data = (DATA / f"{name}.vbox").read_bytes().rstrip()
    path = tmp_path / "vm.vbox"
    for size in range(0, len(data), 97):
        path.write_bytes(data[:size])
        with pytest.raises(RingOneError):
            load(path)
