"""Streaming encoders: float32 samples in, the bytes of one audio file out.

Every format has 24 kHz mono audio, the rate that OpenAI documents for pcm.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Protocol, cast

import av
import numpy as np
import soxr
from typing_extensions import Buffer

from deployments.contract.errors import InvalidInput

OUTPUT_RATE = 24_000  # Hz
UNKNOWN_SIZE = 0xFFFFFFFF  # in the RIFF header of a stream whose length is not known yet

MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",  # Opus in Ogg; audio/opus is the RTP payload type
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


class Encoder(Protocol):
    media_type: str

    def encode(self, samples: np.ndarray) -> bytes:
        """samples: float32 (N,) in -1..1 at the source rate. Returns b"" while a codec collects a frame."""
        ...

    def finish(self) -> bytes:
        """Returns the remaining bytes. The encoder must not be used afterwards."""
        ...


def open_encoder(format: str, source_rate: int, *, streamed: bool = True) -> Encoder:
    """An encoder for a format of MEDIA_TYPES.

    streamed: return bytes as soon as possible. Otherwise FLAC is held back until `finish`, so that its header states
    the length, which libsndfile requires. The other formats do not differ.

    Raises InvalidInput (param "response_format") for any other format.
    """
    match format:
        case "pcm" | "wav":
            return _Resampled(format, source_rate, _Raw(header=format == "wav"))
        case _ if format in _CODECS:
            return _Resampled(format, source_rate, _Container(_CODECS[format], streamed or format != "flac"))
    allowed = ", ".join(MEDIA_TYPES)
    raise InvalidInput(f"Invalid 'response_format': must be one of {allowed}.", param="response_format")


def encode_wav(samples: np.ndarray, source_rate: int) -> bytes:
    """A complete WAV file, 16 bit at 24 kHz, whose header states the length."""
    raw = _Raw(header=False)
    stream = _Resampled("wav", source_rate, raw)
    data = stream.encode(samples) + stream.finish()
    return wav_header(len(data)) + data


def wav_header(data_bytes: int | None = None, rate: int = OUTPUT_RATE) -> bytes:
    """The 44 bytes before 16-bit mono samples. `data_bytes` is None while the length is unknown."""
    riff, data = (UNKNOWN_SIZE, UNKNOWN_SIZE) if data_bytes is None else (36 + data_bytes, data_bytes)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", riff, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", data
    )


def to_int16(samples: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2")


class _Sink(Protocol):
    def write(self, samples: np.ndarray) -> bytes: ...

    def close(self) -> bytes: ...


class _Resampled:
    """A sink behind a stream resampler. The output does not depend on how the input is split into chunks."""

    def __init__(self, format: str, source_rate: int, sink: _Sink) -> None:
        self.media_type = MEDIA_TYPES[format]
        self._sink = sink
        same = source_rate == OUTPUT_RATE
        self._resampler = (
            None if same else soxr.ResampleStream(source_rate, OUTPUT_RATE, 1, dtype="float32", quality="HQ")
        )

    def encode(self, samples: np.ndarray) -> bytes:
        return self._sink.write(self._resample(np.ascontiguousarray(samples, np.float32), last=False))

    def finish(self) -> bytes:
        return self._sink.write(self._resample(np.zeros(0, np.float32), last=True)) + self._sink.close()

    def _resample(self, samples: np.ndarray, last: bool) -> np.ndarray:
        return samples if self._resampler is None else self._resampler.resample_chunk(samples, last=last)


class _Raw:
    """16-bit little-endian samples, with or without a streaming WAV header."""

    def __init__(self, header: bool) -> None:
        self._before = wav_header() if header else b""

    def write(self, samples: np.ndarray) -> bytes:
        before, self._before = self._before, b""
        return before + to_int16(samples).tobytes()

    def close(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True)
class _Codec:
    container: str
    name: str
    sample_format: str
    bit_rate: int | None
    codec_options: dict[str, str]
    container_options: dict[str, str]
    shortest: int = 0  # samples; shorter sound is padded with silence


_CODECS = {
    # without a Xing frame, which is written after the end
    "mp3": _Codec("mp3", "libmp3lame", "fltp", 64_000, {}, {"write_xing": "0", "id3v2_version": "0"}),
    # short pages, because a page is sent when it is full
    "opus": _Codec("ogg", "libopus", "flt", 48_000, {"application": "audio"}, {"page_duration": "100000"}),
    # players recognise a raw AAC file by several consecutive frames
    "aac": _Codec("adts", "aac", "fltp", 64_000, {"cutoff": "11500"}, {}, shortest=3 * 1024),
    "flac": _Codec("flac", "flac", "s16", None, {}, {}),
}


class _Pipe(io.RawIOBase):
    """PyAV's output. It cannot seek, so that a container never goes back to correct its header."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: Buffer, /) -> int:
        self._parts.append(bytes(data))
        return len(self._parts[-1])

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


class _File(io.BytesIO):
    """The output for a container that may seek. All bytes come at the end."""

    def take(self) -> bytes:
        return b""


class _Container:
    """A codec in its container, through PyAV."""

    def __init__(self, codec: _Codec, streamed: bool) -> None:
        self._codec = codec
        self._pipe = _Pipe() if streamed else _File()
        self._container = av.open(self._pipe, "w", format=codec.container, options=codec.container_options)
        stream = self._container.add_stream(codec.name, rate=OUTPUT_RATE, options=codec.codec_options)
        self._stream = cast(av.AudioStream, stream)
        self._stream.codec_context.layout = av.AudioLayout("mono")
        self._stream.codec_context.format = av.AudioFormat(codec.sample_format)
        if codec.bit_rate:
            self._stream.codec_context.bit_rate = codec.bit_rate
        self._position = 0

    def write(self, samples: np.ndarray) -> bytes:
        if len(samples):
            values = to_int16(samples) if self._codec.sample_format == "s16" else np.clip(samples, -1.0, 1.0)
            frame = av.AudioFrame.from_ndarray(
                values[None], format=self._codec.sample_format, layout="mono"
            )  # (1, N)
            frame.sample_rate = OUTPUT_RATE
            frame.pts = self._position
            self._position += len(samples)
            self._container.mux(self._stream.encode(frame))
        return self._pipe.take()

    def close(self) -> bytes:
        missing = self._codec.shortest - self._position if self._position else 0
        before = self.write(np.zeros(max(0, missing), np.float32))
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return before + (self._pipe.getvalue() if isinstance(self._pipe, _File) else self._pipe.take())
