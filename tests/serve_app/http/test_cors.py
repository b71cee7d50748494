"""Web pages may call the service only if the configuration lists their origin."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from starlette.types import ASGIApp

from deployments.contract.errors import ConfigError
from serve_app.config.settings import Settings
from serve_app.http.app import create_app
from serve_app.http.cors import EXPOSED
from serve_app.http.middleware import SECURITY
from serve_app.http.proxy_guard import Guard
from serve_app.service import Service
from tests.serve_app.conftest import alone

SPEECH = "/v1/audio/speech"
PAGE, OTHER = "https://page.example", "https://other.example"
ALLOW = "access-control-allow-origin"

Open = Callable[..., httpx.AsyncClient]


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://test")


@pytest.fixture
def app(backend, shipped, tmp_path) -> Callable[..., ASGIApp]:
    """app(*origins, **sections of the configuration) -> a service that pages of these origins may call"""

    def app(*origins: str, **sections: dict) -> ASGIApp:
        args = {"data_dir": str(tmp_path / "data"), "http": {"cors_origins": list(origins)}} | sections
        return create_app(Service(Settings.from_args(args, {}), alone(backend), shipped))

    return app


@pytest.fixture
def opened(app) -> Open:
    """As `app`, but a client of it."""
    return lambda *origins, **sections: client_of(app(*origins, **sections))


def asks(origin: str, method: str = "POST", headers: str = "authorization,content-type") -> dict[str, str]:
    """The headers of a preflight."""
    return {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": headers,
    }


def body(**fields: object) -> dict:
    return {"model": "tts-1", "input": "Hello.", "voice": "ada"} | fields


ROUTES = [
    ("POST", SPEECH),
    ("GET", "/v1/audio/voices"),
    ("POST", "/v1/audio/voices"),
    ("DELETE", "/v1/audio/voices/ada"),
    ("GET", "/v1/audio/models"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/none"),
    ("GET", "/tts_with_cached_voice"),
    ("POST", "/tts_with_cached_voice"),
    ("GET", "/tts"),
    ("POST", "/tts"),
    ("GET", "/set_gpt_weights"),
    ("GET", "/control"),
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/v1/status"),
    ("GET", "/"),
    ("GET", "/nowhere"),
    ("PUT", "/v1/models"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_nothing_is_allowed_by_default(client, method, path):
    preflight = await client.options(path, headers=asks(PAGE, method))
    assert preflight.status_code == (404 if path == "/nowhere" else 405)
    answer = await client.request(method, path, headers={"origin": PAGE})
    for found in (preflight, answer):
        assert not [name for name in found.headers if name.startswith("access-control")]


@pytest.mark.parametrize(("method", "path"), ROUTES[:-1])
@pytest.mark.parametrize("origins", [(PAGE,), (OTHER, PAGE), ("*",)])
async def test_a_listed_origin_may_call_every_route_and_read_its_errors(opened, method, path, origins):
    async with opened(*origins) as client:
        preflight = await client.options(path, headers=asks(PAGE, method))
        assert preflight.status_code == 200
        answer = await client.request(method, path, headers={"origin": PAGE})
    allowed = "*" if "*" in origins else PAGE
    assert preflight.headers[ALLOW] == answer.headers[ALLOW] == allowed
    assert preflight.headers["access-control-allow-headers"] == "authorization,content-type"
    assert method in preflight.headers["access-control-allow-methods"]
    assert set(EXPOSED) == set(answer.headers["access-control-expose-headers"].split(", "))
    assert "access-control-allow-credentials" not in answer.headers


async def test_speech_for_a_page_has_the_headers_and_the_sound(opened):
    async with opened(PAGE) as client:
        plain = await client.post(SPEECH, json=body(seed=1))
        answer = await client.post(SPEECH, json=body(seed=1, user="me"), headers={"origin": PAGE})
    assert answer.content == plain.content
    assert (answer.headers[ALLOW], answer.headers["vary"]) == (PAGE, "Origin")
    ours = {name for name in answer.headers if name.startswith("x-")} - SECURITY.keys()
    assert ours and ours <= set(EXPOSED)
    assert ALLOW not in plain.headers


@pytest.mark.parametrize(
    "origin",
    [OTHER, "http://page.example", "https://page.example:8443", "https://PAGE.example", "https://page.example.evil.example",
     "https://page.example/", "null", "https://sub.page.example", ""],
)  # fmt: skip
async def test_any_other_origin_is_refused(opened, origin):
    async with opened(PAGE) as client:
        preflight = await client.options(SPEECH, headers=asks(origin))
        error = preflight.json()["error"]
        assert (preflight.status_code, error["code"]) == (400, "cors_refused")
        assert "origin" in error["message"]
        answer = await client.post(SPEECH, json=body(), headers={"origin": origin})
    assert ALLOW not in preflight.headers and ALLOW not in answer.headers


async def test_a_method_that_no_route_has_is_refused(opened):
    async with opened(PAGE) as client:
        preflight = await client.options(SPEECH, headers=asks(PAGE, "PATCH"))
        assert (preflight.status_code, preflight.json()["error"]["code"]) == (400, "cors_refused")


async def test_a_page_may_reach_a_service_on_a_private_address(opened):
    async with opened(PAGE) as client:
        asked = asks(PAGE) | {"access-control-request-private-network": "true"}
        preflight = await client.options(SPEECH, headers=asked)
    assert preflight.headers["access-control-allow-private-network"] == "true"


async def test_refusals_before_any_route_have_the_headers_too(opened, backend):
    async with opened(PAGE, limits={"max_upload_bytes": 1}) as client:
        long = await client.post(SPEECH, content=b"x" * 2_000_000, headers={"origin": PAGE})
        wrong = await client.get("/v1/models?" + "&" * 100, headers={"origin": PAGE})
        backend.break_after = 0
        broken = await client.post(SPEECH, json=body(), headers={"origin": PAGE})
    assert [answer.status_code for answer in (long, wrong, broken)] == [413, 400, 500]
    assert {answer.headers[ALLOW] for answer in (long, wrong, broken)} == {PAGE}


async def test_the_proxy_passes_a_refused_preflight_on_and_adds_the_headers_to_its_own_errors(app):
    async def silent(scope, receive, send) -> None:
        await send(
            {"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]}
        )
        await send({"type": "http.response.body", "body": b"no route"})

    async with client_of(Guard(app(PAGE), origins=[PAGE])) as proxy:
        refused = await proxy.options(SPEECH, headers=asks(OTHER))
        allowed = await proxy.options(SPEECH, headers=asks(PAGE))
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "cors_refused")
        assert (allowed.status_code, allowed.headers[ALLOW]) == (200, PAGE)
    for origins, expected in (([PAGE], PAGE), ([], None)):
        async with client_of(Guard(silent, origins=origins)) as proxy:
            answer = await proxy.get("/nowhere", headers={"origin": PAGE})
            assert (answer.status_code, answer.headers.get(ALLOW)) == (404, expected)
            assert answer.json()["error"]["code"] == "unknown_url"


GOOD = [
    "*", "null", "http://localhost", "http://localhost:3000", "https://app.example.org", "http://127.0.0.1:8080",
    "http://[::1]:8080", "chrome-extension://abcdefgh", "app://obsidian.md", "https://xn--bcher-kva.example",
]  # fmt: skip
BAD = [
    "", "localhost", "http://localhost/", "https://app.example.org/page",
    "https://App.example.org", "https://*.example.org", "https://a.example, https://b.example",
    "https://user@a.example", "http://a.example:port", "https://a.example?x", " *",
]  # fmt: skip


def test_origins_in_a_configuration_are_checked():
    settings = Settings.from_args({"http": {"cors_origins": GOOD}}, {})
    assert settings.http.cors_origins == settings.service().http.cors_origins == GOOD
    for origin in BAD:
        with pytest.raises(ConfigError, match=r"http\.cors_origins\[0\]: must be an origin"):
            Settings.from_args({"http": {"cors_origins": [origin]}}, {})
    with pytest.raises(ConfigError, match="list"):
        Settings.from_args({"http": {"cors_origins": PAGE}}, {})


def test_the_environment_sets_origins():
    settings = Settings.from_args({}, {"CHORALE_HTTP__CORS_ORIGINS": f"[{PAGE}, '*']"})
    assert settings.http.cors_origins == [PAGE, "*"]
    assert Settings.from_args({}, {}).http.cors_origins == []
