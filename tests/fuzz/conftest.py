"""The application in process, with jobs and a runner, on a backend that speaks in tones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import requests
from anyio.from_thread import BlockingPortal, start_blocking_portal

from serve_app.config.settings import Settings
from serve_app.http.app import create_app
from serve_app.service import Service
from tests.serve_app.conftest import ToneBackend, alone, wav
from tests.serve_app.jobs.conftest import running

URL = "http://test"
LONGEST_S = 60.0


@dataclass
class Api:
    """The application in process, on a loop in another thread, with a runner for its jobs."""

    portal: BlockingPortal
    client: httpx.AsyncClient
    document: dict[str, Any] = field(repr=False)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def answered() -> httpx.Response:
            async with asyncio.timeout(LONGEST_S):
                return await self.client.request(method, path, **options)

        return self.portal.call(answered)

    def fields(self, path: str) -> list[str]:
        """Of the JSON body of a POST, as documented."""
        described = self.document["paths"][path.partition("?")[0]]["post"]["requestBody"]["content"]
        return sorted(described["application/json"]["schema"]["properties"])

    def send(self, prepared: requests.PreparedRequest) -> httpx.Response:
        headers = [(_bytes(name), _bytes(value)) for name, value in prepared.headers.items()]
        body = _bytes(prepared.body or b"", "utf-8")
        return self.request(prepared.method or "", prepared.url or "", headers=headers, content=body)


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error of a response that must be one, in OpenAI's form; 503 is the only failure of the server's."""
    assert answer.status_code < 500 or answer.status_code == 503, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    return error


def _bytes(value: str | bytes, encoding: str = "latin-1") -> bytes:
    return value.encode(encoding, "replace") if isinstance(value, str) else value


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("fuzz")
    shipped = folder / "shipped"
    shipped.mkdir()
    (shipped / "ada.wav").write_bytes(wav(pitch=220.0))
    given = {"data_dir": str(folder / "data"), "limits": {"max_input_chars": 2000}}
    service = Service(Settings.from_args(given, {}), alone(ToneBackend()), shipped)
    app = create_app(service)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    with start_blocking_portal() as portal:
        client = httpx.AsyncClient(transport=transport, base_url=URL)
        with (
            portal.wrap_async_context_manager(client),
            portal.wrap_async_context_manager(running(app.state.jobs)),
        ):
            yield Api(portal, client, app.openapi())
        app.state.jobs.stores.jobs.database.close()


def finished_job(api: Api) -> str:
    """The id of a new job that is done."""
    body = {"input": "The tea is cold. It rains again.", "voice": "ada", "format": "wav"}
    made = api.request("POST", "/v1/jobs", json=body).json()["id"]
    assert "event: state" in api.request("GET", f"/v1/jobs/{made}/events").text
    assert api.request("GET", f"/v1/jobs/{made}").json()["state"] == "done"
    return made
