"""The section `jobs`: where jobs are stored, and how many run at once."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator

from deployments.contract.options import Options, Positive
from serve_app.config.stages import Cpus


class JobsSettings(Options):
    """`database`: a URL; `audio`: a folder or a URL for fsspec. None: in the data folder (SQLite).

    A text longer than `long_text_chars` in a request becomes a job.
    """

    concurrency: Positive = 2
    database: str | None = None
    audio: Annotated[str, Field(min_length=1)] | None = None
    lease_s: Annotated[float, Field(ge=2, le=3600)] = 30.0
    long_text_chars: Positive = 5000
    max_book_bytes: Positive = 64 * 2**20
    num_cpus: Cpus = 0.1

    @field_validator("database")
    @classmethod
    def url(cls, url: str | None) -> str | None:
        if url and re.fullmatch(r"sqlite:///[^?]+|postgresql://[^/]+/[^/?]+(\?.*)?", url) or url is None:
            return url
        raise ValueError("must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST:PORT/NAME")
