"""What a speech stream records."""

from __future__ import annotations

import time

import pytest

from deployments.contract import telemetry
from deployments.contract.telemetry import Instrument
from serve_app.synthesis.meter import Meter
from serve_app.synthesis.speech import Speech
from serve_app.synthesis.stream import Synthesizer
from tests.serve_app.conftest import SPEC, ToneBackend
from tests.serve_app.synthesis.test_stream import PROMPT

TEXT = "One tone. Two tones."


class Records:
    """Implements `Recorder`."""

    def __init__(self) -> None:
        self.all: list[tuple[str, float, dict[str, str]]] = []

    def record(self, instrument: Instrument, value: float, **labels: str) -> None:
        assert set(labels) == set(instrument.labels)
        self.all.append((instrument.name, value, labels))

    def of(self, instrument: Instrument) -> list[float]:
        return [value for name, value, _ in self.all if name == instrument.name]


def speech(**about: object) -> Speech:
    return Speech(TEXT, PROMPT, SPEC.sampling(seed=3), **about)  # type: ignore[arg-type]


async def test_a_stream_records_its_first_sound_and_its_end_once(backend: ToneBackend) -> None:
    backend.delay, records = 0.02, Records()
    wanted = speech(began=time.perf_counter() - 5.0)
    stream = Synthesizer(backend).stream(wanted, Meter(records, "tones"))
    began = time.perf_counter()
    sounds = [sound async for sound in stream.sound]
    taken = time.perf_counter() - began
    stream.close()
    (first,) = records.of(telemetry.TTFA)
    assert 5.0 < first < 5.0 + taken
    (seconds,) = records.of(telemetry.AUDIO_SECONDS)
    assert seconds == pytest.approx(sum(map(len, sounds)) / SPEC.sample_rate)
    (rtf,) = records.of(telemetry.RTF)
    assert 0 < rtf * seconds <= taken
    assert records.of(telemetry.CHARACTERS) == [len(TEXT)]
    assert all(labels["model"] == "tones" for _, _, labels in records.all)


async def test_what_a_listener_takes_is_not_in_the_factor(backend: ToneBackend) -> None:
    records, pieces, began = Records(), 0, time.perf_counter()
    async for _ in Synthesizer(backend).stream(speech(), Meter(records)).sound:
        time.sleep(0.05)  # noqa: ASYNC251 - the stream must not work meanwhile
        pieces += 1
    taken = time.perf_counter() - began
    (rtf,), (seconds,) = records.of(telemetry.RTF), records.of(telemetry.AUDIO_SECONDS)
    assert pieces > 1
    assert rtf * seconds <= taken - pieces * 0.05


async def test_a_job_has_no_first_sound_and_its_own_source(backend: ToneBackend) -> None:
    records = Records()
    async for _ in Synthesizer(backend).stream(speech(priority=10), Meter(records)):
        pass
    assert not records.of(telemetry.TTFA)
    assert {labels["source"] for _, _, labels in records.all if "source" in labels} == {"job"}


async def test_a_client_that_leaves_is_recorded_with_what_it_heard(backend: ToneBackend) -> None:
    records = Records()
    stream = Synthesizer(backend).stream(speech(), Meter(records))
    async for sound in stream.sound:
        heard = len(sound) / SPEC.sample_rate
        break
    await stream.aclose()
    assert records.of(telemetry.AUDIO_SECONDS) == [pytest.approx(heard)]
