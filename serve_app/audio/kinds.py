"""Recognises the kind of an audio file by its first bytes, so that a parser never sees a file of another kind."""

from __future__ import annotations

SNDFILE_KINDS = ("wav", "flac", "ogg", "mp3", "aiff", "caf", "w64")  # which libsndfile tries first
DEMUXERS = {kind: kind for kind in (*SNDFILE_KINDS, "aac", "matroska")} | {"mp4": "mov"}  # FFmpeg's
NAMES = "wav, flac, mp3, ogg or opus, aac, m4a, webm, aiff, caf or w64"  # for error messages

_W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")  # the GUID of a W64 file's outermost chunk
_ATOMS = b"ftyp moov mdat wide free skip pnot".split()  # an MP4 or QuickTime file begins with one of these
_MOST_TAGS = 4  # consecutive ID3 tags


def kind_of(data: bytes) -> str | None:
    """A key of DEMUXERS, or None. ID3 tags before the audio are skipped."""
    start = 0
    for _ in range(_MOST_TAGS):
        if data[start : start + 3] != b"ID3":
            break
        start += _tag_bytes(data[start : start + 10])
    head = data[start : start + 16]
    magic, form, atom = head[:4], head[8:12], head[4:8]
    if magic in (b"RIFF", b"RIFX", b"RF64") and form == b"WAVE":
        return "wav"
    if magic == b"FORM" and form in (b"AIFF", b"AIFC"):
        return "aiff"
    if head == _W64:
        return "w64"
    if atom in _ATOMS:
        return "mp4"
    whole = {b"fLaC": "flac", b"OggS": "ogg", b"caff": "caf", b"\x1a\x45\xdf\xa3": "matroska"}
    return whole.get(magic) or _mpeg(head)


def _tag_bytes(header: bytes) -> int:
    """The size of an ID3v2 tag with its header and footer."""
    if len(header) < 10:
        return len(header)
    size = 0
    for byte in header[6:10]:  # seven bits each
        size = size << 7 | byte & 0x7F
    return 10 + size + (10 if header[5] & 0x10 else 0)


def _mpeg(head: bytes) -> str | None:
    """An MPEG audio frame begins with eleven set bits, an ADTS frame of AAC with twelve and then layer 0."""
    word = int.from_bytes(head[:4], "big")
    sync, version, layer = word >> 21, word >> 19 & 3, word >> 17 & 3
    if len(head) < 4 or sync != 0x7FF or version == 1:
        return None
    if layer:
        return "mp3"
    return "aac" if version >= 2 else None
