"""Several models behind one service: which one answers, and what they share."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from deployments.contract.errors import InvalidInput, NotFound, Unavailable
from deployments.contract.options import ModelOptions
from serve_app.config.settings import Settings
from serve_app.http.app import create_app
from serve_app.models import Model, Models
from serve_app.service import Service, SpeechRequest
from tests.serve_app.conftest import SPEC, ToneBackend

TEXT = "One two three. Four five!"


@pytest.fixture
def tones() -> ToneBackend:
    return ToneBackend()


@pytest.fixture
def reader() -> ToneBackend:
    """Needs the text that is spoken in a recording."""
    spec = replace(SPEC, min_reference_seconds=1.5, max_reference_seconds=5.0, needs_transcript=True)
    return ToneBackend(spec=spec)


@pytest.fixture
def service(tones: ToneBackend, reader: ToneBackend, shipped: Path, tmp_path: Path) -> Service:
    models = Models([Model("tones", ModelOptions(), tones), Model("reader", ModelOptions(), reader)])
    return Service(Settings.from_args({"data_dir": str(tmp_path / "data")}, {}), models, shipped)


@pytest.fixture
async def client(service: Service):
    transport = httpx.ASGITransport(create_app(service), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def sound(service: Service, request: SpeechRequest) -> np.ndarray:
    spoken = await service.speak(request)
    return np.concatenate([waveform async for waveform in spoken.stream.sound])


@pytest.mark.parametrize(("model", "answers"), [(None, 0), ("tts-1", 0), ("tones", 0), ("reader", 1)])
async def test_the_request_chooses_and_the_first_model_is_the_default(service, tones, reader, model, answers):
    await sound(service, SpeechRequest(TEXT, "ada", model=model, seed=7))
    assert [bool(backend.started) for backend in (tones, reader)] == [answers == 0, answers == 1]


async def test_an_unknown_model_is_answered_with_the_list(service):
    with pytest.raises(NotFound, match="Available: tones, reader, tts-1") as refused:
        await service.speak(SpeechRequest(TEXT, "ada", model="other"))
    assert refused.value.param == "model"


async def test_a_voice_that_a_model_cannot_speak_with_names_the_model_and_the_field(client, make_wav):
    files = {"name": (None, "mine"), "audio_sample": ("a.wav", make_wav(seconds=4.0))}
    assert (await client.post("/v1/audio/voices", files=files)).status_code == 200, "one model accepts it"
    body = {"model": "reader", "input": TEXT, "voice": "mine"}
    answer = await client.post("/v1/audio/speech", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "voice")
    assert "The model 'reader' cannot speak with the voice 'mine'" in error["message"]
    assert "reader needs a transcript" in error["message"]
    assert (await client.post("/v1/audio/speech", json=body | {"model": "tones"})).status_code == 200


async def test_a_recording_is_kept_as_long_as_any_model_uses_it_and_each_takes_its_part(
    service, client, tones, reader, make_wav
):
    heard = {}

    def listening(name: str, backend: ToneBackend):
        encode = backend.encode_voice

        async def listen(reference, keep):
            ((waveform, rate),) = reference.waveforms
            heard[name] = len(waveform) / rate
            return await encode(reference, keep)

        return listen

    for model in service.models:
        model.prompts._encode = listening(model.name, model.backend)
    files = {"audio_sample": ("a.wav", make_wav(seconds=8.0))}
    about = {"name": "mine", "transcript": "la"}
    assert (await client.post("/v1/audio/voices", data=about, files=files)).status_code == 200
    assert heard == {"tones": 8.0, "reader": 5.0}

    files = {"audio_sample": ("a.wav", make_wav(seconds=1.2))}
    answer = await client.post("/v1/audio/voices", data=about | {"name": "short"}, files=files)
    assert answer.status_code == 200, "long enough for one of them"
    with pytest.raises(InvalidInput, match=r"'reader' cannot speak with the voice 'short'.*at least 1\.5 s"):
        await service.speak(SpeechRequest(TEXT, "short", model="reader"))


async def test_a_recording_that_no_model_accepts_is_refused_as_the_default_one_says(client, make_wav):
    files = {"name": (None, "mine"), "audio_sample": ("a.wav", make_wav(seconds=0.1))}
    error = (await client.post("/v1/audio/voices", files=files)).json()["error"]
    assert error["param"] == "audio_sample" and "at least 1 s" in error["message"]
    assert (await client.get("/v1/audio/voices/mine")).status_code == 404


async def test_a_deleted_voice_is_forgotten_by_every_model(service, client, tones, reader, make_wav):
    about = {"name": "mine", "transcript": "la"}
    files = {"audio_sample": ("a.wav", make_wav(seconds=4.0))}
    voice = (await client.post("/v1/audio/voices", data=about, files=files)).json()["id"]
    assert [model.prompts.status()["entries"] for model in service.models] == [1, 1]
    assert (await client.delete("/v1/audio/voices/mine")).status_code == 200
    assert tones.forgotten == reader.forgotten == [voice]
    assert [model.prompts.status()["entries"] for model in service.models] == [0, 0]


async def test_models_that_start_or_have_failed_are_listed_and_answer_503(service, client):
    service.models.expect(["tones", "reader", "late"], "tones")
    service.models.fail("reader", "gpt.pth: not found in the model folder")
    cards = {card["id"]: card for card in (await client.get("/v1/models")).json()["data"]}
    assert [cards[name]["state"] for name in ("tones", "reader", "late")] == ["ready", "failed", "starting"]
    assert cards["reader"]["reason"] == "gpt.pth: not found in the model folder"
    assert (cards["tones"]["family"], cards["tones"]["sample_rate"]) == ("tones", SPEC.sample_rate)
    assert cards["tts-1"] | {"id": "tones", "alias_of": None, "default": True} == cards["tones"]
    for name, code in (("reader", "model_failed"), ("late", "model_starting")):
        body = {"model": name, "input": TEXT, "voice": "ada"}
        answer = await client.post("/v1/audio/speech", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, code)
    assert (await client.get("/ready")).status_code == 503, "one is starting"

    service.models.expect(["tones", "reader"], "tones")
    ready = await client.get("/ready")
    assert ready.status_code == 200
    assert ready.json()["models"] == {"tones": "ready", "reader": "failed"}
    service.models.fail("tones", "of no use")
    assert (await client.get("/ready")).status_code == 503, "none can speak"
    files = {"name": (None, "mine"), "audio_sample": ("a.wav", b"RIFF")}
    assert (await client.post("/v1/audio/voices", files=files)).status_code == 503


async def test_a_model_with_too_few_replicas_is_ready_and_has_a_reason(service, client):
    said = "gpt.pth: not found in the model folder (on node 10.0.0.2)"

    async def reason() -> str | None:
        card = (await client.get("/v1/models/reader")).json()
        assert card["state"] == "ready"
        return card["reason"]

    service.models.limit("reader", said)
    assert await reason() == said
    assert (await client.get("/ready")).status_code == 200
    assert (await client.get("/v1/status")).json()["models"]["reader"]["reason"] == said
    assert (await service.models.get("reader")).name == "reader"
    service.models.limit("reader", None)
    assert await reason() is None


async def test_a_model_is_looked_for_before_a_request_is_refused(tones):
    models = Models()
    models.expect(["tones"], "tones")
    with pytest.raises(Unavailable):
        await models.get("tones")

    async def look() -> None:
        models.put(Model("tones", ModelOptions(), tones))

    models.look = look
    assert (await models.get("tones")).backend is tones


async def test_a_request_waits_for_a_model_that_is_starting(tones):
    models, looks = Models(), 0
    models.expect(["tones"], "tones")

    async def look() -> None:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)
        if looks == 5:
            models.put(Model("tones", ModelOptions(), tones))

    models.look = look
    assert (await models.get("tones")).backend is tones


async def test_a_request_for_a_model_that_does_not_come_is_refused(tones, monkeypatch):
    monkeypatch.setattr("serve_app.models.START_S", 0.05)
    models = Models()
    models.expect(["tones"], "tones")
    models.look = lambda: asyncio.sleep(0)
    with pytest.raises(Unavailable) as refused:
        await models.get("tones")
    assert refused.value.code == "model_starting"


async def test_a_voice_can_be_added_as_soon_as_a_model_is_found(tones, shipped, tmp_path, make_wav):
    models = Models()
    models.expect(["tones"], "tones")
    service = Service(Settings.from_args({"data_dir": str(tmp_path)}, {}), models, shipped)

    async def look() -> None:
        models.put(Model("tones", ModelOptions(), tones))

    models.look = look
    assert (await service.add_voice("mine", make_wav())).name == "mine"


def test_a_model_that_is_replaced_serves_until_the_new_one_is_there(tones, reader):
    models = Models([Model("a", ModelOptions(), tones)])
    assert models.expect(["a", "b"], "b") == []
    assert [model.backend for model in models] == [tones]
    models.put(Model("a", ModelOptions(), reader))
    assert [model.backend for model in models] == [reader]
    assert [model.name for model in models.expect(["b"], "b")] == ["a"]
    assert (models.default, list(models.entries)) == ("b", ["b"])
