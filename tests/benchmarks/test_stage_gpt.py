"""The benchmark decodes what it says, in every way that this machine has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_ways_decode_the_same_codes_and_are_set_against_the_bound(tmp_path: Path) -> None:
    out = tmp_path / "stage_gpt.json"
    words = ["--device", "cpu", "--batch", "1", "--batch", "3", "--steps", "3", "--rounds", "1"]
    words += ["--sentences", "1", "--without", "compiled", "--without", "bf16", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.stage_gpt", *words], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert [(row["batch"], row["way"]) for row in result["rows"]] == [
        (batch, way) for batch in (1, 3) for way in ("plain", "served")
    ]
    for row in result["rows"]:
        assert row["codes_per_s"] > 0
        assert 0 < row["share_of_bound"] < 1, "no step is faster than what it must read"
    assert result["heard"]["served"]["same_codes_as_plain"] == "1 of 1"
    assert out.with_suffix(".png").stat().st_size > 10_000
    assert result["command"].startswith("python -m benchmarks.stage_gpt")
    assert {"cpu", "cores", "load"} <= set(result["machine"])
