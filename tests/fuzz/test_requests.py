"""Headers, forms and JSON bodies of any content, to the application in process."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers

from deployments.contract.errors import Forbidden, InvalidInput, Unauthorized
from serve_app.config.access import AccessSettings, hashed
from serve_app.http.access import Access, presented
from tests.fuzz.conftest import Api, error_of, finished_job

HEADER = st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=40)
KEY = "sk-chorale-of-a-test"
ACCESS = Access(AccessSettings.model_validate({"keys": {"anna": {"hash": hashed(KEY)}}}))

# every character, with the halves of surrogate pairs, and values that only a JSON parser can make
TEXT = st.text(st.characters(), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
SPEECH = {"input": "One.", "model": "chorale-small", "voice": "ada", "response_format": "wav"}
JOB = {"input": "One.", "voice": "ada", "format": "wav"}


@pytest.fixture(scope="module")
def job(api: Api) -> str:
    return finished_job(api)


@given(
    st.dictionaries(
        st.sampled_from(["authorization", "x-api-key", "origin", "sec-fetch-site", "host"]),
        HEADER | HEADER.map("Bearer ".__add__) | HEADER.map("Basic ".__add__) | HEADER.map("http://".__add__),
        max_size=4,
    ),
    st.sampled_from(["GET", "POST"]),
)
@example({"authorization": "Basic " + "=" * 4}, "GET")
@example({"origin": "http://[", "x-api-key": KEY}, "POST")
def test_no_header_is_a_key_by_chance(headers: dict[str, str], method: str) -> None:
    found = Headers(headers)
    try:
        account = ACCESS.check(method, "/v1/audio/speech", found)
    except (Unauthorized, Forbidden, InvalidInput):
        return
    assert account is not None and presented(found) == KEY


@given(
    st.dictionaries(
        st.sampled_from(["range", "if-range", "if-none-match", "last-event-id", "x-request-id"]),
        HEADER | HEADER.map("bytes=".__add__) | HEADER.map('W/"'.__add__),
        max_size=4,
    ),
    st.sampled_from(["audio", "segments/0/audio", "events"]),
)
@settings(max_examples=40)
def test_a_file_is_served_whatever_the_headers_say(
    api: Api, job: str, headers: dict[str, str], part: str
) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    answer = api.request("GET", f"/v1/jobs/{job}/{part}", headers=raw)
    assert answer.status_code in (200, 206, 304, 416)
    if answer.status_code == 416:
        assert error_of(answer)["code"] == "range_not_satisfiable"


@pytest.mark.parametrize(
    ("path", "good"), [("/v1/audio/speech", SPEECH), ("/v1/jobs?dry_run=true", JOB), ("/tts", {})]
)
@given(data=st.data())
@settings(max_examples=40)
def test_a_body_with_any_values_is_served_or_refused(
    api: Api, path: str, good: dict[str, Any], data: st.DataObject
) -> None:
    known = api.fields(path)
    changes = data.draw(st.dictionaries(st.sampled_from(known) | TEXT, JSON | TEXT, max_size=3))
    content = json.dumps(good | changes).encode()
    if data.draw(st.booleans()):  # damaged
        at = data.draw(st.integers(0, len(content)))
        content = content[:at] + data.draw(st.binary(max_size=4)) + content[at + 1 :]
    answer = api.request("POST", path, content=content, headers={"content-type": "application/json"})
    if answer.status_code >= 400:
        error_of(answer)


@pytest.mark.parametrize("path", ["/v1/audio/voices", "/v1/jobs?dry_run=true"])
@given(data=st.data())
@settings(max_examples=40)
def test_a_form_of_any_bytes_is_served_or_refused(api: Api, path: str, data: st.DataObject) -> None:
    name = data.draw(
        st.sampled_from([b"name", b"file", b"audio_sample", b"cover", b"voices"]) | st.binary(max_size=9)
    )
    part = b'--b\r\nContent-Disposition: form-data; name="%b"; filename="%b"\r\n\r\n%b\r\n'
    content = part % (name, data.draw(st.binary(max_size=9)), data.draw(st.binary(max_size=60)))
    content = content * data.draw(st.integers(1, 3)) + b"--b--\r\n"
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(content)))
        content = content[:at] + data.draw(st.binary(max_size=4)) + content[at + 1 :]
    kinds = [
        "multipart/form-data; boundary=b",
        "multipart/form-data",
        "multipart/form-data; boundary=b; charset=x",
    ]
    kind = data.draw(st.sampled_from(kinds) | HEADER.map(f"{kinds[0]}; ".__add__))
    answer = api.request("POST", path, content=content, headers=[(b"content-type", kind.encode("latin-1"))])
    if answer.status_code >= 400:
        error_of(answer)
