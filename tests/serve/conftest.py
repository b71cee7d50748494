"""One real Ray with Serve for the whole session, on a port of its own."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from serve_app import runtime


@dataclass(frozen=True)
class Cluster:
    http: str
    port: int
    dashboard: str


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    from ray import serve

    port = runtime.free_port()
    dashboard = runtime.start_ray(num_cpus=8)
    assert dashboard is not None
    serve.start(
        proxy_location="HeadOnly",
        http_options={"host": "127.0.0.1", "port": port, "request_timeout_s": 120},
        logging_config={"log_level": "WARNING"},
    )
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    yield Cluster(f"http://127.0.0.1:{port}", port, dashboard)
    runtime.stop()


@dataclass(frozen=True)
class Stage:
    """A scheduler with simulated replicas behind it."""

    app: str
    backend: Any
    scheduler: Any


@pytest.fixture(scope="session")
def sim_stage(cluster: Cluster) -> Callable[..., Stage]:
    """sim_stage(replicas=1, slots=8, step_s=0.004, autoscaling=None, **scheduler options) -> Stage

    Asked with the same options again it gives the same one: a replica takes seconds to start.
    """
    from ray import serve

    from deployments.scheduler import StageScheduler
    from serve_app.app import LEASES
    from serve_app.backend import RayBackend
    from tests.serve.sim_stage import SimGpt

    stages: dict[str, Stage] = {}

    def deploy(
        replicas: int = 1,
        slots: int = 8,
        step_s: float = 0.004,
        autoscaling: dict[str, Any] | None = None,
        **options: Any,
    ) -> Stage:
        wanted = repr((replicas, slots, step_s, autoscaling, options))
        if wanted in stages:
            return stages[wanted]
        scale: dict[str, Any] = (
            {"autoscaling_config": autoscaling} if autoscaling else {"num_replicas": replicas}
        )
        stage = serve.deployment(
            SimGpt,
            name="Sim",
            max_ongoing_requests=1,
            health_check_period_s=2,
            graceful_shutdown_wait_loop_s=0.2,
            ray_actor_options={"num_cpus": 0.1},
            request_router_config=LEASES,
            **scale,
        ).bind(slots, step_s)
        defaults = {
            "max_queue": 10 * slots,
            "min_replicas": replicas,
            "max_replicas": replicas,
            "lease_s": 1.0,
        }
        scheduler = serve.deployment(
            StageScheduler,
            name="SimScheduler",
            max_ongoing_requests=10_000,
            ray_actor_options={"num_cpus": 0.1},
            health_check_period_s=2,
            graceful_shutdown_wait_loop_s=0.2,
            graceful_shutdown_timeout_s=5,
        ).bind(stage, slots=slots, **(defaults | options))
        app = f"sim-{uuid.uuid4().hex[:6]}"
        handle = serve.run(scheduler, name=app, route_prefix=None)
        backend = RayBackend("small", handle, handle, handle, handle)
        stages[wanted] = Stage(app, backend, handle)
        return stages[wanted]

    return deploy
