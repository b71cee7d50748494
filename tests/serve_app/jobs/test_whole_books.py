"""Whole books through POST /v1/jobs, on the backend that speaks in tones: every sound is known exactly."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from serve_app.http.app import create_app
from serve_app.jobs.jobs import Jobs
from serve_app.service import Service
from serve_app.synthesis.segment import segment_seed
from tests.books import Epub, Page, prose
from tests.serve_app.books.conftest import check_epub as check_epub
from tests.serve_app.conftest import RATE, ToneBackend, codes_of, tones
from tests.serve_app.jobs.audiobooks import chapters_of, likeness, probe
from tests.serve_app.jobs.conftest import finished, running

ADA, BOB = 220.0, 110.0  # Hz, of the two voices
SEED = 5
LEAD_S = 0.1  # of quiet before each segment's first word
TITLES = ("Chapter 1", "Chapter 2: The Harbour", "Chapter 3")
OUTSIDE = ("Copyright", "reserved", "Ann Author lives", "Contents")


class LateBackend(ToneBackend):
    """Quiet at the start of each segment, as a model's speech has it."""

    async def vocode(self, chunk, *, id, priority):
        spoken = await super().vocode(chunk, id=id, priority=priority)
        if chunk.state is None:
            spoken.waveform[: round(LEAD_S * RATE)] *= 1e-4
        return spoken


@pytest.fixture
def backend() -> ToneBackend:
    return LateBackend()


@dataclass
class Press:
    """Makes books: a client of the application, the jobs behind it, and a folder for the files."""

    client: httpx.AsyncClient
    jobs: Jobs
    folder: Path

    async def book(self, epub: bytes | None = None, **fields: Any) -> dict[str, Any]:
        """The finished job for an EPUB, or for JSON with a script. fields: of the request."""
        fields = {"voice": "ada", "seed": SEED} | fields
        if epub is None:
            answer = await self.client.post("/v1/jobs", json=fields)
        else:
            form = {name: v if isinstance(v, str) else json.dumps(v) for name, v in fields.items()}
            files = {"file": ("book.epub", epub, "application/epub+zip")}
            answer = await self.client.post("/v1/jobs", data=form, files=files)
        assert answer.status_code == 202, answer.text
        return await self.ended(answer.json()["id"])

    async def ended(self, job_id: str) -> dict[str, Any]:
        await finished(self.jobs, job_id)
        job = (await self.client.get(f"/v1/jobs/{job_id}")).json()
        assert job["state"] == "done", (job["error"], self.jobs.stores.jobs.lines(job_id))
        return job

    async def save(self, job: dict[str, Any]) -> dict[str, list[Path]]:
        """The outputs by their format."""
        saved: dict[str, list[Path]] = {}
        for output in job["outputs"]:
            answer = await self.client.get(output["url"])
            assert (answer.status_code, len(answer.content)) == (200, output["bytes"])
            path = self.folder / output["name"]
            path.write_bytes(answer.content)
            saved.setdefault(output["format"], []).append(path)
        return saved

    async def segments(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        found = await self.client.get(f"/v1/jobs/{job['id']}/segments", params={"limit": 1000})
        assert not found.json()["has_more"]
        return found.json()["data"]

    def sounds(self, job: dict[str, Any]) -> list[np.ndarray]:
        """The stored sound of each segment."""
        rows = self.jobs.stores.segments.all(job["id"])
        return [self.jobs.stores.audio.sound(row.sound or "")[0] for row in rows]

    def kept(self) -> set[str]:
        """The digests of all stored sounds."""
        return {path.stem for path in Path(self.jobs.service.settings.jobs_audio).glob("sounds/*/*")}


@pytest.fixture
async def press(service: Service, tmp_path: Path) -> AsyncIterator[Press]:
    app = create_app(service)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    jobs, folder = Jobs(service), tmp_path / "made"
    folder.mkdir()
    client = httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60)
    async with client, running(jobs):
        yield Press(client, jobs, folder)
    for stores in (jobs.stores, app.state.jobs.stores):
        stores.jobs.database.close()


def novel() -> Epub:
    """Three chapters between a title page, a copyright page and a note on the author."""
    pages = [
        Page("<h1>A Test Book</h1><p>Ann Author</p>", "Title Page", type="titlepage"),
        Page("<p>Copyright © 2026 Ann Author. All rights reserved.</p>", "Copyright", type="copyright-page"),
    ]
    for number, title in enumerate(TITLES):
        text = "".join(f"<p>{each}</p>" for each in prose(200, number))
        pages.append(Page(f"<h2>{title}</h2>{text}", title, type="bodymatter"))
    pages.append(Page("<h2>About the Author</h2><p>Ann Author lives by the sea.</p>", "About the Author"))
    return Epub(pages, nav_in_spine=True)


def story(*paragraphs: str) -> bytes:
    """A chapter."""
    text = "".join(f"<p>{each}</p>" for each in paragraphs)
    return Epub([Page(f"<h2>One</h2>{text}", "One", type="bodymatter")]).build()


def assert_says(sound: np.ndarray, text: str, pitch: float, seed: int = SEED) -> None:
    """sound: of one segment, whose quiet start is not looked at."""
    wanted, first = tones(codes_of(text, segment_seed(seed, 0)), pitch)[0], round(LEAD_S * RATE)
    assert len(sound) == len(wanted) > first
    np.testing.assert_allclose(sound[first:], wanted[first:], atol=2**-14)


def lines_of(srt: Path) -> str:
    """The text of subtitles."""
    lines = srt.read_text().splitlines()
    return " ".join(line for line in lines if line and "-->" not in line and not line.isdigit())


async def test_an_epub_becomes_an_audiobook_with_each_chapter_once_at_its_first_word(press: Press) -> None:
    book = novel()
    job = await press.book(book.build())
    saved = await press.save(job)
    heard = chapters_of(saved["m4b"][0])
    assert [chapter.title for chapter in heard] == list(TITLES)

    segments, sounds = await press.segments(job), press.sounds(job)
    for chapter, index in zip(heard, sorted({each["chapter"] for each in segments}), strict=True):
        first = next(i for i, each in enumerate(segments) if each["chapter"] == index)
        assert likeness(chapter.sound, sounds[first]) > 0.9
        others = [likeness(chapter.sound, each) for i, each in enumerate(sounds) if i != first]
        assert max(others) < 0.9, "the test must tell the segments apart"

    expected = " ".join(" ".join((title, *prose(200, n))) for n, title in enumerate(TITLES))
    assert " ".join(each["text"] for each in segments) == expected
    assert lines_of(saved["srt"][0]) == expected
    assert not any(word in expected for word in OUTSIDE)
    tags = probe(saved["m4b"][0])["format"]["tags"]
    assert (tags["title"], tags["artist"]) == ("A Test Book", "Ann Author")
    assert (job["progress"]["percent"], job["faults"], job["warnings"]) == (100.0, 0, [])


async def test_a_dry_run_lists_what_the_job_then_speaks(press: Press) -> None:
    epub = novel().build()
    files = {"file": ("book.epub", epub)}
    listed = (await press.client.post("/v1/jobs?dry_run=true", files=files)).json()
    assert (listed["title"], listed["authors"]) == ("A Test Book", ["Ann Author"])
    included = [chapter for chapter in listed["chapters"] if chapter["included"]]
    assert [chapter["title"] for chapter in included] == list(TITLES)
    assert all(chapter["reason"] for chapter in listed["chapters"] if not chapter["included"])
    assert (await press.client.get("/v1/jobs")).json()["data"] == [] and not press.kept()

    job = await press.book(epub, format="wav", chapters=[included[1]["index"]], subtitles=False)
    segments = await press.segments(job)
    assert {each["chapter"] for each in segments} == {included[1]["index"]}
    assert segments[0]["text"] == TITLES[1]


async def test_each_speaker_of_a_script_has_a_voice(press: Press) -> None:
    script = [
        {"speaker": "Anna", "text": "Where is the tea?", "chapter": "Act one"},
        {"speaker": "Ben", "text": "In the garden. It is cold."},
        {"text": "Nobody moves."},
        {"speaker": "Anna", "text": "Then I go.", "chapter": "Act two"},
    ]
    voices = {"Anna": "ada", "Ben": "bob"}
    job = await press.book(script=script, voices=voices, voice="bob", format="m4b", title="Tea")
    said = [(each["text"], each["speaker"]) for each in await press.segments(job)]
    assert said == [
        ("Where is the tea?", "Anna"),
        ("In the garden.", "Ben"),
        ("It is cold.", "Ben"),
        ("Nobody moves.", None),
        ("Then I go.", "Anna"),
    ]
    for (text, speaker), sound in zip(said, press.sounds(job), strict=True):
        assert_says(sound, text, ADA if speaker == "Anna" else BOB)
    saved = await press.save(job)
    assert [chapter.title for chapter in chapters_of(saved["m4b"][0])] == ["Act one", "Act two"]


async def test_a_tag_of_a_voice_is_followed_and_neither_heard_nor_read(press: Press) -> None:
    epub = story(
        "She said: [voice:bob]I am <em>not</em> here.[/voice] Then she left.",
        "[voice:bob]It rains.",
        "It rains again.[/voice]",
        "The end.",
    )
    job = await press.book(epub, read_along=True)
    said = [each["text"] for each in await press.segments(job)]
    voices = [ADA, ADA, BOB, ADA, BOB, BOB, ADA]
    assert said == [
        "One",
        "She said:",
        "I am not here.",
        "Then she left.",
        "It rains.",
        "It rains again.",
        "The end.",
    ]
    for text, pitch, sound in zip(said, voices, press.sounds(job), strict=True):
        assert_says(sound, text, pitch)
    saved = await press.save(job)
    assert lines_of(saved["srt"][0]) == " ".join(said)


async def test_a_respelled_word_sounds_different_and_reads_the_same(press: Press) -> None:
    epub = story("The GIF is here. A gift is not.", "No Nguyen came.")
    respelled = {"gif": "jif", "Nguyen": "win"}
    job = await press.book(epub, pronunciations=respelled, read_along=True)
    said = [each["text"] for each in await press.segments(job)]
    assert said == ["One", "The GIF is here.", "A gift is not.", "No Nguyen came."]
    heard = ["One", "The jif is here.", "A gift is not.", "No win came."]
    for text, sound in zip(heard, press.sounds(job), strict=True):
        assert_says(sound, text, ADA)
    saved = await press.save(job)
    for subtitles in (saved["srt"][0], saved["vtt"][0]):
        text = subtitles.read_text()
        assert "The GIF is here." in text and "Nguyen" in text and "jif" not in text
    with zipfile.ZipFile(saved["epub"][0]) as archive:
        page = archive.read("OEBPS/text/p0000.xhtml").decode()
    assert re.search(r"<span id=\"\w+\">The GIF is here\.</span>", page)


async def test_a_file_for_each_chapter_has_that_chapter_alone(press: Press) -> None:
    job = await press.book(novel().build(), per_chapter=True, format="mp3")
    saved = await press.save(job)
    names = ["01 Chapter 1", "02 Chapter 2 The Harbour", "03 Chapter 3"]
    assert [path.stem for path in saved["mp3"]] == names
    segments, sounds = await press.segments(job), press.sounds(job)
    for number, (sound, srt) in enumerate(zip(saved["mp3"], saved["srt"], strict=True)):
        own = [i for i, each in enumerate(segments) if each["chapter"] == segments[0]["chapter"] + number]
        assert lines_of(srt) == " ".join(segments[i]["text"] for i in own)
        about = probe(sound)["format"]
        assert about["tags"]["title"] == TITLES[number] and about["tags"]["track"].startswith(str(number + 1))
        least = sum(len(sounds[i]) for i in own) / RATE - LEAD_S
        assert (
            least < float(about["duration"]) < least + 4 + sum(segments[i]["pause_after"] + 0.6 for i in own)
        )
        assert srt.read_text().splitlines()[1].startswith("00:00:00,0")


@pytest.mark.parametrize("version", [2, 3])
async def test_a_read_along_is_a_valid_epub_that_says_every_segment_once(
    press: Press, check_epub: Callable[[Path], str], version: int
) -> None:
    book = novel()
    book.version, book.nav_in_spine = version, False
    if version == 2:
        book.metadata = "<dc:creator>Ann Author</dc:creator>"
        for page in book.pages:
            page.type = ""
    job = await press.book(book.build(), read_along=True, format="mp3")
    saved = await press.save(job)
    assert check_epub(saved["epub"][0]) == ""
    segments = await press.segments(job)
    with zipfile.ZipFile(saved["epub"][0]) as archive:
        smil = [archive.read(name).decode() for name in archive.namelist() if name.endswith(".smil")]
    references = [
        each for text in smil for each in re.findall(r"<(?:\w+:)?text\b[^>]*src=\"([^\"]+)\"", text)
    ]
    assert len(references) == len(set(references)) == len(segments)


async def test_a_read_along_that_fails_costs_no_audiobook(press: Press) -> None:
    book = novel()
    book.compression, book.files["OEBPS/font.otf"] = zipfile.ZIP_STORED, b"A" * 1000
    epub = book.build().replace(b"A" * 1000, b"B" * 1000)  # its checksum is wrong now
    job = await press.book(epub, read_along=True, format="mp3")
    saved = await press.save(job)
    assert set(saved) == {"mp3", "srt", "vtt"}
    (warning,) = job["warnings"]
    assert warning.startswith("The read-along could not be written.") and "font.otf" in warning


async def test_a_segment_said_again_is_alone_made_and_leaves_no_sound_behind(
    press: Press, backend: ToneBackend
) -> None:
    job = await press.book(novel().build(), format="wav", subtitles=True)
    before = press.sounds(job)
    backend.started.clear()
    address = f"/v1/jobs/{job['id']}/segments/3"
    answer = await press.client.post(address, json={"text": "Perhaps tomorrow.", "voice": "bob"})
    assert answer.status_code == 202, answer.text
    job = await press.ended(job["id"])
    assert len({work for work, *_ in backend.started}) == 1
    after = press.sounds(job)
    assert_says(after[3], "Perhaps tomorrow.", BOB)
    assert len(after) == len(before)
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        assert index == 3 or np.array_equal(old, new)
    saved = await press.save(job)
    assert "Perhaps tomorrow." in lines_of(saved["srt"][0])
    used = {row.sound for row in press.jobs.stores.segments.all(job["id"])}
    assert press.kept() == used

    backend.started.clear()
    await press.client.post(address, json={"seed": SEED + 1})
    again = press.sounds(await press.ended(job["id"]))
    assert len({work for work, *_ in backend.started}) == 1
    assert_says(again[3], "Perhaps tomorrow.", BOB, SEED + 1)
