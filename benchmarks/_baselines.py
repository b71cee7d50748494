"""Baselines for the scheduler: replicas that take one query at a time, and @serve.batch in front of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.contract.speech import GptRequest
from deployments.contract.work import WorkItem
from tests.serve.sim_stage import SimWorker

WAIT_S = 0.01  # for @serve.batch to fill a batch


class OneAtATime:
    """A replica that takes one call with one request at a time."""

    async def speak(self, payload: GptRequest) -> AsyncIterator[np.ndarray]:
        worker = SimWorker(slots=1)
        worker.admit(WorkItem("it", payload))
        while worker.active:
            for event in await asyncio.to_thread(worker.step):
                yield event.value.codes


class WholeBatches:
    """A replica that takes a batch in one call and works until its last row is done."""

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
    """Forms batches in front of the replicas, one at a time for each."""

    def __init__(self, stage: DeploymentHandle, replicas: int, slots: int) -> None:
        replica = stage.options(_by_reference=False)

        async def forward(payloads: list[GptRequest]) -> list[np.ndarray]:
            return await replica.speak.remote(payloads)

        self._batched = serve.batch(
            max_batch_size=slots, batch_wait_timeout_s=WAIT_S, max_concurrent_batches=replicas
        )(forward)

    async def speak(self, payload: GptRequest) -> np.ndarray:
        return await self._batched(payload)
