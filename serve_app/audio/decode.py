"""Decodes untrusted audio files: returns a `Recording`, or raises an InvalidInput that says what is wrong.

Audio is mixed to mono and resampled block by block. Decoding stops after the seconds that are used. A file is decoded
twice if only one channel is used, or if a silent beginning is skipped (`survey`). A hostile file can still crash the C
libraries or make them use much memory and time, so `sandbox` runs this code in a separate process.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import suppress

import av
import numpy as np
import soundfile
import soxr

from deployments.contract.errors import InvalidInput
from serve_app.audio.kinds import DEMUXERS, NAMES, SNDFILE_KINDS, kind_of
from serve_app.audio.recording import MAX_RATE, Recording
from serve_app.audio.survey import Plan, Survey

log = logging.getLogger("chorale.audio")

LOWEST_RATE, HIGHEST_RATE = 4_000, 192_000  # Hz
MAX_CHANNELS = 8
MAX_STREAMS = 8
BLOCK = 65_536  # frames
SILENCE = 1e-4  # a peak below this is inaudible (-80 dBFS)
OFFSET = 0.1  # a constant offset above this share of the RMS is removed
QUIET, RAISED = (
    0.01,
    0.5,
)  # a lower peak is doubled while it stays below RAISED: doubling keeps 16-bit values exact
ALLOWED = (
    f"{NAMES}; up to {MAX_STREAMS} streams, {MAX_CHANNELS} channels, "
    f"{LOWEST_RATE // 1000} to {HIGHEST_RATE // 1000} kHz"
)
_UNREADABLE = f"not a readable audio file (allowed: {ALLOWED})"

# the allowed codecs: libsndfile's names, then FFmpeg's
_SUBTYPES = tuple("PCM_ FLOAT DOUBLE ULAW ALAW ALAC_ VORBIS OPUS MPEG_LAYER_".split())
_PCM = "s8 u8 s16le s16be s24le s24be s32le s32be f32le f32be f64le f64be mulaw alaw".split()
_PACKED = "mp3 mp3float aac vorbis opus libopus flac alac".split()
_CODECS = frozenset([*_PACKED, *(f"pcm_{kind}" for kind in _PCM)])
_OPTIONS = {
    "format_whitelist": ",".join(DEMUXERS.values()),
    "protocol_whitelist": "none",  # a container must not open other files or addresses
    "codec_whitelist": ",".join(sorted(_CODECS)),
    "max_streams": str(MAX_STREAMS + 1),  # one more, so that an excess is detected
}

Blocks = Iterator[tuple[np.ndarray, int]]  # samples, float32 (n, channels), and their rate in Hz


class _Refused(Exception):
    """Why a file cannot be used. The text follows the field's name in the error message."""


def decode_recording(data: bytes, *, min_seconds: float, max_seconds: float, param: str) -> Recording:
    """Decodes the first `max_seconds` of an audio file. A longer file gets the warning "cut".

    In a longer file, silence before the first sound is skipped. Channels are averaged; if the average loses what one of
    them contains, the loudest channel is used. A constant offset is removed, and a very quiet recording is amplified.

    Raises InvalidInput (param `param`) if the file is empty, unreadable, too short, silent or has samples that are not
    finite. Raises MemoryError if memory runs out.
    """
    try:
        return _decoded(data, min_seconds, max_seconds)
    except _Refused as error:
        raise InvalidInput(f"Invalid '{param}': {error}.", param=param) from None
    except MemoryError:
        raise
    except Exception as error:  # the decoders raise many types of errors on hostile files
        log.info("a recording was rejected: %r", error)
        raise InvalidInput(f"Invalid '{param}': {_UNREADABLE}.", param=param) from None


def _decoded(data: bytes, min_seconds: float, max_seconds: float) -> Recording:
    """Raises _Refused, or any error of the decoders."""
    kind = kind_of(data)
    if kind is None:
        raise _Refused(_UNREADABLE)
    if kind in SNDFILE_KINDS:
        with suppress(soundfile.SoundFileError):  # FFmpeg may still read it
            return _collected(lambda: _sndfile_blocks(data), min_seconds, max_seconds)
    return _collected(lambda: _av_blocks(data, DEMUXERS[kind]), min_seconds, max_seconds)


def _collected(blocks: Callable[[], Blocks], min_seconds: float, max_seconds: float) -> Recording:
    """blocks: decodes the file from its start."""
    survey, mono = Survey(max_seconds), _Mono(max_seconds, Plan())
    for block, rate in blocks():
        going_on = mono.add(block, rate)
        if not survey.add(block, rate) and not going_on:
            break
    if (plan := survey.plan()) != Plan():
        mono = _Mono(max_seconds, plan)
        for block, rate in blocks():
            if not mono.add(block, rate):
                break
    return mono.finish(min_seconds)


class _Mono:
    """Collects at most `seconds` of mono audio. A rate above MAX_RATE is resampled to MAX_RATE."""

    def __init__(self, seconds: float, plan: Plan) -> None:
        self._seconds, self._plan = seconds, plan
        self._rate = 0  # Hz, of the file; 0 until the first block
        self._skip = 0  # samples before the start
        self._taken = 0  # samples at the file's rate
        self._cut = False
        self._blocks: list[np.ndarray] = []
        self._resampler: soxr.ResampleStream | None = None

    def add(self, block: np.ndarray, rate: int) -> bool:
        """Appends float32 (n, channels) at `rate` Hz, the same rate in every call. Returns False at the limit."""
        if not self._rate:
            self._rate, self._skip = rate, int(self._plan.start * rate)
            if rate > MAX_RATE:
                self._resampler = soxr.ResampleStream(rate, MAX_RATE, 1, dtype="float32", quality="HQ")
        if self._cut:
            return False
        skipped = min(self._skip, len(block))
        self._skip -= skipped
        left = int(self._seconds * rate) - self._taken
        self._cut = len(block) - skipped > left
        used = block[skipped : skipped + left]
        channel = self._plan.channel
        used = (
            used.mean(axis=1, dtype=np.float32) if channel is None else np.ascontiguousarray(used[:, channel])
        )
        if not np.isfinite(used).all():
            raise _Refused("it contains samples that are not finite numbers")
        self._taken += len(used)
        self._blocks.append(self._resampler.resample_chunk(used) if self._resampler else used)
        return not self._cut

    def finish(self, min_seconds: float) -> Recording:
        """Raises _Refused if the recording is unusable."""
        if not self._rate:
            raise _Refused("it contains no audio")
        seconds = self._taken / self._rate
        if round(seconds, 2) < min_seconds:  # a stored recording may be a sample shorter
            raise _Refused(f"it contains {seconds:.2f} s of audio; at least {min_seconds:g} s are needed")
        if self._resampler:
            self._blocks.append(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        rate = min(self._rate, MAX_RATE)
        waveform = _levelled(np.concatenate(self._blocks)[: int(self._seconds * rate)])
        return Recording.of(waveform, rate, ("cut",) if self._cut else ())


def _levelled(waveform: np.ndarray) -> np.ndarray:
    """float32 (N,) -> the same within -1..1, without an offset, and not very quiet. Raises _Refused for silence.

    It is idempotent, so a stored recording decodes to the same samples.
    """
    offset, spread = float(waveform.mean(dtype=np.float64)), float(waveform.std(dtype=np.float64))
    if abs(offset) > OFFSET * spread:
        waveform = waveform - np.float32(offset)
    peak = float(np.abs(waveform).max(initial=0.0))
    if peak < SILENCE:
        raise _Refused("the recording is silent")
    if peak > 1.0:
        return waveform / peak
    return waveform * 2.0 ** math.floor(math.log2(RAISED / peak)) if peak < QUIET else waveform


def _sndfile_blocks(data: bytes) -> Blocks:
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        if not file.subtype.startswith(_SUBTYPES):
            raise _Refused(_UNREADABLE)
        _check(file.samplerate, file.channels)
        # in blocks, because a header may declare any length
        while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
            yield block, file.samplerate


def _av_blocks(data: bytes, demuxer: str) -> Blocks:
    with av.open(io.BytesIO(data), "r", format=demuxer, options=_OPTIONS) as container:
        if len(container.streams) > MAX_STREAMS:
            raise _Refused(f"it has more than {MAX_STREAMS} streams (allowed: {ALLOWED})")
        if not container.streams.audio:
            raise _Refused(_UNREADABLE)
        stream = container.streams.audio[0]
        codec = stream.codec_context
        if codec.codec.name not in _CODECS:
            raise _Refused(_UNREADABLE)
        _check(codec.sample_rate, codec.channels)
        codec.thread_count = 1
        rate = codec.sample_rate
        resampler = av.AudioResampler(format="flt", rate=rate)
        held: list[np.ndarray] = []  # frames are much shorter than a block
        for frame in container.decode(stream):
            for part in resampler.resample(frame):
                held.append(part.to_ndarray().reshape(-1, part.layout.nb_channels))
                if sum(map(len, held)) >= BLOCK:
                    yield np.concatenate(held), rate
                    held.clear()
        if held:
            yield np.concatenate(held), rate


def _check(rate: int, channels: int) -> None:
    if not 1 <= channels <= MAX_CHANNELS:
        raise _Refused(f"it has {channels} channels (allowed: {ALLOWED})")
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise _Refused(f"it has a rate of {rate} Hz (allowed: {ALLOWED})")
