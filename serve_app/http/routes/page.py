"""GET /: the page for the browser, and its files under /static."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from deployments.contract.errors import NotFound

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parents[1] / "static"
INDEX = "index.html"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
PLACEHOLDER = b"static/VERSION/"  # in index.html, before the name of a file
YEAR_S = 365 * 24 * 3600

# Everything comes from the service itself. blob: is for recordings and finished speech in the page's audio players.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(self)",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class File:
    data: bytes
    media_type: str
    etag: str


@dataclass(frozen=True, slots=True)
class Files:
    """version: a hash of all files, part of their addresses, so that browsers may cache them forever."""

    version: str
    by_name: dict[str, File]


@cache
def files() -> Files:
    """The page's files, read once: {name below static/: File}."""
    paths = sorted(path for path in FOLDER.rglob("*") if path.suffix in MEDIA_TYPES)
    contents = {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in paths}
    whole = hashlib.sha256()
    for name, data in contents.items():
        whole.update(b"%s\0%d\0%s" % (name.encode(), len(data), data))
    version = whole.hexdigest()[:16]
    contents[INDEX] = contents[INDEX].replace(PLACEHOLDER, f"static/{version}/".encode())
    return Files(version, {name: _file(name, data) for name, data in contents.items()})


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    return _response(request, files().by_name[INDEX], "no-cache")


@router.api_route("/static/{version}/{name:path}", methods=["GET", "HEAD"])
async def static_file(version: str, name: str, request: Request) -> Response:
    """A file of the page. One requested under another version, as during an update, must not be cached."""
    known = files()
    if name not in known.by_name:
        raise NotFound("The page has no such file.", code="not_found")
    kept = f"public, max-age={YEAR_S}, immutable" if version == known.version else "no-cache"
    return _response(request, known.by_name[name], kept)


def _file(name: str, data: bytes) -> File:
    return File(data, MEDIA_TYPES[Path(name).suffix], f'"{hashlib.sha256(data).hexdigest()[:32]}"')


def _response(request: Request, file: File, kept: str) -> Response:
    headers = HEADERS | {"etag": file.etag, "cache-control": kept}
    asked = request.headers.get("if-none-match", "")
    if file.etag in (tag.strip().removeprefix("W/") for tag in asked.split(",")):
        return Response(status_code=304, headers=headers)
    headers["content-length"] = str(len(file.data))
    body = b"" if request.method == "HEAD" else file.data
    return Response(body, media_type=file.media_type, headers=headers)
