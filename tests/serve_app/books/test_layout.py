"""The sound of a book and its timeline: no sample is lost, none is heard twice, and nothing clicks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from serve_app.books.book import About, Block, Book, Chapter
from serve_app.books.layout import AAC_FRAME, FADE_S, LEAD_S, Layout, Pauses, Spoken
from tests.serve_app.books.conftest import LEAD, LOW, RATE, STEP, Read

FADE = round(FADE_S * RATE)


def whole(layout, begin=0, end=None) -> np.ndarray:
    return np.concatenate(list(layout.blocks(begin, end)))


def test_every_segment_is_heard_once_where_its_line_says(short: Read):
    layout = short.layout()
    sound = whole(layout)
    assert len(sound) == layout.timeline.samples
    assert [line.text for line in layout.timeline.lines] == [spoken.text for spoken in short.segments]
    heard = np.zeros(len(sound), bool)
    for line, spoken in zip(layout.timeline.lines, short.segments, strict=True):
        wanted = short.sound_of(spoken)[spoken.samples - (line.end - line.begin) :]
        np.testing.assert_array_equal(sound[line.begin + FADE : line.end - FADE], wanted[FADE:-FADE])
        assert not heard[line.begin : line.end].any()
        heard[line.begin : line.end] = True
    assert not sound[~heard].any(), "there is silence between the segments"


def test_pauses_depend_on_what_ends(short: Read):
    timeline = short.layout(Pauses(paragraph=0.7, chapter=1.5)).timeline
    for before, after in zip(timeline.lines, timeline.lines[1:], strict=False):
        pause = (after.begin - before.end) / RATE
        if after.chapter != before.chapter:
            assert 1.5 <= pause < 1.5 + AAC_FRAME / RATE
        else:
            assert pause == pytest.approx(0.7 if after.block != before.block else 0.2, abs=1e-4)


def test_a_segment_may_ask_for_a_longer_pause_than_its_paragraph(short: Read):
    short.segments[0] = replace(short.segments[0], pause_after=1.1)
    first, second, *_ = short.layout(Pauses(paragraph=0.7)).timeline.lines
    assert (second.begin - first.end) / RATE == pytest.approx(1.1, abs=1e-4)


def test_a_chapter_begins_no_more_than_30_ms_before_its_first_word(short: Read):
    layout = short.layout()
    sound = whole(layout)
    assert [mark.title for mark in layout.timeline.marks] == ["One", "Chapter 2", "Größe 第三"]
    for mark in layout.timeline.marks:
        word = mark.begin + int(np.argmax(np.abs(sound[mark.begin :]) > 0.01))
        assert 0 <= word - mark.begin <= round(LEAD_S * RATE) + 0.005 * RATE
    assert LEAD > 2 * LEAD_S, "the segments have more quiet than that"


def test_chapters_join_without_a_gap_and_are_whole_frames_of_aac(short: Read):
    timeline = short.layout().timeline
    edges = [mark.begin for mark in timeline.marks] + [timeline.samples]
    assert edges[0] == 0
    assert [mark.end for mark in timeline.marks] == edges[1:]
    assert all((mark.end - mark.begin) % AAC_FRAME == 0 for mark in timeline.marks)


def test_any_part_of_the_sound_is_the_same_part_of_the_whole(short: Read):
    layout = short.layout()
    sound = whole(layout)
    for begin, end in [(0, 1), (5000, 5001), (100, 90_000), (70_123, len(sound)), (0, len(sound))]:
        np.testing.assert_array_equal(whole(layout, begin, end), sound[begin:end])
    mark = layout.timeline.marks[1]
    short.reads = 0
    list(layout.blocks(mark.begin, mark.end))
    assert short.reads == 1, "only what is asked for is read"


def test_nothing_clicks_where_segments_begin_and_end(short: Read):
    layout = short.layout()
    steps = np.abs(np.diff(whole(layout), n=2))
    largest = 0.3 * (2 * np.pi * (LOW + STEP * len(short.segments)) / RATE) ** 2  # of the highest tone itself
    assert steps.max() < 1.5 * largest
    raw = np.abs(np.diff(np.pad(short.sound_of(short.segments[1]), 1), n=2))
    assert raw.max() > 5 * largest, "a segment itself begins and ends with a step"


def test_a_chapter_of_which_nothing_was_spoken_has_no_mark(short: Read):
    short.segments = [spoken for spoken in short.segments if spoken.chapter != 1]
    assert [mark.chapter for mark in short.layout().timeline.marks] == [0, 2]


def test_segments_without_sound_are_left_out(short: Read):
    silent = Spoken(0, 1, (0, 3), "***", 0, 0.5)
    short.segments.insert(1, silent)
    assert "***" not in [line.text for line in short.layout().timeline.lines]


def test_a_book_without_segments_is_empty(short: Read):
    layout = Read(Book(short.book.about, ()), []).layout()
    assert layout.timeline.samples == 0 and not layout.timeline.marks and not list(layout.blocks())


def test_segments_out_of_order_are_refused(short: Read):
    short.segments.reverse()
    with pytest.raises(ValueError, match="order"):
        short.layout()


def test_a_waveform_of_another_length_is_refused(short: Read):
    short.segments[2] = replace(short.segments[2], samples=100_000)
    layout = short.layout()
    short.segments[2] = replace(short.segments[2], samples=90_000)
    layout._sound_of = lambda spoken: np.zeros(90_000, np.float32)
    with pytest.raises(ValueError, match="shape"):
        whole(layout)


@pytest.mark.parametrize("hiss", [-60, -50, -40, -36])
@pytest.mark.parametrize("consonant", [-28, -24])
def test_a_chapter_begins_at_its_first_weak_consonant_after_a_model_s_hiss(hiss: int, consonant: int) -> None:
    """In decibels below the vowel: 90 ms of hiss, 60 ms of a consonant, and the vowel."""
    levels = np.repeat([hiss, consonant, 0], [round(0.09 * RATE), round(0.06 * RATE), round(0.3 * RATE)])
    noise = np.random.default_rng(3).uniform(-0.5, 0.5, len(levels))
    waveform = (10 ** (levels / 20) * noise).astype(np.float32)
    spoken = Spoken(0, 0, (0, 4), "Five", len(waveform), 0.0)
    book = Book(About(), (Chapter("One", (Block("Five"),)),))
    layout = Layout(book, [spoken], lambda _: waveform, RATE)
    kept = layout.timeline.lines[0].end
    before = 0.09 - (len(waveform) - kept) / RATE
    assert 0.02 < before < 0.04, "seconds before the consonant that are kept"
