"""Untrusted references: every allowed kind, and everything that must be refused."""

from __future__ import annotations

import io
import os
import socket
import tracemalloc

import av
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.contract.errors import InvalidInput
from serve_app.audio.decode import decode_recording
from serve_app.audio.encode import open_encoder
from serve_app.audio.examine import examine
from serve_app.audio.recording import Recording
from serve_app.service import SHIPPED_VOICES
from tests.bombs import matroska, sample_tables


def tone(seconds: float, rate: int, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def written(samples: np.ndarray, rate: int, format: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype, format=format)
    return file.getvalue()


def recording(data: bytes, min_seconds: float = 1.0, max_seconds: float = 15.0) -> Recording:
    return decode_recording(data, min_seconds=min_seconds, max_seconds=max_seconds, param="audio_sample")


def decode(data: bytes, max_seconds: float = 15.0) -> tuple[np.ndarray, int]:
    made = recording(data, max_seconds=max_seconds)
    return made.waveform, made.rate


def pitch(samples: np.ndarray, rate: int) -> float:
    return float(np.fft.rfftfreq(len(samples), 1 / rate)[np.abs(np.fft.rfft(samples)).argmax()])


def m4a() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44_100, layout="stereo")
        samples = np.stack([tone(2, 44_100)] * 2)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("kind", [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "PCM_U8"), ("FLAC", "PCM_24")])
def test_rates_and_kinds(rate, kind):
    samples, found = decode(written(tone(2, rate), rate, *kind))
    assert found == min(rate, 48_000)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert len(samples) == 2 * found
    assert pitch(samples, found) == pytest.approx(440, abs=1)


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac", "wav"])
def test_our_own_formats_are_decoded(format):
    encoder = open_encoder(format, 16_000)
    samples, rate = decode(encoder.encode(tone(2, 16_000)) + encoder.finish())
    assert len(samples) / rate == pytest.approx(2, abs=0.1)
    assert pitch(samples, rate) == pytest.approx(440, abs=2)


def test_m4a():
    samples, rate = decode(m4a())
    assert rate == 44_100
    assert pitch(samples, rate) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("channels", [2, 6])
def test_channels_are_mixed(channels):
    samples, _ = decode(written(np.stack([tone(2, 16_000)] * channels, axis=1), 16_000))
    np.testing.assert_allclose(samples, tone(2, 16_000), atol=1e-3)


def test_long_recordings_are_cut():
    samples, rate = decode(written(tone(40, 8_000), 8_000), max_seconds=15)
    assert len(samples) == 15 * rate


@pytest.mark.parametrize(("seconds", "cut"), [(14.9, False), (15, False), (15.1, True)])
@pytest.mark.parametrize("rate", [16_000, 44_100, 96_000])
def test_a_recording_longer_than_used_gets_a_warning(seconds, cut, rate):
    assert recording(written(tone(seconds, rate), rate)).warnings == (("cut",) if cut else ())


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 88_200, 96_000, 191_999])
@pytest.mark.parametrize("level", [2e-4, 0.3, 1.0, 3.0])
def test_a_stored_recording_decodes_to_the_same_samples(rate, level):
    noise = np.random.default_rng(rate).uniform(-level, level, (rate * 16, 2))
    first = recording(written(noise, rate, subtype="FLOAT"))
    again = recording(first.to_wav(), min_seconds=0.0)
    assert (again.rate, again.warnings) == (first.rate, ())
    np.testing.assert_array_equal(again.samples, first.samples)


@pytest.mark.parametrize("path", sorted(SHIPPED_VOICES.glob("*.flac")), ids=lambda path: path.stem)
def test_shipped_recordings_are_unchanged(path):
    samples, rate = soundfile.read(path, dtype="float32")
    made = recording(path.read_bytes())
    assert made.rate == rate
    np.testing.assert_array_equal(made.waveform, samples)


@pytest.mark.parametrize("rate", [44_100, 96_000, 192_000])
def test_overdriven_recordings_at_any_rate_are_accepted(rate):
    voice, own = soundfile.read(SHIPPED_VOICES / "ross.flac", dtype="float32")
    loud = np.clip(8 * soxr.resample(voice, own, rate), -1, 1)
    made = recording(written(loud, rate))
    assert "clipped" in examine(made.waveform, made.rate, "p")


def test_a_long_recording_of_many_channels_is_never_in_memory_as_a_whole():
    data = written(np.tile(tone(20, 192_000)[:, None], 8), 192_000)
    tracemalloc.start()
    made = recording(data, max_seconds=20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(made.samples) == 20 * 48_000
    assert peak < 24e6  # all channels would be 123 MB


def test_floats_above_full_scale_are_scaled():
    samples, _ = decode(written(tone(2, 16_000, level=4.0), 16_000, subtype="FLOAT"))
    assert np.abs(samples).max() == pytest.approx(1.0)


def in_matroska(codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream(codec, rate=48_000, layout="stereo")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(np.stack([tone(2, 48_000)] * 2), format="fltp", layout="stereo")
        frame.sample_rate = 48_000
        wanted = av.AudioResampler(stream.format.name, "stereo", 48_000, stream.frame_size or 1152)
        for part in [*wanted.resample(frame), *wanted.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return file.getvalue()


def broken() -> dict[str, bytes]:
    with_nan = tone(2, 16_000)
    with_nan[500] = np.nan
    good = written(tone(2, 16_000), 16_000)
    return {
        "empty": b"",
        "text": b"hello, this is no audio " * 50,
        "html": b"<html><body>404</body></html>",
        "zeros": bytes(100_000),
        "noise": os.urandom(100_000),
        "png": b"\x89PNG\r\n\x1a\n" + bytes(1000),
        "zip": b"PK\x03\x04" + bytes(1000),
        "header only": good[:44],
        "half a header": good[:20],
        "silent": written(np.zeros(32_000), 16_000),
        "nearly silent": written(tone(2, 16_000, level=2e-5), 16_000, subtype="FLOAT"),
        "too short": written(tone(0.9, 16_000), 16_000),
        "nan": written(with_nan, 16_000, subtype="FLOAT"),
        "infinite": written(np.where(np.arange(32_000) == 9, np.inf, 0.1), 16_000, subtype="FLOAT"),
        "352.8 kHz": written(tone(2, 352_800), 352_800),
        "3999 Hz": written(tone(2, 3_999), 3_999),
        "9 channels": written(np.tile(tone(2, 16_000)[:, None], 9), 16_000),
        "9 streams": matroska(9, b"A_PCM/INT/LIT"),
        "adpcm": written(tone(2, 16_000), 16_000, "WAV", "IMA_ADPCM"),
        "gsm": written(tone(2, 8_000), 8_000, "WAV", "GSM610"),
        **{
            kind: written(tone(2, 16_000), 16_000, kind)
            for kind in ("AU", "VOC", "PAF", "MAT5", "NIST", "AVR")
        },
        **{codec: in_matroska(codec) for codec in ("ac3", "tta", "wavpack", "mp2")},
        "absurd rate": good[:24] + (2_000_000).to_bytes(4, "little") + good[28:],
        "rate of 1 Hz": good[:24] + (1).to_bytes(4, "little") + good[28:],
        "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\nfile:///etc/passwd\n",
        "concat script": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "subtitles": b"1\n00:00:01,000 --> 00:00:02,000\nhello\n",
    }


@pytest.mark.parametrize("name", sorted(broken()))
def test_refused_with_a_reason(name):
    with pytest.raises(InvalidInput) as caught:
        decode(broken()[name])
    assert caught.value.param == "audio_sample"
    assert "audio_sample" in caught.value.message
    assert "/" not in caught.value.message


@pytest.mark.parametrize("name", ["352.8 kHz", "3999 Hz", "9 channels", "9 streams", "AU", "ac3", "zip"])
def test_the_message_says_what_is_allowed(name):
    with pytest.raises(InvalidInput, match="up to 8 streams, 8 channels, 4 to 192 kHz"):
        decode(broken()[name])


@pytest.mark.parametrize("codec", ["aac", "libopus", "libmp3lame", "pcm_s16le", "alac"])
def test_allowed_codecs(codec):
    samples, rate = decode(in_matroska(codec))
    assert rate == 48_000
    assert pitch(samples, rate) == pytest.approx(440, abs=2)


def test_pictures_and_tags_are_ignored():
    mp3 = open_encoder("mp3", 16_000)
    sound = mp3.encode(tone(2, 16_000)) + mp3.finish()
    tag = b"ID3\x03\0\0" + bytes([0, 0, 8, 0]) + bytes(1024)
    samples, rate = decode(tag * 2 + sound)
    assert pitch(samples, rate) == pytest.approx(440, abs=2)


def test_a_playlist_opens_no_url():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.5)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/x.ts"
        with pytest.raises(InvalidInput):
            decode(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\n{address}\n#EXT-X-ENDLIST\n".encode())
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_truncated_file_gives_its_readable_part():
    samples, rate = decode(written(tone(4, 16_000), 16_000)[:80_000])
    assert 2 < len(samples) / rate < 3


def hours_in_little() -> dict[str, bytes]:
    """A compressed file of two hours, and files whose headers claim ten."""
    count = 10 * 3600 * 8_000
    sound, flac = written(tone(0.5, 8_000), 8_000), bytearray(written(tone(0.5, 8_000), 8_000, "FLAC"))
    flac[21:26] = ((flac[21] & 0xF0) | count >> 32).to_bytes(1, "big") + (count & 0xFFFFFFFF).to_bytes(
        4, "big"
    )
    return {
        "silence": written(np.zeros(2 * 3600 * 8_000, np.int16), 8_000, "FLAC"),
        "wav": sound[:40] + (2 * count).to_bytes(4, "little") + sound[44:],
        "flac": bytes(flac),
        "mp4": sample_tables(1, 10 * 3600 * 48_000 // 1024),
    }


@pytest.mark.parametrize(
    ("kind", "size", "memory"),
    [("silence", 1e6, 30e6), ("wav", 10_240, 3e6), ("flac", 10_240, 3e6), ("mp4", 10_240, 3e6)],
)
def test_hours_in_a_small_file_cost_little(kind, size, memory):
    data = hours_in_little()[kind]
    assert len(data) <= size
    tracemalloc.start()
    with pytest.raises(InvalidInput):
        decode(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < memory


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_never_crash(data):
    format = data.draw(st.sampled_from(["mp3", "opus", "aac", "flac", "wav"]))
    encoder = open_encoder(format, 16_000)
    good = bytearray(encoder.encode(tone(1.2, 16_000)) + encoder.finish())
    for _ in range(data.draw(st.integers(1, 30))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        samples, rate = decode(bytes(good[: data.draw(st.integers(1, len(good)))]))
        examine(samples, rate, "audio_sample")
    except InvalidInput:
        return
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= 1.0
    assert 1 <= round(len(samples) / rate, 2) <= 15
