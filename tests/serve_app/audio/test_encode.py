"""Every format, checked by decoding it."""

from __future__ import annotations

import io
import wave

import av
import numpy as np
import pytest
import soundfile
import soxr

from deployments.contract.errors import InvalidInput
from serve_app.audio.encode import MEDIA_TYPES, OUTPUT_RATE, RATES, encode_wav, open_encoder

RATE = 16_000
SECONDS = 2.0
FORMATS = sorted(MEDIA_TYPES)
LOSSLESS = ("flac", "pcm", "wav")


def sweep() -> np.ndarray:
    """A tone that rises from 200 Hz to 7.8 kHz: float32 (N,)."""
    t = np.arange(int(SECONDS * RATE)) / RATE
    phase = 200 * t + (7800 - 200) / (2 * SECONDS) * t * t
    return (0.4 * np.sin(2 * np.pi * phase)).astype(np.float32)


def encode(
    format: str, samples: np.ndarray, piece: int, rate: int = RATE, streamed: bool = True
) -> list[bytes]:
    encoder = open_encoder(format, rate, streamed=streamed)
    parts = [encoder.encode(samples[i : i + piece]) for i in range(0, len(samples), piece)]
    return [*parts, encoder.finish()]


def decode(data: bytes, format: str) -> tuple[np.ndarray, int]:
    """(float (N,), rate), decoded by PyAV."""
    if format == "pcm":
        return np.frombuffer(data, "<i2") / 32768.0, OUTPUT_RATE
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.channels == 1
        resampler = av.AudioResampler(format="flt", layout="mono", rate=stream.rate)
        frames = [part for frame in container.decode(stream) for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]), stream.rate


def aligned(heard: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """The overlap of both, and the delay of `heard` in samples."""
    size = len(heard) + len(wanted)
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size)), size)
    late = int(product.argmax())
    assert late < len(heard)
    length = min(len(heard) - late, len(wanted))
    return heard[late : late + length], wanted[:length], late


@pytest.mark.parametrize("format", FORMATS)
def test_decoding_returns_the_encoded_sound(format):
    heard, rate = decode(b"".join(encode(format, sweep(), 1600)), format)
    wanted = soxr.resample(sweep(), RATE, rate)
    assert len(heard) / rate == pytest.approx(SECONDS, abs=0.0001 if format in LOSSLESS else 0.1)
    heard, wanted, late = aligned(heard, wanted)
    assert late / rate < 0.06
    assert len(heard) / rate > SECONDS - 0.03, "the encoder keeps the end"
    assert np.corrcoef(heard, wanted)[0, 1] > (0.9999 if format in LOSSLESS else 0.95)


@pytest.mark.parametrize("format", FORMATS)
def test_spectrum_is_intact_up_to_8_khz(format):
    heard, rate = decode(b"".join(encode(format, sweep(), 1600)), format)
    wanted = soxr.resample(sweep(), RATE, rate)
    heard, wanted, _ = aligned(heard, wanted)
    frequencies = np.fft.rfftfreq(len(heard), 1 / rate)
    power = [np.abs(np.fft.rfft(x)) ** 2 for x in (heard, wanted)]
    for low, high in ((200, 1000), (1000, 4000), (4000, 6000), (6000, 7000), (7000, 7800)):
        band = (frequencies >= low) & (frequencies < high)
        loss = 10 * np.log10(power[0][band].sum() / power[1][band].sum())
        assert abs(loss) < 1.0, f"{low}-{high} Hz: {loss:.2f} dB"


@pytest.mark.parametrize("format", FORMATS)
def test_bytes_arrive_before_the_end(format):
    parts = encode(format, sweep(), 1600)  # 100 ms each
    early = sum(map(len, parts[: len(parts) // 2]))
    assert early > 0.3 * sum(map(len, parts))


@pytest.mark.parametrize("format", LOSSLESS)
@pytest.mark.parametrize("piece", [1, 37, 320, 5000, 10**6])
def test_chunk_sizes_do_not_change_the_samples(format, piece):
    samples = sweep()[:4000]
    np.testing.assert_array_equal(
        decode(b"".join(encode(format, samples, piece)), format)[0],
        decode(b"".join(encode(format, samples, 1000)), format)[0],
    )


@pytest.mark.parametrize("format", ["mp3", "opus", "wav"])
def test_soundfile_reads_streamed_files(format):
    samples, rate = soundfile.read(io.BytesIO(b"".join(encode(format, sweep(), 1600))))
    assert len(samples) / rate == pytest.approx(SECONDS, abs=0.1)


def test_whole_flac_states_its_length():
    parts = encode("flac", sweep(), 1600, streamed=False)
    assert not any(parts[:-1])
    info = soundfile.info(io.BytesIO(parts[-1]))
    assert info.frames == SECONDS * OUTPUT_RATE
    samples, _ = soundfile.read(io.BytesIO(parts[-1]))
    np.testing.assert_allclose(samples, decode(b"".join(encode("wav", sweep(), 1600)), "wav")[0], atol=1e-4)


@pytest.mark.parametrize("samples", [1, 577, 24_000, 31_337])
def test_a_whole_mp3_states_its_length(samples):
    sound = sweep()[:samples]
    parts = encode("mp3", sound, 1600, rate=OUTPUT_RATE, streamed=False)
    assert not any(parts[:-1])
    heard, _ = decode(parts[-1], "mp3")
    assert len(heard) == pytest.approx(samples, abs=0.005 * OUTPUT_RATE)
    streamed = b"".join(encode("mp3", sound, 1600, rate=OUTPUT_RATE))
    assert b"Info" not in streamed[:200], "a stream cannot know its length"


def test_wav_headers():
    with wave.open(io.BytesIO(encode_wav(sweep(), RATE))) as file:
        assert (file.getnframes(), file.getframerate(), file.getnchannels()) == (
            SECONDS * OUTPUT_RATE,
            OUTPUT_RATE,
            1,
        )
    streamed = b"".join(encode("wav", sweep(), 1600))
    assert streamed[4:8] == streamed[40:44] == b"\xff" * 4


def test_pcm_is_16_bit_little_endian_at_24_khz():
    data = b"".join(encode("pcm", np.full(2400, 0.5, np.float32), 2400, rate=OUTPUT_RATE))
    np.testing.assert_array_equal(np.frombuffer(data, "<i2"), np.full(2400, 16384))


@pytest.mark.parametrize("format", FORMATS)
def test_samples_above_full_scale_are_clipped_not_wrapped(format):
    loud = np.repeat(np.array([3.0, -3.0] * 20, np.float32), 600)
    heard, rate = decode(b"".join(encode(format, loud, 600, rate=OUTPUT_RATE)), format)
    wanted = soxr.resample(np.sign(loud), OUTPUT_RATE, rate)
    if format not in LOSSLESS:
        heard, wanted, _ = aligned(heard, wanted)
    assert np.corrcoef(heard, wanted)[0, 1] > 0.9


@pytest.mark.parametrize("format", FORMATS)
def test_one_sample_and_no_sample(format):
    for length in (1, 0):
        data = b"".join(encode(format, np.zeros(length, np.float32), 1, rate=OUTPUT_RATE))
        assert len(data) < 10_000  # FLAC's header has 8 KiB of padding
        if length:
            assert len(decode(data, format)[0]) <= (1 if format in LOSSLESS else 5000)


def rate_of(format: str, source: int, rate: int) -> int:
    """Of the file of a second of sound at 5 kHz, which must have its pitch and its length."""
    samples = np.sin(np.arange(source) * (2 * np.pi * 5000 / source)).astype(np.float32)
    encoder = open_encoder(format, source, rate=rate)
    data = b"".join(
        [*(encoder.encode(samples[i : i + 999]) for i in range(0, source, 999)), encoder.finish()]
    )
    if format == "pcm":
        assert encoder.media_type == f"audio/pcm;rate={rate};channels=1"
        heard, found = np.frombuffer(data, "<i2") / 32768.0, rate
    else:
        assert encoder.media_type == MEDIA_TYPES[format]
        heard, found = decode(data, format)
    assert len(heard) / found == pytest.approx(1.0, abs=0.1)
    middle = heard[len(heard) // 3 : 2 * len(heard) // 3]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.fft.rfftfreq(len(middle), 1 / found)[spectrum.argmax()] == pytest.approx(5000, abs=20)
    return found


@pytest.mark.parametrize("source", [24_000, 44_100, 48_000])
@pytest.mark.parametrize("format", FORMATS)
def test_every_rate_is_told_in_the_file_and_the_pitch_stays(format, source):
    for rate in (16_000, 24_000, 48_000) if format == "opus" else RATES:
        assert rate_of(format, source, rate) == (48_000 if format == "opus" else rate)  # Opus decodes at 48


def test_what_is_above_12_khz_survives_at_48_khz():
    tone = np.sin(np.arange(48_000) * (2 * np.pi * 15_000 / 48_000)).astype(np.float32)
    for format in FORMATS:
        for rate, kept in ((48_000, True), (24_000, False)):
            encoder = open_encoder(format, 48_000, rate=rate)
            data = encoder.encode(tone) + encoder.finish()
            heard = np.frombuffer(data, "<i2") / 32768.0 if format == "pcm" else decode(data, format)[0]
            loudest = float(np.abs(heard[len(heard) // 4 : len(heard) // 2]).max())
            assert loudest > 0.5 if kept else loudest < 0.1, (format, rate)


def test_a_rate_that_a_format_cannot_have_is_refused_with_those_that_it_can():
    with pytest.raises(InvalidInput, match=r"one of 16000, 24000, 48000 for opus") as caught:
        open_encoder("opus", RATE, rate=44_100)
    assert caught.value.param == "sample_rate"
    with pytest.raises(InvalidInput, match=r"one of 16000, 22050, 24000, 32000, 44100, 48000 for mp3"):
        open_encoder("mp3", RATE, rate=96_000)


def test_unknown_format():
    with pytest.raises(InvalidInput) as caught:
        open_encoder("exe", RATE)
    assert caught.value.param == "response_format"
    assert all(format in caught.value.message for format in FORMATS)
