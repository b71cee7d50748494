"""Subtitles: the times of the sound, and rows that fit on a screen."""

from __future__ import annotations

import itertools
import subprocess

import pytest

from serve_app.books.subtitles import ROWS, WIDTH, columns, cues, split, srt, vtt
from serve_app.books.timeline import Line
from tests.serve_app.books.conftest import command

RATE = 1000
LONG = (
    "It was the best of times, it was the worst of times; it was the age of wisdom, and of foolishness, and of much "
    "that nobody has ever been able to put into one row of a screen, however wide."
)
CHINESE = "第二天早上，他们沿着河边走了很久，谁也没有说话，因为每个人都在想着昨天晚上发生的事情，和今天将要发生的事情。"


def line(text: str, begin: int, end: int, chapter: int = 0) -> Line:
    return Line(chapter, 0, (0, len(text)), text, begin, end)


def test_srt_has_a_cue_for_each_line_at_its_time():
    text = "".join(srt([line("One.", 0, 1500), line("Two <i> & three.", 3_661_001, 3_662_000)], RATE))
    assert text == (
        "1\n00:00:00,000 --> 00:00:01,500\nOne.\n\n2\n01:01:01,001 --> 01:01:02,000\nTwo <i> & three.\n\n"
    )


def test_vtt_escapes_what_would_be_markup():
    text = "".join(vtt([line("Two <i> & --> three.", 500, 900)], RATE))
    assert text == "WEBVTT\n\n00:00:00.500 --> 00:00:00.900\nTwo &lt;i&gt; &amp; --&gt; three.\n\n"


def test_times_of_a_chapter_count_from_its_beginning():
    (cue,) = cues([line("One.", 5000, 6000)], RATE, origin=4000)
    assert (cue.begin, cue.end) == (1000, 2000)


@pytest.mark.parametrize("text", [LONG, CHINESE])
def test_a_long_line_is_split_into_cues_that_fit(text):
    found = list(cues([line(text, 1000, 11_000)], RATE))
    assert len(found) > 1
    assert found[0].begin == 1000 and found[-1].end == 11_000
    assert all(a.end == b.begin for a, b in itertools.pairwise(found))
    assert all(len(cue.rows) <= ROWS + 1 and all(columns(row) <= WIDTH for row in cue.rows) for cue in found)
    rows = [row for cue in found for row in cue.rows]
    assert ("" if text is CHINESE else " ").join(rows) == text
    for cue in found:
        share = (cue.end - cue.begin) / 10_000
        assert share == pytest.approx(sum(map(columns, cue.rows)) / columns(text), abs=0.05)


def test_splits_prefer_the_end_of_a_clause_and_never_begin_with_punctuation():
    assert split("One two three four, five six seven", 24) == ["One two three four,", "five six seven"]
    assert all(part[0] not in "，。、" for part in split(CHINESE, WIDTH))


def test_a_word_longer_than_a_row_is_cut():
    parts = split("x" * 100, WIDTH)
    assert "".join(parts) == "x" * 100 and max(map(len, parts)) <= WIDTH


def test_texts_of_one_row_and_line_breaks_stay_one_cue():
    (cue,) = cues([line("A line\nand   another", 0, 10)], RATE)
    assert cue.rows == ("A line and another",)


@pytest.mark.parametrize(("format", "write"), [("srt", srt), ("webvtt", vtt)])
def test_ffmpeg_reads_them(format, write, tmp_path):
    lines = [line(LONG, 0, 9000), line("Tom & <Jerry>", 9500, 10_000)]
    path = tmp_path / f"book.{format}"
    path.write_text("".join(write(lines, RATE)), encoding="utf-8")
    options = ["-v", "error", "-show_packets", "-select_streams", "s", "-of", "csv=p=0", "-show_entries"]
    done = subprocess.run(
        [command("ffprobe"), *options, "packet=pts_time,duration_time", path], capture_output=True, text=True
    )
    times = [tuple(map(float, row.split(",")[:2])) for row in done.stdout.split()]
    assert times == [(c.begin / 1000, pytest.approx((c.end - c.begin) / 1000)) for c in cues(lines, RATE)]
