"""GPT-SoVITS on the real graph beside the small family: the golden checkpoint and a cloned voice."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from tests.golden.archive import golden_set
from tests.serve.conftest import Cluster

SPOKEN = "The quick brown fox jumps over the lazy dog near the river bank."
MODEL = "chorale-gpt-sovits"
BODY = {"model": MODEL, "voice": "golden", "response_format": "wav", "seed": 1, "sample_rate": 32000}
TEXT = "今天天气真不错。我喜欢用Python写代码。"
STREAMS, REPEATS = 3, 6  # requests at once, and how often each speaks TEXT

golden = golden_set("gpt_sovits")


@pytest.fixture(scope="module")
def recording(gpt_sovits: Path) -> bytes:
    return (gpt_sovits / "ref.wav").read_bytes()


@pytest.fixture(scope="module")
def service(
    cluster: Cluster, gpt_sovits: Path, recording: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """The service with both families and an uploaded voice "golden"."""
    from ray import serve

    from serve_app.app import build
    from serve_app.config.file import default_config_path, load_config

    _, settings = load_config(default_config_path(), {})
    files = {"model_dir": str(gpt_sovits / "bundle"), "gpt": "s1.ckpt", "sovits": "s2_v2Pro.pth"}
    args = {name: value for name, value in settings.to_args().items() if name not in ("family", "gpt")} | {
        "data_dir": str(tmp_path_factory.mktemp("data")),
        "default_model": MODEL,
        "models": {
            "chorale-small": {"family": {"name": "small"}},
            MODEL: {
                "vocoder_chunk_size": 1000,
                "family": {"name": "gpt_sovits", "options": files},
                "gpt": {"slots": 4},
            },
        },
    }
    serve.run(build(args), name="chorale", route_prefix="/")
    with httpx.Client(base_url=cluster.http, timeout=120) as client:
        answer = client.post(
            "/v1/audio/voices",
            data={"name": "golden", "transcript": SPOKEN, "language": "en"},
            files={"audio_sample": ("ref.wav", recording)},
        )
        assert answer.status_code == 200, answer.text
        yield client
    serve.delete("chorale")


def sound_of(answer: httpx.Response) -> tuple[np.ndarray, int]:
    assert answer.status_code == 200, answer.text
    return soundfile.read(io.BytesIO(answer.content), dtype="float32")


def test_speech_by_openais_interface(service, recording):
    sound, rate = sound_of(service.post("/v1/audio/speech", json={**BODY, "input": TEXT}))
    assert rate == 32000 and len(sound) > rate and 0.05 < np.abs(sound).max() <= 1
    again, _ = sound_of(service.post("/v1/audio/speech", json={**BODY, "input": TEXT}))
    np.testing.assert_array_equal(again, sound)

    inline = {name: value for name, value in BODY.items() if name != "voice"}
    inline |= {
        "reference_audio": base64.b64encode(recording).decode(),
        "reference_text": SPOKEN,
    }
    cloned, _ = sound_of(service.post("/v1/audio/speech", json={**inline, "input": TEXT}))
    np.testing.assert_array_equal(cloned, sound)


def test_speech_in_a_cached_voice(service):
    fields = {"text": TEXT, "text_lang": "zh", "voice_name": "golden", "seed": 1}
    sound, rate = sound_of(service.get("/tts_with_cached_voice", params=fields))
    assert rate == 24000 and len(sound) > rate and np.abs(sound).max() > 0.05
    body = {**BODY, "input": TEXT, "language": "zh", "sample_rate": rate}
    np.testing.assert_array_equal(sound, sound_of(service.post("/v1/audio/speech", json=body))[0])


def test_speech_by_the_published_interface(service):
    fields = {"text": TEXT, "text_lang": "zh", "ref_audio_path": "golden.wav", "prompt_lang": "en", "seed": 1}
    whole, rate = sound_of(service.get("/tts", params=fields))
    assert rate == 32000 and len(whole) > rate and np.abs(whole).max() > 0.05
    by_openai, _ = sound_of(service.post("/v1/audio/speech", json={**BODY, "input": TEXT, "language": "zh"}))
    np.testing.assert_array_equal(whole, by_openai)
    answer = service.post("/tts", json={**fields, "streaming_mode": 2, "media_type": "raw", "top_k": 5})
    assert answer.status_code == 200 and len(answer.content) > rate
    answer = service.post("/tts", json={**fields, "text_split_method": "cut9"})
    assert answer.status_code == 400 and "cut9" in answer.json()["message"]


def test_the_small_family_speaks_beside_it(service):
    body = {"model": "chorale-small", "input": "Good morning.", "voice": "clara", "response_format": "wav"}
    sound, rate = sound_of(service.post("/v1/audio/speech", json=body))
    assert rate == 24000 and len(sound) > rate / 2


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"top_k": -1}, "top_k"),
        ({"language": "fr"}, "language"),
        ({"voice": "nobody"}, "voice"),
        ({"repetition_penalty": 99}, "repetition_penalty"),
    ],
)
def test_wrong_fields_are_named(service, change, param):
    answer = service.post("/v1/audio/speech", json={**BODY, "input": TEXT, **change})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


def test_a_reference_that_is_too_long_is_refused(service, recording):
    waveform, rate = soundfile.read(io.BytesIO(recording))
    file = io.BytesIO()
    soundfile.write(file, np.resize(waveform, 11 * rate), rate, format="WAV")
    body = {"model": MODEL, "input": TEXT, "reference_audio": base64.b64encode(file.getvalue()).decode()}
    answer = service.post("/v1/audio/speech", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == "reference_audio"
    assert "3 to 10 s" in answer.json()["error"]["message"]


async def stages(client: httpx.AsyncClient) -> dict[str, Any]:
    """The stages of the model, after each has answered and its replicas have reported."""
    while True:
        models = (await client.get("/v1/status")).json()["models"]
        found = models.get(MODEL, {}).get("stages", {})
        if all(found.get(name, {}).get("replicas") for name in ("gpt", "vocoder")):
            return found
        await asyncio.sleep(0.2)


async def streamed(client: httpx.AsyncClient, seed: int, sounding: asyncio.Event) -> bytes:
    """The samples of a stream. sounding: set when the first of them have arrived."""
    body = {**BODY, "input": TEXT * REPEATS, "seed": seed, "response_format": "pcm"}
    async with client.stream("POST", "/v1/audio/speech", json=body) as answer:
        assert answer.status_code == 200, await answer.aread()
        parts = []
        async for part in answer.aiter_bytes():
            parts.append(part)
            sounding.set()
    return b"".join(parts)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("stage", ["gpt", pytest.param("vocoder", marks=pytest.mark.nightly)])
async def test_streams_have_the_same_samples_if_a_replica_dies(service, stage):
    """The replica is killed while all streams sound, and the rest of their work is done by its successor."""
    async with httpx.AsyncClient(base_url=service.base_url, timeout=120) as client:
        alone = [await streamed(client, seed, asyncio.Event()) for seed in range(STREAMS)]
        assert len(set(alone)) == STREAMS
        before = (await stages(client))[stage]
        (replica,) = before["replicas"].values()
        sounding = [asyncio.Event() for _ in range(STREAMS)]
        streams = [asyncio.create_task(streamed(client, *pair)) for pair in enumerate(sounding)]
        await asyncio.gather(*(event.wait() for event in sounding))
        os.kill(replica["pid"], signal.SIGKILL)
        while (died := (await stages(client))[stage])["deaths"] == before["deaths"]:
            await asyncio.sleep(0.05)
        assert await asyncio.gather(*streams) == alone
        after = (await stages(client))[stage]
    assert after["completed"] > died["completed"] and after["failed"] == before["failed"]
