"""Envelopes of appliances: what VirtualBox and others write is read, what is written is read again, nonsense is refused by its place."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from ringone.api.appliance import Appliance, ApplianceDisk, ApplianceDrive, ApplianceSystem
from ringone.api.config import Drive, DriveKind, MachineConfig, StorageController
from ringone.api.errors import ConfigError, UnsupportedError
from ringone_config_xml import ovf

MIB = 1 << 20
STREAM = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"

VIRTUALBOX = f"""<?xml version="1.0"?>
<Envelope ovf:version="1.0" xml:lang="en-US" xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
    xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vbox="http://www.virtualbox.org/ovf/machine">
  <References><File ovf:href="deb-disk001.vmdk" ovf:id="file1" ovf:size="1000"/></References>
  <DiskSection>
    <Info>disks</Info>
    <Disk ovf:capacity="8589934592" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="{STREAM}" vbox:uuid="5d8f8f80-58a0-4f1d-9a0e-6f0f00000002"/>
  </DiskSection>
  <NetworkSection><Network ovf:name="NAT"/></NetworkSection>
  <VirtualSystem ovf:id="deb">
    <OperatingSystemSection ovf:id="96"><Description>Debian_64</Description><vbox:OSType ovf:required="false">Debian_64</vbox:OSType></OperatingSystemSection>
    <VirtualHardwareSection>
      <Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>1</rasd:VirtualQuantity></Item>
      <Item><rasd:AllocationUnits>MegaBytes</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType>
        <rasd:VirtualQuantity>512</rasd:VirtualQuantity></Item>
      <Item><rasd:Address>0</rasd:Address><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>PIIX4</rasd:ResourceSubType>
        <rasd:ResourceType>5</rasd:ResourceType></Item>
      <Item><rasd:Address>1</rasd:Address><rasd:InstanceID>4</rasd:InstanceID><rasd:ResourceType>5</rasd:ResourceType></Item>
      <Item><rasd:InstanceID>5</rasd:InstanceID><rasd:ResourceSubType>AHCI</rasd:ResourceSubType><rasd:ResourceType>20</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>6</rasd:InstanceID>
        <rasd:Parent>PARENT</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:InstanceID>7</rasd:InstanceID><rasd:Parent>4</rasd:Parent>
        <rasd:ResourceType>15</rasd:ResourceType></Item>
      <Item><rasd:InstanceID>8</rasd:InstanceID><rasd:ResourceSubType>E1000</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></Item>
      <Item><rasd:InstanceID>9</rasd:InstanceID><rasd:ResourceType>23</rasd:ResourceType></Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"""


def read(text: str) -> Appliance:
    return ovf.read(text.encode(), "deb.ovf")


def test_an_envelope_of_virtualbox_is_read() -> None:
    appliance = read(VIRTUALBOX.replace("PARENT", "3"))
    (disk,), (system,) = appliance.disks, appliance.systems
    assert (disk.id, disk.file, disk.format, disk.capacity_bytes, disk.file_bytes) == ("vmdisk1", "deb-disk001.vmdk", "vmdk", 8 << 30, 1000)
    assert (system.config.name, system.config.os_type, system.config.memory_bytes) == ("deb", "Debian_64", 512 * MIB)
    assert system.drives == (ApplianceDrive(disk="vmdisk1", bus="ide", port=0, device=0),)
    assert system.config.drives == (Drive(kind=DriveKind.CDROM, controller="ide", port=1, device=0),)
    assert system.absent == ("network adapter E1000", "USB controller")


def test_a_disk_on_another_bus_says_so() -> None:
    assert read(VIRTUALBOX.replace("PARENT", "5")).systems[0].drives == (ApplianceDrive(disk="vmdisk1", bus="sata", port=0, device=0),)


@pytest.mark.parametrize(("unit", "size"), [("byte * 2^20", 512), ("byte * 2^30", 512 << 10), ("GigaBytes", 512 << 10), ("MB", 512)], ids=str)
def test_units_are_understood(unit: str, size: int) -> None:
    assert read(VIRTUALBOX.replace("PARENT", "3").replace("MegaBytes", unit)).systems[0].config.memory_bytes == size * MIB


MISTAKES = {
    "no xml": ("<?xml", "&", "not well-formed"),
    "a document type": ("<Envelope", "<!DOCTYPE x><Envelope", "DOCTYPE"),
    "another root": ("Envelope", "Letter", "accepted is an OVF <Envelope>"),
    "a path": ("deb-disk001.vmdk", "../deb-disk001.vmdk", "is in '../deb-disk001.vmdk'; accepted is the name of a file"),
    "an absolute path": ("deb-disk001.vmdk", "/etc/passwd", "is in '/etc/passwd'"),
    "a URL": ("deb-disk001.vmdk", "http://x/disk.vmdk", "accepted is the name of a file"),
    "dots": ("deb-disk001.vmdk", "..", "is in '..'"),
    "a missing file": ('ovf:fileRef="file1"', 'ovf:fileRef="file2"', "which References does not have"),
    "a size": ('ovf:size="1000"', 'ovf:size="-1"', "the size of 'deb-disk001.vmdk' is '-1'"),
    "a huge size": ('ovf:size="1000"', 'ovf:size="99999999999999999999"', "the size of 'deb-disk001.vmdk'"),
    "a capacity": ("8589934592", "lots", "the capacity of disk 'vmdisk1' is 'lots'"),
    "a huge capacity": ("8589934592", str(1 << 60), "the capacity of disk"),
    "a format": (STREAM, "http://example.org/qed", "has the format 'http://example.org/qed'; accepted: VMDK"),
    "compression": ('ovf:size="1000"', 'ovf:compression="gzip"', "is compressed or in chunks"),
    "a parent": ("ovf:diskId", 'ovf:parentRef="vmdisk0" ovf:diskId', "stands on another one"),
    "another disk": ("/disk/vmdisk1", "/disk/vmdisk2", "a drive has '/disk/vmdisk2'"),
    "memory": (">512<", ">512.5<", "the memory is '512.5'"),
    "a unit": ("MegaBytes", "cups", "the unit 'cups'; accepted: bytes"),
    "a resource type": ("<rasd:ResourceType>17", "<rasd:ResourceType>disk", "the resource type is 'disk'"),
    "no hardware": ("VirtualHardwareSection", "Nothing", "without VirtualHardwareSection"),
    "no machine": ("VirtualSystem", "VirtualCow", "0 virtual systems"),
}


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES.values(), ids=MISTAKES)
def test_nonsense_is_refused_with_its_place(old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=r"deb\.ovf(:\d+)?: ") as failure:
        read(VIRTUALBOX.replace("PARENT", "3").replace(old, new))
    assert message in str(failure.value)


def test_what_is_well_formed_and_not_supported_is_said_to_be() -> None:
    with pytest.raises(UnsupportedError):
        read(VIRTUALBOX.replace("PARENT", "3").replace(STREAM, "qed"))


def test_a_large_envelope_is_refused() -> None:
    with pytest.raises(ConfigError, match="larger than 4 MiB"):
        ovf.read(b" " * (ovf.MAX_BYTES + 1), "big.ovf")


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(ConfigError):
        ovf.read(data, "any.ovf")


# --- writing

DISK = ApplianceDisk(id="vmdisk1", file="deb-disk001.vmdk", format="vmdk", format_uri=STREAM, capacity_bytes=8 << 30, file_bytes=1000)
IDE, FLOPPY = StorageController(name="IDE", type="PIIX4"), StorageController(name="Floppy", type="I82078", ports=1)
SYSTEMS = {
    "plain": ApplianceSystem(config=MachineConfig(name="deb", os_type="Debian", memory_bytes=64 * MIB)),
    "described": ApplianceSystem(config=MachineConfig(name='d<é>"b', description="two\nlines & <more>")),
    "drives": ApplianceSystem(
        config=MachineConfig(
            name="deb",
            storage_controllers=(IDE, FLOPPY),
            drives=(
                Drive(kind=DriveKind.CDROM, controller="ide", port=1, device=1),
                Drive(kind=DriveKind.FLOPPY, controller="floppy", port=0, device=1),
            ),
        ),
        drives=(ApplianceDrive(disk="vmdisk1", bus="ide", port=1, device=0),),
    ),
}


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_what_is_written_is_read_again(system: ApplianceSystem) -> None:
    appliance = Appliance(disks=(DISK,), systems=(system,))
    assert ovf.read(ovf.write(appliance), "again.ovf") == appliance


def test_the_format_uri_is_known_for_the_formats_that_are_written() -> None:
    appliance = Appliance(disks=(attrs.evolve(DISK, format_uri=""),), systems=(SYSTEMS["plain"],))
    assert ovf.read(ovf.write(appliance), "x").disks[0].format_uri == STREAM


def test_items_have_their_elements_in_the_order_of_the_schema() -> None:
    root = etree.fromstring(ovf.write(Appliance(disks=(DISK,), systems=(SYSTEMS["drives"],))))
    items = [[etree.QName(child).localname for child in item] for item in root.iter("{*}Item")]
    assert len(items) == 7
    assert all(names == sorted(names) for names in items)
