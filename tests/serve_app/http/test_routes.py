"""The routes with the tone backend of conftest, field by field."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import subprocess
import sys
from dataclasses import replace

import av
import httpx
import numpy as np
import pytest
import soundfile

from deployments.contract.errors import Unavailable
from deployments.contract.speech import Reference, VoicePrompt
from serve_app.audio import sandbox
from serve_app.audio.encode import MEDIA_TYPES, OUTPUT_RATE
from serve_app.audio.sandbox import Sandbox
from serve_app.synthesis.text_flow import SILENCE
from serve_app.voices.prompts import VoicePrompts
from tests.bombs import BOMBS
from tests.serve_app.synthesis.test_sanity import Faulty

TEXT = "Hello there. This is a second sentence."
SPEECH = "/v1/audio/speech"


def body(**fields) -> dict:
    return {"model": "tts-1", "input": TEXT, "voice": "ada", "seed": 5} | fields


def events(content: bytes) -> list[dict]:
    return [json.loads(line[6:]) for line in content.decode().splitlines() if line.startswith("data: ")]


@pytest.mark.parametrize("format", sorted(MEDIA_TYPES))
async def test_every_format(client, backend, format):
    response = await client.post(SPEECH, json=body(response_format=format))
    assert response.status_code == 200
    told = ";rate=24000;channels=1" if format == "pcm" else ""
    assert response.headers["content-type"] == MEDIA_TYPES[format] + told
    assert response.headers["x-seed"] == "5"
    assert response.headers["x-voice"] == "ada"
    seconds = len(backend.expected(TEXT, 5, 220.0)) / backend.spec.sample_rate
    if format == "pcm":
        heard = len(response.content) / 2 / OUTPUT_RATE
    else:
        with av.open(io.BytesIO(response.content)) as container:
            heard = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
    assert heard == pytest.approx(seconds, abs=0.1)


@pytest.mark.parametrize("format", sorted(MEDIA_TYPES))
@pytest.mark.parametrize("speed", [1, 2.5])
async def test_a_rate_above_24_khz_end_to_end(client, backend, format, speed):
    backend.spec = replace(backend.spec, sample_rate=44_100, samples_per_code=320)
    response = await client.post(SPEECH, json=body(response_format=format, sample_rate=48_000, speed=speed))
    assert response.status_code == 200
    codes = len(backend.expected(TEXT, 5, 220.0)) - round(0.1 * 16_000)
    pace = min(speed, 2.0)
    seconds = (codes / 44_100 + 0.1 / pace) / (speed / pace)
    if format == "pcm":
        assert response.headers["content-type"] == "audio/pcm;rate=48000;channels=1"
        heard = len(response.content) / 2 / 48_000
    else:
        with av.open(io.BytesIO(response.content)) as container:
            assert container.streams.audio[0].rate == 48_000
            heard = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
    assert heard == pytest.approx(seconds, abs=0.1)


async def test_a_wrong_rate_is_refused_with_those_that_are_allowed(client):
    for fields, allowed in (
        ({"sample_rate": 96_000}, "16000, 22050, 24000, 32000, 44100 or 48000"),
        ({"sample_rate": "fast"}, "16000, 22050, 24000, 32000, 44100 or 48000"),
        ({"sample_rate": 44_100, "response_format": "opus"}, "16000, 24000, 48000 for opus"),
    ):
        response = await client.post(SPEECH, json=body(**fields))
        assert response.status_code == 400
        error = response.json()["error"]
        assert error["param"] == "sample_rate"
        assert allowed in error["message"]


@pytest.mark.parametrize("format", sorted(MEDIA_TYPES))
@pytest.mark.parametrize("stream_format", [None, "audio", "sse"])
@pytest.mark.parametrize("speed", [0.25, 0.5, 1, 2, 3.9, 4])
@pytest.mark.parametrize("max_tokens", [1, 2])
async def test_the_shortest_sound_at_every_speed(client, format, stream_format, speed, max_tokens):
    asked = body(input="Hi.", response_format=format, speed=speed, max_tokens=max_tokens)
    response = await client.post(
        SPEECH, json=asked | ({"stream_format": stream_format} if stream_format else {})
    )
    assert response.status_code == 200
    content = response.content
    if stream_format == "sse":
        received = events(content)
        assert received[-1]["type"] == "speech.audio.done"
        content = b"".join(base64.b64decode(event["audio"]) for event in received[:-1])
    if format == "pcm":
        assert len(content) >= 2
    else:
        with av.open(io.BytesIO(content)) as container:
            assert sum(frame.samples for frame in container.decode(audio=0)) > 0


async def test_mp3_is_the_default_and_flac_is_whole(client):
    response = await client.post(SPEECH, json=body())
    assert response.headers["content-type"] == "audio/mpeg"
    whole = await client.post(SPEECH, json=body(response_format="flac"))
    streamed = await client.post(SPEECH, json=body(response_format="flac", stream_format="audio"))
    assert soundfile.info(io.BytesIO(whole.content)).duration > 1
    assert streamed.content[:4] == whole.content[:4] == b"fLaC"


async def test_sse_carries_the_same_bytes(client):
    audio = await client.post(SPEECH, json=body(response_format="pcm"))
    response = await client.post(SPEECH, json=body(response_format="pcm", stream_format="sse"))
    assert response.headers["content-type"].startswith("text/event-stream")
    *deltas, done = events(response.content)
    assert len(deltas) > 2
    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == audio.content
    assert done["type"] == "speech.audio.done"
    usage = done["usage"]
    assert usage["input_tokens"] > 0
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


async def test_seeds(client):
    one = await client.post(SPEECH, json=body(response_format="wav"))
    same = await client.post(SPEECH, json=body(response_format="wav"))
    free = await client.post(
        SPEECH, json={k: v for k, v in body(response_format="wav").items() if k != "seed"}
    )
    again = await client.post(SPEECH, json=body(response_format="wav", seed=int(free.headers["x-seed"])))
    assert one.content == same.content != free.content
    assert again.content == free.content


async def test_sampling_reaches_the_model(client, backend):
    cold = [
        await client.post(SPEECH, json=body(temperature=0, seed=s, response_format="pcm")) for s in (1, 2)
    ]
    assert cold[0].content == cold[1].content
    short = await client.post(
        SPEECH, json=body(max_tokens=30, input="One long sentence without end", response_format="pcm")
    )
    assert len(short.content) / 2 / OUTPUT_RATE == pytest.approx(30 * 0.02, abs=0.001)


@pytest.mark.parametrize("model", ["chorale-small", "tts-1", "tts-1-hd", "gpt-4o-mini-tts"])
@pytest.mark.parametrize("voice", ["ada", "alloy", {"id": "ada"}])
async def test_models_and_voices_that_openai_clients_use(client, model, voice):
    response = await client.post(SPEECH, json=body(model=model, voice=voice, instructions="Be kind."))
    assert response.status_code == 200
    assert response.headers["x-voice"] == "ada"


async def test_reference_in_the_request(client, backend, make_wav):
    reference = base64.b64encode(make_wav(pitch=330.0)).decode()
    fields = body(reference_audio=reference, reference_text="la", response_format="pcm")
    del fields["voice"]
    first = await client.post(SPEECH, json=fields)
    assert first.status_code == 200
    assert first.headers["x-voice"] == "reference_audio"
    await client.post(SPEECH, json=fields)
    with_url = await client.post(
        SPEECH, json=fields | {"reference_audio": "data:audio/wav;base64," + reference}
    )
    assert with_url.content == first.content
    assert backend.encoded == 1
    named = await client.post(SPEECH, json=body(response_format="pcm"))
    assert named.content != first.content


@pytest.mark.parametrize("kind", [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_24"), ("OGG", "VORBIS")])
@pytest.mark.parametrize("rate", [16_000, 22_050, 96_000])
async def test_an_upload_and_a_reference_give_the_same_prompt(client, backend, service, kind, rate):
    at = np.arange(3 * rate) / rate
    wave = np.stack([0.3 * np.sin(2 * np.pi * 300 * at), 0.2 * np.sin(2 * np.pi * 310 * at)], axis=1)
    file = io.BytesIO()
    soundfile.write(file, wave, rate, kind[1], format=kind[0])
    heard: list[tuple[np.ndarray, int]] = []
    encode = backend.encode_voice

    async def listening(reference: Reference, keep: str | None) -> VoicePrompt:
        heard.append(reference.first)
        return await encode(reference)

    inline = base64.b64encode(file.getvalue()).decode()
    sent = {"data": {"name": "Me"}, "files": {"audio_sample": ("me", file.getvalue())}}
    for how in (
        {"url": "/v1/audio/voices", **sent},
        {"url": SPEECH, "json": body(reference_audio=inline)},
        {"url": SPEECH, "json": body(voice="Me")},
    ):
        (model,) = service.models
        model.prompts = VoicePrompts(listening, 10)  # empty, as after a restart
        assert (await client.post(**how)).status_code == 200
    (uploaded, at_rate), *others = heard
    assert len(others) == 2
    for waveform, rate_of in others:
        assert rate_of == at_rate == min(rate, 48_000)
        np.testing.assert_array_equal(waveform, uploaded)


async def test_too_many_recordings_are_refused_with_retry_after(client, make_wav, monkeypatch):
    small = Sandbox(workers=1, waiting=0)
    monkeypatch.setattr(sandbox, "shared", lambda: small)
    asked = [
        client.post(SPEECH, json=body(reference_audio=base64.b64encode(make_wav(pitch=p)).decode()))
        for p in (200.0, 250.0, 300.0)
    ]
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [200, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"]["type"] == "overloaded_error"


@pytest.mark.parametrize(
    "name", ["mp4, 40 tracks of 20 million", "wav, 1024 channels", "matroska, 500 tracks"]
)
async def test_bombs_are_bad_requests(client, name):
    data = BOMBS[name]()
    uploaded = await client.post(
        "/v1/audio/voices", data={"name": "Bomb"}, files={"audio_sample": ("a.mp4", data)}
    )
    inline = await client.post(SPEECH, json=body(reference_audio=base64.b64encode(data).decode()))
    for answer, param in ((uploaded, "audio_sample"), (inline, "reference_audio")):
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
        assert param in error["message"]


BAD = {
    "empty text": ({"input": ""}, "input"),
    "blank text": ({"input": " \n "}, "input"),
    "unsupported script": ({"input": "日本語"}, "input"),
    "text too long": ({"input": "a" * 100_001}, "input"),
    "a megabyte": ({"input": "word " * 200_000}, "input"),
    "control characters": ({"input": "a\x00b"}, "input"),
    "escape": ({"input": "a\x1b[31mb"}, "input"),
    "no text": ({"input": None}, "input"),
    "text as number": ({"input": 5}, "input"),
    "text as list": ({"input": ["a"]}, "input"),
    "unknown voice": ({"voice": "nobody"}, "voice"),
    "voice path": ({"voice": "../../etc/passwd"}, "voice"),
    "voice as number": ({"voice": 3}, "voice"),
    "voice of unknown id": ({"voice": {"id": "voice_1"}}, "voice"),
    "voice without id": ({"voice": {"name": "x"}}, "voice"),
    "no voice": ({"voice": None}, "voice"),
    "unknown model": ({"model": "gpt-9"}, "model"),
    "model as number": ({"model": 1}, "model"),
    "unknown format": ({"response_format": "exe"}, "response_format"),
    "format with a blank": ({"response_format": "mp3 "}, "response_format"),
    "unknown stream format": ({"stream_format": "ws"}, "stream_format"),
    "speed 0": ({"speed": 0}, "speed"),
    "speed too high": ({"speed": 4.1}, "speed"),
    "speed negative": ({"speed": -1}, "speed"),
    "speed as text": ({"speed": "fast"}, "speed"),
    "speed as numeral": ({"speed": "1.0"}, "speed"),
    "speed true": ({"speed": True}, "speed"),
    "temperature": ({"temperature": 3}, "temperature"),
    "top_k": ({"top_k": -1}, "top_k"),
    "top_p": ({"top_p": 0}, "top_p"),
    "penalty": ({"repetition_penalty": 0}, "repetition_penalty"),
    "max_tokens": ({"max_tokens": 0}, "max_tokens"),
    "seed negative": ({"seed": -1}, "seed"),
    "seed huge": ({"seed": 2**64}, "seed"),
    "seed fraction": ({"seed": 1.5}, "seed"),
    "language": ({"language": "tlh"}, "language"),
    "unknown field": ({"inputs": "x"}, "inputs"),
    "reference no base64": ({"reference_audio": "%%%"}, "reference_audio"),
    "reference no audio": ({"reference_audio": base64.b64encode(b"x" * 999).decode()}, "reference_audio"),
}


@pytest.mark.parametrize("name", sorted(BAD))
async def test_bad_fields_are_named(client, backend, name):
    fields, param = BAD[name]
    response = await client.post(SPEECH, json=body(**fields))
    assert 400 <= response.status_code < 500
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param or error["param"].startswith(param + ".")
    assert param in error["message"]
    assert error["code"]
    assert len(error["message"]) < 500
    assert response.headers["x-request-id"]
    assert (await client.post(SPEECH, json=body())).status_code == 200, "the service continues"


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({"voice": "nobody"}, "ada"),
        ({"model": "nothing"}, "chorale-small"),
        ({"response_format": "exe"}, "'opus'"),
        ({"stream_format": "x"}, "'sse'"),
        ({"speed": 9}, "a number from 0.25 to 4."),
        ({"speed": "fast"}, "a number from 0.25 to 4."),
        ({"top_p": 0}, "a number above 0, up to 1."),
        ({"top_k": 1.5}, "an integer from 0 to 8192."),
        ({"seed": -1}, "an integer from 0 to 9223372036854775807."),
        ({"input": "a" * 100_001}, "100000"),
    ],
)
async def test_the_message_says_what_is_allowed(client, fields, allowed):
    response = await client.post(SPEECH, json=body(**fields))
    assert allowed in response.json()["error"]["message"]


@pytest.mark.parametrize("missing", ["input", "model", "voice"])
async def test_missing_fields(client, missing):
    fields = body()
    del fields[missing]
    error = (await client.post(SPEECH, json=fields)).json()["error"]
    assert error["param"] == missing
    assert error["code"] == "missing_required_parameter"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"null", b"[]", b'"text"', b"5", b"\xff\xfe{}", b"{'input': 'x'}", b'{"input": "\\ud800",',
        b"[" * 100_000, b'{"a": ' * 50_000,
    ],
)  # fmt: skip
async def test_broken_json(client, content):
    response = await client.post(SPEECH, content=content, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_invalid_numbers(client, number):
    content = json.dumps(body()).replace('"seed": 5', f'"speed": {number}').encode()
    response = await client.post(SPEECH, content=content, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "speed"


async def test_half_a_surrogate_pair(client):
    content = json.dumps(body()).replace("Hello", "\\ud800").encode()
    response = await client.post(SPEECH, content=content, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "input"


async def test_form_instead_of_json(client):
    response = await client.post(SPEECH, data={"input": "x"})
    assert response.status_code == 400
    assert "application/json" in response.json()["error"]["message"]


async def test_a_body_beyond_the_limit(client, service):
    huge = b'{"input": "' + b"a" * (service.settings.limits.max_upload_bytes * 2) + b'"}'
    headers = {"content-type": "application/json"}

    async def chunked():
        for start in range(0, len(huge), 2**20):
            yield huge[start : start + 2**20]

    for content in (huge, chunked()):
        response = await client.post(SPEECH, content=content, headers=headers)
        assert response.status_code == 413
        assert response.json()["error"]["code"] == "request_too_large"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "unknown_url"),
        ("POST", "/v1/chat/completions", 404, "unknown_url"),
        ("GET", SPEECH, 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/models/none", 404, "model_not_found"),
        ("GET", "/v1/audio/voices/none", 404, "voice_not_found"),
        ("DELETE", "/v1/audio/voices/none", 404, "voice_not_found"),
        ("GET", "/v1/audio/voices/..%2f..%2fetc", 404, None),
    ],
)
async def test_unknown_routes_models_and_voices_have_the_same_error_shape(client, method, path, status, code):
    response = await client.request(method, path)
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert code is None or error["code"] == code


async def test_overload(client, backend, monkeypatch):
    monkeypatch.setattr("serve_app.synthesis.room.REJECTING_S", 60.0)
    backend.max_queue = 0
    for _ in range(3):
        response = await client.post(SPEECH, json=body())
        assert response.status_code == 429
        assert response.headers["retry-after"] == "2"
        assert response.json()["error"]["code"] == "overloaded"
    assert len(backend.started) == 1, "the stages rejected the first one only"


async def test_unavailable(client, backend):
    async def gone(*args):
        raise Unavailable("The text frontend is starting.")

    backend.segments = gone
    response = await client.post(SPEECH, json=body())
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0


async def test_an_internal_error_shows_no_details(client, backend):
    backend.break_after = 0
    response = await client.post(SPEECH, json=body())
    assert response.status_code == 500
    error = response.json()["error"]
    assert error["type"] == "server_error"
    assert "secret" not in response.text
    assert "passwd" not in response.text
    assert "Traceback" not in response.text


async def test_a_failure_in_the_middle_of_sse_is_an_event(client, backend):
    backend.break_after = 1
    response = await client.post(SPEECH, json=body(stream_format="sse"))
    assert response.status_code == 200
    last = events(response.content)[-1]
    assert last["type"] == "error"
    assert last["error"]["type"] == "server_error"
    assert "secret" not in response.text


async def test_request_ids(client):
    assert (await client.get("/health", headers={"x-request-id": "abc-1"})).headers["x-request-id"] == "abc-1"
    for insane in ("a b", "x" * 200, "<script>"):
        given = (await client.get("/health", headers={"x-request-id": insane})).headers["x-request-id"]
        assert given != insane
    one, other = [(await client.get("/health")).headers["x-request-id"] for _ in range(2)]
    assert one != other


async def test_models(client):
    listed = (await client.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert listed["data"][0]["id"] == "chorale-small"
    one = (await client.get("/v1/models/chorale-small")).json()
    assert one == listed["data"][0]
    assert (one["object"], one["owned_by"], one["state"], one["default"]) == (
        "model",
        "chorale",
        "ready",
        True,
    )
    assert list(one["controls"]) == ["temperature", "top_k", "top_p", "repetition_penalty"]
    assert one["controls"]["top_p"] == {
        "type": "number",
        "default": 1.0,
        "description": "sample from the most likely codes that together reach this probability",
        "exclusiveMinimum": 0,
        "maximum": 1,
    }


async def test_freeing_the_cache_drops_prompts_and_reports_memory(client, backend):
    await client.post(SPEECH, json=body())
    await client.post(SPEECH, json=body())
    assert backend.encoded == 1
    answer = await client.post("/v1/cache/free")
    assert answer.status_code == 200
    freed = answer.json()
    assert freed["before"]["rss_bytes"] == freed["processes"][0]["before"]["rss_bytes"] > 0
    assert freed["after"]["rss_bytes"] > 0
    prompts = (await client.get("/v1/status")).json()["ingress"]["prompts"]
    assert (prompts["entries"], prompts["bytes"]) == (0, 0)
    await client.post(SPEECH, json=body())
    assert backend.encoded == 2
    assert (await client.get("/v1/cache/free")).status_code == 405


async def test_health_ready_status(client, backend):
    health = (await client.get("/health")).json()
    assert health["status"] == "ok"
    assert health["device"]["name"] == "tones"
    assert (await client.get("/ready")).status_code == 200
    await client.post(SPEECH, json=body())
    status = (await client.get("/v1/status")).json()
    assert status["ingress"]["speech_requests"] == 1
    assert status["ingress"]["listening"] == 0
    assert status["ingress"]["memory"]["rss_bytes"] > 0
    assert "gpt" in status["models"]["chorale-small"]["stages"]
    backend.ready = False
    response = await client.get("/ready")
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "not_ready"
    assert (await client.get("/health")).status_code == 200

    async def broken():
        raise RuntimeError

    backend.status = broken
    assert (await client.get("/health")).status_code == 200
    assert (await client.get("/ready")).status_code == 503


async def test_concurrent_requests_get_their_own_speech(client, backend):
    async def one(i: int) -> bool:
        text = f"Request number {i} speaks. And {i} more."
        response = await client.post(
            SPEECH, json=body(input=text, seed=i, response_format="pcm", voice=("ada", "bob")[i % 2])
        )
        alone = await client.post(
            SPEECH, json=body(input=text, seed=i, response_format="pcm", voice=("ada", "bob")[i % 2])
        )
        return response.content == alone.content

    assert all(await asyncio.gather(*(one(i) for i in range(16))))
    assert not backend.active


def test_the_application_needs_neither_ray_nor_torch():
    script = "import sys, serve_app.http.app; print([m for m in ('ray', 'torch') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


async def test_cached_voice_route(client, backend):
    params = {
        "voice_name": "bob",
        "text": TEXT,
        "seed": 3,
        "temperature": 0.5,
        "speed_factor": 1.0,
        "text_lang": "en",
    }
    got = await client.get("/tts_with_cached_voice", params=params)
    posted = await client.post("/tts_with_cached_voice", params=params)
    assert got.status_code == posted.status_code == 200
    assert got.content == posted.content
    assert got.headers["content-type"] == "audio/wav"
    assert backend.encoded == 1, "the voice's features are cached"
    info = soundfile.info(io.BytesIO(got.content))
    assert info.duration == pytest.approx(
        len(backend.expected(TEXT, 3, 110.0)) / backend.spec.sample_rate, abs=0.001
    )


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"voice_name": "none"}, "voice_name"),
        ({"text": ""}, "text"),
        ({"text": "x" * 5001}, "text"),
        ({"text_lang": "xx"}, "text_lang"),
        ({"speed_factor": "0"}, "speed_factor"),
        ({"speed_factor": "nan"}, "speed_factor"),
        ({"temperature": "hot"}, "temperature"),
        ({"volume": "1"}, "volume"),
    ],
)
async def test_cached_voice_route_refuses(client, params, param):
    response = await client.post(
        "/tts_with_cached_voice", params={"voice_name": "ada", "text": "Hello."} | params
    )
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


async def test_problems_of_a_recording_are_reported(client, make_wav):
    tone = make_wav(pitch=440.0)  # narrow-band, and without a pause
    data, files = {"name": "Tone"}, {"audio_sample": ("tone.wav", tone, "audio/wav")}
    voice = (await client.post("/v1/audio/voices", data=data, files=files)).json()
    assert [warning.partition(":")[0] for warning in voice["warnings"]] == ["background", "narrow_band"]
    asked = body(reference_audio=base64.b64encode(tone).decode(), response_format="pcm")
    for _ in range(2):  # computed, then cached
        spoken = await client.post(SPEECH, json=asked)
        assert spoken.headers["x-warnings"] == "background, narrow_band"
    named = await client.post(SPEECH, json=body(voice="Tone", response_format="pcm"))
    assert "x-warnings" not in named.headers and named.headers["x-retries"] == "0"


@pytest.mark.parametrize("ends", [(".1",), (".1", ".1.again")])
async def test_a_response_reports_retries_and_cuts(client, backend, ends):
    Faulty(backend, *ends)
    wrong = {"retries": 1, "cut": len(ends) - 1}
    params = {"voice_name": "ada", "text": TEXT, "seed": 5}
    whole = await client.get("/tts_with_cached_voice", params=params)
    assert {name: int(whole.headers[f"x-{name}"]) for name in wrong} == wrong
    streamed = await client.post(SPEECH, json=body(response_format="pcm", stream_format="sse"))
    assert streamed.headers["x-retries"] == streamed.headers["x-cut"] == "0"
    assert events(streamed.content)[-1].items() >= wrong.items()


async def test_a_recording_without_a_voice_is_refused(client):
    noise = io.BytesIO()
    soundfile.write(noise, 0.1 * np.random.default_rng(0).standard_normal(48_000), 16_000, format="WAV")
    files = {"audio_sample": ("noise.wav", noise.getvalue(), "audio/wav")}
    response = await client.post("/v1/audio/voices", data={"name": "Rain"}, files=files)
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, "audio_sample", "no_voice")


async def test_voices_upload_use_delete(client, backend, make_wav):
    listed = (await client.get("/v1/audio/voices")).json()["data"]
    assert [voice["name"] for voice in listed] == ["ada", "bob"]
    assert "alloy" in listed[0]["aliases"]
    files = {"audio_sample": ("me.wav", make_wav(pitch=440.0), "audio/wav")}
    data = {"name": "Me 1", "consent": "cons_1", "transcript": "la", "language": "en"}
    response = await client.post("/v1/audio/voices", data=data, files=files)
    assert response.status_code == 200
    voice = response.json()
    assert voice["object"] == "audio.voice"
    assert (voice["name"], voice["consent"], voice["shipped"]) == ("Me 1", "cons_1", False)
    assert (await client.get(f"/v1/audio/voices/{voice['id']}")).json() == voice
    for name in ("Me 1", {"id": voice["id"]}):
        spoken = await client.post(SPEECH, json=body(voice=name, response_format="pcm"))
        assert spoken.headers["x-voice"] == "Me 1"
    again = await client.post("/v1/audio/voices", data=data, files=files)
    assert again.status_code == 400
    assert again.json()["error"]["code"] == "voice_exists"
    gone = await client.delete(f"/v1/audio/voices/{voice['id']}")
    assert gone.json() == {"id": voice["id"], "object": "audio.voice.deleted", "deleted": True}
    assert (await client.delete(f"/v1/audio/voices/{voice['id']}")).status_code == 404
    assert (await client.post(SPEECH, json=body(voice="Me 1"))).status_code == 400


@pytest.mark.parametrize(
    ("data", "sample", "param"),
    [
        ({}, b"ok", "name"),
        ({"name": "../x"}, b"ok", "name"),
        ({"name": ""}, b"ok", "name"),
        ({"name": "ada"}, b"ok", "name"),
        ({"name": "x"}, None, "audio_sample"),
        ({"name": "x"}, b"", "audio_sample"),
        ({"name": "x"}, b"no audio", "audio_sample"),
        ({"name": "x", "audio_sample": "text"}, None, "audio_sample"),
        ({"name": "x", "color": "red"}, b"ok", "color"),
        ({"name": "x", "type": "prompt"}, b"ok", "type"),
        ({"name": "x", "transcript": "y" * 3000}, b"ok", "transcript"),
    ],
)
async def test_bad_uploads(client, make_wav, data, sample, param):
    files = {} if sample is None else {"audio_sample": ("a.wav", make_wav() if sample == b"ok" else sample)}
    fields = {name: (None, value) for name, value in data.items()}  # multipart even without a file
    response = await client.post("/v1/audio/voices", files=fields | files)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert len((await client.get("/v1/audio/voices")).json()["data"]) == 2


async def test_shipped_voices_cannot_be_deleted(client):
    response = await client.delete("/v1/audio/voices/ada")
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "voice_not_deletable"
    assert (await client.post(SPEECH, json=body())).status_code == 200


async def test_openapi_describes_the_routes(client):
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert {
        SPEECH,
        "/v1/models",
        "/v1/audio/voices",
        "/tts_with_cached_voice",
        "/health",
        "/ready",
        "/v1/status",
    } <= set(paths)
    form = paths["/v1/audio/voices"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert {"name", "audio_sample"} == set(form["required"])


def test_audio_that_fails_midway_breaks_off(server, backend):
    backend.break_after = 2
    with (
        httpx.Client(base_url=server) as client,
        client.stream("POST", SPEECH, json=body(response_format="pcm")) as response,
    ):
        assert response.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in response.iter_bytes():
                pass


@pytest.mark.parametrize("when", ["before the first sound", "while it streams"])
async def test_a_client_that_leaves_frees_everything(server, backend, when):
    backend.delay = 0.02
    fields = body(input="a long sentence that goes on and on and on. " * 20, response_format="pcm")
    started = asyncio.Event()
    async with httpx.AsyncClient(base_url=server) as client:

        async def listen() -> None:
            async with client.stream("POST", SPEECH, json=fields) as response:
                async for _ in response.aiter_bytes():
                    started.set()

        task = asyncio.create_task(listen())
        if when == "while it streams":
            await started.wait()
        while not backend.active:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    for _ in range(1000):
        if not backend.active:
            break
        await asyncio.sleep(0.005)
    assert not backend.active
    calls = len(backend.started)
    await asyncio.sleep(0.1)
    assert len(backend.started) == calls
    assert backend.cancelled


@pytest.mark.parametrize(
    "text",
    ["...", "…", "—", "*", "()", "**", "---", "😊", "👍🏽", "❤️", "!", '"', "。", "→", "%", "?!"],
)
async def test_a_piece_of_punctuation_is_a_short_silence(client, text):
    response = await client.post(SPEECH, json=body(input=text, response_format="pcm"))
    assert response.status_code == 200
    assert response.headers["x-chorale-silence"] == "nothing_to_speak"
    assert not np.frombuffer(response.content, np.int16).any()
    assert len(response.content) == 2 * round(SILENCE * OUTPUT_RATE)


async def test_sound_is_not_called_silence_and_empty_input_is_refused(client):
    assert "x-chorale-silence" not in (await client.post(SPEECH, json=body())).headers
    assert (await client.post(SPEECH, json=body(input=" "))).status_code == 400


async def test_openapi_has_the_controls_of_the_model(client):
    for _ in range(2):
        paths = (await client.get("/openapi.json")).json()["paths"]
    body = paths["/v1/audio/speech"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["additionalProperties"] is False
    assert body["properties"]["top_k"]["maximum"] == 8192
    assert "response_format" in body["properties"]
    names = [parameter["name"] for parameter in paths["/tts_with_cached_voice"]["get"]["parameters"]]
    assert sorted(names) == sorted(set(names))
    assert {"voice_name", "temperature"} <= set(names)


async def test_a_control_of_another_model_is_refused(client):
    body = {"model": "tts-1", "voice": "ada", "input": "Hello.", "cfg_value": 2.0}
    error = (await client.post("/v1/audio/speech", json=body)).json()["error"]
    assert (error["param"], error["code"]) == ("cfg_value", "unknown_parameter")
    assert "temperature, top_k, top_p, repetition_penalty" in error["message"]
    for url in ("temperature=1&temperature=2", "top_k=1.5", "a=1&a=2"):
        answer = await client.get(f"/tts_with_cached_voice?voice_name=ada&text=Hello.&{url}")
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == url.split("=")[0]
    query = {"voice_name": "ada", "text": "Hello.", "speed": "2"}
    error = (await client.get("/tts_with_cached_voice", params=query)).json()["error"]
    assert (error["param"], error["code"]) == ("speed", "unknown_parameter")
