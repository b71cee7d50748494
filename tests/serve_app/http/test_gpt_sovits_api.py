"""GPT-SoVITS's own interface: its fields, its checks in its order and words, and what it does not do here."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from deployments.contract.controls import Control, drawing
from deployments.families.gpt_sovits.text.controls import CONTROLS, TEXT_CONTROLS
from serve_app.config.settings import Settings
from serve_app.http.app import create_app
from serve_app.http.gpt_sovits_schemas import TtsFields
from serve_app.models import Model, Models
from serve_app.service import Service
from tests.serve_app.conftest import RATE, SPEC, ToneBackend

TEXT = "Hello there. How are you?"
FIELDS = {"text": TEXT, "text_lang": "en", "ref_audio_path": "ada", "prompt_lang": "en", "seed": 5}
STEPS = Control("sample_steps", "integer", 32, "steps of the solver", 1, 128)


@pytest.fixture
def backend() -> ToneBackend:
    return ToneBackend(
        spec=replace(
            SPEC,
            name="gpt_sovits",
            languages=("zh", "en"),
            controls=(*drawing(top_k=15), *CONTROLS, STEPS),
            text_controls=TEXT_CONTROLS,
        )
    )


@pytest.fixture
async def client(
    backend: ToneBackend, shipped: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[httpx.AsyncClient]:
    """The default model is of another family, unless the test says otherwise; the second is of this one."""
    settings = Settings.from_args({"data_dir": str(tmp_path / "data")}, {})
    options = settings.options()
    files = options.family.model_copy(update={"options": {"gpt": "/models/mine.ckpt"}})
    models = Models(
        [
            Model("tones", options, ToneBackend(), settings.ingress),
            Model("sovits", options.model_copy(update={"family": files}), backend, settings.ingress),
        ],
        default=getattr(request, "param", "tones"),
    )
    transport = httpx.ASGITransport(
        create_app(Service(settings, models, shipped)), raise_app_exceptions=False
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def samples(data: bytes) -> np.ndarray:
    return soundfile.read(io.BytesIO(data), dtype="float32")[0]


async def test_get_and_post_speak_alike(client: httpx.AsyncClient, backend: ToneBackend) -> None:
    got = await client.get("/tts", params=FIELDS)
    posted = await client.post("/tts", json=FIELDS)
    assert got.status_code == posted.status_code == 200, got.text
    assert got.content == posted.content
    assert (got.headers["content-type"], got.headers["x-sample-rate"]) == ("audio/wav", str(RATE))
    np.testing.assert_allclose(samples(got.content), backend.expected(TEXT, 5, 220.0), atol=1e-4)


@pytest.mark.parametrize("mode", [True, 1, 2, 3, "true", "2"])
@pytest.mark.parametrize("media_type", ["wav", "raw"])
async def test_a_stream_has_the_samples_of_one_response(
    client: httpx.AsyncClient, mode: object, media_type: str
) -> None:
    whole = await client.post("/tts", json=FIELDS | {"media_type": media_type})
    streamed = await client.post("/tts", json=FIELDS | {"media_type": media_type, "streaming_mode": mode})
    header = 44 * (media_type == "wav")
    assert streamed.content[header:] == whole.content[header:]
    assert streamed.headers["content-type"] == whole.headers["content-type"] == f"audio/{media_type}"
    assert "content-length" in whole.headers and "content-length" not in streamed.headers


@pytest.mark.parametrize(("media_type", "magic"), [("ogg", b"OggS"), ("aac", b"\xff\xf1"), ("wav", b"RIFF")])
async def test_media_types(client: httpx.AsyncClient, media_type: str, magic: bytes) -> None:
    answer = await client.get("/tts", params=FIELDS | {"media_type": media_type})
    assert answer.content.startswith(magic) and answer.headers["content-type"] == f"audio/{media_type}"


async def test_fields_become_the_request_of_the_model(
    client: httpx.AsyncClient, backend: ToneBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []
    generate = backend.generate

    def watched(request: Any, **about: Any) -> Any:
        seen.append({"speed": request.sampling.speed, **request.sampling.controls})
        return generate(request, **about)

    monkeypatch.setattr(backend, "generate", watched)
    more = {
        "top_k": 0, "top_p": 0.5, "temperature": 0, "repetition_penalty": 1.1, "sample_steps": 8, "speed_factor": 1.5,
        "text_split_method": "cut0", "fragment_interval": 0, "batch_size": 4, "batch_threshold": 0.5,
        "split_bucket": False, "parallel_infer": False, "overlap_length": 3, "min_chunk_length": 20,
        "super_sampling": False, "aux_ref_audio_paths": [],
    }  # fmt: skip
    answer = await client.post("/tts", json=FIELDS | more)
    assert answer.status_code == 200, answer.text
    assert seen[0] == {
        "speed": 1.5, "top_k": 0, "top_p": 0.5, "temperature": 0, "repetition_penalty": 1.1, "sample_steps": 8,
        "text_split_method": 0, "fragment_interval": 0,
    }  # fmt: skip
    assert backend.text_controls == {"text_split_method": 0, "fragment_interval": 0}
    assert "x-chorale-ignored" not in answer.headers


async def test_further_voices_add_their_timbre(client: httpx.AsyncClient, backend: ToneBackend) -> None:
    backend.spec = replace(backend.spec, mixes=("pitch",))
    answer = await client.post(
        "/tts", json=FIELDS | {"aux_ref_audio_paths": ["refs/bob.wav"], "media_type": "raw"}
    )
    assert answer.status_code == 200, answer.text
    sound = np.frombuffer(answer.content, "<i2") / 32768
    np.testing.assert_allclose(sound, backend.expected(TEXT, 5, (220 + 110) / 2), atol=1e-3)


async def test_super_sampling_is_accepted_of_a_model_that_has_it(
    client: httpx.AsyncClient, backend: ToneBackend
) -> None:
    backend.spec = replace(backend.spec, super_resolution=True)
    answer = await client.post("/tts", json=FIELDS | {"super_sampling": True})
    assert answer.status_code == 200, answer.text
    assert "x-chorale-ignored" not in answer.headers


async def test_what_another_model_lacks_is_named(client: httpx.AsyncClient) -> None:
    more = {"model": "tones", "sample_steps": 8, "text_split_method": "cut1", "text_lang": "EN"}
    answer = await client.post("/tts", json=FIELDS | more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-chorale-ignored"] == "sample_steps, text_split_method"


@pytest.mark.parametrize("path", ["bob", "refs/bob.wav", "C:\\voices\\bob.wav", "/data/bob"])
async def test_a_reference_path_names_a_voice_and_is_not_opened(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get("/tts", params=FIELDS | {"ref_audio_path": path})
    assert answer.headers["x-voice"] == "bob"


async def test_the_text_of_the_recording_may_differ_from_the_library_s(
    client: httpx.AsyncClient, backend: ToneBackend
) -> None:
    for text, transcript in (("", "la"), ("la", "la"), ("la la", "la la")):
        answer = await client.post("/tts", json=FIELDS | {"prompt_text": text})
        assert answer.status_code == 200, answer.text
        assert backend.reference and backend.reference.transcript == transcript
    assert backend.encoded == 2, "the same text is the same voice"
    assert backend.reference.language == "en"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"ref_audio_path": None}, "ref_audio_path is required"),
    ({"text": ""}, "text is required"),
    ({"text_lang": ""}, "text_lang is required"),
    ({"prompt_lang": None}, "prompt_lang is required"),
    ({"text_lang": "ja"}, "text_lang: ja is not supported by sovits; allowed: auto, zh, en, all_zh"),
    ({"prompt_lang": "ko"}, "prompt_lang: ko is not supported by sovits; allowed: auto, zh, en, all_zh"),
    ({"media_type": "mp3"}, "media_type: mp3 is not supported; allowed: wav, raw, ogg, aac"),
    ({"media_type": {"wav": 1}}, "media_type: {'wav': 1} is not supported; allowed: wav, raw, ogg, aac"),
    ({"media_type": ["wav"]}, "media_type: ['wav'] is not supported"),
    ({"streaming_mode": [1]}, "the value of streaming_mode must be"),
    ({"text_split_method": {}}, "text_split_method:{} is not supported"),
    ({"text_split_method": "cut6"}, "text_split_method:cut6 is not supported; allowed: cut0, cut1, "),
    ({"streaming_mode": 4}, "the value of streaming_mode must be 0, 1, 2, 3(int) or true/false(bool)"),
    ({"streaming_mode": "often"}, "the value of streaming_mode must be"),
    ({"batch_size": 0}, "Invalid 'batch_size'"),
    ({"speed_factor": 9}, "Invalid 'speed_factor': must be a number from 0.25 to 4."),
    ({"text": "a\x00b"}, "Invalid 'text': must not contain control characters"),
    ({"voice": "ada"}, "Unknown field 'voice'."),
    ({"model": "none"}, "The model in 'model' does not exist"),
]
FAILS: list[tuple[dict[str, Any], str, str]] = [
    ({"ref_audio_path": "/etc/passwd"}, "ref_audio_path", "it must name a voice"),
    ({"aux_ref_audio_paths": ["bob"]}, "aux_ref_audio_paths", "a voice of sovits is one recording"),
    ({"aux_ref_audio_paths": ["/etc/passwd"]}, "aux_ref_audio_paths", "it must name a voice"),
    ({"super_sampling": True}, "super_sampling", "sovits has no super-resolution"),
    ({"temperature": 9}, "temperature", "must be a number from 0 to 2"),
    ({"sample_steps": 0}, "sample_steps", "must be an integer from 1 to 128"),
    ({"fragment_interval": -1}, "fragment_interval", "must be a number from 0 to 10"),
    ({"text": "x" * 5001}, "text", "at most 5000 are allowed"),
    ({"text": "这"}, "text", "it must be English"),
]


@pytest.mark.parametrize(("more", "message"), WRONG)
async def test_wrong_fields_have_the_published_messages(
    client: httpx.AsyncClient, more: dict[str, Any], message: str
) -> None:
    answer = await client.post("/tts", json=FIELDS | more)
    assert answer.status_code in (400, 404)
    told = answer.json()
    assert told["message"].startswith(message) and told["message"] == told["error"]["message"]


@pytest.mark.parametrize(("more", "param", "message"), FAILS)
async def test_what_fails_later_says_so_as_published(
    client: httpx.AsyncClient, more: dict[str, Any], param: str, message: str
) -> None:
    answer = await client.post("/tts", json=FIELDS | more)
    told = answer.json()
    assert (answer.status_code, told["message"]) == (400, "tts failed")
    assert message in told["Exception"] == told["error"]["message"]
    assert told["error"]["param"] == param


async def test_fields_are_checked_in_the_published_order(client: httpx.AsyncClient) -> None:
    fields: dict[str, Any] = {"media_type": "x", "text_split_method": "x", "streaming_mode": 9}
    order = []
    for name, right in (
        ("ref_audio_path", "ada"), ("text", TEXT), ("text_lang", "en"), ("prompt_lang", "en"), ("media_type", "wav"),
        ("text_split_method", "cut5"), ("streaming_mode", 0),
    ):  # fmt: skip
        order.append((await client.post("/tts", json=fields)).json()["error"]["param"])
        fields[name] = right
    assert order == [
        "ref_audio_path", "text", "text_lang", "prompt_lang", "media_type", "text_split_method", "streaming_mode",
    ]  # fmt: skip
    assert (await client.post("/tts", json=fields)).status_code == 200


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"text"', b"\xff"])
async def test_a_body_that_is_no_object_is_refused(client: httpx.AsyncClient, content: bytes) -> None:
    answer = await client.post("/tts", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400 and answer.json()["message"]


async def test_a_text_without_words_is_a_short_silence(client: httpx.AsyncClient) -> None:
    answer = await client.get("/tts", params=FIELDS | {"text": "?!"})
    assert answer.status_code == 200 and answer.headers["x-chorale-silence"] == "nothing_to_speak"
    assert not samples(answer.content).any()


async def test_a_failing_stage_is_an_error_and_not_silence(
    client: httpx.AsyncClient, backend: ToneBackend
) -> None:
    backend.max_queue = 0
    answer = await client.get("/tts", params=FIELDS)
    assert (answer.status_code, answer.json()["message"]) == (429, "tts failed")
    assert "retry-after" in answer.headers


STATES: list[tuple[str, int, str]] = [
    ("/control", 400, "command is required"),
    ("/control?command=restart", 400, "the server is not restarted or ended by its clients"),
    ("/control?command=exit", 400, "the server is not restarted or ended by its clients"),
    ("/set_gpt_weights", 400, "gpt weight path is required"),
    ("/set_sovits_weights", 400, "sovits weight path is required"),
    ("/set_gpt_weights?weights_path=GPT_weights/mine.ckpt", 200, "success"),
    ("/set_gpt_weights?weights_path=other.ckpt", 400, "change gpt weight failed"),
    ("/set_sovits_weights?weights_path=/etc/passwd", 400, "change sovits weight failed"),
    ("/set_refer_audio", 400, "set refer audio failed"),
    ("/set_refer_audio?refer_audio_path=x.wav", 400, "set refer audio failed"),
    ("/set_refer_audio?refer_audio_path=refs/ada.wav", 200, "success"),
]


@pytest.mark.parametrize(("url", "status", "message"), STATES)
async def test_calls_that_change_the_server_change_nothing(
    client: httpx.AsyncClient, url: str, status: int, message: str
) -> None:
    answer = await client.get(url)
    assert (answer.status_code, answer.json()["message"]) == (status, message)
    assert ("error" in answer.json()) == (status != 200)


@pytest.mark.parametrize("client", ["sovits"], indirect=True)
async def test_a_cached_voice_takes_the_parameters_of_the_family(
    client: httpx.AsyncClient, backend: ToneBackend
) -> None:
    query = {"voice_name": "ada", "text": TEXT, "text_lang": "en", "temperature": "0", "speed_factor": "1.5"}
    more = {"text_split_method": "0", "fragment_interval": "0.5", "sample_steps": "8", "top_k": "5"}
    answer = await client.post("/tts_with_cached_voice", params=query | more)
    assert answer.status_code == 200, answer.text
    assert backend.text_controls == {"text_split_method": 0, "fragment_interval": 0.5}
    refused = await client.post("/tts_with_cached_voice", params=query | {"text_split_method": "6"})
    assert refused.json()["error"]["param"] == "text_split_method"


async def test_the_fields_are_described(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    described = {parameter["name"] for parameter in paths["/tts"]["get"]["parameters"]}
    body = paths["/tts"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert described == set(body["properties"]) == set(TtsFields.model_fields)
