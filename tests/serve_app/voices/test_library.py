"""The voice library on disk and the cache of voice prompts."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from deployments.contract.errors import ChoraleError, InvalidInput, NotFound
from deployments.contract.speech import Reference, VoicePrompt
from serve_app.audio.decode import decode_recording
from serve_app.audio.recording import Recording
from serve_app.voices import files as voice_files
from serve_app.voices.library import VoiceLibrary
from serve_app.voices.names import OPENAI_VOICES, id_of
from serve_app.voices.prompts import VoicePrompts


@pytest.fixture
def library(shipped: Path, tmp_path: Path) -> VoiceLibrary:
    return VoiceLibrary(shipped, tmp_path / "uploads", capacity=20)


def test_shipped_voices(library):
    assert [voice.name for voice in library.list()] == ["ada", "bob"]
    ada = library.get("ada")
    assert (ada.shipped, ada.gender, ada.language, ada.transcript) == (True, "female", "en", "la")
    assert library.read(ada)[:4] == b"RIFF"


def test_a_shipped_voice_may_be_flac(shipped, tmp_path):
    wav = shipped / "bob.wav"
    samples, rate = soundfile.read(wav, dtype="int16")
    soundfile.write(shipped / "bob.flac", samples, rate)
    wav.unlink()
    library = VoiceLibrary(shipped, tmp_path / "uploads")
    assert [voice.name for voice in library.list()] == ["ada", "bob"]
    bob = library.get("bob")
    assert (bob.transcript, library.read(bob)[:4]) == ("la", b"fLaC")
    decoded = decode_recording(library.read(bob), min_seconds=1.0, max_seconds=15.0, param="voice")
    np.testing.assert_array_equal(decoded.waveform, samples / np.float32(32768))


def test_openai_names_are_aliases_of_voices_of_the_same_gender(library):
    assert set(library.aliases) == set(OPENAI_VOICES)
    assert library.get("alloy").name == library.get("Nova").name == "ada"
    assert library.get("onyx").name == "bob"


def test_add_get_list_delete(library, make_wav):
    added = library.add("My Voice", make_wav(), language="en", transcript="la la", consent="yes")
    assert added.id.startswith("voice_")
    assert library.get("my voice") == library.get(added.id) == added == library.list()[-1]
    assert library.read(added) == make_wav()
    assert library.delete(added.id) == added.id
    assert added not in library.list()
    with pytest.raises(NotFound):
        library.get("My Voice")
    with pytest.raises(NotFound):
        library.read(added)
    assert list(library.uploads.iterdir()) == []


def test_another_process_sees_a_new_voice_at_once(library, shipped, make_wav):
    other = VoiceLibrary(shipped, library.uploads)
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
        "emoji😀",
        "a:b",
        "%2e%2e",
        "mine.",
        "mine ",
        "mine\u00a0",
        "voice_3fd30542fe3f61b14bd4",
        "VOICE_3FD30542FE3F61B14BD4",
        "Voice_3fd30542fe3f61b14bd4",
        "voice_3fd30542fe 3f61b14bd4",
        "voice_3fd30542fe3f61b14bd4 ",
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
def test_existing_names_are_refused(library, make_wav, name):
    library.add("Taken", make_wav())
    with pytest.raises(InvalidInput) as caught:
        library.add(name, make_wav())
    assert caught.value.code == "voice_exists"


def test_only_one_of_many_concurrent_uploads_gets_the_name(shipped, tmp_path, make_wav):
    outcomes = []

    def add(i: int) -> None:
        library = VoiceLibrary(shipped, tmp_path / "uploads")
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


def test_a_full_library(library, make_wav):
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


def test_drafts_and_foreign_folders_are_not_voices(library, make_wav):
    library.add("good", make_wav())
    (library.uploads / ".new-123").mkdir()
    (library.uploads / "voice_empty").mkdir()
    (library.uploads / "notes.txt").write_text("x")
    assert [voice.name for voice in library.list()] == ["ada", "bob", "good"]


def meta_of(folder: Path, **changes: object) -> bytes:
    meta = json.loads((folder / "meta.json").read_bytes())
    return json.dumps({key: value for key, value in (meta | changes).items() if value != "missing"}).encode()


def in_its_place(folder: Path, name: str, what: Callable[[Path], object]) -> None:
    (folder / name).unlink()
    what(folder / name)


def link_out(path: Path) -> None:
    """Links to a valid file outside the library."""
    outside = path.parents[2] / f"outside-{path.name}"
    outside.write_bytes((path.parents[1] / id_of("good") / path.name).read_bytes())
    path.symlink_to(outside)


def moved_out(folder: Path) -> None:
    outside = folder.parents[1] / "outside"
    folder.rename(outside)
    folder.symlink_to(outside)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda f: (f / "meta.json").write_bytes(b""),
    "torn": lambda f: (f / "meta.json").write_bytes(meta_of(f)[:-20]),
    "no JSON": lambda f: (f / "meta.json").write_bytes(b"hello"),
    "zeros": lambda f: (f / "meta.json").write_bytes(bytes(500)),
    "not UTF-8": lambda f: (f / "meta.json").write_bytes(meta_of(f).replace(b"bad", b"b\xffd")),
    "half a surrogate": lambda f: (f / "meta.json").write_bytes(meta_of(f, consent="\ud800")),
    "a list": lambda f: (f / "meta.json").write_bytes(b"[]"),
    "a number": lambda f: (f / "meta.json").write_bytes(b"7"),
    "null": lambda f: (f / "meta.json").write_bytes(b"null"),
    "deep": lambda f: (f / "meta.json").write_bytes(b"[" * 60_000),
    "huge": lambda f: (f / "meta.json").write_bytes(meta_of(f, consent="x" * 10**6)),
    "an unknown key": lambda f: (f / "meta.json").write_bytes(meta_of(f, colour="red")),
    "no name": lambda f: (f / "meta.json").write_bytes(meta_of(f, name="missing")),
    "no id": lambda f: (f / "meta.json").write_bytes(meta_of(f, id="missing")),
    "no time": lambda f: (f / "meta.json").write_bytes(meta_of(f, created_at="missing")),
    "a name of another type": lambda f: (f / "meta.json").write_bytes(meta_of(f, name=3)),
    "a time of another type": lambda f: (f / "meta.json").write_bytes(meta_of(f, created_at="today")),
    "an endless time": lambda f: (f / "meta.json").write_bytes(meta_of(f, created_at=float("inf"))),
    "a huge time": lambda f: (f / "meta.json").write_bytes(meta_of(f, created_at=10**400)),
    "warnings of another type": lambda f: (f / "meta.json").write_bytes(meta_of(f, warnings={"a": 1})),
    "a transcript of another type": lambda f: (f / "meta.json").write_bytes(meta_of(f, transcript=["la"])),
    "another id": lambda f: (f / "meta.json").write_bytes(meta_of(f, id=id_of("good"))),
    "another name": lambda f: (f / "meta.json").write_bytes(meta_of(f, name="good")),
    "a path as id": lambda f: (f / "meta.json").write_bytes(meta_of(f, id="../" + id_of("good"))),
    "no meta": lambda f: (f / "meta.json").unlink(),
    "a folder as meta": lambda f: in_its_place(f, "meta.json", Path.mkdir),
    "a pipe as meta": lambda f: in_its_place(f, "meta.json", os.mkfifo),
    "a link as meta": lambda f: in_its_place(f, "meta.json", link_out),
    "a loop as meta": lambda f: in_its_place(f, "meta.json", lambda path: path.symlink_to(path)),
    "no audio": lambda f: (f / "audio.wav").unlink(),
    "empty audio": lambda f: (f / "audio.wav").write_bytes(b""),
    "huge audio": lambda f: os.truncate(f / "audio.wav", 2**40),
    "a folder as audio": lambda f: in_its_place(f, "audio.wav", Path.mkdir),
    "a pipe as audio": lambda f: in_its_place(f, "audio.wav", os.mkfifo),
    "a link as audio": lambda f: in_its_place(f, "audio.wav", link_out),
    "a link as folder": moved_out,
    "a file as folder": lambda f: (shutil.rmtree(f), f.write_text("x")),
    "an empty folder": lambda f: (shutil.rmtree(f), f.mkdir()),
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("when", ["read before", "unknown"])
def test_a_damaged_voice_is_skipped_and_no_other(library, shipped, make_wav, caplog, how, when):
    good, bad = library.add("good", make_wav()), library.add("bad", make_wav(pitch=330))
    if when == "unknown":
        library = VoiceLibrary(shipped, library.uploads, capacity=20)
    DAMAGE[how](library.uploads / bad.id)
    for _ in range(3):
        assert [voice.name for voice in library.list()] == ["ada", "bob", "good"]
        assert library.get("good") == library.get(good.id) == good
        for name in ("bad", bad.id):
            with pytest.raises(NotFound):
                library.get(name)
        assert not library.holds(bad)
    (record,) = [record for record in caplog.records if record.name == "chorale.voices"]
    assert bad.id in record.getMessage()
    assert library.read(good) == make_wav()

    with pytest.raises(InvalidInput) as caught:
        library.add("bad", make_wav())
    assert caught.value.code == "voice_exists" and bad.id in caught.value.message
    assert library.delete(bad.id if when == "unknown" else "BAD") == bad.id
    assert [path.name for path in library.uploads.iterdir()] == [good.id]
    again = library.add("bad", make_wav(pitch=440))
    assert library.get("bad") == again != bad
    outside = list(library.uploads.parent.glob("outside*"))
    assert len(outside) == ("link" in how), "the target of a link is not touched"


def test_new_damage_is_logged_again(library, make_wav, caplog):
    bad = library.uploads / library.add("bad", make_wav()).id
    whole = (bad / "meta.json").read_bytes()
    for damaged in (b"{", b"[]"):
        (bad / "meta.json").write_bytes(damaged)
        assert not library.list()[2:]
        (bad / "meta.json").write_bytes(whole)
        assert library.list()[2:]
    assert len(caplog.records) == 2


def test_shipped_voices_work_if_the_library_cannot_be_listed(library, caplog):
    library.uploads.write_text("no folder")
    for _ in range(3):
        assert [voice.name for voice in library.list()] == ["ada", "bob"]
        assert library.get("alloy").name == "ada"
    assert len(caplog.records) == 1
    with pytest.raises(ChoraleError) as caught:
        library.add("x", b"RIFF")
    assert caught.value.code == "storage_failed" and str(library.uploads) not in caught.value.message


def squatter(library: VoiceLibrary, name: str, recording: bytes) -> str:
    """A voice from an earlier version, with a name that is refused now."""
    meta = voice_files.Meta(id=id_of(name), name=name, created_at=1)
    voice_files.add(library.uploads, meta, recording)
    return meta.id


@pytest.mark.parametrize("change", [str, str.upper, lambda name: name[:8] + " " + name[8:]])
def test_a_name_that_looks_like_an_id_cannot_impersonate_a_voice(library, make_wav, change):
    other = squatter(library, change(id_of("mine")), make_wav(pitch=330))
    with pytest.raises(NotFound):
        library.get(id_of("mine"))
    with pytest.raises(NotFound):
        library.delete(id_of("mine"))
    mine = library.add("mine", make_wav())
    assert library.get(id_of("mine")) == library.get("mine") == mine
    assert library.read(library.get(id_of("mine"))) == make_wav()
    assert library.get(other).id == other, "its own id still finds it"
    library.delete(id_of("mine"))
    assert [voice.id for voice in library.list() if not voice.shipped] == [other]
    assert library.delete(other) == other


@pytest.mark.parametrize("name", ["ada", "Alloy"])
def test_shipped_names_take_precedence_in_an_older_library(library, make_wav, name):
    other = squatter(library, name, make_wav(pitch=330))
    assert library.get("ada").shipped
    assert library.get(other).id == other
    assert library.delete(other) == other


def test_names_ignore_case_and_nothing_else(library, make_wav):
    mine = library.add("Kiss. Me", make_wav())
    assert library.get("kiss. me") == mine
    for name in ("Kiss.  Me", "Kiss. Me ", "\ud800", "a" * 10**6):
        with pytest.raises(NotFound):
            library.get(name)
        with pytest.raises(NotFound):
            library.delete(name)


def test_leftovers_of_dead_processes_are_removed(library, make_wav):
    kept = library.add("kept", make_wav())
    for name, age in ((".new-old", 600), (".new-young", 1), (".gone-old", 600), (".gone-young", 1)):
        folder = library.uploads / name
        folder.mkdir()
        (folder / "audio.wav").write_bytes(make_wav())
        os.utime(folder, (time.time() - age,) * 2)
    library.sweep()
    assert {path.name for path in library.uploads.iterdir()} == {kept.id, ".new-young"}
    (library.uploads / ".gone-again").mkdir()
    library.delete("kept")
    assert {path.name for path in library.uploads.iterdir()} == {".new-young"}


def test_only_the_owner_can_read_voices(library, make_wav):
    library.add("x", make_wav())
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in library.uploads.rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert stat.S_IMODE(library.uploads.stat().st_mode) == 0o700


def test_a_voice_is_synced_before_it_appears(library, make_wav, monkeypatch):
    """Checks the order of writes, syncs and renames by the system calls."""
    order: list[str] = []
    fsync, rename = os.fsync, os.rename

    def synced(opened: int) -> None:
        order.append(Path(os.readlink(f"/proc/self/fd/{opened}")).name)
        fsync(opened)

    def renamed(before: Path, after: Path) -> None:
        order.append("rename")
        rename(before, after)

    library.uploads.mkdir()
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    library.add("x", make_wav())
    draft = order.index("rename") - 1
    assert set(order[:draft]) == {"audio.wav", "meta.json"} and order[draft].startswith(".new-")
    assert order[draft + 1 :] == ["rename", "uploads"]
    order.clear()
    library.delete("x")
    assert order == ["rename", "uploads"]


def test_a_full_disk_leaves_nothing_half_written(library, make_wav, monkeypatch):
    def full(opened: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    library.uploads.mkdir()
    with pytest.raises(ChoraleError) as caught:
        library.add("x", make_wav())
    assert (caught.value.code, caught.value.message) == (
        "storage_failed", "The voice could not be stored: No space left on device."
    )  # fmt: skip
    assert list(library.uploads.iterdir()) == []


def test_a_voice_uploaded_again_is_a_different_voice(library, make_wav):
    first = library.add("x", make_wav())
    assert library.holds(first) and library.holds(library.get("ada"))
    library.delete("x")
    assert not library.holds(first)
    second = library.add("x", make_wav(pitch=330))
    assert library.holds(second) and not library.holds(first)


class Encoder:
    """Counts its runs. `fail`: raise. `hold`: wait."""

    def __init__(self) -> None:
        self.runs = 0
        self.fail: Exception | None = None
        self.hold = asyncio.Event()
        self.hold.set()

    async def __call__(self, reference: Reference, keep: str | None) -> VoicePrompt:
        self.runs += 1
        self.seen = reference
        await self.hold.wait()
        if self.fail:
            raise self.fail
        return VoicePrompt.of("x", {"mean": np.array([np.abs(reference.first[0]).mean()])})


async def read(audio: bytes, param: str) -> Recording:
    return decode_recording(audio, min_seconds=1.0, max_seconds=15.0, param=param)


HOW = {"read": read, "param": "voice"}


async def test_prompts_are_computed_once_for_the_same_content(make_wav):
    encoder = Encoder()
    prompts = VoicePrompts(encoder, 10)
    first = await prompts.of(make_wav(), "la", **HOW)
    assert (await prompts.of(make_wav(), "la", **HOW)).prompt is first.prompt
    await asyncio.gather(*(prompts.of(make_wav(pitch=300), None, **HOW) for _ in range(10)))
    assert encoder.runs == 2
    await prompts.of(make_wav(), "another transcript", **HOW)
    assert encoder.runs == 3
    await prompts.of(make_wav(), "la", **HOW, language="it")
    assert encoder.runs == 4
    assert (encoder.seen.transcript, encoder.seen.language) == ("la", "it")


async def test_the_least_recently_used_prompt_is_evicted(make_wav):
    encoder = Encoder()
    prompts = VoicePrompts(encoder, 2)
    a, b, c = (make_wav(pitch=p, seconds=1) for p in (100, 200, 300))
    for audio in (a, b, a, c, a):
        await prompts.of(audio, None, **HOW)
    assert encoder.runs == 3
    await prompts.of(b, None, **HOW)
    assert encoder.runs == 4
    assert prompts.status()["entries"] == 2


async def test_prompts_of_one_voice_can_be_dropped_alone(make_wav):
    encoder = Encoder()
    prompts = VoicePrompts(encoder, 10)
    for voice in ("a", "ab", None):
        for transcript in (None, "la"):
            assert (await prompts.of(make_wav(), transcript, **HOW, voice=voice)).fresh
    prompts.forget("a")
    assert prompts.status()["entries"] == 4
    assert not (await prompts.of(make_wav(), None, **HOW, voice="ab")).fresh
    assert (await prompts.of(make_wav(), None, **HOW, voice="a")).fresh
    assert encoder.runs == 7


async def test_a_recording_longer_than_used_gets_a_warning(make_wav):
    prompts = VoicePrompts(Encoder(), 2)
    short, long = make_wav(seconds=14.5), make_wav(seconds=16)
    assert "cut" not in (await prompts.of(short, None, **HOW)).warnings
    assert "cut" in (await prompts.of(long, None, **HOW)).warnings


async def test_a_waiting_caller_takes_over_from_a_cancelled_one(make_wav):
    encoder = Encoder()
    encoder.hold.clear()
    prompts = VoicePrompts(encoder, 2)
    first = asyncio.create_task(prompts.of(make_wav(), None, **HOW))
    while not encoder.runs:
        await asyncio.sleep(0.001)
    second = asyncio.create_task(prompts.of(make_wav(), None, **HOW))
    await asyncio.sleep(0.05)
    first.cancel()
    encoder.hold.set()
    assert (await second).prompt.family == "x"
    assert first.cancelled() or first.done()


async def test_a_failure_is_not_cached(make_wav):
    encoder = Encoder()
    encoder.fail = InvalidInput("too quiet", param="reference_audio")
    prompts = VoicePrompts(encoder, 2)
    with pytest.raises(InvalidInput) as caught:
        await prompts.of(make_wav(), None, **HOW)
    assert caught.value.param == "voice"
    encoder.fail = None
    await prompts.of(make_wav(), None, **HOW)
    assert encoder.runs == 2
