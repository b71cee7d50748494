"""What the scheduler is measured against: replicas that take one query at a time, and @serve.batch in front of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.contract.speech import GptRequest
from deployments.contract.work import WorkItem
from tests.serve.sim_stage import SimWorker

WAIT_S = 0.01  # of @serve.batch for a batch to fill


class OneAtATime:
    """A replica that works on the one request of the one call that it takes."""

    async def speak(self, payload: GptRequest) -> AsyncIterator[np.ndarray]:
        worker = SimWorker(slots=1)
        worker.admit(WorkItem("it", payload))
        while worker.active:
            for event in await asyncio.to_thread(worker.step):
                yield event.value.codes


class WholeBatches:
    """A replica that takes a batch in one call and works on it until its last row is done."""

    def __init__(self, slots: int) -> None:
        self._slots = slots

    async def speak(self, payloads: list[GptRequest]) -> list[np.ndarray]:
        worker = SimWorker(self._slots)
        for index, payload in enumerate(payloads):
            worker.admit(WorkItem(str(index), payload))
        runs: dict[str, list[np.ndarray]] = {str(index): [] for index in range(len(payloads))}
        while worker.active:
            for event in await asyncio.to_thread(worker.step):
                runs[event.id].append(event.value.codes)
        return [np.concatenate(found) for found in runs.values()]


class Coordinator:
    """Forms batches ahead of the replicas, one for each of them at a time."""

    def __init__(self, stage: DeploymentHandle, replicas: int, slots: int) -> None:
        replica = stage.options(_by_reference=False)

        async def forward(payloads: list[GptRequest]) -> list[np.ndarray]:
            return await replica.speak.remote(payloads)

        self._batched = serve.batch(
            max_batch_size=slots, batch_wait_timeout_s=WAIT_S, max_concurrent_batches=replicas
        )(forward)

    async def speak(self, payload: GptRequest) -> np.ndarray:
        return await self._batched(payload)
