"""Fields that clients of other servers send: acted on, or ignored with a header that names them."""

from __future__ import annotations

import base64
import io
import itertools
import json

import httpx
import numpy as np
import pytest
import soundfile

from serve_app.audio.encode import MEDIA_TYPES, OUTPUT_RATE
from serve_app.http.foreign import FIELDS
from serve_app.http.middleware import largest_text
from serve_app.http.schemas import RANGES, SpeechBody

SPEECH = "/v1/audio/speech"
IGNORED = "x-chorale-ignored"
TEXT = "Hello there. This is a second sentence."
UNHEARD = sorted(field.name for field in FIELDS if field.becomes is None)


def body(**fields: object) -> dict:
    return {"model": "tts-1", "input": TEXT, "voice": "ada", "seed": 5, "response_format": "pcm"} | fields


async def spoken(client: httpx.AsyncClient, **fields: object) -> httpx.Response:
    answer = await client.post(SPEECH, json=body(**fields))
    assert answer.status_code == 200, answer.text
    return answer


async def refused(client: httpx.AsyncClient, **fields: object) -> dict:
    answer = await client.post(SPEECH, json=body(**fields))
    assert answer.status_code == 400, answer.text
    return answer.json()["error"]


def test_every_field_becomes_one_of_ours_or_is_ignored_and_is_listed_once():
    names = [field.name for field in FIELDS]
    assert len(set(names)) == len(names)
    ours = SpeechBody.model_fields
    assert {field.becomes for field in FIELDS} - {None} <= set(ours)
    assert not [field.name for field in FIELDS if field.name in ours and field.becomes != field.name]


@pytest.mark.parametrize("name", UNHEARD)
@pytest.mark.parametrize("value", [True, False, 7, "text", {"a": [1]}, [], ""])
async def test_a_field_without_effect_is_named_in_a_header(client, name, value):
    answer = await spoken(client, **{name: value})
    assert answer.headers[IGNORED] == name
    assert answer.content == (await spoken(client)).content


async def test_all_fields_without_effect_at_once(client):
    answer = await spoken(client, **dict.fromkeys(UNHEARD, 1), instructions="Be kind.")
    assert answer.headers[IGNORED].split(", ") == sorted([*UNHEARD, "instructions"])
    events = await spoken(client, user="me", stream_format="sse")
    assert events.headers[IGNORED] == "user"


async def test_a_request_of_our_own_fields_has_no_such_header(client):
    answer = await spoken(client, language="en", temperature=0.5, stream=True, volume_multiplier=1.0)
    assert IGNORED not in answer.headers


@pytest.mark.parametrize(
    "name",
    [
        "inputs",
        "voices",
        "colour",
        "speaker_embedding",
        "ref_audio_2",
        "ssml",
        "Stream",
        "lang-code",
        "",
        "ü",
    ],
)
async def test_an_unknown_field_is_refused_by_its_name(client, name):
    error = await refused(client, **{name: 1})
    assert (error["param"], error["code"]) == (name, "unknown_parameter")
    assert f"'{name}'" in error["message"]


@pytest.mark.parametrize("timed", [True, False])
async def test_the_times_of_words_come_with_the_events(client, backend, timed):
    backend.timed = timed
    answer = await spoken(client, stream_format="sse", word_timestamps=True)
    assert IGNORED not in answer.headers
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    kinds = [event["type"] for event in events]
    assert kinds[-1] == "speech.audio.done"
    assert kinds.count("speech.audio.words") == (2 if timed else 0)  # one for each segment
    words = [word for event in events for word in event.get("words", [])]
    if timed:
        assert [TEXT[word["begin"] : word["end"]] for word in words] == TEXT.replace(".", "").split()
        times = [time for word in words for time in (word["start_s"], word["end_s"])]
        assert times == sorted(times)
        seconds = len(backend.expected(TEXT, 5, 220.0)) / backend.spec.sample_rate
        assert times[-1] == pytest.approx(seconds, abs=0.001)
    plain = await spoken(client, stream_format="sse", word_timestamps=False)
    assert "speech.audio.words" not in plain.text


async def test_the_times_of_words_need_events(client):
    answer = await spoken(client, word_timestamps=True)
    assert answer.headers[IGNORED] == "word_timestamps"
    assert (await refused(client, word_timestamps="yes"))["param"] == "word_timestamps"


OTHER_NAMES = [(field.name, field.becomes) for field in FIELDS if field.becomes not in (None, field.name)]


@pytest.mark.parametrize(("name", "own"), OTHER_NAMES)
async def test_another_name_has_the_effect_of_ours(client, make_wav, name, own):
    recording = base64.b64encode(make_wav(pitch=330.0)).decode()
    values = {
        "language": "en",
        "max_tokens": 30,
        "reference_audio": recording,
        "reference_text": "la",
        "voice": "bob",
    }
    rest = body(reference_audio=recording) if own == "reference_text" else body()
    rest.pop(own, None)
    ours = await client.post(SPEECH, json=rest | {own: values[own]})
    theirs = await client.post(SPEECH, json=rest | {name: values[own]})
    assert theirs.status_code == ours.status_code == 200
    assert theirs.content == ours.content
    assert IGNORED not in theirs.headers


WRONG = [
    ({"ref_audio": "%%%"}, "ref_audio"),
    ({"ref_audio": "https://example.org/me.wav"}, "ref_audio"),
    ({"ref_audio": "file:///etc/passwd"}, "ref_audio"),
    ({"ref_audio": ["AAAA"]}, "ref_audio"),
    ({"ref_audio": ""}, "ref_audio"),
    ({"ref_audio": "AAAA", "ref_text": "a" * 2001}, "ref_text"),
    ({"max_new_tokens": 0}, "max_new_tokens"),
    ({"max_new_tokens": 10**6}, "max_new_tokens"),
    ({"max_new_tokens": "many"}, "max_new_tokens"),
    ({"lang_code": "tlh"}, "lang_code"),
    ({"lang": 5}, "lang"),
    ({"speaker": "nobody", "voice": None}, "speaker"),
    ({"stream": "yes"}, "stream"),
    ({"stream": 1}, "stream"),
    ({"volume_multiplier": -1}, "volume_multiplier"),
    ({"volume_multiplier": 11}, "volume_multiplier"),
    ({"volume_multiplier": "loud"}, "volume_multiplier"),
    ({"sample_rate": 12345}, "sample_rate"),
]


@pytest.mark.parametrize(("fields", "name"), WRONG, ids=str)
async def test_an_error_names_the_field_as_the_client_wrote_it(client, fields, name):
    error = await refused(client, **fields)
    assert error["param"] == name
    assert f"'{name}'" in error["message"]


async def test_the_message_says_what_another_name_allows(client):
    assert "an integer from 1 to 8192" in (await refused(client, max_new_tokens=0))["message"]
    assert RANGES["max_new_tokens"] == RANGES["max_tokens"]
    assert "not fetched" in (await refused(client, ref_audio="https://example.org/a.wav"))["message"]


@pytest.mark.parametrize(
    ("one", "other"),
    list(itertools.combinations([("lang", "en"), ("lang_code", "a"), ("language", "English")], 2)),
)
async def test_two_names_of_one_field_must_agree(client, one, other):
    error = await refused(client, **dict([one, other]))
    assert error["param"] == other[0]
    assert f"'{one[0]}' and '{other[0]}'" in error["message"]
    await spoken(client, **{one[0]: "en", other[0]: "en"})


@pytest.mark.parametrize(
    "language", ["en", "EN", "English", "english", " en ", "a", "b", "auto", "Auto", "AUTO", None]
)
@pytest.mark.parametrize("name", ["language", "lang", "lang_code"])
async def test_languages_by_the_names_of_other_servers(client, backend, name, language):
    asked: list[str | None] = []
    inner = backend.check_text

    async def check_text(text: str, language: str | None) -> None:
        asked.append(language)
        await inner(text, language and language.strip().lower())

    backend.check_text = check_text
    await spoken(client, **{name: language})
    assert {language and language.strip().lower() for language in asked} <= {"en", None}
    assert (asked[0] is None) == (language is None or language.lower() == "auto")


@pytest.mark.parametrize("language", ["Chinese", "mandarin", "cmn", "z", "Klingon", "tlh", "e", "en fr"])
async def test_a_language_that_the_model_lacks_is_refused(client, language):
    assert (await refused(client, lang_code=language))["param"] == "lang_code"


@pytest.mark.parametrize("name", [*SpeechBody.model_fields, *(field.name for field in FIELDS), "temperature"])
async def test_null_counts_as_absent(client, name):
    fields = body()
    without = {key: value for key, value in fields.items() if key != name}
    answer = await client.post(SPEECH, json=fields | {name: None})
    same = await client.post(SPEECH, json=without)
    assert answer.status_code == same.status_code
    assert IGNORED not in answer.headers
    if name in ("input", "model", "voice"):
        assert answer.json() == same.json()
        assert answer.json()["error"]["code"] == "missing_required_parameter"
    elif name != "seed":
        assert answer.content == same.content


async def test_a_client_that_sends_every_field_it_knows_as_null(client):
    nulls = dict.fromkeys(
        [*(field.name for field in FIELDS), "instructions", "speed", "stream_format", "top_p"]
    )
    assert (await spoken(client, **nulls)).content == (await spoken(client)).content


def assert_same(format: str, one: httpx.Response, other: httpx.Response) -> None:
    """Ogg's streams have random numbers; the bytes of the other formats are equal."""
    if format.lower() == "opus":
        assert len(one.content) == len(other.content)
    else:
        assert one.content == other.content


def spellings(word: str) -> list[str]:
    return [word.upper(), word.title(), word[:-1] + word[-1].upper()]


@pytest.mark.parametrize("format", [spelled for name in MEDIA_TYPES for spelled in spellings(name)])
async def test_formats_in_any_letter_case(client, format):
    answer = await spoken(client, response_format=format)
    assert answer.headers["content-type"].startswith(MEDIA_TYPES[format.lower()])
    assert_same(format, answer, await spoken(client, response_format=format.lower()))


@pytest.mark.parametrize("format", spellings("sse") + spellings("audio"))
async def test_stream_formats_in_any_letter_case(client, format):
    answer = await spoken(client, stream_format=format)
    assert answer.headers["content-type"].startswith("text/event-stream") == (format.lower() == "sse")


@pytest.mark.parametrize("format", ["MP4", "mp3 ", " wav", "wave", "ogg", "", "m p3", "ＭＰ３"])
async def test_other_formats_are_refused(client, format):
    error = await refused(client, response_format=format)
    assert error["param"] == "response_format" and "'opus'" in error["message"]


@pytest.mark.parametrize("format", sorted(MEDIA_TYPES))
@pytest.mark.parametrize("stream_format", [None, "audio"])
async def test_a_response_that_is_not_streamed_states_its_length(client, format, stream_format):
    whole = await spoken(client, response_format=format, stream=False, stream_format=stream_format)
    assert int(whole.headers["content-length"]) == len(whole.content)
    if format == "pcm":
        assert whole.content == (await spoken(client)).content
    if format in ("wav", "flac"):
        exact = len((await spoken(client)).content) // 2
        assert soundfile.info(io.BytesIO(whole.content)).frames == exact


@pytest.mark.parametrize("format", sorted(MEDIA_TYPES))
async def test_stream_true_is_stream_format_audio(client, format):
    asked = await spoken(client, response_format=format, stream=True)
    assert "content-length" not in asked.headers
    same = await spoken(client, response_format=format, stream_format="audio")
    assert asked.headers["content-type"] == same.headers["content-type"]
    assert_same(format, asked, same)


@pytest.mark.parametrize("stream", [True, False, None])
async def test_sse_is_events_regardless_of_stream(client, stream):
    answer = await spoken(client, stream=stream, stream_format="sse")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("volume", [0, 0.1, 0.25, 0.5, 1, 1.5, 2, 10])
async def test_the_volume_multiplies_every_sample_up_to_full_scale(client, volume):
    plain = np.frombuffer((await spoken(client)).content, np.int16) / 32767
    heard = np.frombuffer((await spoken(client, volume_multiplier=volume)).content, np.int16) / 32767
    np.testing.assert_allclose(heard, np.clip(plain * volume, -1, 1), atol=(volume + 1) / 32767)


@pytest.mark.parametrize("written", ["ref_audio", "reference_audio"])
async def test_a_recording_under_either_name_does_not_count_as_text(client, service, make_wav, written):
    recording = base64.b64encode(make_wav(seconds=40.0)).decode()
    assert len(recording) > largest_text(service.settings.limits.max_input_chars)
    content = json.dumps(body() | {written: recording}).replace("/", "\\/")
    answer = await client.post(SPEECH, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-voice"] == "reference_audio"


async def test_the_openapi_document_has_every_field(client):
    paths = (await client.get("/openapi.json")).json()["paths"]
    schema = paths[SPEECH]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {field.name for field in FIELDS} <= set(schema["properties"])
    assert "`language`" in schema["properties"]["lang_code"]["description"]


def test_the_default_rate_is_that_of_openai():
    assert SpeechBody(input="x", model="y").sample_rate == OUTPUT_RATE
