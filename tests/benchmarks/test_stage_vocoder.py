"""The benchmark measures what it says: four ways to the same sound."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_four_ways_give_the_same_sound(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    words = ["--batch", "1", "3", "--length", "0.5", "--rounds", "1", "--sentences", "2", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.stage_vocoder", "--device", "cpu", *words],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
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
    assert result["command"].startswith("python -m benchmarks.stage_vocoder")
    assert {"cpu", "cores", "load"} <= set(result["machine"])
    assert out.with_suffix(".png").stat().st_size > 1000
