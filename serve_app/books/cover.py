"""A cover as audio containers need it. Only the header is read, so a hostile image reaches no decoder."""

from __future__ import annotations

import struct
from base64 import b64encode
from dataclasses import dataclass

from deployments.contract.errors import InvalidInput

PNG = b"\x89PNG\r\n\x1a\n"
MOST_BYTES, MOST_PIXELS = 10 * 2**20, 10_000  # of an uploaded cover, and of each of its sides
FRONT = 3  # the type of a front cover in ID3 and FLAC
SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG markers of a frame header, with the size
ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG markers without a segment


@dataclass(frozen=True, slots=True)
class Cover:
    """data: the file; codec: FFmpeg's name; width, height: in pixels."""

    data: bytes
    codec: str
    width: int
    height: int

    @property
    def media_type(self) -> str:
        return "image/png" if self.codec == "png" else "image/jpeg"

    @property
    def flac_block(self) -> str:
        """The PICTURE block of FLAC in base64: the comment that holds the cover in an Ogg file."""
        kind = self.media_type.encode()
        head = struct.pack(f">II{len(kind)}sI", FRONT, len(kind), kind, 0)
        size = struct.pack(">5I", self.width, self.height, 24, 0, len(self.data))
        return b64encode(head + size + self.data).decode()


def read_cover(data: bytes) -> Cover:
    """Raises InvalidInput (param "cover") for anything but a JPEG or PNG file."""
    if data.startswith(PNG) and data[12:16] == b"IHDR" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        if width and height:
            return Cover(data, "png", width, height)
    elif (size := _jpeg_size(data)) is not None:
        return Cover(data, "mjpeg", *size)
    raise InvalidInput("Invalid 'cover': must be a JPEG or PNG file.", param="cover")


def check_cover(data: bytes) -> Cover:
    """An uploaded cover. Raises InvalidInput (param "cover") as `read_cover`, and for one that is too large."""
    if len(data) > MOST_BYTES:
        raise InvalidInput(f"Invalid 'cover': at most {MOST_BYTES} bytes are allowed.", param="cover")
    cover = read_cover(data)
    if max(cover.width, cover.height) > MOST_PIXELS:
        size = f"{cover.width} × {cover.height} pixels, at most {MOST_PIXELS} are allowed on each side"
        raise InvalidInput(f"Invalid 'cover': it has {size}.", param="cover")
    return cover


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while data.startswith(b"\xff\xd8") and at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in SIZES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return (width, height) if width and height else None
        if marker == 0xFF:
            at += 1
        elif marker in ALONE:
            at += 2
        else:
            at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return None
