"""Every operation of the OpenAPI document, with requests that follow its schema and requests that break it.

A response has a documented form; an error is OpenAI's; nothing is a 5xx except 503.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.fuzz.conftest import URL, Api, error_of, finished_job

EXAMPLES = 6  # per operation and kind of request
LAST = ("delete", "/v1/jobs/clean", "/v1/cache/free")  # they remove what others need
CHECKS = [content_type_conformance, response_schema_conformance, status_code_conformance]


def operations(document: dict[str, Any]) -> list[Any]:
    found = [each.ok() for each in schemathesis.openapi.from_dict(document).get_all_operations()]
    return sorted(found, key=lambda each: each.method in LAST or each.path in LAST)


@pytest.mark.hypothesis
@pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value
)
def test_every_operation_answers_as_documented(
    api: Api, mode: GenerationMode, subtests: pytest.Subtests
) -> None:
    known = {
        "job_id": finished_job(api),
        "voice_id": "ada",
        "model": "chorale-small",
        "index": 0,
        "name": "x.wav",
    }
    for operation in operations(api.document):
        with subtests.test(operation=operation.label):
            cases = operation.as_strategy(generation_mode=mode)

            @settings(
                max_examples=EXAMPLES,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            )
            @given(case=cases, exists=st.booleans())
            def answers(case: Any, exists: bool) -> None:
                if exists:
                    names = known.keys() & case.path_parameters.keys()
                    case.path_parameters |= {name: known[name] for name in names}
                check(api, case)

            # without a parameter that can be wrong, there are no wrong requests
            with (
                suppress(Unsatisfiable)
                if mode is GenerationMode.NEGATIVE and not operation.body
                else nullcontext()
            ):
                answers()


def check(api: Api, case: Any) -> None:
    try:
        answer = api.send(requests.Request(**case.as_transport_kwargs(base_url=URL)).prepare())
    except (
        httpx.InvalidURL
    ):  # the client does not send one of over 64 KiB; test_proxy_guard sends them to a real server
        reject()
    case.validate_response(answer, checks=CHECKS)
    if answer.status_code >= 400:
        error_of(answer)
