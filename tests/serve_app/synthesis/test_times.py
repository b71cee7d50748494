"""The times of words: the best rising path through the attention, and its mapping to the text."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from deployments.contract.speech import Segment
from serve_app.synthesis.speech import SegmentDone, Sound
from serve_app.synthesis.stream import Synthesizer
from serve_app.synthesis.times import SaidAt, begins, said_at
from tests.serve_app.conftest import RATE
from tests.serve_app.synthesis.test_stream import speech

TEXT = "One two."  # o n e | t w o | .
TOKENS = Segment(TEXT, np.arange(7), span=(10, 18), places=np.array([0, 0, 0, 4, 4, 4, -1], np.int32))


def attended(path: list[int], tokens: int, share: float = 0.6) -> np.ndarray:
    attention = np.full((len(path), tokens), (1 - share) / tokens, np.float16)
    attention[np.arange(len(path)), path] += np.float16(share)
    return attention


def test_the_path_is_the_likeliest_of_all_that_rise():
    for seed, (moments, tokens) in enumerate([(6, 3), (5, 5), (7, 1), (8, 4)]):
        attention = np.random.default_rng(seed).dirichlet(np.ones(tokens), moments).astype(np.float32)
        cuts = itertools.combinations(range(1, moments), tokens - 1)
        paths = [np.repeat(np.arange(tokens), np.diff((0, *cut, moments))) for cut in cuts]
        best = max(paths, key=lambda path: np.log(attention[np.arange(moments), path]).sum())
        np.testing.assert_array_equal(begins(attention), np.searchsorted(best, np.arange(tokens)))


def test_a_moment_of_noise_does_not_lead_astray():
    path = [0, 0, 3, 0, 1, 1, 0, 1, 2, 3]
    np.testing.assert_array_equal(begins(attended(path, 4)), [0, 4, 8, 9])


@pytest.mark.parametrize(("moments", "tokens"), [(1, 1), (1, 9), (2, 9), (5, 9), (9, 9), (40, 9)])
def test_every_token_is_reached_however_few_the_moments(moments, tokens):
    attention = np.random.default_rng(1).dirichlet(np.ones(tokens), moments).astype(np.float32)
    found = begins(attention)
    assert found[0] == 0 and (np.diff(found) >= 0).all() and found[-1] < moments


def test_what_was_cut_off_has_no_times():
    attention = attended([0, 0, 1, 1, 2, 2, 3, 3], 7)
    np.testing.assert_array_equal(begins(attention, complete=False), [0, 2, 4, 6, 8, 8, 8])
    (one, two) = said_at(TOKENS, attention, seconds=0.8, cut=True)
    assert (one.stop, two.start, two.stop) == pytest.approx((0.6, 0.6, 0.8))
    (one,) = said_at(TOKENS, attention[:6], seconds=0.6, cut=True)
    assert (one.begin, one.end, one.stop) == pytest.approx((10, 13, 0.6))


def test_times_are_of_the_words_in_the_text():
    attention = attended([0, 0, 1, 1, 2, 2, 3, 4, 5, 6], 7)
    one, two = said_at(TOKENS, attention, seconds=1.0, offset=5.0)
    assert one == SaidAt(10, 13, 5.0, 5.6)
    assert two == SaidAt(14, 17, 5.6, 6.0)  # the pause at the mark is the word's


def test_without_places_or_attention_there_are_none():
    attention = attended([0, 1, 2, 3, 4, 5, 6], 7)
    assert said_at(replace(TOKENS, places=None), attention, 1.0) == ()
    assert said_at(TOKENS, None, 1.0) == ()


@pytest.mark.parametrize("speed", [1.0, 4.0])
async def test_events_carry_the_times_in_the_sound_of_the_request(backend, speed):
    """The tone backend says each letter in three codes. Only paces up to 2 are its own; the rest changes the tempo."""
    backend.timed = True
    text = "One two three."
    stream = Synthesizer(backend).stream(replace(speech(text, speed=speed), timed=True))
    events = [event async for event in stream]
    (done,) = [event for event in events if isinstance(event, SegmentDone)]
    assert [text[one.begin : one.end] for one in done.times] == ["One", "two", "three"]
    per_letter = 3 * 320 / RATE / max(1, speed / 2)
    assert [one.start for one in done.times] == pytest.approx([0, 4 * per_letter, 8 * per_letter])
    seconds = sum(len(event.waveform) for event in events if isinstance(event, Sound)) / RATE
    assert done.times[-1].stop == pytest.approx(seconds, abs=0.05)
    assert stream.times == list(done.times)
