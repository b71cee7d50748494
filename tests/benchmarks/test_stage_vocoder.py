"""All four methods of the benchmark produce the same sound."""

from __future__ import annotations


def test_all_four_methods_have_the_same_samples(run, tmp_path):
    words = ["--batch", "1", "3", "--length", "0.5", "--rounds", "1", "--sentences", "2"]
    result = run("stage_vocoder", "--device", "cpu", *words)
    rows = {(row["batch"], row["length_s"], row["way"]): row for row in result["rows"]}
    ways = {"whole", "padded", "chunked", "batched"}
    assert set(rows) == {
        (batch, length, way) for batch in (1, 3) for length in ("speech", 0.5) for way in ways
    }
    for (_, _, way), row in rows.items():
        assert row["rtf"] > 0
        assert row["largest_difference"] < 2e-4
        if way == "whole":
            assert (row["times_whole"], row["largest_difference"]) == (1, 0)
    assert set(result["wer"]) == {"whole", "batched"}
    assert abs(result["wer"]["batched"] - result["wer"]["whole"]) < 0.15  # of 17 words
    assert len(result["speech_s"]) == 3
    assert (tmp_path / "stage_vocoder.png").stat().st_size > 1000
