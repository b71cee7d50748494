"""One real Ray with Serve for the whole session, on a port of its own."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from serve_app import ports, runtime


@dataclass(frozen=True)
class Cluster:
    http: str
    port: int
    dashboard: str


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    from ray import serve

    port = ports.free_port()
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
    """sim_stage(replicas=1, slots=8, step_s=0.004, autoscaling=None, **options of `application`) -> Stage

    Asked with the same options again it gives the same one: a replica takes seconds to start.
    """
    from ray import serve

    from serve_app.backend import RayBackend
    from tests.serve.sim_stage import application

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
        scheduler = application(replicas, slots, step_s, autoscaling, **options)
        app = f"sim-{uuid.uuid4().hex[:6]}"
        handle = serve.run(scheduler, name=app, route_prefix=None)
        backend = RayBackend("small", handle, handle, handle, handle)
        stages[wanted] = Stage(app, backend, handle)
        return stages[wanted]

    return deploy
