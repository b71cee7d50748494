"""The load benchmark counts what a listener would notice, and runs with a real service."""

from __future__ import annotations

import pytest

from benchmarks._load import BYTES_PER_S, Answer, Load, Say
from benchmarks.serve_load import gaps, sayings

SAY = Say("Hello.", "clara", 1)


def answer(*pieces: tuple[float, float], asked: float = 0.0) -> Answer:
    """pieces: (arrival time, seconds of sound)"""
    arrivals, held = [], 0.0
    for when, seconds in pieces:
        held += seconds
        arrivals.append((when, round(held * BYTES_PER_S)))
    return Answer(SAY, asked, status=200, arrivals=arrivals)


def test_a_stream_ahead_of_the_player_has_no_gap():
    one = answer((1.0, 0.2), (1.2, 0.5), (1.6, 1.0))
    assert one.gaps() == []
    assert one.first_s == 1.0
    assert one.seconds == pytest.approx(1.7)


def test_a_player_that_ran_dry_continues_later():
    one = answer((1.0, 0.2), (1.5, 0.5), (1.9, 0.2), (2.4, 0.1))
    assert one.gaps() == pytest.approx([0.3, 0.2])  # gaps from 1.2, and from 1.5 + 0.5 + 0.2
    assert one.gaps(0.2) == pytest.approx([0.1, 0.2])
    assert one.gaps(0.6) == []
    assert one.heard_at == pytest.approx(2.5)


def test_gaps_are_summed_over_streams():
    found = gaps([answer((1.0, 0.2), (1.5, 0.5)), answer((1.0, 1.0), (1.5, 0.5))], 0.0)
    assert found == {"streams": 1, "of": 2, "count": 1, "total_s": 0.3, "longest_s": 0.3}


def test_throughput_counts_audio_received_during_the_load():
    load = Load([answer((1.0, 1.0), (2.0, 1.0)), answer((1.0, 2.0), (5.0, 2.0))], 0.0, 4.0, 0.1, 5.0)
    assert load.audio_per_s == pytest.approx(1.0)
    assert load.requests_per_s == pytest.approx(0.25)


def test_every_level_speaks_the_same_sentences():
    texts, voices = ["a", "b", "c"], ["x", "y"]
    few, many = (sayings(texts, voices, 4, least, seed=1) for least in (2, 10))
    assert set(few) == set(many)
    assert len(few) == len(set(few)) == 4
    assert len(many) == 10
    assert {say.voice for say in few} == {"x", "y"}


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_it_measures_a_service_that_it_starts(run, tmp_path):
    words = ["--clients", "1,3", "--sentences", "3", "--requests", "3", "--share", "0.5"]
    words += ["--listeners", "2"]
    result = run("serve_load", *words)
    levels = result["levels"]
    assert [level["clients"] for level in levels] == [1, 3, 2, None]
    for level in levels:
        assert level["errors"] == {}
        assert level["ttfa_s"]["p50"] > 0
        assert level["audio_s_per_s"] > 0
        assert level["identical"] == 1.0, "the same seeds give the same bytes at every load"
        assert level["difference"]["equal"]
        assert level["similarity"]["value"] > 0.5
        assert level["gaps"]["0.2"]["of"] == level["requests"]
    assert levels[1]["requests"] == 6
    assert levels[1]["ttfa_over_first"]["value"] > 0
    assert levels[3]["rate"] > 0
    assert (tmp_path / "serve_load.png").exists()
