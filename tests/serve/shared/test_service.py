"""The real application on the real graph, with the shipped weights: isolation, faults, reproducibility."""

from __future__ import annotations

import asyncio
import io
import os
import random
import signal
from functools import cache
from pathlib import Path

import httpx
import jiwer
import numpy as np
import pytest
import soundfile

from benchmarks._common import Listener, words
from deployments import families
from deployments.contract.family import VoiceEncoder
from deployments.contract.speech import Reference
from deployments.engine.device.choose import choose_device
from tests.samples import SMALL, Case, check_http
from tests.serve.conftest import Say, Service

SENTENCES = Path("tests/data/sentences.txt").read_text().splitlines()
CLIENTS, REQUESTS, DISTINCT = 16, 100, 20


def sayings(voices: tuple[str, ...], count: int) -> list[Say]:
    return [Say(SENTENCES[n % len(SENTENCES)], voices[n % len(voices)], seed=n) for n in range(count)]


@cache
def voice_encoder() -> tuple[VoiceEncoder, dict[str, np.ndarray]]:
    """The family's own encoder, and the vector of each shipped voice."""
    encoder = families.load("small").voice_encoder(choose_device("cpu"))
    files = Path("deployments/families/small/voices").glob("*.flac")
    return encoder, {file.stem: vector(encoder, *soundfile.read(file, dtype="float32")) for file in files}


def vector(encoder: VoiceEncoder, waveform: np.ndarray, rate: int) -> np.ndarray:
    speaker = encoder.encode(Reference.of(waveform, rate)).tensors["speaker"]
    return speaker / np.linalg.norm(speaker)


def nearest_voice(waveform: np.ndarray, rate: int) -> str:
    encoder, shipped = voice_encoder()
    heard = vector(encoder, waveform, rate)
    return max(shipped, key=lambda name: float(heard @ shipped[name]))


async def undisturbed(service: Service, client: httpx.AsyncClient, what: list[Say]) -> dict[Say, np.ndarray]:
    """Speaks the requests one after another, without others."""
    return {say: await service.say(client, say) for say in what}


@pytest.mark.timeout(900)
async def test_many_clients_each_hear_their_own_text_and_voice(service: Service) -> None:
    what = sayings(service.voices, DISTINCT)
    rng = random.Random(3)
    queue = [rng.choice(what) for _ in range(REQUESTS)]
    async with httpx.AsyncClient(timeout=300) as client:
        alone = await undisturbed(service, client, what)
        room = asyncio.Semaphore(CLIENTS)

        async def one(say: Say) -> np.ndarray:
            async with room:
                return await service.say(client, say)

        heard = await asyncio.gather(*(one(say) for say in queue))
    for say, sound in zip(queue, heard, strict=True):
        np.testing.assert_array_equal(sound, alone[say], err_msg=str(say))

    # every response equalled one of these sample for sample; here the speech itself is recognised
    listener = Listener()
    spoken = [listener.hear(say.text, alone[say], 24000) for say in what]
    rate = listener.wer()
    swapped = jiwer.wer([words(say.text) for say in what[1:] + what[:1]], spoken)
    print(f"word error rate {rate:.1%}, against another request's words {swapped:.1%}")
    assert rate < 0.35
    assert swapped > 0.8
    right = sum(nearest_voice(alone[say], 24000) == say.voice for say in what)
    print(f"{right} of {len(what)} are nearest to the voice that was asked for")
    assert right >= 0.9 * len(what)


@pytest.mark.timeout(600)
async def test_a_killed_gpt_replica_does_not_change_the_sound(service: Service) -> None:
    from ray import serve

    scheduler = serve.get_deployment_handle("GptScheduler", "chorale")  # asked itself: HTTP caches a status
    what = sayings(service.voices, 12)
    async with httpx.AsyncClient(timeout=300) as client:
        alone = await undisturbed(service, client, what)
        before = await scheduler.status.remote()
        (replica,) = before["replicas"].values()
        tasks = [asyncio.create_task(service.say(client, say)) for say in what]
        while (await scheduler.status.remote())["active"] < 4:
            assert not all(task.done() for task in tasks), "no four slots were seen at work"
            await asyncio.sleep(0.01)
        os.kill(replica["pid"], signal.SIGKILL)
        heard = await asyncio.gather(*tasks)
        after = await scheduler.status.remote()
    assert after["deaths"] == before["deaths"] + 1
    assert after["requeued"] > before["requeued"]
    for say, sound in zip(what, heard, strict=True):
        np.testing.assert_array_equal(sound, alone[say], err_msg=str(say))


@pytest.mark.timeout(300)
async def test_a_client_that_leaves_frees_its_slot(service: Service) -> None:
    from ray import serve

    scheduler = serve.get_deployment_handle("GptScheduler", "chorale")
    long = Say(" ".join(SENTENCES), service.voices[0], seed=1)
    loop = asyncio.get_running_loop()
    async with httpx.AsyncClient(timeout=300) as client:
        async with client.stream("POST", f"{service.http}/v1/audio/speech", json=long.body()) as answer:
            assert answer.status_code == 200
            async for _ in answer.aiter_bytes():  # a slow client has no slot, so this one keeps up
                if (await scheduler.status.remote())["active"]:
                    break
            else:
                pytest.fail("no slot was seen at work")
        left = loop.time()
        while (await scheduler.status.remote())["active"] and loop.time() < left + 10:
            await asyncio.sleep(0.01)
        print(f"the slots were free {loop.time() - left:.3f} s after the client had gone")
        assert not (await scheduler.status.remote())["active"]
        again = Say(SENTENCES[0], service.voices[0], seed=1)
        assert len(await service.say(client, again))


@pytest.mark.timeout(300)
async def test_the_command_line_and_the_service_have_the_same_samples(service: Service) -> None:
    from serve_app.audio.encode import open_encoder
    from serve_app.cli.speaker import Speaker
    from serve_app.config.settings import Settings

    say = Say(SENTENCES[5], service.voices[1], seed=11)
    async with httpx.AsyncClient(timeout=300) as client:
        served = await service.say(client, say)

    def speak() -> tuple[np.ndarray, int]:
        with Speaker(Settings.from_args({"device": {"preference": "cpu"}})) as speaker:
            spoken = speaker.say(say.text, say.voice, seed=say.seed)
        return spoken.waveform, spoken.rate

    waveform, rate = await asyncio.to_thread(speak)
    encoder = open_encoder("wav", rate)
    spoken, _ = soundfile.read(io.BytesIO(encoder.encode(waveform) + encoder.finish()), dtype="float32")
    np.testing.assert_allclose(
        served, spoken, atol=2e-4
    )  # other chunk sizes, so the last of 16 bits may differ


async def test_every_stage_uses_one_device_thread(service: Service) -> None:
    async with httpx.AsyncClient(timeout=60) as client:
        await service.say(client, Say(SENTENCES[0], service.voices[0], 1))
        for name in ("gpt", "vocoder"):
            for replica in (await service.stage(client, name))["replicas"].values():
                assert replica["thread_id"] == replica["status"]["thread_id"]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.key)
async def test_recorded_samples(service: Service, case: Case) -> None:
    await check_http(service.http, case)
