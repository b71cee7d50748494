"""API keys, their limits, and what pages of other origins may do."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable

import httpx
import openai
import pytest

from deployments.contract.errors import ConfigError, RateLimited
from serve_app.config.access import AccessSettings, KeyOptions, hashed
from serve_app.config.file import default_config_path
from serve_app.config.settings import Settings
from serve_app.http.access import Account, Bucket
from serve_app.http.app import create_app
from serve_app.runtime import application
from serve_app.runtime.ports import check_access, free_port
from serve_app.service import Service
from tests.serve_app.conftest import ToneBackend, alone

KEY, ADMIN = "sk-chorale-one", "sk-chorale-two"
SPEECH = "/v1/audio/speech"
BODY = {"model": "tts-1", "input": "Hello.", "voice": "ada", "response_format": "wav"}

Open = Callable[..., httpx.AsyncClient]


@pytest.fixture
def opened(backend: ToneBackend, shipped, tmp_path) -> Open:
    """opened(key=None, http={}, **limits of KEY) -> a client of a service with the keys KEY and ADMIN"""

    def opened(key: str | None = None, http: dict | None = None, **limits: int) -> httpx.AsyncClient:
        keys = {"one": {"hash": hashed(KEY)} | limits, "two": {"hash": hashed(ADMIN), "admin": True}}
        args = {"data_dir": str(tmp_path / "data"), "access": {"keys": keys}, "http": http or {}}
        app = create_app(Service(Settings.from_args(args, {}), alone(backend), shipped))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers)

    return opened


def error(answer: httpx.Response) -> dict:
    body = answer.json()["error"]
    assert body.keys() == {"message", "type", "param", "code"}
    return body


async def test_without_a_valid_key_nothing_but_the_probes_answers(opened: Open) -> None:
    async with opened() as client:
        for method, path in (
            ("POST", SPEECH), ("GET", "/v1/models"), ("GET", "/v1/status"), ("GET", "/"), ("GET", "/docs"),
            ("GET", "/openapi.json"), ("POST", "/v1/cache/free"), ("GET", "/static/x/app.js"), ("GET", "/none"),
            ("GET", "/tts_with_cached_voice"), ("GET", "/tts"), ("POST", "/v1/jobs"), ("GET", "/v1/jobs"),
        ):  # fmt: skip
            answer = await client.request(method, path)
            assert answer.status_code == 401, path
            assert error(answer)["code"] == "missing_api_key"
            assert answer.headers["www-authenticate"] == "Bearer"
        assert [(await client.get(path)).status_code for path in ("/health", "/ready")] == [200, 200]


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer sk-wrong",
        "Bearer",
        "Bearer ",
        f"Basic {KEY}",
        "Basic ====",
        "Digest x",
        f"Bearer {'x' * 5000}",
    ],
)
async def test_a_wrong_key_is_rejected(opened: Open, authorization: str) -> None:
    async with opened() as client:
        answer = await client.post(SPEECH, json=BODY, headers={"authorization": authorization})
    assert answer.status_code == 401
    assert error(answer)["code"] in ("invalid_api_key", "missing_api_key")


async def test_a_key_may_come_in_each_way_that_clients_send_it(opened: Open) -> None:
    basic = base64.b64encode(f"anyone:{KEY}".encode()).decode()
    ways = ({"authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}, {"x-api-key": KEY},
            {"authorization": f"Basic {basic}"})  # fmt: skip
    async with opened() as client:
        for headers in ways:
            assert (await client.post(SPEECH, json=BODY, headers=headers)).status_code == 200, headers


async def test_a_browser_is_asked_for_the_key(opened: Open) -> None:
    async with opened() as client:
        answer = await client.get("/", headers={"accept": "text/html,*/*"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")


async def test_openais_client_raises_its_own_errors(opened: Open) -> None:
    def speak(key: str, http: httpx.AsyncClient):
        client = openai.AsyncOpenAI(api_key=key, base_url="http://test/v1", http_client=http, max_retries=0)
        return client.audio.speech.create(model="tts-1", voice="ada", input="Hi.", response_format="wav")

    async with opened(requests_per_minute=1) as http:
        with pytest.raises(openai.AuthenticationError):
            await speak("sk-other", http)
        assert (await speak(KEY, http)).content
        with pytest.raises(openai.RateLimitError) as refused:
            await speak(KEY, http)
    assert refused.value.code == "rate_limit_exceeded"
    assert refused.value.type == "requests"


async def test_the_rate_of_requests_is_limited_for_one_key_alone(opened: Open) -> None:
    async with opened(KEY, requests_per_minute=2) as client:
        first = await client.post(SPEECH, json=BODY)
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert (await client.post(SPEECH, json=BODY)).status_code == 200
        refused = await client.post(SPEECH, json=BODY)
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 31
        other = await client.post(SPEECH, json=BODY, headers={"authorization": f"Bearer {ADMIN}"})
        assert other.status_code == 200
        assert (await client.get("/v1/models")).status_code == 200  # costs nothing


async def test_the_number_of_characters_is_limited(opened: Open) -> None:
    async with opened(KEY, characters_per_minute=10) as client:
        long = await client.post(SPEECH, json=BODY | {"input": "This is longer than ten characters."})
        assert long.status_code == 200  # from a full account, which is in debt now
        refused = await client.post(SPEECH, json=BODY)
        assert refused.status_code == 429
        assert "characters per minute" in error(refused)["message"]
        assert int(refused.headers["retry-after"]) > 60
        book = await client.post("/v1/jobs", json={"input": "Hello.", "voice": "ada"})
        assert book.status_code == 429
        query = {"text": "Hello.", "voice_name": "ada"}
        assert (await client.get("/tts_with_cached_voice", params=query)).status_code == 429
        query = {"text": "Hello.", "text_lang": "en", "ref_audio_path": "ada", "prompt_lang": "en"}
        assert (await client.get("/tts", params=query)).status_code == 429


async def test_concurrent_requests_are_limited_and_end_with_the_response(
    opened: Open, backend: ToneBackend
) -> None:
    backend.delay = 0.2
    async with opened(KEY, concurrent_requests=1) as client:
        running = asyncio.create_task(client.post(SPEECH, json=BODY))
        while not backend.started:
            await asyncio.sleep(0.01)
        refused = await client.post(SPEECH, json=BODY)
        assert refused.status_code == 429
        assert error(refused)["code"] == "rate_limit_exceeded"
        assert (await running).status_code == 200
        assert (await client.post(SPEECH, json=BODY | {"input": 7})).status_code == 400
        assert (await client.post(SPEECH, json=BODY)).status_code == 200


async def test_only_an_admin_deletes_voices_and_frees_caches(opened: Open) -> None:
    async with opened(KEY) as client:
        for method, path in (
            ("DELETE", "/v1/audio/voices/ada"),
            ("POST", "/v1/cache/free"),
            ("POST", "/v1/jobs/clean"),
        ):
            answer = await client.request(method, path)
            assert answer.status_code == 403
            assert error(answer)["code"] == "insufficient_permissions"
    async with opened(ADMIN) as client:
        assert (await client.post("/v1/cache/free")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
async def test_a_page_of_another_origin_changes_nothing(client: httpx.AsyncClient, headers: dict) -> None:
    """Without keys, too: a page in the user's browser reaches a service on loopback."""
    for method, path in (
        ("POST", "/v1/cache/free"),
        ("POST", SPEECH),
        ("DELETE", "/v1/audio/voices/x"),
        ("GET", "/tts_with_cached_voice"),
        ("GET", "/tts"),
    ):
        answer = await client.request(method, path, headers=headers)
        assert answer.status_code == 403, (path, headers)
        assert error(answer)["code"] == "cross_origin"
    assert (await client.get("/v1/models", headers=headers)).status_code == 200  # which it cannot read


@pytest.mark.parametrize(
    "headers",
    [{"sec-fetch-site": "same-origin", "origin": "https://proxy.example"}, {"origin": "http://test"}, {}],
)
async def test_the_services_own_page_and_programs_may(client: httpx.AsyncClient, headers: dict) -> None:
    assert (await client.post("/v1/cache/free", headers=headers)).status_code == 200


async def test_a_listed_origin_may(opened: Open) -> None:
    headers = {"origin": "https://page.example", "sec-fetch-site": "cross-site"}
    async with opened(ADMIN, http={"cors_origins": ["https://page.example"]}) as client:
        assert (await client.post("/v1/cache/free", headers=headers)).status_code == 200


async def test_only_the_allowed_hosts_are_answered(opened: Open) -> None:
    async with opened(KEY, http={"allowed_hosts": ["speech.example", "[::1]"]}) as client:
        for host, status in {"speech.example": 200, "speech.example:8000": 200, "[::1]:8000": 200, "[::1]": 200,
                             "evil.example": 400, "": 400, "speech.example.evil.example": 400}.items():  # fmt: skip
            answer = await client.get("/v1/models", headers={"host": host})
            assert answer.status_code == status, host
        assert (await client.get("/health", headers={"host": "10.0.0.7:8000"})).status_code == 200


async def test_every_response_has_security_headers(client: httpx.AsyncClient) -> None:
    for path in ("/v1/models", "/none", "/v1/status", "/"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"


def test_a_bucket_refills_and_lets_a_large_cost_through_once() -> None:
    bucket = Bucket(60, now=0.0)
    assert bucket.take(100, 0.0) == 0.0  # 40 in debt
    assert bucket.take(1, 0.0) == pytest.approx(41.0)
    assert bucket.take(1, 41.0) == 0.0
    assert bucket.left(1000.0) == 60


def test_an_account_charges_by_the_clock() -> None:
    now = [0.0]
    account = Account("a", KeyOptions(hash=hashed("a"), characters_per_minute=60), clock=lambda: now[0])
    account.charge(60)
    with pytest.raises(RateLimited) as refused:
        account.charge(30)
    assert refused.value.retry_after == pytest.approx(30.0)
    now[0] = 30.0
    account.charge(30)
    assert account.headers()["x-ratelimit-remaining-characters"] == "0"


@pytest.mark.parametrize(
    ("access", "says"),
    [
        ({"keys": {"a": {"hash": "secret"}}}, "access.keys.a.hash"),
        ({"keys": {"a": {}}}, "access.keys.a.hash"),
        ({"keys": {"A b": {"hash": hashed("a")}}}, "access.keys"),
        ({"keys": {"a": {"hash": hashed("a")}, "b": {"hash": hashed("a")}}}, "a and b have the same key"),
        ({"keys": {"a": {"hash": hashed("a"), "requests_per_minute": 0}}}, "requests_per_minute"),
        ({"key": {}}, "unknown key; allowed: anyone, keys"),
    ],
)
def test_a_wrong_section_is_refused(access: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Settings.from_args({"access": access}, {})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_an_address_that_others_reach_needs_keys(host: str) -> None:
    with pytest.raises(ConfigError, match=r"access\.keys is empty") as refused:
        check_access(host, Settings.from_args({}, {}))
    assert refused.value.param == "http_options.host"
    check_access(host, Settings.from_args({"access": {"anyone": True}}, {}))
    check_access(host, Settings.from_args({"access": {"keys": {"a": {"hash": hashed("a")}}}}, {}))
    check_access("127.0.0.1", Settings.from_args({}, {}))


def test_the_service_does_not_start_where_others_reach_it(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"access\.keys is empty"):  # before Ray starts
        application.start(default_config_path(), host="0.0.0.0", port=free_port())
    text = default_config_path().read_text().replace("host: 127.0.0.1", "host: 0.0.0.0")
    text = text.replace("port: 8000", f"port: {free_port()}")
    (path := tmp_path / "open.yaml").write_text(text)
    with pytest.raises(
        ConfigError, match=r"open\.yaml:\d+: http_options\.host: other machines can reach 0\.0\.0\.0"
    ):
        application.start(path)


def test_the_settings_hold_no_key() -> None:
    settings = AccessSettings(keys={"a": KeyOptions(hash=hashed(KEY))})
    assert KEY not in settings.model_dump_json()
