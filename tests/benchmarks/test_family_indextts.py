"""The benchmark of IndexTTS runs, on the golden checkpoint: both ways make the same amount of sound."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_both_ways_on_the_golden_checkpoint(tmp_path):
    out = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.family_indextts", "--batch", "1", "2", "--codes", "6"]
    command += [
        "--folder",
        str(ROOT / "tests/golden/indextts/checkpoint"),
        "--threads",
        "1",
        "--out",
        str(out),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    figures = json.loads(out.read_text())
    assert figures["machine"]["cores"] and figures["command"].startswith(
        "python -m benchmarks.family_indextts"
    )
    rows = figures["rows"]
    assert [(row["batch"], row["way"]) for row in rows] == [
        (b, w) for b in (1, 2) for w in ("published", "chorale")
    ]
    for row in rows:
        assert 0 < row["audio_s"] <= row["batch"] * 6 * 1024 / 24000 + 0.01
        assert row["rtf"] > 0 and row["peak_gib"] > 0
    assert all("times_faster" in row for row in rows[1::2])
