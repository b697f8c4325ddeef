"""JPEG files without what they carry besides the picture: EXIF, XMP, comments, thumbnails, trailers.

The compressed picture is copied, not encoded again. Markers are those of ITU-T T.81, annex B.
"""

from __future__ import annotations

import re

START, END, SCAN = b"\xff\xd8", b"\xff\xd9", 0xDA
COMMENT = 0xFE
APPLICATION = range(0xE0, 0xF0)
JFIF, ADOBE = (0xE0, b"JFIF\0"), (0xEE, b"Adobe")  # they tell a decoder what the numbers mean
JFIF_THUMBNAIL = 12  # offset of the thumbnail's width and height in the content of a JFIF segment
FIRST, AGAIN = 0xC0, START[1]  # lower markers and a second start stand in damaged files alone
# Inside compressed data an FF is followed by 00, or by a restart marker D0..D7. More FF may lead to a marker.
MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)


def without_metadata(data: bytes) -> bytes:
    """The JPEG file `data` with its picture alone, which decodes to the same pixels.

    Dropped are comments, every application segment but those that a decoder needs (JFIF without its
    thumbnail, Adobe's colour transform; colour profiles are dropped too), and whatever follows the picture.
    Raises `ValueError` for a file that is no sequence of JPEG segments.
    """
    if not data.startswith(START):
        raise ValueError("no JPEG start marker")
    parts, place, code = [START], len(START), START[1]
    while code != END[1]:
        found = MARKER.search(data, place)
        until = found.start() if found else len(data)
        if code == SCAN:  # elsewhere nothing belongs between two segments
            parts.append(data[place:until])
        if found is None:  # decoders forgive a missing end
            break
        code, content = found[1][0], found.end()
        if code < FIRST or code == AGAIN:  # decoders guess where such a marker ends
            raise ValueError(f"marker {code:02X} does not belong into a JPEG file")
        if code != END[1]:
            length = int.from_bytes(data[content : content + 2], "big")
            if length < 2 or content + length > len(data):
                raise ValueError("a JPEG segment does not fit into the file")
            place = content + length
            parts.append(_kept(code, data[content + 2 : place]))
    return b"".join([*parts, END])


def _kept(code: int, content: bytes) -> bytes:
    """The segment as it goes into the stripped file; nothing if it is metadata."""
    if (code, content[:5]) == JFIF and len(content) >= JFIF_THUMBNAIL + 2:
        content = content[:JFIF_THUMBNAIL] + b"\0\0"
    elif code == COMMENT or (code in APPLICATION and (code, content[:5]) != ADOBE):
        return b""
    return bytes((0xFF, code)) + (len(content) + 2).to_bytes(2, "big") + content
