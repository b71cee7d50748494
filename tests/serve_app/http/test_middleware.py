"""Bodies and requests designed to be costly get small errors and do not delay other requests."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from serve_app.config.settings import Settings
from serve_app.http.app import create_app
from serve_app.http.bodies import ESCAPES, cut, decode_base64
from serve_app.http.middleware import RequestMiddleware
from serve_app.service import Service
from tests.serve_app.conftest import alone

SPEECH = "/v1/audio/speech"
JSON = {"content-type": "application/json"}
TURN_S = (
    2.0  # of CPU time, for which the event loop may be blocked on a slow machine; such bodies once took 9.5 s
)


def body(**fields) -> dict:
    return {"model": "tts-1", "input": "Hello.", "voice": "ada", "seed": 5, "response_format": "pcm"} | fields


def upload(content: bytes = b"x", boundary: str = "b", name: str = "name") -> bytes:
    part = f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n'.encode()
    return part + content + f"\r\n--{boundary}--\r\n".encode()


class Turns:
    """Measures the most CPU time that the event loop spends between two iterations."""

    async def __aenter__(self) -> Turns:
        self.longest = 0.0
        self._task = asyncio.create_task(self._watch())
        await asyncio.sleep(0)
        return self

    async def _watch(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0.001)
            self.longest = max(self.longest, time.thread_time() - last)
            last = time.thread_time()

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0.01)
        self._task.cancel()


def fields_with(rest: bytes) -> bytes:
    return b'{"model":"tts-1","voice":"ada","input":"Hello.",' + rest + b"}"


RECORDING = b'"reference_audio":"%b"'
COSTLY = {
    "a million keys": (fields_with(b",".join(b'"k%d":1' % n for n in range(1_000_000))), 413),
    "a million keys beside a recording": (
        fields_with(RECORDING % b"AAAA" + b",".join(b',"k%d":1' % n for n in range(1_000_000))),
        413,
    ),
    "as many keys as fit": (fields_with(b",".join(b'"k%d":1' % n for n in range(25_000))), 400),
    "as many keys as fit in a voice": (
        b'{"model":"tts-1","input":"Hi.","voice":{'
        + b",".join(b'"k%d":1' % n for n in range(25_000))
        + b"}}",
        400,
    ),
    "one key, again and again": (fields_with(b",".join([b'"speed":9'] * 25_000)), 400),
    "an array of seven million": (fields_with(b'"speed":[' + b"1," * 7_000_000 + b"1]"), 413),
    "an array as long as fits": (fields_with(b'"speed":[' + b"1," * 140_000 + b"1]"), 400),
    "nothing but escapes": (fields_with(b'"instructions":"' + b"\\u0061" * 2_400_000 + b'"'), 413),
    "a long text": (json.dumps(body(input="a" * 14_000_000)).encode(), 413),
    "a text as long as fits": (json.dumps(body(input="a" * 300_000)).encode(), 400),
    "depth": (b'{"a":' * 2_000_000, 413),
    "the depth that fits": (b'{"a":' * 60_000, 400),
    "a number of many digits": (fields_with(b'"seed":' + b"9" * 100_000), 400),
    "base64 with blanks": (fields_with(RECORDING % (b"AAA " * 3_400_000)), 400),
    "base64 with line breaks": (fields_with(RECORDING % (b"AAAA\\n" * 2_300_000)), 400),
    "base64 of escapes": (fields_with(RECORDING % (b"\\u002B" * 2_300_000)), 400),
    "base64 of other escapes": (fields_with(RECORDING % (b"\\u0041" * 2_300_000)), 400),
    "a recording that does not end": (fields_with(b'"reference_audio":"' + b"A" * 14_000_000), 413),
}


@pytest.mark.parametrize("name", COSTLY)
async def test_a_costly_body_is_refused_and_delays_no_other_request(client, backend, name):
    content, status = COSTLY[name]
    async with Turns() as turns:
        answer = await client.post(SPEECH, content=content, headers=JSON)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) < 1000
    assert turns.longest < TURN_S
    assert (await client.post(SPEECH, json=body())).status_code == 200


async def test_unknown_fields_are_one_error_with_the_first_eight(client):
    answer = await client.post(SPEECH, json=body(**{f"k{n}": 1 for n in range(20)}))
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, "k0", "unknown_parameter")
    assert "'k7'" in error["message"] and "'k8'" not in error["message"] and "12 more" in error["message"]
    inner = (await client.post(SPEECH, json=body(voice={"id": "ada", "colour": "red"}))).json()["error"]
    assert (inner["param"], inner["code"]) == ("voice.colour", "unknown_parameter")


async def test_a_body_in_two_million_messages(client):
    async def drops() -> AsyncIterator[bytes]:
        for _ in range(200_000):
            yield b" "

    async with Turns() as turns:
        answer = await client.post(SPEECH, content=drops(), headers=JSON)
    assert answer.status_code == 400
    assert turns.longest < TURN_S


@pytest.mark.parametrize("size", [2_000, 2_000_000])
@pytest.mark.parametrize("written", ["plain", "slashes", "all escapes", "lines", "data URL"])
async def test_a_recording_does_not_depend_on_its_json_escapes(client, backend, make_wav, size, written):
    seconds = size / 32_000 + 1
    recording = make_wav(seconds=seconds)
    text = base64.b64encode(recording).decode()
    plain = body(reference_audio=text)
    first = await client.post(SPEECH, json=plain)
    assert first.status_code == 200, first.text
    content = json.dumps(plain)
    match written:
        case "slashes":
            content = content.replace(text, text.replace("/", "\\/"))
        case "all escapes":
            escaped = text.replace("/", "\\u002F").replace("+", "\\u002b").replace("=", "\\u003D")
            content = content.replace(text, escaped)
        case "lines":
            content = content.replace(text, json.dumps(base64.encodebytes(recording).decode())[1:-1])
        case "data URL":
            content = content.replace(text, "data:audio/wav;base64," + text)
    again = await client.post(SPEECH, content=content, headers=JSON)
    assert again.status_code == 200, again.text
    assert again.content == first.content
    assert backend.encoded == 1


def test_base64_is_decoded_in_pieces_and_strictly():
    data = bytes(range(256)) * 12_289  # three pieces, none of which ends at a line break
    text = base64.b64encode(data)
    assert decode_base64(text, len(data)) == data
    assert decode_base64(base64.encodebytes(data), len(data)) == data
    assert decode_base64(text.replace(b"/", rb"\/"), len(data)) == data
    assert decode_base64(b"", 10) == b""
    escapes = b"AAA" + rb"\u002B\/" * 300_000  # also across the ends of pieces
    assert decode_base64(escapes + b"A", 10**6) == base64.b64decode(b"AAA" + b"+/" * 300_000 + b"A")
    for wrong in (
        text + b"A",
        text[:-1],
        b"AA==" * 300_000,
        b"A" * 2**20 + b"=" * 4,
        b"AA=A",
        "é".encode(),
        rb"\x",
        text + text,
    ):
        with pytest.raises(binascii.Error):
            decode_base64(wrong, 10**8)
    with pytest.raises(OverflowError):
        decode_base64(text, len(data) - 1)
    assert all(json.loads(b'"%b"' % escape).strip() == plain.decode() for escape, plain in ESCAPES.items())


def test_the_first_recording_is_cut_out():
    raw = b'{"input": "say \\"reference_audio\\": now", "reference_audio" : "AAAA", "x": 1}'
    rest, recording = cut(raw)
    assert recording is not None and recording.escaped == b"AAAA"
    assert json.loads(rest)["reference_audio"] == recording.mark
    assert cut(b'{"reference_audio": 5}')[1] is None
    assert cut(b'{"reference_audio": "AAAA')[1] is None


CHARSETS = [
    "punycode",
    "undefined",
    "idna",
    "utf-7",
    "utf-16",
    "utf-32",
    "unicode_escape",
    "raw_unicode_escape",
    "hex",
    "zlib",
    "rot13",
    "base64",
    "mbcs",
    "cp037",
    "nothing",
    "",
    "\0",
    "é",
    "utf-8-sig",
    "utf-8\0",
    "x" * 5000,
    "latin-1",
    "utf_8_sig",
    '"',
    "'",
]


@pytest.mark.parametrize("charset", CHARSETS)
async def test_no_form_charset_causes_a_500(client, charset):
    kind = f'multipart/form-data; boundary=b; charset="{charset}"'.encode()
    for name in ("name", "n\udcffme", "nam\\ud800"):
        content = upload(b"\xff\xd8\x00--", name=name.encode("utf-8", "surrogateescape").decode("latin-1"))
        answer = await client.post("/v1/audio/voices", content=content, headers=[(b"content-type", kind)])
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["type"] == "invalid_request_error"


KINDS = [
    "multipart/form-data",
    "multipart/form-data; boundary=",
    'multipart/form-data; boundary="',
    "multipart/form-data; boundary=" + "b" * 5000,
    'multipart/form-data; boundary="b\r\nx"',
    "multipart/form-data; boundary=é",
    "multipart/form-data; boundary*=utf-8''b",
    "multipart/form-data; ;;=;",
    "multipart/mixed; boundary=b",
    "application/x-www-form-urlencoded",
    "text/plain",
    "",
    ";",
    "/",
    "application/json",
    "multipart",
    "a" * 5000,
    "multipart/form-data; boundary=b; boundary=c",
    "multipart/form-data; boundary=b; charset*=punycode''x",
    "application/json; charset=punycode",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "path", ["/v1/audio/voices", SPEECH, "/tts_with_cached_voice?voice_name=ada&text=", "/v1/cache/free"]
)
async def test_no_content_type_causes_a_500(client, kind, path):
    for content in (
        upload(),
        b"",
        b"{}",
        b"a=b&c=d",
        b"\xff" * 100,
        b"--b\r\n\r\n\r\n--b--",
        b"--b\r\n" * 1000,
    ):
        answer = await client.post(path, content=content, headers=[(b"content-type", kind.encode())])
        assert answer.status_code < 500, answer.text
        assert answer.status_code == 200 or set(answer.json()["error"]) == {
            "message",
            "type",
            "param",
            "code",
        }


FILE = b'--b\r\ncontent-disposition: form-data; name="audio_sample"; filename="x"\r\n\r\n'
PARTS = {
    "a million fields": b"".join(
        b'--b\r\ncontent-disposition: form-data; name="k%d"\r\n\r\n1\r\n' % n for n in range(150_000)
    ),
    "a part of many headers": b"--b\r\n" + b"x-a: b\r\n" * 1_000_000,
    "a part of one endless header": b"--b\r\nx-a: " + b"a" * 9_000_000,
    "nothing but line breaks": FILE + b"\r\n" * 4_000_000 + b"\r\n--b--\r\n",
    "nothing but boundaries, nearly": FILE + b"\r\n--a" * 2_000_000 + b"\r\n--b--\r\n",
    "two files": b'--b\r\ncontent-disposition: form-data; name="x"; filename="x"\r\n\r\n\r\n' * 2,
    "a preamble": b"x" * 9_000_000,
}


@pytest.mark.parametrize("name", PARTS)
async def test_a_costly_form_is_refused_and_delays_no_other_request(client, name):
    headers = {"content-type": "multipart/form-data; boundary=b"}
    async with Turns() as turns:
        answer = await client.post("/v1/audio/voices", content=PARTS[name], headers=headers)
    assert answer.status_code == 400, answer.text
    assert turns.longest < TURN_S


async def test_url_parameters_are_limited(client):
    for query in (
        "&".join(f"k{n}=1" for n in range(60)),
        "&" * 60_000,
        "&".join(f"k{n}" for n in range(10_000)),
    ):
        async with Turns() as turns:
            answer = await client.get("/tts_with_cached_voice?voice_name=ada&text=x&" + query)
        assert answer.status_code == 400
        assert len(answer.json()["error"]["message"]) < 1000
        assert turns.longest < TURN_S


async def test_routes_without_a_body_refuse_a_large_body(client):
    for method, path in (
        ("DELETE", "/v1/audio/voices/x"),
        ("GET", "/v1/models"),
        ("POST", "/v1/cache/free"),
        ("POST", "/tts_with_cached_voice"),
    ):
        answer = await client.request(method, path, content=b"x" * 100_000)
        assert answer.status_code == 413


ADDRESSES = [
    "/v1/models/%00",
    "/v1/models/%ff",
    "/v1/models/%ED%A0%80",
    "/v1/models/%",
    "/v1/models/%zz",
    "/v1/audio/voices/%2e%2e%2f",
    "/%F0%9F%98%80",
    "/tts_with_cached_voice?voice_name=%ff&text=%ff",
    "/tts_with_cached_voice?voice_name=%ED%A0%80&text=x",
    "/tts_with_cached_voice?voice_name=ada&text=%ED%A0%80",
    "/tts_with_cached_voice?voice_name=ada&text=x&seed=%00",
    "/tts_with_cached_voice?%ff=%ff",
    "/tts?text=%ED%A0%80&text_lang=%ff&ref_audio_path=%00&prompt_lang=%F0%9F%98%80",
    "/tts?text=x&text_lang=en&ref_audio_path=%00%ff&prompt_lang=en&seed=%00",
    "/set_gpt_weights?weights_path=%ED%A0%80%00",
    "/set_refer_audio?refer_audio_path=%ff%00",
    "/control?command=%ff",
    "/tts_with_cached_voice?=",
    "//",
    "/v1/models/",
    "/docs/x",
    "/tts_with_cached_voice?voice_name=ada&text=x&text_lang=%F0%9F%98%80",
    "/tts_with_cached_voice?voice_name=%00&text=x",
    "/v1/audio/voices/" + "a" * 5000,
]
HOSTS = ["", "[::1", "]", "a" * 300, "x:99999999", "x:y", "@", "a b", "[v1.x]:1", "%00", "x/../y", "http://x"]


@pytest.mark.parametrize("address", ADDRESSES)
async def test_no_url_causes_a_500(service, address):
    path, _, query = address.partition("?")
    for method in ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW"):
        status, _ = await call(service, method, path, query)
        assert status < 500, (method, address)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", ["/nowhere", "/v1/models/", "/health", SPEECH, "/docs", "/openapi.json"])
async def test_no_host_header_causes_a_500(service, host, path):
    status, _ = await call(service, "GET", path, headers=[(b"host", host.encode())])
    assert status < 500


async def call(service: Service, method: str, path: str, query: str = "", headers=()) -> tuple[int, bytes]:
    """Calls the application directly, because httpx would normalise the URL."""
    from urllib.parse import unquote

    sent: list[dict] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "root_path": "",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    gone = asyncio.Event()
    first = True

    async def receive() -> dict:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        sent.append(message)

    await create_app(service)(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


SURROGATE = "\ud800"


@pytest.mark.parametrize(
    "name",
    [
        "input",
        "model",
        "voice",
        "instructions",
        "response_format",
        "language",
        "reference_text",
        "reference_audio",
        "stream_format",
    ],
)
async def test_half_a_surrogate_pair_in_any_field(client, name):
    for value in (f"a{SURROGATE}", {"id": SURROGATE}, {SURROGATE: 1}):
        content = json.dumps(
            body(**{name: value}) | ({"reference_audio": "AAAA"} if name == "reference_text" else {})
        )
        answer = await client.post(SPEECH, content=content, headers=JSON)
        assert answer.status_code == 400, answer.text
    answer = await client.post(SPEECH, content=json.dumps(body() | {SURROGATE: 1}), headers=JSON)
    assert answer.status_code == 400


async def test_a_large_body_is_split_and_others_run_in_between():
    sizes, turns, before = [], 0, []

    async def app(scope, receive, send):
        while (message := await receive())["more_body"]:
            sizes.append(len(message["body"]))
            before.append(turns)
        sizes.append(len(message["body"]))

    async def receive():
        return {"type": "http.request", "body": b"a" * 1_000_000, "more_body": False}

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    scope = {"type": "http", "method": "POST", "path": SPEECH, "headers": [], "query_string": b""}
    middleware = RequestMiddleware(
        app, max_upload=10**7, max_book=10**7, max_text=10**5, max_requests=9, echo=False
    )
    await middleware(scope, receive, receive)  # type: ignore[arg-type]
    task.cancel()
    assert sum(sizes) == 1_000_000
    assert max(sizes) <= 64 * 1024
    assert sorted(set(before)) == before, "another task ran before each piece"


async def test_routes_are_found_under_a_prefix(service, make_wav):
    """Under a route prefix, the same bodies are accepted and the same requests do not count."""
    app = create_app(service)
    transport = httpx.ASGITransport(app, root_path="/voice", raise_app_exceptions=False)
    reference = base64.b64encode(make_wav(seconds=8.0)).decode()
    async with httpx.AsyncClient(transport=transport, base_url="http://test/voice") as client:
        answer = await client.post(SPEECH, json=body(reference_audio=reference))
        assert answer.status_code == 200, answer.text
        files = {"name": (None, "mine"), "audio_sample": ("a.wav", make_wav(seconds=8.0))}
        assert (await client.post("/v1/audio/voices", files=files)).status_code == 200
        assert (await client.post("/v1/cache/free", content=b" " * 100_000)).status_code == 413
        assert (await client.get("/health")).status_code == 200


async def test_only_working_requests_count_towards_the_limit(backend, shipped, tmp_path):
    service = Service(
        Settings.from_args({"data_dir": str(tmp_path), "ingress": {"max_ongoing_requests": 2}}, {}),
        alone(backend),
        shipped,
    )
    transport = httpx.ASGITransport(create_app(service), raise_app_exceptions=False)
    backend.delay = 0.05
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        working = [
            asyncio.create_task(client.post(SPEECH, json=body(input="a long one " * 20))) for _ in range(2)
        ]
        while len(backend.active) < 2:
            await asyncio.sleep(0.005)
        refused = await client.post(SPEECH, json=body())
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        assert refused.json()["error"]["code"] == "overloaded"
        for path in ("/health", "/ready", "/v1/status", "/v1/models", "/", "/static/any/page.css"):
            assert (await client.get(path)).status_code == 200
        assert {(await task).status_code for task in working} == {200}
        assert (await client.post(SPEECH, json=body())).status_code == 200


async def test_health_answers_at_once(client, backend):
    assert (await client.get("/health")).json()["device"]["name"] == "tones"
    asked = asyncio.Event()

    async def silent():
        asked.set()
        await asyncio.sleep(60)

    backend.status = silent
    began = time.perf_counter()
    answers = [(await client.get("/health")).json() for _ in range(20)]
    assert time.perf_counter() - began < 30
    assert asked.is_set()
    assert all(answer["status"] == "ok" and answer["device"]["name"] == "tones" for answer in answers)
