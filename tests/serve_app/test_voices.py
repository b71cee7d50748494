"""The voice library on disk and the cache of voice prompts."""

from __future__ import annotations

import asyncio
import io
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from deployments.contract.errors import InvalidInput, NotFound
from deployments.contract.speech import VoicePrompt
from serve_app.voices import OPENAI_VOICES, VoiceLibrary, VoicePrompts


@pytest.fixture
def library(shipped: Path, tmp_path: Path) -> VoiceLibrary:
    return VoiceLibrary(shipped, tmp_path / "uploads", min_seconds=1, max_seconds=15, capacity=20)


def test_shipped_voices(library):
    assert [voice.name for voice in library.list()] == ["ada", "bob"]
    ada = library.get("ada")
    assert (ada.shipped, ada.gender, ada.language, ada.transcript) == (True, "female", "en", "la")
    assert library.read(ada)[:4] == b"RIFF"


def test_openai_names_go_to_shipped_voices_of_the_same_kind(library):
    assert set(library.aliases) == set(OPENAI_VOICES)
    assert library.get("alloy").name == library.get("Nova").name == "ada"
    assert library.get("onyx").name == "bob"


def test_add_get_list_delete(library, make_wav):
    added = library.add("My Voice", make_wav(), language="en", transcript="la la", consent="yes")
    assert added.id.startswith("voice_")
    assert library.get("my voice") == library.get(added.id) == added == library.list()[-1]
    assert library.read(added) == make_wav()
    assert library.delete(added.id) == added
    assert added not in library.list()
    with pytest.raises(NotFound):
        library.get("My Voice")
    with pytest.raises(NotFound):
        library.read(added)
    assert list(library.uploads.iterdir()) == []


def test_recordings_are_normalised(library, make_wav):
    stereo = io.BytesIO()
    soundfile.write(stereo, np.full((96_000, 2), 0.25), 32_000, "FLOAT", format="WAV")
    info = soundfile.info(io.BytesIO(library.normalise(stereo.getvalue())))
    assert (info.channels, info.subtype, info.samplerate, info.duration) == (1, "PCM_16", 32_000, 3.0)


def test_another_process_sees_it_at_once(library, shipped, make_wav):
    other = VoiceLibrary(shipped, library.uploads, min_seconds=1, max_seconds=15)
    for i in range(5):
        voice = library.add(f"v{i}", make_wav())
        assert other.get(f"v{i}") == voice
        assert voice in other.list()
    other.delete("v0")
    assert "v0" not in [voice.name for voice in library.list()]


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "../x",
        "a/b",
        "a\\b",
        ".hidden",
        "-x",
        "a" * 65,
        "x\0y",
        "x\ny",
        "ünïcode",
        "emoji😀",
        "a:b",
        "%2e%2e",
    ],
)
def test_names_that_are_refused(library, make_wav, name):
    with pytest.raises(InvalidInput) as caught:
        library.add(name, make_wav())
    assert caught.value.param == "name"
    assert not library.uploads.exists()
    with pytest.raises(NotFound):
        library.get(name)


@pytest.mark.parametrize("name", ["ada", "ADA", "Alloy", "taken", "TAKEN"])
def test_names_that_exist_already(library, make_wav, name):
    library.add("Taken", make_wav())
    with pytest.raises(InvalidInput) as caught:
        library.add(name, make_wav())
    assert caught.value.code == "voice_exists"


def test_one_of_many_at_once_gets_the_name(shipped, tmp_path, make_wav):
    outcomes = []

    def add(i: int) -> None:
        library = VoiceLibrary(shipped, tmp_path / "uploads", min_seconds=1, max_seconds=15)
        try:
            outcomes.append(library.add("same", make_wav(pitch=100.0 + i)))
        except InvalidInput as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=add, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("voice_exists") == 7
    assert len(list((tmp_path / "uploads").iterdir())) == 1


def test_bad_recordings_and_a_full_library(library, make_wav):
    with pytest.raises(InvalidInput) as caught:
        library.normalise(make_wav(seconds=0.5))
    assert caught.value.param == "audio_sample"
    for i in range(20):
        library.add(f"v{i}", make_wav(seconds=1))
    with pytest.raises(InvalidInput) as caught:
        library.add("one more", make_wav())
    assert caught.value.code == "voice_limit_reached"


def test_shipped_voices_cannot_be_deleted(library):
    for name in ("ada", "alloy"):
        with pytest.raises(InvalidInput):
            library.delete(name)
    assert library.get("ada").audio.exists()


def test_drafts_and_strange_folders_are_not_voices(library, make_wav):
    library.add("good", make_wav())
    (library.uploads / ".new-123").mkdir()
    (library.uploads / "voice_empty").mkdir()
    (library.uploads / "notes.txt").write_text("x")
    assert [voice.name for voice in library.list()] == ["ada", "bob", "good"]


class Encoder:
    """Counts its runs; `fail` raises, `hold` waits."""

    def __init__(self) -> None:
        self.runs = 0
        self.fail: Exception | None = None
        self.hold = asyncio.Event()
        self.hold.set()

    async def __call__(self, waveform: np.ndarray, rate: int, transcript: str | None) -> VoicePrompt:
        self.runs += 1
        await self.hold.wait()
        if self.fail:
            raise self.fail
        return VoicePrompt.of("x", {"mean": np.array([np.abs(waveform).mean()])})


LIMITS = {"min_seconds": 1.0, "max_seconds": 15.0, "param": "voice"}


async def test_prompts_are_made_once_for_the_same_content(make_wav):
    encoder = Encoder()
    prompts = VoicePrompts(encoder, 10)
    first = await prompts.of(make_wav(), "la", **LIMITS)
    assert await prompts.of(make_wav(), "la", **LIMITS) is first
    await asyncio.gather(*(prompts.of(make_wav(pitch=300), None, **LIMITS) for _ in range(10)))
    assert encoder.runs == 2
    await prompts.of(make_wav(), "another transcript", **LIMITS)
    assert encoder.runs == 3


async def test_the_least_recently_used_prompt_goes(make_wav):
    encoder = Encoder()
    prompts = VoicePrompts(encoder, 2)
    a, b, c = (make_wav(pitch=p, seconds=1) for p in (100, 200, 300))
    for audio in (a, b, a, c, a):
        await prompts.of(audio, None, **LIMITS)
    assert encoder.runs == 3
    await prompts.of(b, None, **LIMITS)
    assert encoder.runs == 4
    assert prompts.status()["entries"] == 2


async def test_what_is_longer_than_is_used_is_told(make_wav):
    prompts = VoicePrompts(Encoder(), 2)
    short, long = make_wav(seconds=14.5), make_wav(seconds=16)
    assert "cut" not in (await prompts.of(short, None, **LIMITS)).warnings
    assert "cut" in (await prompts.of(long, None, **LIMITS)).warnings


async def test_whoever_waits_takes_over_from_who_was_cancelled(make_wav):
    encoder = Encoder()
    encoder.hold.clear()
    prompts = VoicePrompts(encoder, 2)
    first = asyncio.create_task(prompts.of(make_wav(), None, **LIMITS))
    while not encoder.runs:
        await asyncio.sleep(0.001)
    second = asyncio.create_task(prompts.of(make_wav(), None, **LIMITS))
    await asyncio.sleep(0.05)
    first.cancel()
    encoder.hold.set()
    assert (await second).prompt.family == "x"
    assert first.cancelled() or first.done()


async def test_a_failure_is_not_remembered(make_wav):
    encoder = Encoder()
    encoder.fail = InvalidInput("too quiet", param="reference_audio")
    prompts = VoicePrompts(encoder, 2)
    with pytest.raises(InvalidInput) as caught:
        await prompts.of(make_wav(), None, **LIMITS)
    assert caught.value.param == "voice"
    encoder.fail = None
    await prompts.of(make_wav(), None, **LIMITS)
    assert encoder.runs == 2
