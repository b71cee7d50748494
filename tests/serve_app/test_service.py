"""The service below HTTP, which the routes and the command line share."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from deployments.contract.errors import InvalidInput, NotFound
from serve_app.config.settings import Settings
from serve_app.service import Service, SpeechRequest
from serve_app.synthesis.speech import SegmentBegan
from tests.serve_app.conftest import alone

TEXT = "One two three. Four five!"


async def sound(service: Service, request: SpeechRequest) -> np.ndarray:
    spoken = await service.speak(request)
    return np.concatenate([waveform async for waveform in spoken.stream.sound])


async def test_a_named_voice_speaks_and_the_choices_are_reported(service, backend):
    spoken = await service.speak(SpeechRequest(TEXT, "ADA", seed=7, id="req_1"))
    assert (spoken.voice, spoken.seed, spoken.stream.id, spoken.warnings) == ("ada", 7, "req_1", ())
    heard = np.concatenate([waveform async for waveform in spoken.stream.sound])
    np.testing.assert_allclose(heard, backend.expected(TEXT, 7, 220.0), atol=1e-5)


async def test_a_recording_precedes_a_voice(service, backend, make_wav):
    heard = await sound(service, SpeechRequest(TEXT, "ada", recording=make_wav(pitch=330.0), seed=7))
    np.testing.assert_allclose(heard, backend.expected(TEXT, 7, 330.0), atol=1e-5)


async def test_controls_override_the_familys_defaults_and_none_does_not(service, backend):
    cold = SpeechRequest(TEXT, "ada", seed=7, controls={"temperature": 0.0, "top_k": None})
    np.testing.assert_allclose(
        await sound(service, cold), backend.expected(TEXT, 7, 220.0, temperature=0.0), atol=1e-5
    )


async def test_the_error_for_an_unknown_control_names_the_model(service):
    with pytest.raises(InvalidInput, match="Sampling parameters of chorale-small: temperature") as refused:
        await service.speak(SpeechRequest(TEXT, "ada", controls={"warmth": 1.0}))
    assert refused.value.param == "warmth"


async def test_without_a_seed_each_request_draws_its_own(service):
    one, other = [await service.speak(SpeechRequest(TEXT, "ada")) for _ in range(2)]
    assert one.seed != other.seed


async def test_the_length_of_a_text_is_checked_by_the_routes(backend, shipped, tmp_path):
    settings = Settings.from_args({"data_dir": str(tmp_path), "limits": {"max_input_chars": 5}}, {})
    service = Service(settings, alone(backend), shipped)
    assert len(await sound(service, SpeechRequest(TEXT, "ada")))
    with pytest.raises(InvalidInput) as refused:
        service.check_text(TEXT)
    assert refused.value.param == "input"


@pytest.mark.parametrize(
    ("request_", "kind", "param"),
    [
        (SpeechRequest(TEXT, "ada", model="other"), NotFound, "model"),
        (SpeechRequest(TEXT, "nobody"), InvalidInput, "voice"),
        (SpeechRequest(TEXT), InvalidInput, "voice"),
        (SpeechRequest(TEXT, recording=b"no audio"), InvalidInput, "reference_audio"),
    ],
)
async def test_unspeakable_text_is_refused_before_work_starts(service, backend, request_, kind, param):
    with pytest.raises(kind) as refused:
        await service.speak(request_)
    assert refused.value.param == param
    assert not backend.started


async def test_a_model_that_needs_a_transcript_refuses_a_voice_without_one(service, backend, make_wav):
    await service.add_voice("mute", make_wav())
    await service.add_voice("spoken", make_wav(pitch=300.0), transcript="la", language="en")
    backend.spec = replace(backend.spec, needs_transcript=True)
    service.clear_prompts()
    for request, param in (
        (SpeechRequest(TEXT, "mute"), "voice"),
        (SpeechRequest(TEXT, recording=make_wav()), "reference_text"),
        (SpeechRequest(TEXT, recording=make_wav(), transcript=" "), "reference_text"),
    ):
        with pytest.raises(InvalidInput, match="chorale-small needs a transcript") as refused:
            await service.speak(request)
        assert refused.value.param == param
    with pytest.raises(InvalidInput) as refused:
        await service.add_voice("other", make_wav())
    assert refused.value.param == "transcript"
    assert not backend.started
    heard = await sound(service, SpeechRequest(TEXT, "spoken", seed=7))
    np.testing.assert_allclose(heard, backend.expected(TEXT, 7, 300.0), atol=1e-5)
    assert (backend.reference.transcript, backend.reference.language) == ("la", "en")


async def test_an_unstarted_stream_costs_nothing(service, backend):
    spoken = await service.speak(SpeechRequest(TEXT, "ada"))
    await asyncio.sleep(0.05)
    assert not backend.started
    assert isinstance(await anext(spoken.stream), SegmentBegan)
    await spoken.stream.aclose()
