"""POST /v1/audio/read: what will be said."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from deployments import families
from serve_app.cli.main import app
from serve_app.service import Service
from tests.serve_app.conftest import PAUSE, ToneBackend

PATH = "/v1/audio/read"


class Reader(ToneBackend):
    """Reads as the small family does."""

    frontend = families.load("small").frontend()

    async def check_text(self, text: str, language: str | None) -> None:
        self.frontend.check(text, language)

    async def segments(self, text: str, language: str | None) -> list[Any]:
        return self.frontend.segments(text, language)

    async def symbols(self, segments: list[Any]) -> list[list[str]]:
        return [self.frontend.symbols(segment) for segment in segments]


async def test_it_lists_the_segments(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json={"input": "The tea is cold. It rains.", "model": None})
    assert answer.status_code == 200
    assert answer.json() == {
        "object": "list",
        "data": [
            {"text": text, "spoken": "", "phones": " ".join(text), "pause_after": PAUSE}
            for text in ("The tea is cold.", "It rains.")
        ],
    }


@pytest.mark.parametrize("backend", [Reader()])
@pytest.mark.parametrize(
    "text",
    ["Dr. Green paid $42.50; then [pause:500ms] she left.", "5月3日，王医生花了420元。OK?", "One. " * 300],
    ids=["english", "mixed", "long"],
)
async def test_it_reads_as_the_command_does(client: httpx.AsyncClient, backend: Reader, text: str) -> None:
    result = CliRunner().invoke(app, ["read", text, "--json"], catch_exceptions=False)
    answer = await client.post(PATH, json={"input": text})
    assert answer.json()["data"] == json.loads(result.stdout)
    assert answer.json()["data"][0]["phones"]


async def test_nothing_to_say_is_an_empty_list(client: httpx.AsyncClient) -> None:
    assert (await client.post(PATH, json={"input": "..."})).json() == {"object": "list", "data": []}


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({}, 400, "input"),
        ({"input": " "}, 400, "input"),
        ({"input": "tea\x07"}, 400, "input"),
        ({"input": ["tea"]}, 400, "input"),
        ({"input": "Добрый день"}, 400, "input"),
        ({"input": "tea", "language": "xx"}, 400, "language"),
        ({"input": "tea", "voice": "ada"}, 400, "voice"),
        ({"input": "tea", "model": "none"}, 404, "model"),
        ({"input": "a" * 5001}, 400, "input"),
    ],
)
async def test_an_error_names_its_field(
    client: httpx.AsyncClient, fields: dict[str, Any], status: int, param: str
) -> None:
    answer = await client.post(PATH, json=fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), answer.text


async def test_a_body_that_is_too_large_is_413(client: httpx.AsyncClient, service: Service) -> None:
    answer = await client.post(PATH, json={"input": "a" * 2**21})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    most = service.settings.jobs.long_text_chars
    assert (await client.post(PATH, json={"input": "😀" * most})).status_code == 200


async def test_openapi_describes_it(client: httpx.AsyncClient) -> None:
    path = (await client.get("/openapi.json")).json()["paths"][PATH]["post"]
    assert set(path["requestBody"]["content"]["application/json"]["schema"]["properties"]) == {
        "input", "model", "language",
    }  # fmt: skip
