"""The official client with a real port."""

from __future__ import annotations

import io

import openai
import pytest
import soundfile


@pytest.fixture
def api(server: str):
    with openai.OpenAI(base_url=f"{server}/v1", api_key="any", max_retries=0) as client:
        yield client


def test_speech(api, backend):
    spoken = api.audio.speech.create(
        model="tts-1", voice="alloy", input="Hello there.", response_format="wav"
    )
    samples, rate = soundfile.read(io.BytesIO(spoken.content))
    assert rate == 24_000
    assert len(samples) / rate == pytest.approx(12 * 3 * 0.02, abs=0.01)


def test_streaming_to_a_file(api, tmp_path):
    arguments = {
        "model": "gpt-4o-mini-tts",
        "voice": "onyx",
        "input": "Hello there.",
        "instructions": "softly",
    }
    with api.audio.speech.with_streaming_response.create(**arguments) as response:
        assert response.headers["content-type"] == "audio/mpeg"
        response.stream_to_file(tmp_path / "out.mp3")
    assert soundfile.info(tmp_path / "out.mp3").duration > 0.5


def test_own_fields_and_the_request_id(api):
    spoken = api.audio.speech.with_raw_response.create(
        model="chorale-small",
        voice="bob",
        input="Hello.",
        speed=1.5,
        extra_body={"seed": 11, "temperature": 0},
    )
    assert spoken.headers["x-seed"] == "11"
    assert spoken.headers["x-request-id"]


def test_errors_carry_every_field(api, backend):
    with pytest.raises(openai.BadRequestError) as caught:
        api.audio.speech.create(model="tts-1", voice="nobody", input="Hello.")
    assert (caught.value.param, caught.value.code) == ("voice", "voice_not_found")
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id
    with pytest.raises(openai.NotFoundError) as caught:
        api.audio.speech.create(model="nothing", voice="alloy", input="Hello.")
    assert caught.value.code == "model_not_found"
    backend.max_queue = 0
    with pytest.raises(openai.RateLimitError) as caught:
        api.audio.speech.create(model="tts-1", voice="alloy", input="Hello.")
    assert caught.value.code == "overloaded"


def test_models(api):
    assert api.models.list().data[0].id == "chorale-small"
    assert api.models.retrieve("tts-1").id == "tts-1"


def test_voices(api, make_wav):
    sample = ("me.wav", make_wav(), "audio/wav")
    voice = api.audio.voices.create(name="Someone", audio_sample=sample, consent="cons_1")
    assert (voice.object, voice.name, voice.type) == ("audio.voice", "Someone", "audio_sample")
    assert api.audio.speech.create(model="tts-1", voice={"id": voice.id}, input="Hello.").content
    assert api.audio.voices.delete(voice.id).deleted
    with pytest.raises(openai.NotFoundError):
        api.audio.voices.delete(voice.id)
