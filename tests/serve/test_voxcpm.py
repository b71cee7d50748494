"""VoxCPM on the real graph beside GPT-SoVITS and the small family: mixed load, killed replicas, wrong fields."""

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

from serve_app.cli.speaker import Speaker
from serve_app.config.settings import Settings
from serve_app.runtime import application as runtime
from tests.golden.archive import golden_set
from tests.serve.conftest import Cluster
from tests.serve.test_several_models import Service

voxcpm, gpt_sovits = golden_set("voxcpm"), golden_set("gpt_sovits")
TEXTS = ("今天天气很好，我们一起去公园散步。", "Please speak slowly and clearly, thank you.", "你好，world!")
TRANSCRIPT = "Our system streams audio."
SOVITS_TRANSCRIPT = "The quick brown fox jumps over the lazy dog near the river bank."
LENGTH = {"min_len": 6, "max_len": 14}
MODES: list[dict[str, Any]] = [
    {"continuation": False, "reference": False},
    {"reference_text": TRANSCRIPT, "reference": False},
    {},
    {"reference_text": TRANSCRIPT, "cfg_value": 1.5},
]


@pytest.fixture(scope="module")
def models(voxcpm: Path, gpt_sovits: Path) -> dict[str, dict[str, Any]]:
    options = {"model_dir": str(voxcpm / "v2" / "checkpoint")}
    vox = {
        "family": {"name": "voxcpm", "options": options},
        "chunks": {"first": 1},
        "sampling": {"inference_timesteps": 4},
        "gpt": {"slots": 4, "num_cpus": 0.1, "max_queue": 40, "max_wait_s": 200},
    }
    files = {"model_dir": str(gpt_sovits / "bundle"), "gpt": "s1.ckpt", "sovits": "s2_v2Pro.pth"}
    sovits = {
        "family": {"name": "gpt_sovits", "options": files},
        "vocoder_chunk_size": 1000,
        "gpt": {"slots": 4, "num_cpus": 0.1, "max_wait_s": 200},
    }
    return {"small": {"family": {"name": "small"}}, "vox": vox, "sovits": sovits}


@pytest.fixture(scope="module")
def service(
    cluster: Cluster, models: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    from ray import serve

    settings = Settings.from_args({}, {})
    running = runtime.Running(cluster.http, cluster.dashboard, "several", True, settings, {})
    service = Service(running, tmp_path_factory.mktemp("voxcpm"))
    assert service.deploy(models) == {}
    yield service
    for name in ("several", *models):
        serve.delete(name)


@pytest.fixture
async def client(service: Service):
    async with httpx.AsyncClient(base_url=service.running.http, timeout=250) as client:
        yield client


@pytest.fixture(scope="module")
def recording(voxcpm: Path) -> bytes:
    return (voxcpm / "v2" / "prompt.wav").read_bytes()


@pytest.fixture(scope="module")
def asked(recording: bytes, gpt_sovits: Path) -> list[dict[str, Any]]:
    """Every mode of VoxCPM with every text, and the other families."""
    audio, sovits_audio = (
        {"reference_audio": base64.b64encode(sound).decode()}
        for sound in (recording, (gpt_sovits / "ref.wav").read_bytes())
    )
    vox = [
        {"model": "vox", "input": text, "seed": seed, **LENGTH, **audio, **mode}
        for seed, (text, mode) in enumerate((text, mode) for text in TEXTS[:2] for mode in MODES)
    ]
    small = [
        {"model": "small", "input": "The tea is cold.", "voice": "clara", "seed": seed} for seed in range(2)
    ]
    known = {"model": "sovits", "reference_text": SOVITS_TRANSCRIPT, **sovits_audio}
    sovits = [{**known, "input": text, "seed": seed} for seed, text in enumerate(TEXTS[:2])]
    return [{**body, "response_format": "wav"} for body in (*vox, *small, *sovits)]


async def said(client: httpx.AsyncClient, body: dict[str, Any]) -> np.ndarray:
    answer = await client.post("/v1/audio/speech", json=body)
    assert answer.status_code == 200, answer.text
    return soundfile.read(io.BytesIO(answer.content), dtype="int16")[0]


@pytest.mark.timeout(300)
async def test_three_families_at_once_give_what_each_gives_alone(
    client: httpx.AsyncClient, asked: list[dict[str, Any]]
) -> None:
    alone = [await said(client, body) for body in asked]
    assert len({sound.tobytes() for sound in alone}) == len(asked)
    together = await asyncio.gather(*(said(client, body) for body in asked * 2))
    for found, wanted in zip(together, alone * 2, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.timeout(300)
async def test_killed_replicas_do_not_change_the_sound(
    client: httpx.AsyncClient, asked: list[dict[str, Any]]
) -> None:
    """Of the GPT, which resumes, and of the vocoder, whose states are computed again."""
    asked = [body for body in asked if body["model"] == "vox"]
    alone = [await said(client, body) for body in asked]
    stages = (await client.get("/v1/status")).json()["models"]["vox"]["stages"]
    asking = [asyncio.create_task(said(client, body)) for body in asked]
    await asyncio.sleep(0.2)
    for stage in ("gpt", "vocoder"):
        (replica,) = stages[stage]["replicas"].values()
        os.kill(replica["pid"], signal.SIGKILL)
    for found, wanted in zip(await asyncio.gather(*asking), alone, strict=True):
        np.testing.assert_array_equal(found, wanted)


async def test_the_graph_makes_the_samples_of_one_process(
    client: httpx.AsyncClient, models: dict[str, Any], recording: bytes
) -> None:
    def in_process() -> np.ndarray:
        with Speaker(Settings.from_args({"models": {"vox": models["vox"]}}, {}), "vox") as speaker:
            spoken = speaker.say(TEXTS[1], None, recording, seed=1, controls=LENGTH, transcript=TRANSCRIPT)
        return (32767 * spoken.waveform).round().astype(np.int16)

    audio = base64.b64encode(recording).decode()
    body = {
        "model": "vox",
        "input": TEXTS[1],
        "seed": 1,
        "reference_audio": audio,
        "reference_text": TRANSCRIPT,
    }
    found = await said(client, {**body, **LENGTH, "response_format": "wav", "sample_rate": 48000})
    wanted = await asyncio.to_thread(in_process)
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"cfg_value": -3}, "cfg_value"),
        ({"inference_timesteps": 1000}, "inference_timesteps"),
        ({"max_len": 0}, "max_len"),
        ({"language": "fr"}, "language"),
        ({"input": "…!"}, None),
        ({"temperature": 0.5}, "temperature"),
        ({"reference": False}, "continuation"),
    ],
)
async def test_bad_fields_are_named(client: httpx.AsyncClient, recording: bytes, change, param) -> None:
    audio = base64.b64encode(recording).decode()
    body = {"model": "vox", "input": TEXTS[0], "reference_audio": audio, "response_format": "wav"} | change
    answer = await client.post("/v1/audio/speech", json=body)
    if param is None:  # clients cut replies at punctuation
        assert answer.status_code == 200
    else:
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text
