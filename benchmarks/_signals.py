"""What two signals ask of Serve's autoscaler for one and the same load: the lease calls, and the demand.

Simulated: requests at random times that stay for a random time, and Serve's own delays on simulated time. Both signals
see the same requests, which are not slowed down by each other.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from ray.serve.autoscaling_policy import _apply_delay_logic  # with our clock

from deployments.autoscaling import Demand
from deployments.scheduler import wanted_leases
from serve_app.config.stages import Autoscaling

TICK_S = 0.5
MOST = 100  # replicas
SLOTS = 8
STAY_S = 2.0  # of a request in its slot, on average
HOURS = 4.0


def in_flight(mean: float, hours: float, seed: int) -> list[int]:
    """Requests in flight at every tick: Poisson arrivals, exponential stays."""
    rng = random.Random(seed)
    ticks = round(hours * 3600 / TICK_S)
    changes = [0] * (ticks + 1)
    at = 0.0
    while (at := at + rng.expovariate(mean / STAY_S)) < ticks * TICK_S:
        changes[int(at / TICK_S)] += 1
        changes[min(ticks, int((at + rng.expovariate(1 / STAY_S)) / TICK_S))] -= 1
    found, now = [], 0
    for change in changes[:ticks]:
        found.append(now := now + change)
    return found


def by_leases(load: Iterable[int], options: Autoscaling) -> list[int]:
    """What Serve's own policy would ask for: the mean number of lease calls over the look-back period."""
    window: deque[int] = deque(maxlen=round(options.look_back_period_s / TICK_S))
    asked = []
    for items in load:
        window.append(wanted_leases(items, SLOTS, options.min_replicas, MOST))
        asked.append(math.ceil(sum(window) / len(window)))
    return asked


def by_demand(load: Iterable[int], options: Autoscaling) -> list[int]:
    """As `deployments.autoscaling.by_demand`."""
    now = 0.0
    demand = Demand(options.look_back_period_s, lambda: now)
    asked = []
    for items in load:
        asked.append(math.ceil(demand.set(items / SLOTS) / options.target_utilization))
        now += TICK_S
    return asked


def delayed(asked: Iterable[int], options: Autoscaling) -> list[int]:
    """The replicas at every tick, as Serve's delays and the bounds let them follow."""
    config: Any = SimpleNamespace(**options.model_dump())
    replicas, state, found = options.min_replicas, {}, []
    for tick, wanted in enumerate(asked):
        replicas, state = _apply_delay_logic(wanted, replicas, config, state, tick * TICK_S)
        replicas = max(options.min_replicas, min(MOST, replicas))
        found.append(replicas)
    return found


def compared(means: Iterable[float], seed: int) -> list[dict[str, float]]:
    """For every mean number of requests in flight: the mean number of replicas, and the share of time without a slot.

    The delays are the defaults of the configuration.
    """
    options, rows = Autoscaling(max_replicas=MOST), []
    for mean in means:
        load = in_flight(mean, HOURS, seed)
        row: dict[str, float] = {"in_flight": mean}
        for name, asked in (("leases", by_leases(load, options)), ("demand", by_demand(load, options))):
            replicas = delayed(asked, options)
            full = sum(items > SLOTS * count for items, count in zip(load, replicas, strict=True))
            row[f"{name}_replicas"] = round(sum(replicas) / len(replicas), 2)
            row[f"{name}_full"] = round(full / len(load), 4)
        rows.append(row)
    return rows
