"""Reference audio from strangers: any file in, mono float32 out, or an InvalidInput that says what is wrong.

Nothing is decoded beyond the seconds that are used, so a small file that unpacks to hours costs nothing.
"""

from __future__ import annotations

import io
import logging

import av
import numpy as np
import soundfile

from deployments.contract.errors import InvalidInput

log = logging.getLogger("chorale.audio")

MIN_RATE, MAX_RATE = 4_000, 384_000  # Hz
MAX_CHANNELS = 32
# demuxers that only read the bytes they are given: no playlist that would open files or addresses
CONTAINERS = "mp3,aac,ogg,flac,wav,w64,aiff,caf,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"
SILENCE = 1e-4  # peak below which nothing can be heard (-80 dBFS)


def decode_reference(
    data: bytes, *, min_seconds: float, max_seconds: float, param: str = "audio_sample"
) -> tuple[np.ndarray, int]:
    """The first `max_seconds` of an audio file: (float32 (N,) mono in -1..1, rate in Hz).

    Raises InvalidInput (param `param`): empty, no audio that can be read, too short, silent, not finite.
    """
    if not data:
        raise InvalidInput(f"Invalid '{param}': the file is empty.", param=param)
    try:
        decoded = _decode_soundfile(data, max_seconds) or _decode_av(data, max_seconds)
    except Exception as error:  # the decoders raise their own zoo of errors on hostile files
        log.info("reference audio refused: %s", type(error).__name__)
        decoded = None
    if decoded is None:
        kinds = "wav, flac, mp3, ogg/opus, aac, m4a or webm"
        raise InvalidInput(
            f"Invalid '{param}': not an audio file that can be read (allowed: {kinds}).", param=param
        )
    channels, rate = decoded  # (N, C)
    if not np.isfinite(channels).all():
        raise InvalidInput(f"Invalid '{param}': it holds samples that are not finite numbers.", param=param)
    mono = np.ascontiguousarray(channels.mean(axis=1, dtype=np.float32))
    seconds = len(mono) / rate
    if seconds < min_seconds:
        message = f"Invalid '{param}': {seconds:.2f} s of audio, at least {min_seconds:g} s are needed."
        raise InvalidInput(message, param=param)
    peak = float(np.abs(mono).max(initial=0.0))
    if peak < SILENCE:
        raise InvalidInput(f"Invalid '{param}': the recording is silent.", param=param)
    return (mono / peak if peak > 1.0 else mono), rate


def _decode_soundfile(data: bytes, max_seconds: float) -> tuple[np.ndarray, int] | None:
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if not _sane(file.samplerate, file.channels):
                return None
            limit = int(max_seconds * file.samplerate)
            blocks, taken = [], 0
            while taken < limit:  # in blocks: a header may promise any number of frames
                block = file.read(min(65_536, limit - taken), dtype="float32", always_2d=True)
                if not len(block):
                    break
                blocks.append(block)
                taken += len(block)
            return (np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32)), file.samplerate
    except soundfile.SoundFileError:
        return None


def _decode_av(data: bytes, max_seconds: float) -> tuple[np.ndarray, int] | None:
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "none"}
    with av.open(io.BytesIO(data), "r", options=options) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
        if not _sane(rate, channels):
            return None
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        limit = int(max_seconds * rate)
        blocks, taken = [], 0
        for frame in container.decode(stream):
            for part in resampler.resample(frame):
                blocks.append(part.to_ndarray().reshape(-1))
                taken += blocks[-1].size
            if taken >= limit:
                break
        samples = np.concatenate(blocks)[:limit] if blocks else np.zeros(0, np.float32)
        return samples[:, None], rate


def _sane(rate: int, channels: int) -> bool:
    return MIN_RATE <= rate <= MAX_RATE and 1 <= channels <= MAX_CHANNELS
