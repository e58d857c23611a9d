"""Names from ATA/ATAPI-6 (T13/1410D) that channel and drives share."""

from __future__ import annotations

ERR = 1 << 0
DRQ = 1 << 3
DSC = 1 << 4
DF = 1 << 5
DRDY = 1 << 6
BSY = 1 << 7

ABRT = 1 << 2
IDNF = 1 << 4
UNC = 1 << 6

NIEN = 1 << 1
SRST = 1 << 2
HOB = 1 << 7

DEV = 1 << 4
LBA = 1 << 6
DEVICE_HEAD_FIXED = 0xA0
"""Bits 7 and 5 of Device/Head, always one in ATA-1 and written so by everybody."""

DIAGNOSTIC_PASSED = 0x01

NOP = 0x00
DEVICE_RESET = 0x08
EXECUTE_DEVICE_DIAGNOSTIC = 0x90
PACKET = 0xA0
IDENTIFY_PACKET_DEVICE = 0xA1
IDENTIFY_DEVICE = 0xEC
SET_FEATURES = 0xEF

SECTOR = 512

TRANSFER_MODE_PIO_DEFAULT = 0x00
TRANSFER_MODE_PIO = 0x08
TRANSFER_MODE_SINGLE_WORD_DMA = 0x10
TRANSFER_MODE_MULTIWORD_DMA = 0x20
TRANSFER_MODE_ULTRA_DMA = 0x40
MODES_BY_KIND = {
    TRANSFER_MODE_PIO_DEFAULT: 2,
    TRANSFER_MODE_PIO: 5,
    TRANSFER_MODE_SINGLE_WORD_DMA: 3,
    TRANSFER_MODE_MULTIWORD_DMA: 3,
    TRANSFER_MODE_ULTRA_DMA: 6,
}
"""Bits 7:3 of SET FEATURES' transfer mode -> how many modes of the kind there are."""


def ata_string(text: str, length: int) -> bytes:
    """An IDENTIFY string: padded with blanks, the bytes of every word swapped."""
    padded = text.encode("ascii", "replace")[:length].ljust(length)
    swapped = bytearray(length)
    swapped[0::2] = padded[1::2]
    swapped[1::2] = padded[0::2]
    return bytes(swapped)


def identify_block(words: dict[int, int], strings: dict[int, bytes]) -> bytes:
    """512 bytes of IDENTIFY data from the words that are not zero."""
    block = bytearray(SECTOR)
    for index, word in words.items():
        block[2 * index : 2 * index + 2] = word.to_bytes(2, "little")
    for index, text in strings.items():
        block[2 * index : 2 * index + len(text)] = text
    return bytes(block)


def transfer_mode_words(mode: int) -> dict[int, int]:
    """IDENTIFY words 62, 63 and 88: the DMA modes there are, and in the high byte the selected one."""
    selected = 1 << (mode & 7) + 8
    multiword, ultra = mode & 0xF8 == TRANSFER_MODE_MULTIWORD_DMA, mode & 0xF8 == TRANSFER_MODE_ULTRA_DMA
    single_word = mode & 0xF8 == TRANSFER_MODE_SINGLE_WORD_DMA
    return {62: 0x07 | selected * single_word, 63: 0x07 | selected * multiword, 88: 0x3F | selected * ultra}
