"""The lists and probes that clients read before they speak."""

from __future__ import annotations

import httpx
import pytest

from serve_app.voices.names import OPENAI_VOICES

VOICES, MODELS = "/v1/audio/voices", "/v1/audio/models"


async def test_the_list_of_voices_has_the_keys_that_clients_read(client, make_wav):
    sample = {"audio_sample": ("me.wav", make_wav())}
    mine = (await client.post(VOICES, data={"name": "Zoë"}, files=sample)).json()
    listed = (await client.get(VOICES)).json()
    assert listed["object"] == "list"
    names = {voice["id"]: voice["name"] for voice in listed["voices"]}
    assert names == {"ada": "ada", "bob": "bob", mine["id"]: "Zoë"}
    assert names == {voice["id"]: voice["name"] for voice in listed["data"]}
    assert listed["voices"][0] == {"id": "ada", "name": "ada", "language": "en", "gender": "female"}


@pytest.mark.parametrize("query", ["?limit=100", "?limit=0", "?model=tts-1", "?legacy=true", "?x"])
async def test_a_query_does_not_change_the_list(client, query):
    assert (await client.get(VOICES + query)).json() == (await client.get(VOICES)).json()


async def test_the_list_of_audio_models_is_that_of_models_under_both_keys(client):
    listed, models = (await client.get(MODELS)).json(), (await client.get("/v1/models")).json()
    assert listed["data"] == listed["models"] == models["data"]
    assert [model["id"] for model in listed["models"]][:2] == ["chorale-small", "tts-1"]


async def test_every_listed_id_can_be_spoken_with(client):
    voices, models = (await client.get(VOICES)).json()["voices"], (await client.get(MODELS)).json()["models"]
    for voice in [voice["id"] for voice in voices] + list(OPENAI_VOICES):
        for model in models:
            body = {"model": model["id"], "voice": voice, "input": "Hello."}
            assert (await client.post("/v1/audio/speech", json=body)).status_code == 200


@pytest.mark.parametrize("path", ["/", "/v1/", "/health", "/ready"])
def test_get_and_head_have_the_same_status_and_headers(server, path):
    with httpx.Client(base_url=server) as client:
        got, head = client.get(path), client.head(path)
    assert got.status_code == head.status_code == 200
    assert head.content == b"" and got.content
    expected = "text/html; charset=utf-8" if path == "/" else "application/json"
    assert head.headers["content-type"] == got.headers["content-type"] == expected
    assert head.headers["x-request-id"]


def test_the_probe_without_a_body_says_not_ready(server, backend):
    backend.ready = False
    with httpx.Client(base_url=server) as client:
        assert client.head("/ready").status_code == client.get("/ready").status_code == 503
        assert client.head("/health").status_code == 200


@pytest.mark.parametrize("path", ["/", "/v1/", "/health", "/ready"])
async def test_other_methods_are_refused(client, path):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = await client.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")


async def test_the_root_of_the_interface_names_the_service_and_its_default_model(client):
    assert (await client.get("/v1/")).json()["model"] == "chorale-small"
    assert (await client.get("/v1/test")).json() == {"status": "ok"}
