"""The autoscaling of the leased stages: the demand that their schedulers measure, and Serve's policy made of it.

Serve's own policy would count the lease calls, held and waiting. Their number is that of the replicas in use at an
instant, rounded up, so that its mean is too high for work that comes in bursts: every burst that needs a second replica
for a second keeps it for a minute.
"""

import math
import time
from collections.abc import Callable
from typing import Any

from ray.serve.config import AutoscalingContext

DEMAND = "demand"  # the key in what replicas report


class Demand:
    """The exponential mean of a figure that changes in steps.

    Its memory is that of a plain mean over `window_s`: both lag half of it behind a steady rise.
    """

    def __init__(self, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lag_s, self._clock = window_s / 2, clock
        self._mean = self._now = 0.0
        self._since = clock()

    def set(self, value: float) -> float:
        """From now on the figure is `value`. Returns the mean until now."""
        at = self._clock()
        kept = math.exp(-(at - self._since) / self._lag_s)
        self._mean = self._now + (self._mean - self._now) * kept
        self._now, self._since = value, at
        return self._mean


def by_demand(context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
    """Serve's policy of a leased stage: the replicas that the work fills to `target_ongoing_requests`, here a share.

    The replicas report the demand of the whole stage; one that has no lease reports 0. Serve rounds the result up and
    applies the delays and bounds. Without replicas it does not ask: it starts one if a lease call waits.
    """
    series = (context.raw_metrics or {}).get(DEMAND, {}).values()
    newest = [samples[-1].value for samples in series if samples]
    if not newest:
        return context.target_num_replicas, {}
    config: Any = context.config
    return max(newest) / config.target_ongoing_requests, {}
