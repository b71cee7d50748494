"""OpenAI's names of models, with and without a date."""

from __future__ import annotations

import pytest

from serve_app.models import ALIASES

SPEECH = "/v1/audio/speech"


def body(**fields: object) -> dict:
    return {"model": "tts-1", "input": "Hello.", "voice": "ada", "seed": 5, "response_format": "pcm"} | fields


DATES = ("-1106", "-2025-03-20", "-2025-12-15", "-0125")


@pytest.mark.parametrize("model", [alias + date for alias in ALIASES for date in DATES])
async def test_a_dated_openai_name_is_the_undated_one(client, model):
    answer = await client.post(SPEECH, json=body(model=model))
    assert answer.status_code == 200, answer.text
    assert answer.content == (await client.post(SPEECH, json=body())).content
    card = (await client.get(f"/v1/models/{model}")).json()
    assert (card["id"], card["alias_of"]) == (model, "chorale-small")


@pytest.mark.parametrize(
    "model",
    ["tts-1-", "tts-1-11", "tts-1-11066", "tts-1-2025-1-1", "tts-2-1106", "tts-1-hd-x", "chorale-small-1106",
     "tts-1-1106-1106", "gpt-4o-mini-tts-latest", "TTS-1", "tts-1-１１０６"],
)  # fmt: skip
async def test_another_model_name_is_not_found(client, model):
    answer = await client.post(SPEECH, json=body(model=model))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert (await client.get(f"/v1/models/{model}")).status_code == 404
