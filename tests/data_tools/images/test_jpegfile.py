"""Stripping a JPEG file, and files that are odd."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data_tools.images.jpegfile import without_metadata


def jpeg(**how: object) -> bytes:
    buffer = io.BytesIO()
    picture = np.random.default_rng(0).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    Image.fromarray(picture).save(buffer, "JPEG", **how)
    return buffer.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def segment(code: int, content: bytes) -> bytes:
    return bytes((0xFF, code)) + (len(content) + 2).to_bytes(2, "big") + content


@given(
    st.lists(st.tuples(st.sampled_from([0xFE, *range(0xE1, 0xEE), 0xEF]), st.binary(max_size=99)), max_size=6)
)
def test_whatever_is_told_beside_the_picture_goes(extra: list[tuple[int, bytes]]) -> None:
    plain = jpeg()
    told = plain[:2] + b"".join(segment(code, content) for code, content in extra) + plain[2:]
    assert without_metadata(told) == without_metadata(plain) == plain


def test_comments_between_scans_and_remains_after_the_end_go() -> None:
    plain = jpeg(progressive=True)
    second = plain.index(b"\xff\xda", plain.index(b"\xff\xda") + 2)
    told = plain[:second] + segment(0xFE, b"name") + plain[second:] + b"trailer"
    assert without_metadata(told) == plain


def test_words_between_segments_and_the_thumbnail_of_jfif_go() -> None:
    plain = jpeg()
    header = segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01" + b"\x02\x01" + b"secret")  # 2 x 1 pixels
    start = plain.index(b"\xff\xdb")
    told = plain[:2] + header + b"name" + plain[start:]
    assert without_metadata(told) == plain[:2] + segment(0xE0, header[4:16] + b"\0\0") + plain[start:]


def test_the_colour_transform_of_adobe_stays() -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels(jpeg())).convert("CMYK").save(buffer, "JPEG")
    assert b"Adobe" in without_metadata(buffer.getvalue())
    np.testing.assert_array_equal(pixels(without_metadata(buffer.getvalue())), pixels(buffer.getvalue()))


@pytest.mark.parametrize("code", [0x01, 0x7F, 0xD8])
def test_a_marker_that_decoders_guess_about_is_refused(code: int) -> None:
    plain = jpeg(progressive=True)
    middle = plain.index(b"\xff\xda") + 40
    with pytest.raises(ValueError, match=f"marker {code:02X} does not belong"):
        without_metadata(plain[:middle] + bytes((0xFF, code)) + plain[middle:])


def test_bytes_that_lead_to_a_marker_are_borne() -> None:
    plain = jpeg()
    scan = plain.index(b"\xff\xda")
    run = b"\xff" * 200_000
    led = plain[:scan] + run + plain[scan:-2] + run + b"\0" + run + plain[-2:]
    np.testing.assert_array_equal(pixels(without_metadata(led)), pixels(plain))


def test_a_missing_end_is_added() -> None:
    plain = jpeg()
    assert without_metadata(plain[:-2]) == plain


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"\xff\xd8\xff\xe1\x00\x01abc", b"\xff\xd8\xff\xe1\xff\xff"]
)
def test_what_is_no_jpeg_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="JPEG"):
        without_metadata(data)


@given(st.data())
def test_damaged_files_keep_their_pixels_or_are_refused(data: st.DataObject) -> None:
    """Whatever Pillow still decodes looks the same after stripping."""
    how = data.draw(st.sampled_from([{}, {"progressive": True}, {"restart_marker_blocks": 1}]))
    damaged = bytearray(jpeg(comment=b"\xff\xda\xff\xd9", **how))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(2, len(damaged) - 1))
        damaged[place : place + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b"\xff", b"\xff\x01", b"\xff\xd0", b"\xff\xd9", b"\xff\xe1\0\4ab"])
        )
    try:
        seen, stripped = pixels(bytes(damaged)), without_metadata(bytes(damaged))
    except (OSError, ValueError, SyntaxError):
        return
    np.testing.assert_array_equal(pixels(stripped), seen)
