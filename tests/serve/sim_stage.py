"""A stage with a simulated device: a step takes 4 ms + 0.2 ms for each row; codes follow from the request alone."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
from ray import serve

from deployments.contract.speech import GptRequest, Run, Sampling, Segment, VoicePrompt
from deployments.contract.work import Event, StageWorker, WorkItem
from deployments.leases.long_stream import ITEMS_PER_QUERY
from deployments.replica import LeasedReplica
from deployments.scheduler import StageScheduler
from serve_app.app import LEASES

PROMPT = VoicePrompt.of("small", {"speaker": np.zeros(4, np.float32)})
# events end where the default profile's GPT ends them: at each complete chunk, and every 16 codes in between
CHUNK_ENDS, EVERY = (15, 35, 75, 155), 16
FIRST = CHUNK_ENDS[0]
STEP_S, ROW_S = 0.004, 0.0002  # per step, and per row
TIMER_S = 0.0003  # the lateness of a sleep, which the next step corrects


def request(seed: int, codes: int, *, poison: bool = False) -> GptRequest:
    features = {"codes": np.array(codes), "poison": np.array(poison)}
    segment = Segment(f"text {seed}", np.array([seed], np.int64), features=features)
    return GptRequest(segment, PROMPT, Sampling.of(seed=seed))


def expected(seed: int, codes: int) -> np.ndarray:
    return (seed * 7919 + np.arange(codes, dtype=np.int64) * 104729) % 1000


def event_end(sent: int) -> int:
    """The end of the event that starts after `sent` codes."""
    return min([sent + EVERY, *(end for end in CHUNK_ENDS if end > sent)])


class SimWorker:
    """Decodes one code of every active item in a step."""

    failing = 0

    def __init__(self, slots: int = 8, step_s: float = STEP_S) -> None:
        self.slots = slots
        self.step_s = step_s
        self.steps = 0
        self._ends = 0.0  # when the last step ends
        self._rows: dict[str, list[int]] = {}  # id -> position, last sent, end, seed, poison

    @property
    def active(self) -> int:
        return len(self._rows)

    def admit(self, item: WorkItem) -> None:
        assert len(self._rows) < self.slots, "more items than slots"
        payload: GptRequest = item.payload
        begun = 0 if payload.prefix is None else len(payload.prefix)
        features = payload.segment.features
        seed = int(payload.segment.token_ids[0])
        self._rows[item.id] = [begun, begun, int(features["codes"]), seed, int(features["poison"])]

    def cancel(self, item_id: str) -> None:
        self._rows.pop(item_id, None)

    def step(self) -> list[Event]:
        now = time.perf_counter()
        begins = self._ends if now - self._ends < TIMER_S else now
        self._ends = begins + self.step_s + ROW_S * len(self._rows)
        time.sleep(max(0.0, self._ends - now))
        self.steps += 1
        events = []
        for item_id, row in list(self._rows.items()):
            row[0] += 1
            position, sent, end, seed, poison = row
            if poison and position > 3:
                os.kill(os.getpid(), signal.SIGKILL)
            if position >= end or position >= event_end(sent):
                events.append(
                    Event(item_id, Run(expected(seed, position)[sent:]), position >= end, index=sent)
                )
                row[1] = position
            if position >= end:
                del self._rows[item_id]
        return events

    def stats(self) -> dict[str, Any]:
        return {"steps": self.steps}


class SimGpt(LeasedReplica):
    def __init__(
        self, slots: int = 8, step_s: float = STEP_S, reports_per_query: int = ITEMS_PER_QUERY
    ) -> None:
        def load() -> tuple[StageWorker, dict[str, Any]]:
            return SimWorker(slots, step_s), {"device": {"name": "simulated"}}

        super().__init__("sim", load, threads=1, stuck_after_s=60.0)
        self._reports.items_per_query = reports_per_query


def application(
    replicas: int = 1,
    slots: int = 8,
    step_s: float = STEP_S,
    autoscaling: dict[str, Any] | None = None,
    reports_per_query: int = ITEMS_PER_QUERY,
    **options: Any,
) -> serve.Application:
    """A scheduler with `options` over simulated replicas."""
    scale: dict[str, Any] = {"autoscaling_config": autoscaling} if autoscaling else {"num_replicas": replicas}
    stage = serve.deployment(
        SimGpt,
        name="Sim",
        max_ongoing_requests=1,
        health_check_period_s=2,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=60,
        ray_actor_options={"num_cpus": 0.1},
        request_router_config=LEASES,
        **scale,
    ).bind(slots, step_s, reports_per_query)
    defaults = {
        "max_queue": 10 * slots,
        "min_replicas": replicas,
        "max_replicas": replicas,
        "lease_s": 1.0,
    }
    return serve.deployment(
        StageScheduler,
        name="SimScheduler",
        max_ongoing_requests=10_000,
        ray_actor_options={"num_cpus": 0.1},
        health_check_period_s=2,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=5,
    ).bind(stage, slots=slots, **(defaults | options))
