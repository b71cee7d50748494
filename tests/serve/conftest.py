"""One real Ray with Serve for the whole session, on its own port."""

from __future__ import annotations

import asyncio
import io
import logging
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from serve_app.runtime import application as runtime
from serve_app.runtime import ports

TRACING = {  # of requests whose client asks for it (`traceparent`), in files
    "RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH": "ray.serve._private.tracing_utils:default_tracing_exporter",
    "RAY_SERVE_TRACING_SAMPLING_RATIO": "0",
}


@dataclass(frozen=True)
class Cluster:
    http: str
    port: int
    dashboard: str


@dataclass(frozen=True)
class Say:
    text: str
    voice: str
    seed: int

    def body(self) -> dict[str, object]:
        return {"model": "chorale-small", "input": self.text, "voice": self.voice, "seed": self.seed} | {
            "response_format": "wav"
        }


@dataclass(frozen=True)
class Service:
    http: str
    voices: tuple[str, ...]
    args: dict[str, Any]

    async def say(self, client: httpx.AsyncClient, what: Say) -> np.ndarray:
        answer = await client.post(f"{self.http}/v1/audio/speech", json=what.body())
        assert answer.status_code == 200, answer.text
        return soundfile.read(io.BytesIO(answer.content), dtype="float32")[0]

    async def stage(self, client: httpx.AsyncClient, name: str) -> dict:
        while True:  # a busy machine may be too late for a status, which is then without stages
            status = (await client.get(f"{self.http}/v1/status")).json()
            stages = status["models"][status["model"]]["stages"]
            if name in stages:
                return stages[name]
            await asyncio.sleep(0.5)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    from ray import serve

    port = ports.free_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in TRACING.items():
            patch.setenv(name, value)
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
    """A scheduler with simulated replicas."""

    app: str
    backend: Any
    scheduler: Any


@pytest.fixture(scope="module")
def sim_stage(cluster: Cluster) -> Iterator[Callable[..., Stage]]:
    """sim_stage(replicas=1, slots=8, step_s=0.004, autoscaling=None, **options of `application`) -> Stage

    The same options return the same stage within a module, because a replica takes seconds to start.
    """
    from ray import serve

    from deployments import families
    from serve_app.backends.graph import RayBackend
    from tests.serve.sim_stage import application

    spec = families.load("small").spec
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
        backend = RayBackend(spec, handle, handle, handle, handle)
        stages[wanted] = Stage(app, backend, handle)
        return stages[wanted]

    yield deploy
    for stage in stages.values():  # an idle one takes CPU time too
        serve.delete(stage.app)
