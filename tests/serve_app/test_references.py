"""Odd recordings of a voice: uploaded or in a request, they reach the encoder as the same samples, and as the voice."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import count
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr

from deployments.contract.errors import InvalidInput
from serve_app.config.settings import Settings
from serve_app.models import Model, Models
from serve_app.service import SHIPPED_VOICES, Service, SpeechRequest
from tests.serve_app.conftest import SPEC, ToneBackend

VOICE, RATE = soundfile.read(SHIPPED_VOICES / "ross.flac", dtype="float32")
NOISE = np.random.default_rng(3)
NAMES = (f"voice {number}" for number in count())


def at(rate: int, level: float = 1.0) -> np.ndarray:
    return (level * soxr.resample(VOICE, RATE, rate)).astype(np.float32)


def written(samples: np.ndarray, rate: int, subtype: str | None = None, format: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype, format=format)
    return file.getvalue()


def encoded(samples: np.ndarray, rate: int, container: str, codec: str, layout: str) -> bytes:
    """samples: (n, channels)."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as opened:
        stream = opened.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=layout)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        wanted = av.AudioResampler(stream.format.name, layout, rate, stream.frame_size or 1152)
        for part in [*wanted.resample(frame), *wanted.resample(None)]:
            opened.mux(stream.encode(part))
        opened.mux(stream.encode(None))
    return file.getvalue()


def together(*channels: np.ndarray) -> np.ndarray:
    return np.stack(channels, axis=1)


def late(silence: np.ndarray, rate: int = RATE) -> np.ndarray:
    return np.concatenate([silence.astype(np.float32), at(rate)])


def hiss(seconds: float, decibels: float, rate: int = RATE) -> np.ndarray:
    return 10 ** (decibels / 20) * NOISE.standard_normal(int(seconds * rate))


def silence_first() -> Iterator[tuple[str, bytes]]:
    for seconds in (16, 61, 180):
        yield f"{seconds} s", written(late(np.zeros(seconds * RATE)), RATE)
    for decibels in (-75, -60, -50, -40):
        yield f"hiss of {decibels} dB", written(late(hiss(62, decibels)), RATE)
    clicked = np.zeros(61 * RATE)
    clicked[2 * RATE : 2 * RATE + 800] = 0.8 * NOISE.standard_normal(800)
    yield "a click in it", written(late(clicked), RATE)
    offset = late(np.zeros(65 * RATE)) + 0.1
    yield "an offset", written(offset, RATE)
    stereo = late(np.zeros(61 * 44_100), 44_100)
    yield "stereo", written(together(stereo, 0.7 * stereo), 44_100, "PCM_24")
    yield "opposite channels", written(together(stereo, -stereo), 44_100, format="FLAC")
    yield "MP3", written(late(hiss(61, -70)), RATE, "MPEG_LAYER_III", "MP3")
    yield "AAC", encoded(late(np.zeros(61 * 24_000), 24_000)[:, None], 24_000, "adts", "aac", "mono")
    yield "8 bit", written(late(np.zeros(61 * RATE)), RATE, "PCM_U8")


def cancelling() -> Iterator[tuple[str, bytes]]:
    x = at(22_050)
    yield "opposite", written(together(x, -x), 22_050)
    yield "opposite, the other way", written(together(-x, x), 22_050)
    yield "nearly opposite", written(together(x, -0.9 * x), 22_050)
    yield "the second is louder", written(together(-0.4 * x, x), 22_050)
    yield "opposite with noise", written(together(x + hiss(len(x) / 22_050, -60, 22_050), -x), 22_050)
    yield "float", written(together(x, -x), 22_050, "FLOAT")
    yield "four channels", written(together(x, -x, x, -x), 22_050)
    yield "5.1", written(together(x, -x, 0 * x, 0 * x, 0 * x, 0 * x), 22_050)
    yield "FLAC", written(together(x, -x), 22_050, format="FLAC")
    yield "Vorbis", written(together(x, -x), 22_050, format="OGG")
    yield "Matroska", encoded(together(at(48_000), -at(48_000)), 48_000, "matroska", "pcm_s16le", "stereo")


def rates() -> Iterator[tuple[str, bytes]]:
    for rate in (
        8_000,
        11_025,
        12_000,
        16_000,
        22_050,
        24_000,
        32_000,
        44_100,
        48_000,
        88_200,
        96_000,
        192_000,
    ):
        yield f"{rate}", written(at(rate), rate)
        yield f"{rate}, stereo", written(together(at(rate), np.roll(at(rate), rate // 4_000)), rate)


def codings() -> Iterator[tuple[str, bytes]]:
    x = at(22_050)
    for format, subtype in (
        ("WAV", "PCM_U8"), ("AIFF", "PCM_S8"), ("WAV", "PCM_24"), ("WAV", "PCM_32"), ("WAV", "FLOAT"),
        ("WAV", "DOUBLE"), ("WAV", "ULAW"), ("WAV", "ALAW"), ("RF64", "PCM_16"), ("W64", "PCM_16"),
        ("CAF", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"),
    ):  # fmt: skip
        yield f"{format} {subtype}", written(x, 22_050, subtype, format)
        yield f"{format} {subtype}, stereo", written(together(x, 0.5 * x), 22_050, subtype, format)
    yield "M4A", encoded(together(at(44_100), at(44_100)), 44_100, "mp4", "aac", "stereo")
    yield "WebM", encoded(together(at(48_000), at(48_000)), 48_000, "webm", "libopus", "stereo")
    yield "µ-law at 8 kHz", written(at(8_000), 8_000, "ULAW")


def channels() -> Iterator[tuple[str, bytes]]:
    x = at(22_050)
    other = hiss(len(x) / 22_050, -70, 22_050)
    yield "left only", written(together(x, 0 * x), 22_050)
    yield "right only", written(together(0 * x, x), 22_050)
    yield "right only, hiss on the left", written(together(other, x), 22_050)
    yield "one is quieter", written(together(x, 0.1 * x), 22_050)
    yield "one is clipped noise", written(together(x, 0.02 * np.sign(x)), 22_050)
    for size in (3, 4, 5, 6, 7, 8):
        surround = np.zeros((len(x), size), np.float32)
        surround[:, min(2, size - 1)] = x
        yield f"the voice in one of {size}", written(surround, 22_050)
    y = at(48_000)
    centre = together(0 * y, 0 * y, y, 0 * y, 0 * y, 0 * y)
    yield "5.1 in Matroska", encoded(centre, 48_000, "matroska", "pcm_s16le", "5.1")
    yield "5.1 in AAC", encoded(centre, 48_000, "mp4", "aac", "5.1")
    yield "5.1, everywhere", written(together(*[x] * 6), 22_050)


def offsets() -> Iterator[tuple[str, bytes]]:
    x = at(22_050, 0.5)
    for offset in (-0.4, -0.1, 0.02, 0.05, 0.2, 0.4):
        yield f"{offset}", written(x + offset, 22_050, "FLOAT")
    yield "8 bit", written(x + 0.1, 22_050, "PCM_U8")
    yield "one channel", written(together(x, x + 0.3), 22_050)
    yield "opposite channels", written(together(x + 0.3, -x), 22_050)
    yield "above full scale", written(2 * x + 0.8, 22_050, "FLOAT")
    yield "96 kHz", written(at(96_000, 0.4) - 0.3, 96_000)


def overdriven() -> Iterator[tuple[str, bytes]]:
    """Above full scale, which floats keep: scaled, not clipped."""
    for gain in (2, 3, 5, 10, 20, 40, 100, 1000):
        yield f"{gain} times", written(at(22_050, gain), 22_050, "FLOAT")
        yield f"{gain} times, stereo", written(together(at(44_100, gain), at(44_100)), 44_100, "DOUBLE")


def quiet() -> Iterator[tuple[str, bytes]]:
    """Below the -40 dB from which nothing is amplified, also where resampling raises the peak."""
    for decibels in (-42, -50, -60, -66, -72):
        level = 10 ** (decibels / 20) / float(np.abs(VOICE).max())
        yield f"float, {decibels} dB", written(at(22_050, level), 22_050, "FLOAT")
        yield f"24 bit, {decibels} dB", written(at(44_100, level), 44_100, "PCM_24")
        if decibels >= -60:
            yield f"16 bit, {decibels} dB", written(at(22_050, level), 22_050)
    yield "stereo", written(together(at(22_050, 0.004), at(22_050, 0.002)), 22_050)
    yield "opposite channels", written(together(at(22_050, 0.004), -at(22_050, 0.004)), 22_050, "PCM_24")


def clipped() -> Iterator[tuple[str, bytes]]:
    for gain in (3, 6, 12):
        yield f"{gain} times", written(np.clip(gain * at(22_050), -1, 1), 22_050)
        yield (
            f"{gain} times, stereo",
            written(np.clip(gain * together(at(44_100), at(44_100)), -1, 1), 44_100),
        )
    yield "float", written(np.clip(at(22_050, 40.0), -4, 4), 22_050, "FLOAT")
    yield "double", written(np.clip(at(22_050, 9.0), -1.5, 1.5), 22_050, "DOUBLE")
    yield "8 bit", written(np.clip(at(22_050, 6.0), -1, 1), 22_050, "PCM_U8")
    yield "at half of full scale", written(np.clip(at(22_050, 6.0), -0.5, 0.5), 22_050)


KINDS = {
    "silence first": silence_first, "cancelling": cancelling, "rate": rates, "coding": codings, "channels": channels,
    "offset": offsets, "overdriven": overdriven, "quiet": quiet, "clipped": clipped,
}  # fmt: skip


def likeness(found: np.ndarray, rate: int) -> float:
    """The correlation of a recording with the voice where they match best, below 3.5 kHz; its sign does not matter."""
    a, b = (soxr.resample(x.astype(np.float64), own, 7_000) for x, own in ((found, rate), (VOICE, RATE)))
    size = len(a) + len(b)
    shifted = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)
    place = int(np.argmax(np.abs(shifted)))
    around = np.pad(a, (len(b), len(b)))[len(b) + (place if place < len(a) else place - size) :][: len(b)]
    return float(np.abs(shifted).max() / np.sqrt((around @ around) * (b @ b)))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_recording_gives_the_same_samples_uploaded_and_in_a_request(
    service: Service, backend: ToneBackend, kind: str
) -> None:
    files = dict(KINDS[kind]())
    assert len(files) >= 8
    for name, data in files.items():
        voice = await service.add_voice(next(NAMES), data)
        uploaded = backend.reference
        spoken = await service.speak(SpeechRequest("Hello.", recording=data))
        inline = backend.reference
        service.clear_prompts()
        await service.speak(SpeechRequest("Hello.", voice.name))
        assert uploaded and inline and backend.reference, name
        for (waveform, rate), again in (
            (uploaded.first, inline.first),
            (inline.first, backend.reference.first),
        ):
            np.testing.assert_array_equal(waveform, again[0], name)
            assert rate == again[1], name
        assert spoken.warnings == voice.warnings, name
        waveform, rate = inline.first
        assert likeness(waveform, rate) > (0.75 if kind == "clipped" else 0.97), (
            name,
            likeness(waveform, rate),
        )
        assert 0.1 < np.abs(waveform).max() <= 1.0, name
        assert abs(waveform.mean()) < 0.02 or kind == "clipped", name  # clipping is not symmetric
        assert ("clipped" in spoken.warnings) == (kind == "clipped"), (name, spoken.warnings)
        assert "background" not in spoken.warnings, name


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (np.zeros(90 * RATE), "silent"),
        (np.full(3 * RATE, 0.2), "silent"),
        (together(np.zeros(3 * RATE), np.zeros(3 * RATE)), "silent"),
        (at(RATE, 5e-5), "silent"),
        (at(RATE)[: RATE // 2], "0.50 s of audio"),
        (hiss(90, -20), "no voice"),
        (together(hiss(3, -20), hiss(3, -20)), "no voice"),
        (np.where(np.arange(3 * RATE) == 900, np.nan, 0.1), "not finite"),
        (np.where(np.arange(3 * RATE) == 900, np.inf, 0.1), "not finite"),
    ],
)
async def test_an_unusable_recording_is_refused_both_ways(
    service: Service, backend: ToneBackend, samples: np.ndarray, says: str
) -> None:
    data = written(samples, RATE, "FLOAT")
    with pytest.raises(InvalidInput, match=says) as uploaded:
        await service.add_voice(next(NAMES), data)
    with pytest.raises(InvalidInput, match=says) as inline:
        await service.speak(SpeechRequest("Hello.", recording=data))
    assert (uploaded.value.param, inline.value.param) == ("audio_sample", "reference_audio")
    assert uploaded.value.code == inline.value.code
    assert not backend.encoded


async def test_a_model_uses_as_much_of_a_long_recording_either_way(
    service: Service, backend: ToneBackend
) -> None:
    data = written(np.tile(at(22_050), 4), 22_050)
    await service.add_voice("long", data)
    uploaded = backend.reference
    spoken = await service.speak(SpeechRequest("Hello.", recording=data))
    assert uploaded and backend.reference
    np.testing.assert_array_equal(uploaded.first[0], backend.reference.first[0])
    assert len(uploaded.first[0]) == 15 * 22_050
    assert spoken.warnings == service.voices.get("long").warnings == ("cut",)


@pytest.mark.parametrize("gain", [0.5, 2.0])
@pytest.mark.parametrize("rate", [22_050, 64_000])
async def test_models_that_use_different_lengths_get_the_same_samples_either_way(
    shipped: Path, tmp_path: Path, rate: int, gain: float
) -> None:
    """The end of the recording is louder than full scale, and only one model uses it."""
    settings = Settings.from_args({"data_dir": str(tmp_path / "data")}, {})
    short, long = ToneBackend(), ToneBackend(spec=replace(SPEC, max_reference_seconds=60.0))
    backends = {"short": short, "long": long}
    models = Models([Model(name, settings.options(), each) for name, each in backends.items()])
    service = Service(settings, models, shipped)
    x = np.concatenate([gain * np.tile(at(rate), 3), 3 * at(rate)])
    data = written(together(x, 0.9 * x), rate, "FLOAT")
    await service.add_voice("loud", data)
    uploaded = {name: each.reference for name, each in backends.items()}
    for name, each in backends.items():
        spoken = await service.speak(SpeechRequest("Hello.", recording=data, model=name))
        before, inline = uploaded[name], each.reference
        assert before and inline and before is not inline
        np.testing.assert_array_equal(before.first[0], inline.first[0])
        assert len(inline.first[0]) <= 15 * min(rate, 48_000) or name == "long"
        assert ("cut" in spoken.warnings) == (name == "short")
