"""The VoxCPM benchmark runs on the golden checkpoint; all methods make the same length of sound."""

from __future__ import annotations

import pytest

from tests.golden.archive import golden_set

voxcpm = golden_set("voxcpm")


@pytest.mark.nightly
def test_all_methods_run_on_the_golden_checkpoint(run, voxcpm):
    words = ["--batch", "1", "2", "--patches", "4", "--steps", "3", "--threads", "1", "--version", "1.5"]
    words += ["--dtype", "fp32"]  # bf16 needs a CPU that multiplies it
    found = run("family_voxcpm", *words, "--folder", str(voxcpm / "v15" / "checkpoint"))
    rows = found["rows"]
    assert [(row["way"], row["batch"]) for row in rows] == [
        ("published", 1),
        ("chorale", 1),
        ("chorale", 2),
    ]
    for row in rows[1:]:
        assert row["audio_s"] == pytest.approx(row["batch"] * 4 * 0.16, abs=0.17 * row["batch"])
        assert row["rtf"] > 0 and row["peak_gib"] > 0 and row["first_sound_s"] > 0
    assert found["decoder"]["1.5"]["with_state_ms"] > 0
