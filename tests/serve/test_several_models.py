"""Several models in one service: each speaks as it does alone, and changes without the others."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
import yaml

from deployments import families
from serve_app.config.applications import expanded
from serve_app.config.file import load_config
from serve_app.config.settings import Settings
from serve_app.runtime import application as runtime
from tests.golden.indextts_set import SHIPPED
from tests.serve.conftest import Cluster

CLIENTS, REQUESTS = 16, 100
TEXTS = ["Good morning.", "The tea is cold.", "Not today, thank you.", "It rains again."]
VOICES = ["clara", "ross"]
LONG = "The train to the coast leaves in twenty minutes, and the harbour is old and quiet. " * 8
INDEX = {
    "family": {"name": "indextts", "options": {"model_dir": str(SHIPPED / "checkpoint")}},
    "vocoder_chunk_size": 60,
    "gpt": {"slots": 8, "num_cpus": 0.1},
}
MODELS: dict[str, dict[str, Any]] = {
    "small": {"family": {"name": "small"}},
    "index-1.5": INDEX,
    "broken": {"family": {"name": "indextts", "options": {"model_dir": str(SHIPPED / "nowhere")}}},
}


@dataclass(frozen=True)
class Service:
    """The service of a config file, which tests edit."""

    running: runtime.Running
    folder: Path

    def deploy(self, models: dict[str, dict[str, Any]]) -> dict[str, str]:
        """Returns why models failed."""
        args = {"data_dir": str(self.folder / "data"), "models": models}
        application = {"name": "several", "import_path": "serve_app.app:build", "args": args}
        path = self.folder / "several.yaml"
        path.write_text(yaml.safe_dump({"applications": [application]}, sort_keys=False))
        document, settings = load_config(path, {})
        runtime.deploy(self.running.dashboard, expanded(document, settings))
        return runtime.wait_ready(replace(self.running, settings=settings), timeout=200).models


@pytest.fixture(scope="module")
def service(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    from ray import serve

    folder = tmp_path_factory.mktemp("several")
    running = runtime.Running(
        cluster.http, cluster.dashboard, "several", True, Settings.from_args({}, {}), {}
    )
    service = Service(running, folder)
    failed = service.deploy(MODELS)
    assert failed == {"broken": "family.options.model_dir: folder 'nowhere' does not exist"}
    yield service
    for name in ("several", *MODELS):
        serve.delete(name)


@pytest.fixture
async def client(service: Service):
    async with httpx.AsyncClient(base_url=service.running.http, timeout=300) as client:
        yield client


@dataclass(frozen=True)
class Say:
    model: str
    text: str
    voice: str
    seed: int

    def body(self) -> dict[str, object]:
        asked = {"model": self.model, "input": self.text, "voice": self.voice, "seed": self.seed}
        return asked | {"response_format": "wav"} | ({} if self.model == "small" else {"max_tokens": 24})


SAYINGS = [
    Say(model, text, VOICES[number % 2], number)
    for model in ("small", "index-1.5")
    for number, text in enumerate(TEXTS)
]


async def said(client: httpx.AsyncClient, say: Say) -> np.ndarray:
    answer = await client.post("/v1/audio/speech", json=say.body())
    assert answer.status_code == 200, (say, answer.text)
    return soundfile.read(io.BytesIO(answer.content), dtype="int16")[0]


@pytest.mark.timeout(400)
async def test_many_mixed_requests_are_sample_for_sample_what_each_is_alone(
    client: httpx.AsyncClient,
) -> None:
    alone = {say: await said(client, say) for say in SAYINGS}
    assert len({sound.tobytes() for sound in alone.values()}) == len(SAYINGS)
    rng, room = random.Random(5), asyncio.Semaphore(CLIENTS)

    async def one(say: Say) -> None:
        async with room:
            np.testing.assert_array_equal(await said(client, say), alone[say], err_msg=str(say))

    await asyncio.gather(*(one(rng.choice(SAYINGS)) for _ in range(REQUESTS)))


async def test_every_model_is_listed_and_a_broken_one_says_why(client: httpx.AsyncClient) -> None:
    cards = {card["id"]: card for card in (await client.get("/v1/models")).json()["data"]}
    assert [cards[name]["state"] for name in MODELS] == ["ready", "ready", "failed"]
    rates = cards["small"]["sample_rate"], cards["index-1.5"]["sample_rate"]
    assert rates == (families.load("small").spec.sample_rate, 24000)
    assert cards["index-1.5"]["languages"] == ["zh", "en"]
    assert cards["small"]["default"] and cards["tts-1"]["alias_of"] == "small"
    ready = await client.get("/ready")
    assert ready.status_code == 200 and ready.json()["models"]["broken"] == "failed"

    refused = await client.post("/v1/audio/speech", json=Say("broken", TEXTS[0], "clara", 1).body())
    error = refused.json()["error"]
    assert (refused.status_code, error["param"], error["code"]) == (503, "model", "model_failed")
    assert error["message"] == f"The model 'broken' failed: {cards['broken']['reason']}"
    assert str(SHIPPED) not in refused.text
    unknown = await client.post("/v1/audio/speech", json=Say("other", TEXTS[0], "clara", 1).body())
    assert unknown.status_code == 404
    assert "small, index-1.5, broken, tts-1" in unknown.json()["error"]["message"]


async def test_an_uploaded_voice_speaks_with_every_model_and_is_forgotten_by_each(
    client: httpx.AsyncClient, service: Service
) -> None:
    recording = (SHIPPED / "reference.wav").read_bytes()
    answer = await client.post(
        "/v1/audio/voices", data={"name": "mine"}, files={"audio_sample": ("mine.wav", recording)}
    )
    assert answer.status_code == 200, answer.text
    prompts = service.folder / "data" / "prompts"
    assert len(list(prompts.rglob(f"{answer.json()['id']}.*"))) == 2, "one for each encoder"
    for model in ("small", "index-1.5"):
        assert len(await said(client, Say(model, TEXTS[0], "mine", 1)))
    assert (await client.delete("/v1/audio/voices/mine")).status_code == 200
    assert not list(prompts.rglob(f"{answer.json()['id']}.*"))
    for model in ("small", "index-1.5"):
        gone = await client.post("/v1/audio/speech", json=Say(model, TEXTS[0], "mine", 1).body())
        assert (gone.status_code, gone.json()["error"]["param"]) == (400, "voice")


async def processes(client: httpx.AsyncClient, model: str) -> set[int]:
    """Process ids of the ingress and of a model's stages."""
    status = (await client.get("/v1/status")).json()
    stages = status["models"][model]["stages"]
    replicas = [replica for stage in stages.values() for replica in stage.get("replicas", {}).values()]
    assert len(replicas) == 2
    return {status["ingress"]["pid"]} | {part["pid"] for part in (*stages.values(), *replicas)}


@pytest.mark.timeout(600)
async def test_a_model_goes_and_comes_back_while_another_speaks(
    client: httpx.AsyncClient, service: Service
) -> None:
    short, index = SAYINGS[0], SAYINGS[-1]
    long = Say("small", LONG, "clara", 3)
    alone = {say: await said(client, say) for say in (short, index)}
    whole = (await client.post("/v1/audio/speech", json=long.body() | {"response_format": "pcm"})).content
    before = await processes(client, "small")
    changed, spoken = asyncio.Event(), 0

    async def listen() -> bytes:
        """Reads slowly until the other model is back, as a player does."""
        data = bytearray()
        body = long.body() | {"response_format": "pcm"}
        async with client.stream("POST", "/v1/audio/speech", json=body) as answer:
            assert answer.status_code == 200
            async for piece in answer.aiter_raw():
                data += piece
                if not changed.is_set():
                    await asyncio.sleep(0.3)
        return bytes(data)

    async def keep_asking() -> None:
        nonlocal spoken
        while not changed.is_set():
            np.testing.assert_array_equal(await said(client, short), alone[short])
            spoken += 1

    async def change() -> None:
        try:
            without = {name: model for name, model in MODELS.items() if name == "small"}
            assert await asyncio.to_thread(service.deploy, without) == {}
            assert await until(client, ["small"])
            gone = await client.post("/v1/audio/speech", json=index.body())
            assert gone.status_code == 404
            assert await asyncio.to_thread(service.deploy, {**without, "index-1.5": INDEX}) == {}
            assert await until(client, ["small", "index-1.5"])
            np.testing.assert_array_equal(await said(client, index), alone[index])
        finally:
            changed.set()

    heard, *_ = await asyncio.gather(listen(), keep_asking(), keep_asking(), change())
    assert heard == whole
    assert spoken > 0
    assert await processes(client, "small") == before, "nothing of the other model was restarted"


async def until(client: httpx.AsyncClient, names: list[str]) -> bool:
    """Whether the ingress comes to serve these models, all of them ready."""
    for _ in range(600):
        states = (await client.get("/ready")).json()["models"]
        if states == dict.fromkeys(names, "ready"):
            return True
        await asyncio.sleep(0.1)
    return False


@pytest.mark.nightly
@pytest.mark.timeout(600)
async def test_a_model_that_is_changed_to_a_broken_checkpoint_fails_alone_and_recovers(
    client: httpx.AsyncClient, service: Service
) -> None:
    wrong = {**INDEX, "family": MODELS["broken"]["family"]}
    failed = await asyncio.to_thread(service.deploy, {"small": MODELS["small"], "index-1.5": wrong})
    assert "nowhere" in failed["index-1.5"]
    assert len(await said(client, SAYINGS[0]))
    refused = await client.post("/v1/audio/speech", json=SAYINGS[-1].body())
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_failed")
    await asyncio.to_thread(service.deploy, {"small": MODELS["small"], "index-1.5": INDEX})
    assert await until(client, ["small", "index-1.5"])
    assert len(await said(client, SAYINGS[-1]))
