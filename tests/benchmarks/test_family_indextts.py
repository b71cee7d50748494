"""The IndexTTS benchmark runs on the golden checkpoint; both methods produce the same length of sound."""

from __future__ import annotations

from tests.golden.indextts_set import SHIPPED


def test_both_methods_run_on_the_golden_checkpoint(run):
    checkpoint = str(SHIPPED / "checkpoint")
    words = ["--batch", "1", "2", "--codes", "6", "--threads", "1", "--folder", checkpoint]
    rows = run("family_indextts", *words)["rows"]
    assert [(row["batch"], row["way"]) for row in rows] == [
        (b, w) for b in (1, 2) for w in ("published", "chorale")
    ]
    for row in rows:
        assert 0 < row["audio_s"] <= row["batch"] * 6 * 1024 / 24000 + 0.01
        assert row["rtf"] > 0 and row["peak_gib"] > 0
    assert all("times_faster" in row for row in rows[1::2])
