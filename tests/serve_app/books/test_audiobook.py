"""The files of a book, read back by Debian's ffmpeg and by a reader of atoms of its own."""

from __future__ import annotations

import json
import resource
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soxr

from deployments.contract.errors import InvalidInput
from serve_app.books import audiobook, file_tags
from serve_app.books.audiobook import FORMATS, ID3_CHAPTERS, NERO_CHAPTERS, Contents, write
from serve_app.books.book import About
from serve_app.books.cover import read_cover
from serve_app.books.timeline import Mark
from tests.serve_app.books.atom_reader import Mp4
from tests.serve_app.books.conftest import RATE, Read, command, ffmpeg_samples
from tests.serve_app.books.id3_reader import Id3

EXACT = ("wav", "flac")
CHAPTERED = ("m4b", "mp3", "opus", "flac")


def contents(about: About, format: str, marks=(), cover: bytes | None = None) -> Contents:
    return Contents(
        file_tags.tags(about, format),
        file_tags.freeform(about),
        marks,
        0,
        None if cover is None else read_cover(cover),
    )


@pytest.fixture
def made(short: Read, tmp_path: Path):
    """Writes the short book: (path, timeline, the sound)."""

    def make(format: str):
        layout = short.layout()
        path = tmp_path / f"book.{format}"
        about, cover = short.book.about, short.book.cover
        write(path, format, layout.blocks(), RATE, contents(about, format, layout.timeline.marks, cover))
        return path, layout.timeline, np.concatenate(list(layout.blocks()))

    return make


def probe(path: Path) -> dict:
    show = ["-show_format", "-show_chapters", "-show_streams", "-of", "json"]
    done = subprocess.run([command("ffprobe"), "-v", "error", *show, path], capture_output=True, check=True)
    return json.loads(done.stdout)


def tags_of(found: dict) -> dict[str, str]:
    """Of the container, or of the sound in Ogg."""
    (sound,) = [stream for stream in found["streams"] if stream["codec_type"] == "audio"]
    return {k.lower(): v for k, v in (sound.get("tags", {}) | found["format"].get("tags", {})).items()}


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_decodes_to_the_book_s_sound_at_its_length(format, made):
    path, timeline, sound = made(format)
    heard = ffmpeg_samples(path, RATE)
    assert abs(len(heard) - timeline.samples) <= 0.02 * RATE
    assert float(probe(path)["format"]["duration"]) == pytest.approx(timeline.samples / RATE, abs=0.06)
    if format in EXACT:
        np.testing.assert_allclose(heard, sound, atol=1e-4)
    size = min(len(heard), len(sound))
    errors = heard[:size] - sound[:size]
    assert np.sqrt(np.mean(errors**2)) < 0.12 * np.sqrt(np.mean(sound**2))


@pytest.mark.parametrize("format", CHAPTERED)
def test_chapters_start_at_their_first_words(format, made):
    path, timeline, _ = made(format)
    heard = ffmpeg_samples(path, RATE)
    chapters = probe(path)["chapters"]
    assert [chapter["tags"]["title"] for chapter in chapters] == ["One", "Chapter 2", "Größe 第三"]
    for chapter, mark in zip(chapters, timeline.marks, strict=True):
        begin = float(chapter["start_time"])
        assert begin == pytest.approx(mark.begin / RATE, abs=0.001)
        word = np.argmax(np.abs(heard[round(begin * RATE) :]) > 0.03) / RATE
        assert 0 <= word < 0.05
        before = heard[round((begin - 0.1) * RATE) : round(begin * RATE)] if begin else np.zeros(1)
        assert np.abs(before).max() < 0.01, "it does not begin within the chapter before"


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_clicks_in_any_format(format, made):
    path, _, sound = made(format)
    heard = ffmpeg_samples(path, RATE)
    assert np.abs(np.diff(heard, 2)).max() < 2 * np.abs(np.diff(sound, 2)).max()


@pytest.mark.parametrize("format", FORMATS)
def test_ffprobe_reads_the_tags_back(format, made):
    found = tags_of(probe(made(format)[0]))
    wanted = {
        "title": "The Long Way",
        "album": "The Long Way",
        "artist": "Ann Author, Bob Writer",
        "genre": "Fantasy; Fiction",
    }
    if format != "wav":
        wanted |= {"composer": "Nora", "album_artist": "Ann Author, Bob Writer"}
        wanted |= {"series": "Ways", "series-part": "2", "isbn": "9780000000002", "language": "en"}
        wanted |= {"publisher": "Small Press"}
    assert {key: found.get(key) for key in wanted} == wanted
    assert found["date"].startswith("2019")
    assert "A tale, told twice." in (found.get("description"), found.get("comment"))


@pytest.mark.parametrize("format", ["m4b", "mp3", "flac", "opus"])
def test_the_cover_is_in_the_file(format, made, cover):
    path, *_ = made(format)
    (picture,) = [s for s in probe(path)["streams"] if s["codec_type"] == "video"]
    assert picture["disposition"]["attached_pic"] == 1
    assert (picture["codec_name"], picture["width"]) == ("mjpeg", 1400)
    options = ["-v", "error", "-i", path, "-map", "0:v", "-c", "copy", "-f", "image2pipe", "-"]
    done = subprocess.run([command("ffmpeg"), *options], capture_output=True, check=True)
    assert done.stdout == cover


def test_an_m4b_has_what_apple_books_reads(made):
    mp4 = Mp4(made("m4b")[0])
    assert mp4.brand == b"M4B "
    assert mp4.top.index("moov") < mp4.top.index("mdat"), "it can be played while it loads"
    text = {"©nam": "The Long Way", "©alb": "The Long Way", "©ART": "Ann Author, Bob Writer", "©wrt": "Nora"}
    text |= {"aART": "Ann Author, Bob Writer", "©day": "2019-03-04", "©gen": "Fantasy; Fiction"}
    text |= {"desc": "A tale, told twice.", "ldes": "A tale, told twice.", "©grp": "Ways #2"}
    assert {kind: (mp4.value(kind) or b"").decode() for kind in text} == text
    assert mp4.value("stik") == b"\2", "an audiobook"
    assert mp4.value("pgap") == b"\1"
    assert (mp4.value("covr") or b"").startswith(b"\xff\xd8")
    assert not mp4.all("moov/meta"), "no keys of QuickTime, which hide the others from players"
    assert mp4.freeform == {
        "series": "Ways",
        "series-part": "2",
        "isbn": "9780000000002",
        "language": "en",
        "publisher": "Small Press",
    }


def test_an_m4b_has_chapters_of_both_kinds(made):
    path, timeline, _ = made("m4b")
    mp4 = Mp4(path)
    wanted = [(pytest.approx(mark.begin / RATE, abs=0.001), mark.title) for mark in timeline.marks]
    assert mp4.nero_chapters == wanted
    assert mp4.quicktime_chapters == wanted


def test_an_m4b_without_freeform_values_is_left_as_the_muxer_wrote_it(short, tmp_path):
    layout = short.layout()
    about = About(title="Plain")
    write(tmp_path / "a.m4b", "m4b", layout.blocks(), RATE, contents(about, "m4b"))
    assert Mp4(tmp_path / "a.m4b").freeform == {}
    assert list(tmp_path.iterdir()) == [tmp_path / "a.m4b"]


def test_more_chapters_than_nero_s_table_holds_bring_a_warning(tmp_path):
    seconds = 0.1
    marks = [
        Mark(i, f"Part {i}", round(i * seconds * RATE), round((i + 1) * seconds * RATE)) for i in range(300)
    ]
    sound = [np.zeros(RATE, np.float32)] * 30
    path = tmp_path / "many.m4b"
    written = write(path, "m4b", sound, RATE, contents(About(title="Many"), "m4b", marks))
    assert "300 chapters" in written.warnings[0]
    assert len(Mp4(path).quicktime_chapters) == len(probe(path)["chapters"]) == 300
    assert len(Mp4(path).nero_chapters) == NERO_CHAPTERS


def test_mp3_has_a_table_of_its_chapters(made):
    path, timeline, _ = made("mp3")
    tag = Id3(path)
    assert [(c.title, c.begin, c.end) for c in tag.chapters] == [
        (title, round(1000 * mark.begin / RATE), round(1000 * mark.end / RATE))
        for title, mark in zip(("One", "Chapter 2", "Größe 第三"), timeline.marks, strict=True)
    ]
    assert tag.contents == (3, [chapter.id for chapter in tag.chapters]), "top-level and ordered"


def test_mp3_marks_as_many_chapters_as_its_table_holds(tmp_path):
    marks = [Mark(i, f"Part {i}", i * 2400, (i + 1) * 2400) for i in range(300)]
    path = tmp_path / "many.mp3"
    sound = [np.zeros(RATE, np.float32)] * 30
    written = write(path, "mp3", sound, RATE, contents(About(title="Many"), "mp3", marks))
    assert "300 chapters" in written.warnings[0]
    tag = Id3(path)
    assert tag.contents[1] == [chapter.id for chapter in tag.chapters]
    assert len(tag.chapters) == len(probe(path)["chapters"]) == ID3_CHAPTERS


def test_a_long_title_is_cut_between_characters(tmp_path):
    mark = Mark(0, "长" * 200, 0, RATE)
    path = tmp_path / "long.m4b"
    write(path, "m4b", [np.zeros(RATE, np.float32)], RATE, contents(About(), "m4b", [mark]))
    assert Mp4(path).nero_chapters == [(0.0, "长" * 85)]


@pytest.mark.parametrize("format", ["m4b", "mp3", "flac"])
def test_a_file_of_one_chapter_has_its_number_and_title(format, short, tmp_path):
    layout = short.layout()
    mark = layout.timeline.marks[1]
    tags = file_tags.chapter_tags(short.book.about, format, mark.title, 2, 3)
    path = tmp_path / f"two.{format}"
    write(path, format, layout.blocks(mark.begin, mark.end), RATE, Contents(tags, {}))
    found = tags_of(probe(path))
    assert (found["title"], found["album"], found["track"]) == ("Chapter 2", "The Long Way", "2/3")
    assert abs(len(ffmpeg_samples(path, RATE)) - (mark.end - mark.begin)) <= 0.02 * RATE


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100])
@pytest.mark.parametrize("format", FORMATS)
def test_other_rates_keep_the_length_and_the_pitch(format, rate, tmp_path):
    t = np.arange(3 * rate) / rate
    sound = (0.3 * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)
    path = tmp_path / f"tone.{format}"
    written = write(path, format, np.array_split(sound, 9), rate, Contents({}, {}))
    assert written.seconds == pytest.approx(3.0, abs=0.001)
    heard = ffmpeg_samples(path, RATE)
    assert len(heard) / RATE == pytest.approx(3.0, abs=0.05)
    middle = heard[RATE : 2 * RATE]
    assert np.argmax(np.abs(np.fft.rfft(middle * np.hanning(RATE)))) == 1000
    wanted = soxr.resample(sound, rate, RATE)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(
        np.sqrt(np.mean(wanted**2)), rel=0.06
    )  # LAME lowers by 0.45 dB


def test_mp3_has_64_kbit_s_unless_another_rate_is_wanted(tmp_path):
    sound = [np.random.default_rng(0).standard_normal(10 * RATE).astype(np.float32) * 0.1]
    sizes = []
    for bit_rate in (None, 32_000):
        path = tmp_path / f"{bit_rate}.mp3"
        write(path, "mp3", sound, RATE, Contents({}, {}), bit_rate)
        sizes.append(path.stat().st_size * 8 / 10)
    assert sizes == [pytest.approx(64_000, rel=0.03), pytest.approx(32_000, rel=0.03)]


def test_a_wav_reserves_room_for_the_sizes_of_a_file_over_4_gib(made):
    data = made("wav")[0].read_bytes()
    assert (data[:4], data[12:16]) == (b"RIFF", b"JUNK")
    assert struct.unpack("<I", data[16:20])[0] >= 28, "a ds64 chunk fits"


def test_memory_does_not_grow_with_the_book(tmp_path):
    def blocks(minutes: int):
        for _ in range(minutes * 12):
            yield np.zeros(5 * RATE, np.float32)

    write(tmp_path / "short.m4b", "m4b", blocks(1), RATE, Contents({}, {}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write(tmp_path / "long.m4b", "m4b", blocks(60), RATE, Contents({}, {"series": "x"}))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 40 * 2**20, "its samples would take 330 MB"


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "book.mp3"
    path.write_bytes(b"before")

    def broken():
        yield np.zeros(RATE, np.float32)
        raise OSError("the sound is gone")

    with pytest.raises(OSError, match="gone"):
        write(path, "mp3", broken(), RATE, Contents({}, {}))
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


def test_a_book_without_sound_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no sound"):
        write(tmp_path / "none.m4b", "m4b", [], RATE, Contents({}, {}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("format", "bit_rate", "param"),
    [
        ("wma", None, "format"),
        ("mp3", 8_000, "bit_rate"),
        ("mp3", 320_000, "bit_rate"),
        ("flac", 64_000, "bit_rate"),
    ],
)
def test_what_cannot_be_written_is_named(format, bit_rate, param):
    with pytest.raises(InvalidInput) as caught:
        audiobook.check(format, bit_rate)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a" + bytes(100), b"\xff\xd8\xff\xe0\0\x10", b"\x89PNG\r\n\x1a\n" + bytes(30)]
)
def test_a_cover_must_be_a_jpeg_or_png_file(data):
    with pytest.raises(InvalidInput) as caught:
        read_cover(data)
    assert caught.value.param == "cover"


def test_control_characters_in_a_title_do_not_end_it(short, tmp_path):
    about = replace(short.book.about, title="A\0B\x1fC\nD")
    path = tmp_path / "odd.m4b"
    write(path, "m4b", [np.zeros(RATE, np.float32)], RATE, contents(about, "m4b"))
    assert Mp4(path).value("©nam") == b"A B C\nD"
