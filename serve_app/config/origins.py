"""The settings for web pages that call the service from a browser."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from deployments.contract.options import Options

_HOST = r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])"  # a name, or an address
ORIGIN = re.compile(rf"\*|null|[a-z][a-z0-9+.-]*://{_HOST}(?::[0-9]{{1,5}})?")


def _origin(text: str) -> str:
    if not ORIGIN.fullmatch(text):
        raise ValueError("must be an origin as browsers send it (https://example.org:8443, no path), or '*'")
    return text


class HttpSettings(Options):
    """`cors_origins`: of the pages that may call the service; "*" is any. `allowed_hosts`: names; none allows any."""

    cors_origins: list[Annotated[str, AfterValidator(_origin)]] = Field(default_factory=list, max_length=1000)
    allowed_hosts: list[Annotated[str, StringConstraints(pattern=rf"^{_HOST}$")]] = Field(
        default_factory=list, max_length=1000
    )
