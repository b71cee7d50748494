"""The benchmark decodes what it says, in every way that this machine has."""

from __future__ import annotations


def test_ways_decode_the_same_codes_and_are_set_against_the_bound(run, tmp_path):
    words = ["--device", "cpu", "--batch", "1", "--batch", "3", "--steps", "3", "--rounds", "1"]
    words += ["--sentences", "1", "--without", "compiled", "--without", "bf16"]
    result = run("stage_gpt", *words)
    assert [(row["batch"], row["way"]) for row in result["rows"]] == [
        (batch, way) for batch in (1, 3) for way in ("plain", "served", "eager")
    ]
    for row in result["rows"]:
        assert row["codes_per_s"] > 0
        assert row["share_of_bound"] is not None and row["share_of_bound"] > 0
    assert result["heard"]["served"]["same_codes_as_plain"] == "1 of 1"
    assert (tmp_path / "stage_gpt.png").stat().st_size > 10_000
