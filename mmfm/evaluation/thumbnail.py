"""Small copies of images, to be put into result files and pages."""

from __future__ import annotations

import base64
import io

from PIL import Image

QUALITY = 82


def thumbnail(data: bytes, side: int) -> str:
    """An encoded image as the data URI of a JPEG at most `side` pixels wide and high."""
    return "data:image/jpeg;base64," + base64.b64encode(small_jpeg(data, side)).decode("ascii")


def small_jpeg(data: bytes, side: int) -> bytes:
    """An encoded image as a JPEG at most `side` pixels wide and high."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (side, side))  # lets a JPEG decoder skip what is not needed
        small = image.convert("RGB")
    small.thumbnail((side, side))
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=QUALITY)
    return encoded.getvalue()
