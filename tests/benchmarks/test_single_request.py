"""Both methods of the benchmark produce the same sound."""

from __future__ import annotations


def test_streamed_and_whole_speech_have_the_same_samples(run):
    result = run("single_request", "--sentences", "1", "--voice", "clara")
    assert result["largest_difference"] < 1e-5
    assert set(result["figures"]) == {"streamed", "whole utterance"}
    for figures in result["figures"].values():
        assert figures["audio_s"] > 0.5
        assert figures["rtf"]["mean"] > 0
        assert 0 < figures["ttfa_share"]["mean"] <= 1
    assert result["figures"]["whole utterance"]["ttfa_share"]["mean"] == 1
