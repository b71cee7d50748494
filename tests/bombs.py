"""Small audio files that would exhaust a machine, built byte by byte."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import soundfile

SECOND = 48_000


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind: bytes, *parts: bytes, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", flags), *parts)


def track(number: int, samples: int) -> bytes:
    """An AAC track whose tables claim `samples` samples of one byte, all in one chunk."""
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    header = struct.pack(">5I8xHHHH", 0, 0, number, 0, 1024, 0, 0, 0x100, 0) + matrix + bytes(8)
    entry = struct.pack(">6xHII2H2HI", 1, 0, 0, 2, 16, 0, 0, SECOND << 16)
    tables = box(
        b"stbl",
        full(b"stsd", struct.pack(">I", 1), box(b"mp4a", entry, _esds())),
        full(b"stts", *_list(samples, samples, 1024)),
        full(b"stsc", *_list(samples, 1, samples, 1)),
        full(b"stsz", struct.pack(">2I", 1, samples)),
        full(b"stco", *_list(samples, 0)),
    )
    media = box(
        b"mdia",
        full(b"mdhd", struct.pack(">4IHH", 0, 0, SECOND, 1024, 0x55C4, 0)),
        full(b"hdlr", struct.pack(">4x4s12xB", b"soun", 0)),
        box(b"minf", full(b"smhd", bytes(4)), _dinf(), tables),
    )
    return box(b"trak", full(b"tkhd", header, flags=3), media)


def _list(samples: int, *entry: int) -> tuple[bytes, ...]:
    """One entry, or none without samples."""
    numbers = (1, *entry) if samples else (0,)
    return tuple(struct.pack(">I", number) for number in numbers)


def _dinf() -> bytes:
    return box(b"dinf", full(b"dref", struct.pack(">I", 1), full(b"url ", flags=1)))


def _esds() -> bytes:
    specific = b"\x05\x02\x11\x90"  # AAC LC, 48 kHz, stereo
    decoder = b"\x04" + bytes([13 + len(specific)]) + b"\x40\x15" + bytes(11) + specific
    return full(b"esds", b"\x03" + bytes([3 + len(decoder) + 3]) + b"\0\1\0" + decoder + b"\x06\x01\x02")


def mp4(*tracks: bytes, after: bytes = b"", movie: bytes = b"") -> bytes:
    header = full(b"mvhd", struct.pack(">4I", 0, 0, 1000, 1000), bytes(80))
    kind = box(b"ftyp", b"M4A \0\0\0\0isommp42")
    return kind + box(b"moov", header, *tracks, movie) + after + box(b"mdat", bytes(256))


def sample_tables(tracks: int, samples: int) -> bytes:
    return mp4(*(track(n + 1, samples) for n in range(tracks)))


def fragments(samples: int) -> bytes:
    """Fragments without a field per sample, which claim any length in a few bytes."""
    defaults = box(b"mvex", full(b"trex", struct.pack(">5I", 1, 1, 1024, 1, 0)))
    run = full(b"trun", struct.pack(">I", samples))
    piece = box(b"traf", full(b"tfhd", struct.pack(">I", 1), flags=0x20000), run)
    return mp4(track(1, 0), movie=defaults, after=box(b"moof", full(b"mfhd", struct.pack(">I", 1)), piece))


def silence(seconds: int, rate: int, channels: int, format: str, subtype: str) -> bytes:
    file = io.BytesIO()
    block = np.zeros((rate, channels), np.int16)
    with soundfile.SoundFile(file, "w", rate, channels, subtype, format=format) as sound:
        for _ in range(seconds):
            sound.write(block)
    return file.getvalue()


def wav_header(rate: int, channels: int, bits: int = 16) -> bytes:
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * frame & 0xFFFFFFFF, frame & 0xFFFF, bits)
    return b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<I", 16) + form + b"data\xff\xff\xff\xff"


def tagged(claimed: int) -> bytes:
    """An ID3 tag whose compressed frame expands to `claimed` bytes."""
    packed = zlib.compress(bytes(claimed), 9)
    frame = b"APIC" + _seven(4 + len(packed)) + b"\x00\x09" + _seven(claimed) + packed
    sound = b"\xff\xfb\x90\x64" + bytes(413)  # one MP3 frame
    return b"ID3\x04\x00\x00" + _seven(len(frame)) + frame + sound * 200


def _seven(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def ebml(kind: int, body: bytes) -> bytes:
    name = kind.to_bytes((kind.bit_length() + 7) // 8, "big")
    return name + (len(body) | 1 << 56).to_bytes(8, "big") + body


def matroska(tracks: int, codec: bytes, fields: bytes = b"", blocks: bytes = b"") -> bytes:
    entries = b"".join(
        ebml(
            0xAE,
            ebml(0xD7, bytes([n + 1]) if n < 126 else (n + 1).to_bytes(2, "big"))
            + ebml(0x73C5, (n + 1).to_bytes(4, "big"))
            + ebml(0x83, b"\2")
            + ebml(0x86, codec)
            + fields
            + ebml(0xE1, ebml(0xB5, struct.pack(">d", 48_000.0)) + ebml(0x9F, b"\2") + ebml(0x6264, b"\x10")),
        )
        for n in range(tracks)
    )
    cluster = ebml(0x1F43B675, ebml(0xE7, b"\0") + blocks)
    return ebml(0x1A45DFA3, ebml(0x4282, b"matroska")) + ebml(
        0x18538067, ebml(0x1549A966, ebml(0x2AD7B1, b"\x0f\x42\x40")) + ebml(0x1654AE6B, entries) + cluster
    )


def discarded_hours() -> bytes:
    """45 hours of Opus in one-byte packets, all in the pre-roll: decoded, then discarded."""
    head = b"OpusHead\1\2" + struct.pack("<HIhB", 0, 48_000, 0, 0)
    delay = ebml(0x56AA, (40_000 * 10**9).to_bytes(8, "big"))  # ns
    return matroska(1, b"A_OPUS", ebml(0x63A2, head) + delay, b"\xa3\x85\x81\0\0\x80\x59" * 1_350_000)


# the file's builder; every error message must name the field at fault
BOMBS: dict[str, Callable[[], bytes]] = {
    "mp4, one track of 80 million samples": lambda: sample_tables(1, 80_000_000),
    "mp4, 8 tracks of 20 million": lambda: sample_tables(8, 20_000_000),
    "mp4, 40 tracks of 20 million": lambda: sample_tables(40, 20_000_000),
    "mp4, 1000 tracks": lambda: sample_tables(1000, 100_000),
    "mp4, a run of 50 million samples": lambda: fragments(50_000_000),
    "matroska, hours that are discarded": discarded_hours,
    "flac, 8 channels at 384 kHz": lambda: silence(60, 384_000, 8, "FLAC", "PCM_16"),
    "vorbis, 32 channels": lambda: silence(4, 8_000, 32, "OGG", "VORBIS"),
    "wav, 1024 channels": lambda: wav_header(192_000, 1024) + bytes(2**20),
    "wav, 384 kHz": lambda: wav_header(384_000, 1) + bytes(2**20),
    "flac, four hours of silence": lambda: silence(4 * 3600, 8_000, 1, "FLAC", "PCM_16"),
    "id3, a packed picture": lambda: tagged(200_000_000),
    "matroska, 500 tracks": lambda: matroska(500, b"A_VORBIS"),
}
