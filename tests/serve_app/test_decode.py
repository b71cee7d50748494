"""References from strangers: every kind that is allowed, and everything that must not get through."""

from __future__ import annotations

import io
import os
import socket
import tracemalloc

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.contract.errors import InvalidInput
from serve_app.audio import decode_reference, open_encoder


def tone(seconds: float, rate: int, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def written(samples: np.ndarray, rate: int, format: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype, format=format)
    return file.getvalue()


def decode(data: bytes, min_seconds: float = 1.0, max_seconds: float = 15.0):
    return decode_reference(data, min_seconds=min_seconds, max_seconds=max_seconds)


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


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("kind", [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "PCM_U8"), ("FLAC", "PCM_24")])
def test_rates_and_kinds(rate, kind):
    samples, found = decode(written(tone(2, rate), rate, *kind))
    assert found == rate
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert len(samples) == 2 * rate
    assert pitch(samples, rate) == pytest.approx(440, abs=1)


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac", "wav"])
def test_our_own_formats_come_back(format):
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


def test_long_ones_are_cut():
    samples, rate = decode(written(tone(40, 8_000), 8_000), max_seconds=15)
    assert len(samples) == 15 * rate


def test_too_loud_floats_are_scaled():
    samples, _ = decode(written(tone(2, 16_000, level=4.0), 16_000, subtype="FLOAT"))
    assert np.abs(samples).max() == pytest.approx(1.0)


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
    assert "/" not in caught.value.message.replace("ogg/opus", "")


def test_a_playlist_opens_no_address():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.5)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/x.ts"
        with pytest.raises(InvalidInput):
            decode(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\n{address}\n#EXT-X-ENDLIST\n".encode())
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_truncated_file_gives_what_it_has():
    samples, rate = decode(written(tone(4, 16_000), 16_000)[:80_000])
    assert 2 < len(samples) / rate < 3


def test_a_small_file_of_many_hours_costs_little():
    hours = written(np.zeros(2 * 3600 * 8_000, np.int16), 8_000, "FLAC")
    assert len(hours) < 1_000_000
    tracemalloc.start()
    with pytest.raises(InvalidInput):
        decode(hours)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30e6


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
    except InvalidInput:
        return
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= 1.0
    assert rate <= len(samples) <= 15 * rate
