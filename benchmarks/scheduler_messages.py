"""What a message costs the process of a stage scheduler on a real Ray: CPU time, with all of its threads.

The stage is the simulated one of `scheduler`, saturated. The scheduler counts its messages: each request, each of its
events, each order and each report of a lease. The CPU time of the idle process is subtracted. What remains includes the
scheduler's own code, which `cluster_sim` measures without Ray; its --message-us takes the figure of this benchmark.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator
from typing import Any

from ray import serve
from rich.console import Console

from benchmarks import _common
from benchmarks.scheduler import OURS, Shape, deploy, saturated, saturating
from deployments.contract.work import Event, WorkItem
from deployments.leases.long_stream import More
from deployments.leases.records import Orders
from deployments.scheduler import StageScheduler
from serve_app.runtime import application as runtime


class CountingScheduler(StageScheduler):
    """Counts the messages of its process."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._messages = 0
        deliver = self.ledger.deliver

        def counted(lease_id: str, events: list[Event]) -> None:
            self._messages += 1
            deliver(lease_id, events)

        self.ledger.deliver = counted

    async def submit(self, item: WorkItem, admitted: bool = False) -> AsyncIterator[Event]:
        self._messages += 1
        async for event in super().submit(item, admitted):
            self._messages += 1
            yield event

    async def orders(self, lease_id: str, slots: int) -> AsyncIterator[Orders | More]:
        async for orders in super().orders(lease_id, slots):
            self._messages += 1
            yield orders

    async def spent(self) -> dict[str, float]:
        """Since the process started, except `at_s`, the time. loop_s: CPU seconds of the thread of the event loop."""
        return {
            "at_s": time.monotonic(),
            "cpu_s": time.process_time(),
            "loop_s": time.thread_time(),
            "messages": self._messages,
            "sequences": self.ledger.counts["completed"],
        }


async def measure(shape: Shape, codes: int, requests: int, idle_s: float, seed: int) -> dict[str, Any]:
    speak = deploy(OURS, shape, CountingScheduler)
    spent = serve.get_app_handle("bench").spent
    rng = random.Random(seed)
    lengths = [rng.randint(round(0.5 * codes), round(1.5 * codes)) for _ in range(requests)]
    await saturated(
        speak, lengths[: 2 * shape.replicas], 2 * shape.replicas
    )  # streams and routers are set up

    async def during(work: Any) -> dict[str, float]:
        before = await spent.remote()
        result = await work
        after = await spent.remote()
        return {key: after[key] - before[key] for key in before} | {"codes_per_s": result or 0.0}

    idle = await during(asyncio.sleep(idle_s))
    busy = await during(saturated(speak, lengths, saturating(OURS, shape)))
    net = {key: busy[key] - idle[key] / idle["at_s"] * busy["at_s"] for key in ("cpu_s", "loop_s")}
    sequences, messages = busy["sequences"], busy["messages"]
    return {
        "sequences": sequences,
        "sequences_per_s": round(sequences / busy["at_s"], 1),
        "share": round(busy["codes_per_s"] / shape.codes_per_s, 4),
        "messages_per_sequence": round(messages / sequences, 2),
        "idle_cpu": round(idle["cpu_s"] / idle["at_s"], 4),
        "busy_cpu": round(busy["cpu_s"] / busy["at_s"], 4),
        "us_per_sequence": round(1e6 * net["cpu_s"] / sequences),
        "us_per_message": round(1e6 * net["cpu_s"] / messages, 1),
        "loop_us_per_message": round(1e6 * net["loop_s"] / messages, 1),
        "sequences_per_core_s": round(sequences / net["cpu_s"]),
    }


def main() -> None:
    parser = _common.arguments("scheduler_messages", __doc__)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--slots", type=int, default=40, help="of a replica (40)")
    parser.add_argument("--codes", type=int, default=138, help="of a sequence, on average (138)")
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--idle", type=float, default=10.0, help="seconds without requests (10)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    console, shape = Console(width=120), Shape(options.replicas, options.slots)
    result = _common.origin("scheduler_messages")
    runtime.start_ray(num_cpus=8, dashboard=False)
    logging.getLogger("ray.serve").setLevel(logging.ERROR)  # routers log every busy replica
    try:
        serve.start(proxy_location="Disabled", logging_config={"log_level": "ERROR"})
        row = asyncio.run(measure(shape, options.codes, options.requests, options.idle, options.seed))
    finally:
        runtime.stop()
    console.print(
        f"{row['us_per_message']:.0f} µs of CPU per message, {row['loop_us_per_message']:.0f} of them in the event "
        f"loop; {row['messages_per_sequence']:.1f} messages and {row['us_per_sequence']} µs per sequence: "
        f"{row['sequences_per_core_s']} sequences/s on one core. Idle: {row['idle_cpu']:.1%} of a core."
    )
    names = ("replicas", "slots", "codes", "requests", "idle", "seed")
    settings = {name: getattr(options, name) for name in names}
    _common.finish(options.out, result | {"settings": settings, **row}, console)


if __name__ == "__main__":
    main()
