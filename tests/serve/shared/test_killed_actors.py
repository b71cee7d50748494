"""Every actor of the application is killed once under load: no request fails or has a wrong sample."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from tests.serve.conftest import Say, Service
from tests.serve.shared.test_service import sayings

CLIENTS, DISTINCT = 4, 8

VICTIMS: dict[str, Callable[[dict[str, Any]], int]] = {
    "Gpt": lambda stages: next(iter(stages["gpt"]["replicas"].values()))["pid"],
    "Vocoder": lambda stages: next(iter(stages["vocoder"]["replicas"].values()))["pid"],
    "GptScheduler": lambda stages: stages["gpt"]["pid"],
    "VocoderScheduler": lambda stages: stages["vocoder"]["pid"],
    "TextFrontend": lambda stages: stages["text_frontend"]["pid"],
    "VoiceEncoder": lambda stages: stages["voice_encoder"]["pid"],
    "controller": lambda stages: controller(),
}


def controller() -> int:
    import ray
    from ray.util.state import list_actors

    alive = [("class_name", "=", "ServeController"), ("state", "=", "ALIVE")]
    found = list_actors(address=ray.get_runtime_context().gcs_address, filters=alive)
    return found[0]["pid"] if found else 0


async def ready(service: Service, client: httpx.AsyncClient) -> dict[str, Any]:
    """The stages, after each has answered and each model has reported."""
    while True:
        status = (await client.get(f"{service.http}/v1/status")).json()
        stages = status["models"][status["model"]]["stages"]
        if status["ready"] and all(stages[name]["replicas"] for name in ("gpt", "vocoder")):
            return stages
        await asyncio.sleep(0.5)


@pytest.fixture(scope="module")
def alone(service: Service) -> dict[Say, np.ndarray]:
    """Each request, spoken alone."""

    async def spoken() -> dict[Say, np.ndarray]:
        async with httpx.AsyncClient(timeout=300) as client:
            return {say: await service.say(client, say) for say in sayings(service.voices, DISTINCT)}

    return asyncio.run(spoken())


@pytest.mark.timeout(240)
@pytest.mark.parametrize("victim", VICTIMS)
async def test_a_killed_actor_does_not_change_the_sound(
    service: Service, alone: dict[Say, np.ndarray], victim: str
) -> None:
    done: list[Say] = []
    over = False

    async def ask_on(client: httpx.AsyncClient, first: int) -> None:
        turn = first
        while not over:
            say = list(alone)[turn % len(alone)]
            np.testing.assert_array_equal(await service.say(client, say), alone[say], err_msg=str(say))
            done.append(say)
            turn += 1

    async with httpx.AsyncClient(timeout=120) as client:
        pid = VICTIMS[victim](await ready(service, client))
        asking = [asyncio.create_task(ask_on(client, n)) for n in range(CLIENTS)]
        while len(done) < CLIENTS:
            await asyncio.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        before, began = len(done), asyncio.get_running_loop().time()
        while len(done) < before + 2 * CLIENTS and not any(task.done() for task in asking):
            await asyncio.sleep(0.05)
        print(f"\n{len(done) - before} answers within {asyncio.get_running_loop().time() - began:.1f} s")
        over = True
        await asyncio.gather(*asking)
        stages = await ready(service, client)
        while victim != "controller" and VICTIMS[victim](stages) == pid:  # until another one has replaced it
            await asyncio.sleep(0.5)
            stages = await ready(service, client)
