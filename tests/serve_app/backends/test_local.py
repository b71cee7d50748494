"""The small family in one process, without Ray: the engine's two workers behind the HTTP application."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from deployments.contract.errors import ConfigError, Overloaded, SynthesisFailed
from deployments.contract.options import ModelOptions
from deployments.contract.speech import GptRequest, Reference, VoicePrompt
from deployments.engine.device import memory
from serve_app.backends.local import LocalBackend
from serve_app.config.settings import Settings
from serve_app.http.app import create_app
from serve_app.models import Model, Models
from serve_app.service import Service
from serve_app.synthesis.speech import Speech
from serve_app.synthesis.stream import Synthesizer

TEXT = "Good morning. It is half past seven, and the train leaves in ten minutes."


def options(**wanted: Any) -> ModelOptions:
    return ModelOptions.model_validate({"device": {"preference": "cpu"}, **wanted})


@pytest.fixture(scope="module")
def backend() -> Iterator[LocalBackend]:
    backend = LocalBackend(options(gpt={"slots": 4})).wait()
    yield backend
    backend.close()


@pytest.fixture
def service(backend: LocalBackend, tmp_path) -> Service:
    models = Models([Model("small", backend.options, backend)])
    return Service(Settings.from_args({"data_dir": str(tmp_path)}, {}), models)


@pytest.fixture
async def client(service: Service):
    transport = httpx.ASGITransport(create_app(service), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=120) as client:
        yield client


async def prompt_of(service: Service, name: str) -> VoicePrompt:
    return (await service.prompt(name, await service.models.get(None)))[1]


async def collect(service: Service, voice: str, text: str = TEXT, seed: int = 1) -> np.ndarray:
    prompt = await prompt_of(service, voice)
    model = await service.models.get(None)
    speech = Speech(text, prompt, model.spec.sampling(seed=seed, max_tokens=150))
    return np.concatenate([piece async for piece in Synthesizer(model.backend).stream(speech).sound])


def first_voices(service: Service) -> list[str]:
    return [voice.name for voice in service.voices.list()]


async def test_same_samples_alone_and_among_eight_others(service):
    voices = first_voices(service)
    alone = await collect(service, voices[0])
    texts = [f"This is number {i}." for i in range(8)]
    others = [collect(service, voices[i % len(voices)], text, seed=i) for i, text in enumerate(texts)]
    together, *_ = await asyncio.gather(collect(service, voices[0]), *others)
    np.testing.assert_array_equal(together, alone)
    assert not np.array_equal(await collect(service, voices[0], seed=2), alone)


async def test_voices_differ(service):
    voices = first_voices(service)
    prompts = [await prompt_of(service, voice) for voice in voices]
    assert len({prompt.key for prompt in prompts}) == len(voices)


def test_the_workers_of_both_stages_are_accessible(backend):
    assert {name: worker.slots for name, worker in backend.workers.items()} == {"vocoder": 8, "gpt": 4}


async def test_closing_a_stream_frees_the_slot(service, backend):
    prompt = await prompt_of(service, first_voices(service)[0])
    stream = Synthesizer(backend).stream(Speech(TEXT * 3, prompt, backend.spec.sampling()))
    await anext(stream)
    await stream.aclose()
    for _ in range(1000):
        stages = (await backend.status())["stages"]
        if not any(stage["active"] or stage["pending"] for stage in stages.values()):
            break
        await asyncio.sleep(0.005)
    assert not any(stage["active"] or stage["pending"] for stage in stages.values())


async def test_a_cancelled_segment_ends_for_its_waiter(service, backend):
    prompt = await prompt_of(service, first_voices(service)[0])
    segment = (
        await backend.segments("A sentence that is cancelled before it ends, by somebody else.", None)
    )[0]
    request = GptRequest(segment, prompt, backend.spec.sampling({"temperature": 0.0}))
    with pytest.raises(SynthesisFailed):  # noqa: PT012
        runs = backend.generate(request, id="to cancel", priority=0, admitted=True)
        task = asyncio.ensure_future(anext(runs))
        await asyncio.sleep(0)
        await backend.cancel("to cancel")
        await task
        async for _ in runs:
            pass


async def test_a_full_queue_refuses_newcomers_only(service, backend):
    prompt = await prompt_of(service, first_voices(service)[0])
    segment = (await backend.segments("Hello there.", None))[0]
    request = GptRequest(segment, prompt, backend.spec.sampling(max_tokens=40))
    ledger = backend.scheduler.ledgers["gpt"]
    limit = ledger.admission.max_queue

    async def run(i: int, admitted: bool) -> int:
        runs = backend.generate(request, id=f"{admitted}{i}", priority=0, admitted=admitted)
        return sum([len(codes) async for codes in runs])

    try:
        ledger.admission.max_queue = 0
        accepted = [asyncio.create_task(run(i, admitted=True)) for i in range(2 * ledger.slots)]
        while not ledger.pending:
            await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="no slot is free"):
            await run(0, admitted=False)
        counts = await asyncio.gather(*accepted)
    finally:
        ledger.admission.max_queue = limit
    assert len(set(counts)) == 1
    assert counts[0] > 0


def test_unknown_family_and_option():
    with pytest.raises(ConfigError):
        LocalBackend(options(family={"name": "none"}))
    with pytest.raises(ConfigError):
        LocalBackend(options(family={"options": {"wieghts": "x"}}))


async def test_speech_over_http(client, service):
    for voice in first_voices(service):
        body = {
            "model": "tts-1",
            "voice": voice,
            "input": "Hello there.",
            "response_format": "wav",
            "max_tokens": 150,
        }
        response = await client.post("/v1/audio/speech", json=body)
        assert response.status_code == 200
        samples, rate = soundfile.read(io.BytesIO(response.content))
        assert 0 < len(samples) / rate <= 150 * 0.02 + 0.01  # max_tokens
    assert (await client.get("/ready")).status_code == 200
    device = (await client.get("/health")).json()["device"]
    assert device["kind"] == "cpu"
    assert "chosen" in device["reason"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "日本語のテキスト",
        "Привет, мир",
        "a" * 100_001,
        "x" * 5000,
        "a\x00b",
        "word " * 400_000,
    ],
)
async def test_text_that_cannot_be_spoken(client, text):
    body = {"model": "tts-1", "voice": "alloy", "input": text}
    response = await client.post("/v1/audio/speech", json=body)
    assert response.status_code == (413 if len(text) > 1_000_000 else 400)
    error = response.json()["error"]
    assert error["param"] == "input"
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) < 600


async def test_uploads_are_encoded_at_once(client, service, backend, make_wav):
    reference = service.voices.read(service.voices.list()[0])
    files = {"name": (None, "Copy"), "audio_sample": ("a.wav", reference)}
    assert (await client.post("/v1/audio/voices", files=files)).status_code == 200
    (model,) = service.models
    misses = model.prompts.misses
    body = {"model": "tts-1", "voice": "Copy", "input": "Hello.", "response_format": "pcm", "max_tokens": 60}
    assert (await client.post("/v1/audio/speech", json=body)).status_code == 200
    assert (await client.post("/v1/audio/speech", json=body)).status_code == 200
    assert model.prompts.misses == misses, "the first use finds the upload's prompt"
    silence = {"name": (None, "Silent"), "audio_sample": ("a.wav", make_wav(level=0.0))}
    response = await client.post("/v1/audio/voices", files=silence)
    assert response.json()["error"]["param"] == "audio_sample"


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (
            {"gpt": {"slots": 90_000}},
            r"gpt\.slots: keys and values of 90000 slots need \d+\.\d GiB, \d+\.\d GiB are free on cpu",
        ),
        (
            {"vocoder_chunk_size": 100_000, "vocoder": {"max_batch": 256}, "gpt": {"slots": 1}},
            r"vocoder\.max_batch: calls of 256 of the longest chunks need \S+ [MG]iB, 200 MiB",
        ),
        (
            {"gpt": {"length_buckets": [256, 300]}},
            r"gpt\.length_buckets: they must end at 1344, the positions",
        ),
    ],
)
def test_a_model_that_does_not_fit_is_refused_while_loading(wanted, says, monkeypatch):
    if "vocoder" in wanted:  # a call of the small vocoder always fits this machine
        monkeypatch.setattr(memory, "free_bytes", lambda device: 200 * 2**20)
    with pytest.raises(ConfigError, match=says):
        LocalBackend(options(**wanted)).wait()


async def test_prompts_are_cached_on_disk_and_memory_is_freed(tmp_path):
    kept = {"disk_cache": 10, "disk_cache_bytes": 10**6}
    tone = (0.3 * np.sin(np.arange(32000) * 0.06) * np.hanning(32000)).astype(np.float32)
    counts = []
    for _ in range(2):
        backend = LocalBackend(options(gpt={"slots": 1}, voice_encoder=kept, prompts=str(tmp_path)))
        for _ in range(2):
            await backend.encode_voice(Reference.of(tone, 16000), "clara")
        ((freed),) = await backend.free()
        assert freed["stage"] == "local" and freed["after"]["rss_bytes"] > 0
        told = (await backend.status())["prompts"]
        counts.append((told["encoded"], told["disk_hits"], told["memory_hits"], told["entries"]))
        backend.close()
    assert counts == [(1, 0, 1, 0), (0, 1, 1, 0)]
