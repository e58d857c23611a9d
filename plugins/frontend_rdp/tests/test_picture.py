"""Which bitmaps a changed picture becomes."""

from __future__ import annotations

import numpy as np
import pytest
from ringone_frontend_rdp.codecs.planar import AlphaPlane
from ringone_frontend_rdp.fastpath import LARGEST_PDU, bitmap_updates
from ringone_frontend_rdp.picture import NOTHING, Pixels, differs_much, fitted, raw, updates

NOISE = np.random.default_rng(0).integers(0, 256, (130, 131, 3), np.uint8)
BLACK: Pixels = np.zeros((130, 131, 3), np.uint8)


def test_only_changed_tiles_are_sent() -> None:
    new = BLACK.copy()
    new[70, 3] = 255
    (sent,) = updates(BLACK, new, 32, AlphaPlane.LEFT_OUT)
    assert (sent.left, sent.top, sent.width, sent.height, sent.compressed) == (0, 64, 64, 64, True)
    assert updates(new, new.copy(), 32, AlphaPlane.LEFT_OUT) == []


@pytest.mark.parametrize("depth", [16, 32])
def test_everything_is_sent_to_a_client_that_has_nothing(depth: int) -> None:
    sent = updates(NOTHING, BLACK, depth, AlphaPlane.OPAQUE)
    assert sum(bitmap.width * bitmap.height for bitmap in sent) == 130 * 131
    assert all(bitmap.columns % 4 == 0 and 0 <= bitmap.columns - bitmap.width < 4 for bitmap in sent)


def test_tile_that_its_codec_makes_larger_goes_out_as_it_is() -> None:
    sent = updates(NOTHING, NOISE, 16, AlphaPlane.OPAQUE)
    assert not any(bitmap.compressed for bitmap in sent)
    assert all(len(bitmap.data) == bitmap.columns * bitmap.height * 2 for bitmap in sent)


@pytest.mark.parametrize("depth", [16, 32])
def test_no_picture_is_too_much_for_a_pdu(depth: int) -> None:
    sent = updates(NOTHING, NOISE, depth, AlphaPlane.OPAQUE)
    assert all(len(bitmap.data) <= bitmap.columns * bitmap.height * depth // 8 for bitmap in sent)
    assert all(len(pdu) <= LARGEST_PDU for pdu in bitmap_updates(sent))


def test_raw_pixels_begin_with_the_bottom_row() -> None:
    tile = np.array([[[1, 2, 3]], [[255, 128, 8]]], np.uint8)
    assert raw(tile, 32) == bytes((8, 128, 255, 0, 3, 2, 1, 0))
    assert raw(tile, 16) == (0xF800 | 32 << 5 | 1).to_bytes(2, "little") + bytes(2)


@pytest.mark.parametrize(("width", "height"), [(100, 100), (200, 200), (131, 130), (300, 50)])
def test_picture_is_cut_or_framed_for_a_desktop_of_another_size(width: int, height: int) -> None:
    desktop = fitted(NOISE, width, height)
    rows, columns = min(height, 130), min(width, 131)
    assert desktop.shape == (height, width, 3)
    assert np.array_equal(desktop[:rows, :columns], NOISE[:rows, :columns])
    assert not desktop[rows:].any() and not desktop[:, columns:].any()


def test_text_that_scrolls_differs_much_and_a_typed_row_does_not() -> None:
    typed = NOISE.copy()
    typed[16:32] = 0
    assert differs_much(NOISE, np.roll(NOISE, -16, axis=0))
    assert not differs_much(NOISE, typed)
    assert not differs_much(NOISE, NOISE[:64])
