"""MD4 (RFC 1320), which makes the NT hash of a password. OpenSSL 3 has it no more unless its old algorithms are switched on for the whole host."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

BLOCK = 64
MASK = 0xFFFFFFFF
START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)


def _choose(x: int, y: int, z: int) -> int:
    return (x & y) | (~x & z)


def _majority(x: int, y: int, z: int) -> int:
    return (x & y) | (x & z) | (y & z)


def _parity(x: int, y: int, z: int) -> int:
    return x ^ y ^ z


ROUNDS: tuple[tuple[Callable[[int, int, int], int], int, tuple[int, ...], tuple[int, ...]], ...] = (
    (_choose, 0x00000000, (3, 7, 11, 19), (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)),
    (_majority, 0x5A827999, (3, 5, 9, 13), (0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)),
    (_parity, 0x6ED9EBA1, (3, 9, 11, 15), (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15)),
)
"""Function, constant, shifts, and the order in which the words of a block are taken."""


def md4(data: bytes) -> bytes:
    """The 16 bytes of the digest."""
    state: tuple[int, ...] = START
    for block in _blocks(data):
        a, b, c, d = state
        for function, constant, shifts, order in ROUNDS:
            for step, word in enumerate(order):
                total = (a + function(b, c, d) + block[word] + constant) & MASK
                shift = shifts[step % 4]
                a, b, c, d = d, ((total << shift) | (total >> (32 - shift))) & MASK, b, c
        state = tuple((old + new) & MASK for old, new in zip(state, (a, b, c, d), strict=True))
    return struct.pack("<4I", *state)


def _blocks(data: bytes) -> Iterator[tuple[int, ...]]:
    padded = data + b"\x80" + bytes((BLOCK - 9 - len(data)) % BLOCK) + struct.pack("<Q", len(data) * 8 & 0xFFFFFFFFFFFFFFFF)
    return struct.iter_unpack("<16I", padded)
