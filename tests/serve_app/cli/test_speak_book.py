"""`chorale book -o` and `chorale jobs`, as programs, on the small family and on a served tone backend."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from deployments.contract.errors import InvalidInput, Unavailable
from serve_app.cli.jobs import _error, name_of
from serve_app.cli.speak_book import Wanted, _beside, indices
from serve_app.jobs.jobs import Jobs, digest_of
from serve_app.jobs.runner import Runner
from serve_app.service import Service
from tests.books import PNG, Epub, Page
from tests.serve_app.books.atom_reader import Mp4
from tests.serve_app.jobs.audiobooks import chapters_of

SENTENCES = Path("tests/data/sentences.txt").read_text().splitlines()
BOOK = "\n\n".join(f"Chapter {n + 1}\n\n{' '.join(SENTENCES[4 * n : 4 * n + 4])}" for n in range(3))


def command(data: Path, *args: str) -> list[str]:
    return [sys.executable, "-m", "serve_app.cli.main", *args]


def environ(data: Path) -> dict[str, str]:
    return {**os.environ, "CHORALE_DATA_DIR": str(data), "OMP_NUM_THREADS": "1"}


def run(data: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(data, *args), env=environ(data), capture_output=True, text=True, timeout=250
    )


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "tea.txt"
    path.write_text(BOOK)
    return path


@pytest.mark.slow
def test_a_book_that_is_killed_twice_has_the_samples_of_an_undisturbed_one(
    tmp_path: Path, book: Path
) -> None:
    undisturbed, killed = tmp_path / "undisturbed.wav", tmp_path / "killed.wav"
    done = run(tmp_path / "one", "book", str(book), "-o", str(undisturbed), "--seed", "4")
    assert done.returncode == 0, done.stderr

    data, rng = tmp_path / "two", random.Random(7)
    args = command(data, "book", str(book), "-o", str(killed), "--seed", "4")
    sounds = data / "jobs" / "sounds"
    for least in (1, 6):
        process = subprocess.Popen(
            args, env=environ(data), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while len(list(sounds.rglob("*.flac"))) < least:
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(rng.random() / 2)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not killed.exists()
    kept = {path.name: path.stat().st_mtime_ns for path in sounds.rglob("*.flac")}
    done = run(data, "book", str(book), "-o", str(killed), "--seed", "4")
    assert done.returncode == 0, done.stderr
    assert {
        path.name: path.stat().st_mtime_ns for path in sounds.rglob("*.flac") if path.name in kept
    } == kept
    expected, rate = soundfile.read(undisturbed, dtype="int16")
    found, found_rate = soundfile.read(killed, dtype="int16")
    assert rate == found_rate
    np.testing.assert_array_equal(found, expected)
    assert killed.with_suffix(".srt").read_text() == undisturbed.with_suffix(".srt").read_text()


@pytest.fixture
def working(server: str, service: Service) -> Iterator[str]:
    """The address of a service whose jobs are worked on."""
    jobs, loop = Jobs(service), asyncio.new_event_loop()
    task = loop.create_task(Runner(service, jobs.stores, service.settings.jobs).run())

    def work() -> None:
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            return

    thread = threading.Thread(target=work)
    thread.start()
    yield server
    loop.call_soon_threadsafe(task.cancel)
    thread.join(30)
    loop.close()
    jobs.stores.jobs.database.close()


def test_a_service_makes_the_book_and_its_jobs_are_managed(working: str, tmp_path: Path, book: Path) -> None:
    out = tmp_path / "tea.mp3"
    done = run(
        tmp_path,
        "book",
        str(book),
        "-o",
        str(out),
        "--server",
        working,
        "--voice",
        "ada",
        "--temperature",
        "0",
    )
    assert done.returncode == 0, done.stderr
    assert soundfile.info(out).duration > 5 and out.with_suffix(".vtt").exists()
    assert not list(tmp_path.glob(".*.job"))
    listed = run(tmp_path, "jobs", "list", "--server", working).stdout
    assert "done" in listed and "100 %" in listed and "tea" in listed
    job_id = next(word for word in listed.split() if word.startswith("job_"))
    shown = run(tmp_path, "jobs", "show", job_id, "--server", working).stdout
    assert "15 of 15" in shown and "tea.mp3" in shown
    again = tmp_path / "again.mp3"
    assert run(tmp_path, "jobs", "download", job_id, "-o", str(again), "--server", working).returncode == 0
    assert again.read_bytes() == out.read_bytes()
    assert run(tmp_path, "jobs", "delete", job_id, "--server", working).returncode == 0
    gone = run(tmp_path, "jobs", "cancel", job_id, "--server", working)
    assert (gone.returncode, gone.stderr) == (2, "chorale: Invalid 'job_id': this job does not exist.\n")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("-o", "x.exe"), "must end in one of .m4b"),
        (("-o", "x.m4b", "--chapters", "0;2"), "--chapters 0;2: must be indices"),
        (("-o", "x.m4b", "--chapters", "9"), "Invalid 'chapters'"),
        (("-o", "x.m4b", "--voice", "nobody"), "nobody"),
        (("-o", "x.m4b", "--warp", "9"), "warp"),
        (("-o", "x.m4b", "--server", "http://127.0.0.1:9"), "no service responds at http://127.0.0.1:9"),
        ((), "--out FILE.m4b is required"),
    ],
)
def test_wrong_options_take_one_line(tmp_path: Path, book: Path, args: tuple[str, ...], says: str) -> None:
    done = run(tmp_path / "data", "book", str(book), *args)
    assert done.returncode == 2
    assert says in done.stderr and done.stderr.startswith("chorale: ") and done.stderr.count("\n") == 1


def test_indices_of_chapters() -> None:
    assert indices("0, 2-4,7") == [0, 2, 3, 4, 7]
    for wrong in ("", "a", "1-", "-3", "1,,2", "9" * 9):
        with pytest.raises(InvalidInput):
            indices(wrong)


def test_the_other_files_are_named_after_the_main_one(tmp_path: Path) -> None:
    wanted = Wanted(tmp_path / "b.txt", tmp_path / "mine.m4b", {}, {})
    assert wanted.path_of("The Tea.m4b", "The Tea.m4b") == tmp_path / "mine.m4b"
    assert wanted.path_of("The Tea.srt", "The Tea.m4b") == tmp_path / "mine.srt"
    assert wanted.path_of("02 Two.m4b", "01 One.m4b") == tmp_path / "02 Two.m4b"
    assert wanted.path_of("The Tea.read-along.epub", "The Tea.m4b") == tmp_path / "mine.read-along.epub"


def test_a_read_along_never_replaces_the_book(tmp_path):
    book = tmp_path / "tea.read-along.epub"
    with pytest.raises(InvalidInput, match="would replace") as caught:
        Wanted.of(book, tmp_path / "tea.m4b", {"read_along": True}, {})
    assert caught.value.param == "out"
    assert Wanted.of(tmp_path / "tea.epub", tmp_path / "tea.m4b", {"read_along": True}, {}).fields


def test_a_cover_goes_with_the_book(tmp_path: Path, book: Path) -> None:
    cover = tmp_path / "cover.png"
    wanted = Wanted.of(book, tmp_path / "tea.m4b", {"cover": cover}, {})
    with pytest.raises(FileNotFoundError):
        wanted.submission({})
    cover.write_bytes(PNG)
    assert wanted.submission({}).cover == PNG and "cover" not in wanted.fields
    assert digest_of(wanted.submission({})) != digest_of(replace(wanted, cover=None).submission({}))


def an_epub(folder: Path, *chapters: str) -> Path:
    """A title page and a copyright page before the chapters."""
    pages = [
        Page("<h1>Tea</h1><p>Ann Author</p>", "Title Page", type="titlepage"),
        Page("<p>Copyright © 2026 Ann Author. All rights reserved.</p>", "Copyright"),
    ]
    for number, text in enumerate(chapters, 1):
        pages.append(Page(f"<h2>Chapter {number}</h2><p>{text}</p>", f"Chapter {number}", type="bodymatter"))
    path = folder / "tea.epub"
    path.write_bytes(Epub(pages, title="Tea").build())
    return path


def test_an_epub_becomes_an_m4b_with_chapters_by_a_service(working: str, tmp_path: Path) -> None:
    out = tmp_path / "out" / "book.m4b"
    out.parent.mkdir()
    epub = an_epub(tmp_path, "The tea is cold.", "It rains again. Nobody came.")
    args = ("book", str(epub), "-o", str(out), "--server", working, "--voice", "ada", "--read-along")
    cover = tmp_path / "cover.png"
    cover.write_bytes(PNG)
    args = (*args, "--cover", str(cover))
    done = run(tmp_path, *args)
    assert done.returncode == 0, done.stderr
    assert [chapter.title for chapter in chapters_of(out)] == ["Chapter 1", "Chapter 2"]
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "book.m4b",
        "book.read-along.epub",
        "book.srt",
        "book.vtt",
    ]
    assert "Copyright" not in out.with_suffix(".srt").read_text()
    assert Mp4(out).value("covr") == PNG


def test_an_epub_becomes_an_m4b_with_chapters_by_the_real_model(tmp_path: Path) -> None:
    out = tmp_path / "book.m4b"
    epub = an_epub(tmp_path, "The tea is cold.", "It rains again.")
    done = run(tmp_path / "data", "book", str(epub), "-o", str(out))
    assert done.returncode == 0, done.stderr
    heard = chapters_of(out)
    assert [chapter.title for chapter in heard] == ["Chapter 1", "Chapter 2"]
    sounds = list((tmp_path / "data" / "jobs" / "sounds").rglob("*.flac"))
    assert len(sounds) == 4, "two headings and two sentences"
    text = out.with_suffix(".srt").read_text()
    assert [line for line in text.splitlines() if line.endswith(".")] == [
        "The tea is cold.",
        "It rains again.",
    ]


def test_a_service_cannot_name_a_file_outside_the_folder(tmp_path: Path) -> None:
    assert name_of({"name": "../../.ssh/authorized_keys"}) == "authorized_keys"


def test_a_busy_service_is_asked_again() -> None:
    said = {"error": {"message": "Busy.", "param": None, "code": "overloaded"}}
    assert isinstance(_error(httpx.Response(429, json=said)), Unavailable)


async def test_a_runner_that_ends_with_an_error_ends_the_command() -> None:
    async def broken() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await _beside(asyncio.create_task(broken()), asyncio.Event().wait())
