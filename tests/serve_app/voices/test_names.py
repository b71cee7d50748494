"""Voice names in any script: stored in one form, unique apart from letter case, and nothing else in them."""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.contract.errors import InvalidInput
from serve_app.voices import names
from serve_app.voices.library import VoiceLibrary

SPEECH, VOICES = "/v1/audio/speech", "/v1/audio/voices"

ALLOWED = [
    "小明", "测试", "Zoë", "émile", "naïve", "O'Neil", "O’Neil", "玛丽·居里", "ナオミ・キャンベル", "Жанна", "Ελένη",
    "प्रिया", "สมชาย", "محمد", "דוד", "김철수", "Nguyễn Thị Ánh", "Łukasz", "ʻIolani", "١٢٣", "x_1.2-3", "Ünïcode 2",
    "a", "9", "Ⴀ", "𠮷野",
]  # fmt: skip
REFUSED = [
    "", " ", "../x", "a/b", "a\\b", "..", ".x", "-x", "'x", "·x", "x.", "x ", "a%b", "%2e%2e",
    "x\0y", "x\ny", "x\r", "x\u2028y", "x\u2029", "\ty", "x\u0085y", "x\x1b[0m", "x\x7f",
    "emoji😀", "👍🏽", "❤️", "🇩🇪", "1️⃣", "👩‍🚀", "a\u202eb", "a\u200eb", "a\u200fb", "a\u2066b",
    "a\u061cb", "a\u200bb", "a\u200db", "a\ufeffb", "a\u00adb", "mine\u00a0", "a\u3000b",
    "\u3164", "x\u115f", "x\ufe0f", "x\U000e0101", "\u0301x", "a:b", "a*b", "a?b", 'a"b', "a<b>",
    "a|b", "a;b", "a&b", "a$b", "a`b", "a~b", "a#b", "a@b", "a,b", "a(b)", "①", "²", "½", "Ⅳ",
    "\ue000", "\ufffd", "\U000e0041", "\ud800", "小/明", "小" * 65,
]  # fmt: skip


@pytest.fixture
def library(shipped: Path, tmp_path: Path) -> VoiceLibrary:
    return VoiceLibrary(shipped, tmp_path / "uploads")


@pytest.mark.parametrize("name", ALLOWED)
def test_a_name_is_stored_in_one_form_and_found_in_any(library, shipped, make_wav, name):
    added = library.add(unicodedata.normalize("NFD", name), make_wav())
    assert added.name == unicodedata.normalize("NFC", name)
    assert names.ID.fullmatch(added.id)
    assert [path.name for path in library.uploads.iterdir()] == [added.id]
    other = VoiceLibrary(shipped, library.uploads)
    for form in ("NFC", "NFD"):
        for spelled in (name, name.upper(), name.lower()):
            assert other.get(unicodedata.normalize(form, spelled)) == added
    with pytest.raises(InvalidInput) as caught:
        library.add(name, make_wav())
    assert caught.value.code == "voice_exists"
    assert library.delete(name) == added.id


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_name_leaves_nothing(library, make_wav, name):
    with pytest.raises(InvalidInput) as caught:
        library.add(name, make_wav())
    assert (caught.value.param, caught.value.code) == ("name", "invalid_value")
    assert names.NAME_RULE in caught.value.message
    assert not library.uploads.exists()


SAME = [
    ("Zoë", "ZOË"), ("Zoë", "zoe\u0308"), ("Straße", "STRASSE"), ("Жанна", "жанна"),
    ("Σίσυφος", "ΣΊΣΥΦΟΣ"), ("ABC", "ＡＢＣ"), ("ｶﾅ", "カナ"), ("ﬁne", "fine"), ("Ǆ", "ǆ"),
    ("Å", "\u212b"), ("１２", "12"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spellings_of_one_name(library, make_wav, one, other):
    added = library.add(one, make_wav())
    assert library.get(other) == added
    with pytest.raises(InvalidInput) as caught:
        library.add(other, make_wav())
    assert caught.value.code == "voice_exists"


@pytest.mark.parametrize("name", ["ADA", "ａｄａ", "ſage", "Ａlloy", "ＮＯＶＡ", "ᵃda", "bob", "ⓑob"])
def test_no_spelling_of_a_shipped_or_openai_name_can_be_taken(library, make_wav, name):
    with pytest.raises(InvalidInput) as caught:
        library.add(name, make_wav())
    assert caught.value.code in ("voice_exists", "invalid_value")


@pytest.mark.parametrize(
    "change", [str, str.upper, lambda name: name.replace("v", "ｖ"), lambda name: name[:9] + " " + name[9:]]
)
def test_no_spelling_of_an_id_can_be_taken(library, make_wav, change):
    with pytest.raises(InvalidInput) as caught:
        library.add(change(names.id_of("mine")), make_wav())
    assert caught.value.code == "voice_name_reserved"


@pytest.mark.parametrize("name", ["mine", "My Voice", "x_1.2-3", "9"])
def test_the_ids_of_plain_names_have_not_changed(name):
    assert names.id_of(name) == f"voice_{hashlib.sha256(name.lower().encode()).hexdigest()[:20]}"


@given(st.text(max_size=70))
def test_what_is_allowed_is_printable_and_has_one_id(name):
    stored = names.normalised(name)
    if names.is_allowed(stored):
        assert stored.isprintable() and stored.strip() == stored
        assert not set(stored) & set("/\\%:\0\n\r")
        assert names.id_of(stored) == names.id_of(unicodedata.normalize("NFD", name))


@pytest.mark.parametrize("name", ALLOWED)
async def test_a_voice_of_any_name_over_http(client, make_wav, name):
    sample = {"audio_sample": ("a.wav", make_wav(pitch=330))}
    added = await client.post(VOICES, data={"name": f" {name}  "}, files=sample)
    assert added.status_code == 200, added.text
    stored = added.json()["name"]
    assert stored == unicodedata.normalize("NFC", name)
    assert stored in [voice["name"] for voice in (await client.get(VOICES)).json()["voices"]]
    for voice in (name, unicodedata.normalize("NFD", name), {"id": added.json()["id"]}):
        answer = await client.post(SPEECH, json={"model": "tts-1", "input": "Hello.", "voice": voice})
        assert answer.status_code == 200, answer.text
        assert unquote(answer.headers["x-voice"]) == stored
    query = {"voice_name": name, "text": "Hello."}
    assert unquote((await client.get("/tts_with_cached_voice", params=query)).headers["x-voice"]) == stored
    assert (await client.get(f"{VOICES}/{quote(name)}")).json() == added.json()
    assert (await client.delete(f"{VOICES}/{quote(name)}")).json()["deleted"]


@pytest.mark.parametrize("name", [name for name in REFUSED if name.strip(" ") == name and name != "\ud800"])
async def test_a_refused_name_over_http(client, make_wav, name):
    fields = {"name": (None, name.encode()), "audio_sample": ("a.wav", make_wav())}
    refused = await client.post(VOICES, files=fields)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "name")
    spoken = await client.post(SPEECH, json={"model": "tts-1", "input": "Hello.", "voice": name})
    assert (spoken.status_code, spoken.json()["error"]["param"]) == (400, "voice")
    assert len((await client.get(VOICES)).json()["data"]) == 2
