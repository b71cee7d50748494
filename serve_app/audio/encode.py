"""Streaming encoders: float32 samples in, the bytes of one mono audio file out, by default at 24 kHz, as OpenAI's."""

from __future__ import annotations

import io
import struct
from typing import NamedTuple, cast

import av
import numpy as np
import soxr
from av.container import OutputContainer

from deployments.contract.errors import InvalidInput

OUTPUT_RATE = 24_000  # Hz, by default
RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
OPUS_RATES = (16_000, 24_000, 48_000)
UNKNOWN_SIZE = 0xFFFFFFFF  # in the RIFF header of a stream whose length is not known yet

MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",  # Opus in Ogg; audio/opus is the RTP payload type
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


def check_rate(format: str, rate: int) -> None:
    """Raises InvalidInput (param "sample_rate") for a rate in Hz that the format cannot have."""
    allowed = OPUS_RATES if format == "opus" else RATES
    if rate not in allowed:
        message = f"Invalid 'sample_rate': must be one of {', '.join(map(str, allowed))} for {format}."
        raise InvalidInput(message, param="sample_rate")


def open_encoder(format: str, source_rate: int, *, rate: int = OUTPUT_RATE, streamed: bool = True) -> Encoder:
    """An encoder for a format of MEDIA_TYPES. rate: of the file, in Hz. Raises InvalidInput for both.

    streamed: return bytes as soon as possible. Otherwise FLAC, MP3 and WAV are held back until `finish`, so that their
    headers state the length. Ogg states it in every page, and raw AAC nowhere.
    """
    if format not in MEDIA_TYPES:
        allowed = ", ".join(MEDIA_TYPES)
        raise InvalidInput(f"Invalid 'response_format': must be one of {allowed}.", param="response_format")
    check_rate(format, rate)
    if format in _CODECS:
        sink = _Container(_CODECS[format], rate, streamed or format not in ("flac", "mp3"))
    elif format == "wav" and not streamed:
        sink = _WholeWav(rate)
    else:
        sink = _Raw(wav_header(rate=rate) if format == "wav" else b"")
    kind = f";rate={rate};channels=1" if format == "pcm" else ""  # nothing in the file says so
    return Encoder(MEDIA_TYPES[format] + kind, source_rate, rate, sink)


def encode_wav(samples: np.ndarray, source_rate: int, rate: int = OUTPUT_RATE) -> bytes:
    """A complete WAV file, 16 bit, whose header states the length."""
    stream = open_encoder("wav", source_rate, rate=rate, streamed=False)
    return stream.encode(samples) + stream.finish()


def wav_header(data_bytes: int | None = None, rate: int = OUTPUT_RATE) -> bytes:
    """The 44 bytes before 16-bit mono samples. `data_bytes` is None while the length is unknown."""
    riff, data = (UNKNOWN_SIZE, UNKNOWN_SIZE) if data_bytes is None else (36 + data_bytes, data_bytes)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", riff, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", data
    )


def _to_int16(samples: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2")


class Encoder:
    """A sink behind a stream resampler. The output does not depend on how the input is split into chunks."""

    def __init__(
        self, media_type: str, source_rate: int, rate: int, sink: _Raw | _WholeWav | _Container
    ) -> None:
        self.media_type, self._sink, self._resampler = media_type, sink, None
        if source_rate != rate:
            self._resampler = soxr.ResampleStream(source_rate, rate, 1, dtype="float32", quality="HQ")

    def encode(self, samples: np.ndarray) -> bytes:
        """samples: float32 (N,) in -1..1 at the source rate. Returns b"" while a codec collects a frame."""
        return self._sink.write(self._resample(np.ascontiguousarray(samples, np.float32), last=False))

    def finish(self) -> bytes:
        """Returns the remaining bytes. The encoder must not be used afterwards."""
        return self._sink.write(self._resample(np.zeros(0, np.float32), last=True)) + self._sink.close()

    def _resample(self, samples: np.ndarray, last: bool) -> np.ndarray:
        return samples if self._resampler is None else self._resampler.resample_chunk(samples, last=last)


class _Raw:
    """16-bit little-endian samples, with or without a header."""

    def __init__(self, header: bytes) -> None:
        self._before = header

    def write(self, samples: np.ndarray) -> bytes:
        before, self._before = self._before, b""
        return before + _to_int16(samples).tobytes()

    def close(self) -> bytes:
        return b""


class _WholeWav:
    """A WAV file whose header states the length. All bytes come at the end."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._parts: list[bytes] = []

    def write(self, samples: np.ndarray) -> bytes:
        self._parts.append(_to_int16(samples).tobytes())
        return b""

    def close(self) -> bytes:
        data = b"".join(self._parts)
        return wav_header(len(data), self._rate) + data


class Codec(NamedTuple):
    """FFmpeg's names of a codec, its samples and its container, and their options. bit_rate: None if lossless."""

    container: str
    name: str
    sample_format: str
    bit_rate: int | None
    codec_options: dict[str, str]
    container_options: dict[str, str]
    shortest: int = 0  # samples; shorter sound is padded with silence


def add_stream(container: OutputContainer, codec: Codec, rate: int, bit_rate: int | None) -> av.AudioStream:
    """A stream of mono sound at `rate` Hz in an output container."""
    options = codec.codec_options
    if codec.name == "aac":  # by default FFmpeg's encoder derives a lower cutoff from the bit rate
        options = {"cutoff": str(min(20_000, int(0.48 * rate) // 100 * 100))}
    stream = cast(av.AudioStream, container.add_stream(codec.name, rate=rate, options=options))
    stream.codec_context.layout = av.AudioLayout("mono")
    stream.codec_context.format = av.AudioFormat(codec.sample_format)
    if bit_rate:
        stream.codec_context.bit_rate = bit_rate
    return stream


def frame_of(samples: np.ndarray, sample_format: str, rate: int, position: int) -> av.AudioFrame:
    """samples: float32 (N,), clipped to -1..1; position: the number of samples before them."""
    values = _to_int16(samples) if sample_format == "s16" else np.clip(samples, -1.0, 1.0)
    frame = av.AudioFrame.from_ndarray(values[None], sample_format, "mono")  # (1, N)
    frame.sample_rate = rate
    frame.pts = position
    return frame


_CODECS = {  # bit rates up to 24 kHz; above, twice that
    # FFmpeg writes the Xing frame after the end, with the encoder's delay, and leaves it out of a stream
    "mp3": Codec("mp3", "libmp3lame", "fltp", 64_000, {}, {"id3v2_version": "0"}),
    # short pages, because a page is sent when it is full
    "opus": Codec("ogg", "libopus", "flt", 48_000, {"application": "audio"}, {"page_duration": "100000"}),
    # players recognise a raw AAC file by several consecutive frames
    "aac": Codec("adts", "aac", "fltp", 64_000, {}, {}, shortest=3 * 1024),
    "flac": Codec("flac", "flac", "s16", None, {}, {}),
}


class _Output(io.BytesIO):
    """PyAV's output. streamed: it cannot seek, so the container never rewrites its header."""

    def __init__(self, streamed: bool) -> None:
        super().__init__()
        self._streamed = streamed

    def seekable(self) -> bool:
        return not self._streamed

    def taken(self, final: bool = False) -> bytes:
        """The bytes since the last call. A seekable file returns them at the end."""
        if not (self._streamed or final):
            return b""
        data = self.getvalue()
        self.seek(0)
        self.truncate()
        return data


class _Container:
    """A codec in its container, through PyAV."""

    def __init__(self, codec: Codec, rate: int, streamed: bool) -> None:
        self._codec, self._rate, self._position, self._output = codec, rate, 0, _Output(streamed)
        self._container = av.open(self._output, "w", format=codec.container, options=codec.container_options)
        bit_rate = codec.bit_rate and codec.bit_rate * (2 if rate > OUTPUT_RATE else 1)
        self._stream = add_stream(self._container, codec, rate, bit_rate)

    def write(self, samples: np.ndarray) -> bytes:
        if len(samples):
            frame = frame_of(samples, self._codec.sample_format, self._rate, self._position)
            self._position += len(samples)
            self._container.mux(self._stream.encode(frame))
        return self._output.taken()

    def close(self) -> bytes:
        missing = self._codec.shortest - self._position if self._position else 0
        before = self.write(np.zeros(max(0, missing), np.float32))
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return before + self._output.taken(final=True)
