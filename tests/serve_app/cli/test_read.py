"""chorale read: what will be said, as the model gets it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from deployments import families
from serve_app.cli.main import app


def read(*words: str) -> str:
    result = CliRunner().invoke(app, ["read", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(
    "text", ["Dr. Green paid $42.50; then [pause:500ms] she left.", "5月3日，王医生花了420元。OK?"]
)
def test_json_is_what_the_model_gets(text: str) -> None:
    frontend = families.load("small").frontend()
    assert json.loads(read(text, "--json", "--language", "zh")) == [
        {
            "text": segment.text,
            "spoken": segment.spoken,
            "phones": " ".join(frontend.symbols(segment)),
            "pause_after": segment.pause_after,
        }
        for segment in frontend.segments(text)
    ]


def test_lines_show_words_and_pauses_and_phones_on_request() -> None:
    assert read("Is this it? [pause:1.5s]") == "is this it  [0 s]\n(silence)  [1.5 s]\n"
    assert "^ ɪ z ð ɪ s ɪ t ?" in read("Is this it?", "--phones")


def test_nothing_to_say_is_an_empty_list_and_bad_text_an_error() -> None:
    assert json.loads(read("...", "--json")) == []
    refused = CliRunner().invoke(app, ["read", "Добрый день"])
    assert refused.exit_code == 2 and "Cyrillic" in refused.stderr
