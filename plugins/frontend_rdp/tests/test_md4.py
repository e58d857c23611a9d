"""MD4 against the vectors of RFC 1320, A.5, and NT hashes that are known everywhere."""

from __future__ import annotations

import pytest
from ringone_frontend_rdp.md4 import md4
from ringone_frontend_rdp.users import nt_hash

VECTORS = {
    "": "31d6cfe0d16ae931b73c59d7e0c089c0",
    "a": "bde52cb31de33e46245e05fbdbd6fb24",
    "abc": "a448017aaf21d8525fc10ae87aa6729d",
    "message digest": "d9130a8164549fe818874806e1c7014b",
    "abcdefghijklmnopqrstuvwxyz": "d79e1c308aa5bbcdeea8ed63df412da9",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789": "043f8582f241db351ce627e153e7f0e4",
    "1234567890" * 8: "e33b4ddc9c38f2199c3e7b164fcc0536",
}


@pytest.mark.parametrize(("text", "digest"), VECTORS.items(), ids=[f"{len(text)}-bytes" for text in VECTORS])
def test_digests_of_the_rfc(text: str, digest: str) -> None:
    assert md4(text.encode()).hex() == digest


@pytest.mark.parametrize("size", [55, 56, 63, 64, 65, 119, 120, 128])
def test_padding_at_the_edges_of_a_block(size: int) -> None:
    from spnego._ntlm_raw.md4 import md4 as peer

    assert md4(bytes(size)) == peer(bytes(size))


@pytest.mark.parametrize(("password", "digest"), [("password", "8846f7eaee8fb117ad06bdd830b7586c"), ("Password", "a4f49c406510bdcab6824ee7c30fd852")])
def test_nt_hashes(password: str, digest: str) -> None:
    assert nt_hash(password).hex() == digest
