"""The page's files: types, caching, policy, and that they need nothing from elsewhere."""

from __future__ import annotations

import re

import httpx
import pytest

from serve_app.http.app import create_app
from serve_app.http.routes.page import FOLDER, INDEX, files
from serve_app.service import Service

SCRIPTS = sorted(FOLDER.rglob("*.js"))


async def test_the_page_is_checked_each_time_and_its_files_are_kept(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    assert (await client.get("/", headers={"if-none-match": page.headers["etag"]})).status_code == 304
    assert (await client.get("/", headers={"if-none-match": '"other"'})).status_code == 200
    names = re.findall(r'(?:src|href)="(static/[^"#]+)', page.text)
    assert len(names) >= 5
    for name in set(names):
        found = await client.get(f"/{name}")
        assert found.status_code == 200
        assert "immutable" in found.headers["cache-control"]
    types = {
        ".js": "text/javascript; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".svg": "image/svg+xml",
    }
    for name, file in files().by_name.items():
        if name != INDEX:
            found = await client.get(f"/static/{files().version}/{name}")
            assert found.content == file.data
            assert found.headers["content-type"] == types[name[name.rindex(".") :]]


async def test_a_file_under_an_old_version_is_not_kept(client: httpx.AsyncClient) -> None:
    found = await client.get("/static/0123456789abcdef/page.css")
    assert (found.status_code, found.headers["cache-control"]) == (200, "no-cache")


async def test_head_has_the_headers_without_a_body(client: httpx.AsyncClient) -> None:
    for path in ("/", f"/static/{files().version}/page.css"):
        head, whole = await client.head(path), await client.get(path)
        assert head.content == b""
        assert head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.content))
        assert head.headers["etag"] == whole.headers["etag"]


@pytest.mark.parametrize(
    "name", ["nothing.js", "../routes/page.py", "..%2f..%2f__init__.py", "js", "", "%00"]
)
async def test_only_files_of_the_page_are_served(client: httpx.AsyncClient, name: str) -> None:
    found = await client.get(f"/static/{files().version}/{name}")
    assert found.status_code == 404
    assert found.json()["error"]["type"] == "invalid_request_error"


async def test_only_get_and_head_are_allowed(client: httpx.AsyncClient) -> None:
    assert (await client.post("/")).status_code == 405


async def test_the_policy_allows_nothing_inline_and_no_other_host(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert {word for words in policy.values() for word in words.split()} == {"'none'", "'self'", "blob:"}
    assert page.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", page.text)


async def test_the_page_works_under_a_route_prefix(service: Service) -> None:
    transport = httpx.ASGITransport(create_app(service), root_path="/voice")
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        page = await client.get("/voice/")
        name = re.findall(r'src="(static/[^"]+)', page.text)[0]
        assert (await client.get(f"/voice/{name}")).status_code == 200


def test_nothing_names_another_host() -> None:
    for name, file in files().by_name.items():
        addresses = re.findall(rb"https?://[^\s\"'`<>)]+", file.data)
        assert set(addresses) <= {b"http://www.w3.org/2000/svg"}, name


def test_every_import_exists() -> None:
    for script in SCRIPTS:
        for found in re.findall(r'from "([^"]+)"', script.read_text("utf-8")):
            assert found.startswith(".")
            assert (script.parent / found).is_file(), f"{script.name}: {found}"


def test_a_module_holds_one_idea() -> None:
    assert [script.name for script in SCRIPTS if len(script.read_text("utf-8").splitlines()) > 300] == []


def _messages(language: str) -> dict[str, set[str]]:
    """The placeholders of each key."""
    text = (FOLDER / f"js/messages/{language}.js").read_text("utf-8")
    found = re.findall(r'^  "?([\w.]+)"?:\s*(.+?),$', text, re.MULTILINE | re.DOTALL)
    return {key: set(re.findall(r"\{(\w+)\}", value)) for key, value in found}


def test_both_languages_have_the_same_messages() -> None:
    english, chinese = _messages("en"), _messages("zh")
    assert len(english) > 150
    assert english == chinese


def test_every_message_is_used_and_exists() -> None:
    sources = [
        path.read_text("utf-8") for path in [FOLDER / INDEX, *SCRIPTS] if path.parent.name != "messages"
    ]
    page = "\n".join(sources)
    exact = set(re.findall(r"""(?:\bt\(|\?|:|", )\s*"([a-z]+\.[\w.]+)\"""", page)) | set(
        re.findall(r'data-i18n(?:-label|-placeholder)?="([^"]+)"', page)
    )
    prefixes = tuple(re.findall(r"`([a-z]+\.(?:[a-z]+\.)?)\$\{", page))
    known = set(_messages("en"))
    assert not {key for key in exact if key.split(".")[0] in {k.split(".")[0] for k in known}} - known
    used = {key for key in known if f'"{key}"' in page or key.startswith(prefixes)}
    assert known - used == set()
