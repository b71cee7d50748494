"""One service for all tests in this folder, because each takes most of a minute to start on two cores."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.serve.conftest import Cluster, Service

PAGE = "https://page.example"  # a web page that may call the service


@pytest.fixture(scope="package")
def service(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The small family behind HTTP, with its own voice library."""
    from ray import serve

    from serve_app.app import build
    from serve_app.config.file import default_config_path, load_config

    _, settings = load_config(default_config_path())
    args = {**settings.to_args(), "data_dir": str(tmp_path_factory.mktemp("data"))}
    args |= {
        "http": {"cors_origins": [PAGE]},
        "gpt": {"max_queue": 80},
    }  # some tests ask for more than a burst
    serve.run(build(args), name="chorale", route_prefix="/")
    with httpx.Client(base_url=cluster.http, timeout=60) as client:
        voices = tuple(voice["name"] for voice in client.get("/v1/audio/voices").json()["data"])
    yield Service(cluster.http, voices, args)
    serve.delete("chorale")


@pytest.fixture(scope="module", autouse=True)
def only_shipped_voices(service: Service) -> Iterator[None]:
    """Deletes what a module has uploaded, so that the next one finds the service as it was."""
    yield
    with httpx.Client(base_url=service.http, timeout=60) as client:
        for voice in client.get("/v1/audio/voices").json()["data"]:
            if voice["name"] not in service.voices:
                assert client.delete(f"/v1/audio/voices/{voice['id']}").status_code == 200
